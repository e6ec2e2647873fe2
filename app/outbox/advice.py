"""What each cause of contract §5 means and what to do about it: pl, fr, en.

Plain texts for whoever administers the mail of a company; the same words explain a probe and a
paused account. Nothing here suggests to give up encryption or verification where another way is.
"""

from collections.abc import Mapping

Advice = Mapping[str, str]

ADVICE: Mapping[str, Advice] = {
    "host_not_allowed": {
        "pl": "Z tym serwerem lub portem Awizo nie może się łączyć: zabraniają tego jego ustawienia "
        "(AWIZO_SMTP_DENY, AWIZO_SMTP_PORTS) albo jest to adres, który nigdy nie jest dozwolony. "
        "Sprawdź nazwę serwera i port; jeśli są poprawne, administrator Awizo musi je dopuścić.",
        "fr": "Awizo n'a pas le droit de se connecter à ce serveur ou à ce port : ses réglages "
        "l'interdisent (AWIZO_SMTP_DENY, AWIZO_SMTP_PORTS), ou l'adresse n'est jamais permise. "
        "Vérifiez le nom du serveur et le port ; s'ils sont justes, l'administrateur d'Awizo doit "
        "les autoriser.",
        "en": "Awizo may not connect to this server or port: its settings forbid it "
        "(AWIZO_SMTP_DENY, AWIZO_SMTP_PORTS), or the address is never allowed. Check the server's "
        "name and the port; if they are right, the administrator of Awizo has to permit them.",
    },
    "name_not_found": {
        "pl": "Nie ma serwera o tej nazwie. Sprawdź pisownię nazwy serwera poczty wychodzącej (SMTP) "
        "u swojego dostawcy. Jeśli nazwa jest poprawna, serwer DNS komputera, na którym działa "
        "Awizo, jej nie zna.",
        "fr": "Aucun serveur ne porte ce nom. Vérifiez l'orthographe du serveur d'envoi (SMTP) "
        "auprès de votre fournisseur. Si le nom est juste, le DNS de la machine d'Awizo ne le "
        "connaît pas.",
        "en": "There is no server of this name. Check the spelling of the outgoing mail server "
        "(SMTP) with your provider. If the name is right, the DNS of the machine that Awizo runs on "
        "does not know it.",
    },
    "connection_refused": {
        "pl": "Pod tym adresem i portem nie odpowiada żaden serwer poczty. Sprawdź serwer i port "
        "(zwykle 587 ze STARTTLS albo 465 z SSL/TLS; port 25 dostawcy często blokują). Zapora musi "
        "przepuszczać połączenia wychodzące z komputera, na którym działa Awizo, nie ze stanowiska "
        "użytkownika.",
        "fr": "Aucun serveur de messagerie ne répond à cette adresse et à ce port. Vérifiez le "
        "serveur et le port (d'ordinaire 587 avec STARTTLS ou 465 avec SSL/TLS ; le port 25 est "
        "souvent bloqué). Le pare-feu doit laisser sortir les connexions de la machine d'Awizo, non "
        "du poste de l'utilisateur.",
        "en": "No mail server answers at this address and port. Check the server and the port "
        "(usually 587 with STARTTLS or 465 with SSL/TLS; port 25 is often blocked by providers). The "
        "firewall has to let connections out from the machine that Awizo runs on, not from the "
        "user's desk.",
    },
    "timeout": {
        "pl": "Serwer nie odpowiedział na czas. Najczęściej zapora po cichu odrzuca połączenia na "
        "ten port: otwórz go dla połączeń wychodzących z komputera, na którym działa Awizo, albo "
        "użyj portu 587 lub 465. Na porcie 465 wybierz SSL/TLS. Limit czasu podaje się w "
        "milisekundach (30000 to 30 sekund).",
        "fr": "Le serveur n'a pas répondu à temps. Le plus souvent un pare-feu bloque ce port en "
        "silence : ouvrez-le en sortie depuis la machine d'Awizo, ou prenez le port 587 ou 465. Sur "
        "le port 465, choisissez SSL/TLS. Le délai se donne en millisecondes (30000 font 30 "
        "secondes).",
        "en": "The server did not answer in time. Most often a firewall drops this port silently: "
        "open it for connections out from the machine that Awizo runs on, or use port 587 or 465. On "
        "port 465 choose SSL/TLS. The timeout is given in milliseconds (30000 are 30 seconds).",
    },
    "connection_lost": {
        "pl": "Serwer przerwał połączenie. Powtórz próbę; jeśli to się powtarza, sprawdź, czy rodzaj "
        "połączenia pasuje do portu (465: SSL/TLS, 587: STARTTLS) i czy zapora lub program "
        "antywirusowy nie przechwytuje poczty. Dziennik serwera poczty zna przyczynę.",
        "fr": "Le serveur a coupé la connexion. Réessayez ; si cela se répète, vérifiez que le type "
        "de connexion convient au port (465 : SSL/TLS, 587 : STARTTLS) et qu'aucun pare-feu ou "
        "antivirus n'intercepte le courrier. Le journal du serveur en connaît la raison.",
        "en": "The server cut the connection. Try again; if it happens again, check that the kind of "
        "connection fits the port (465: SSL/TLS, 587: STARTTLS) and that no firewall or virus "
        "scanner intercepts mail. The mail server's log knows the reason.",
    },
    "greeting_refused": {
        "pl": "Serwer odmawia rozmowy z tym komputerem, zanim podano jakiekolwiek dane. Może być "
        "przeciążony, adres IP Awizo może być na liście blokowanych albo ten port jest tylko dla "
        "innych serwerów: do wysyłania użyj portu 587 lub 465. Odpowiedź serwera mówi więcej.",
        "fr": "Le serveur refuse de parler à cette machine, avant toute donnée. Il est peut-être "
        "surchargé, l'adresse IP d'Awizo figure sur une liste noire, ou ce port est réservé aux "
        "autres serveurs : pour l'envoi, prenez le port 587 ou 465. La réponse du serveur en dit "
        "plus.",
        "en": "The server refuses to speak with this machine, before anything was said. It may be "
        "overloaded, the IP address of Awizo may be on a block list, or this port is for other "
        "servers only: to submit mail use port 587 or 465. The server's reply says more.",
    },
    "protocol_error": {
        "pl": "To, co tam odpowiada, nie mówi poprawnie po SMTP. Sprawdź, czy to serwer poczty "
        "wychodzącej (nie IMAP, POP3 ani strona WWW) i czy rodzaj połączenia pasuje do portu (465: "
        "SSL/TLS, 587: STARTTLS).",
        "fr": "Ce qui répond là ne parle pas correctement SMTP. Vérifiez que c'est bien le serveur "
        "d'envoi (ni IMAP, ni POP3, ni un site web) et que le type de connexion convient au port "
        "(465 : SSL/TLS, 587 : STARTTLS).",
        "en": "What answers there does not speak proper SMTP. Check that it is the outgoing mail "
        "server (not IMAP, POP3 or a web site) and that the kind of connection fits the port (465: "
        "SSL/TLS, 587: STARTTLS).",
    },
    "starttls_not_offered": {
        "pl": "Serwer nie proponuje szyfrowania (STARTTLS) na tym porcie, więc nic nie zostało "
        "wysłane. Użyj portu 465 z SSL/TLS lub portu 587. Jeśli ten serwer wcześniej proponował "
        "STARTTLS, ktoś po drodze może je usuwać: sprawdź zaporę i program antywirusowy.",
        "fr": "Le serveur ne propose pas de chiffrement (STARTTLS) sur ce port ; rien n'a été "
        "envoyé. Prenez le port 465 avec SSL/TLS ou le port 587. S'il le proposait auparavant, "
        "quelqu'un en chemin le supprime peut-être : vérifiez pare-feu et antivirus.",
        "en": "The server does not offer encryption (STARTTLS) on this port, so nothing was sent. "
        "Use port 465 with SSL/TLS, or port 587. If this server offered STARTTLS before, somebody on "
        "the way may be removing it: check firewall and virus scanner.",
    },
    "starttls_refused": {
        "pl": "Serwer proponuje STARTTLS, ale go odmawia; zwykle brakuje mu certyfikatu albo jest to "
        "chwilowe. Powtórz próbę później lub użyj portu 465 z SSL/TLS; resztę musi naprawić "
        "administrator serwera.",
        "fr": "Le serveur propose STARTTLS puis le refuse ; souvent son certificat manque, ou c'est "
        "passager. Réessayez plus tard ou prenez le port 465 avec SSL/TLS ; le reste est l'affaire "
        "de l'administrateur du serveur.",
        "en": "The server offers STARTTLS and then refuses it; usually its certificate is missing, "
        "or it is temporary. Try later, or use port 465 with SSL/TLS; the rest is for the server's "
        "administrator to mend.",
    },
    "tls_failed": {
        "pl": "Nie udało się uzgodnić szyfrowanego połączenia. Na porcie 587 i 25 wybierz STARTTLS, "
        "na 465 SSL/TLS. Jeśli to się zgadza, serwer zna tylko przestarzałe wersje TLS (potrzebna "
        "jest 1.2 lub nowsza) i trzeba go zaktualizować.",
        "fr": "La connexion chiffrée n'a pas pu s'établir. Sur les ports 587 et 25 choisissez "
        "STARTTLS, sur 465 SSL/TLS. Si c'est déjà le cas, le serveur ne connaît que des versions "
        "périmées de TLS (il faut 1.2 ou mieux) et doit être mis à jour.",
        "en": "The encrypted connection could not be agreed on. On ports 587 and 25 choose STARTTLS, "
        "on 465 SSL/TLS. If that is so already, the server knows outdated versions of TLS only (1.2 "
        "or later is needed) and has to be updated.",
    },
    "certificate_expired": {
        "pl": "Certyfikat serwera stracił ważność lub jeszcze jej nie ma, dlatego niczego nie "
        "wysłano. Administrator serwera musi go odnowić. Sprawdź też zegar komputera, na którym "
        "działa Awizo.",
        "fr": "Le certificat du serveur a expiré ou n'est pas encore valable ; rien n'a été envoyé. "
        "L'administrateur du serveur doit le renouveler. Vérifiez aussi l'horloge de la machine "
        "d'Awizo.",
        "en": "The server's certificate has expired or is not valid yet, so nothing was sent. The "
        "server's administrator has to renew it. Check the clock of the machine that Awizo runs on "
        "as well.",
    },
    "certificate_wrong_host": {
        "pl": "Certyfikat serwera jest wystawiony na inną nazwę niż podana. Podaj jako serwer tę "
        "nazwę, którą dostawca poczty wskazuje w swojej instrukcji (nie alias ani adres IP). Nie "
        "przepisuj nazwy z certyfikatu, jeśli jej nie znasz: to może być obcy serwer.",
        "fr": "Le certificat du serveur porte un autre nom que celui indiqué. Saisissez le nom que "
        "votre fournisseur donne dans ses instructions (ni alias ni adresse IP). Ne recopiez pas le "
        "nom du certificat s'il vous est inconnu : ce peut être un serveur étranger.",
        "en": "The server's certificate is for another name than the one you gave. Enter the name "
        "that your provider's instructions give (not an alias or an IP address). Do not copy the "
        "certificate's name if you do not know it: this may be somebody else's server.",
    },
    "certificate_untrusted": {
        "pl": "Certyfikat serwera nie pochodzi od znanego urzędu; przy własnym serwerze firmy jest "
        "to zwykłe. Wklej certyfikat urzędu, który go wystawił, w polu ca_pem. U publicznego "
        "dostawcy nie rób tego: ktoś może przechwytywać połączenie.",
        "fr": "Le certificat du serveur ne vient pas d'une autorité connue, ce qui est courant pour "
        "un serveur d'entreprise. Collez le certificat de son autorité dans ca_pem. Chez un "
        "fournisseur public, n'en faites rien : la connexion est peut-être interceptée.",
        "en": "The server's certificate is not from a known authority, which is usual for a "
        "company's own server. Paste the certificate of the authority that issued it into ca_pem. "
        "With a public provider do not: the connection may be intercepted.",
    },
    "insecure_auth": {
        "pl": "Logowanie przez nieszyfrowane połączenie ujawniłoby hasło, dlatego nie zostało "
        "podjęte. Wybierz STARTTLS (port 587) lub SSL/TLS (port 465). Jeśli serwer w sieci firmy "
        "przyjmuje pocztę bez logowania, ustaw auth na none.",
        "fr": "Se connecter sans chiffrement montrerait le mot de passe ; rien n'a été tenté. "
        "Choisissez STARTTLS (port 587) ou SSL/TLS (port 465). Si le serveur de l'entreprise "
        "accepte le courrier sans identification, mettez auth à none.",
        "en": "Logging in over an unencrypted connection would show the password, so it was not "
        "tried. Choose STARTTLS (port 587) or SSL/TLS (port 465). If the server in the company's "
        "network takes mail without a login, set auth to none.",
    },
    "mechanism_not_offered": {
        "pl": "Serwer nie zna żądanego sposobu logowania. Ustaw auth na auto, a Awizo wybierze "
        "sposób, który serwer proponuje. Jeśli nie proponuje żadnego, użyj portu 587 lub 465, bo na "
        "porcie 25 logowanie bywa wyłączone.",
        "fr": "Le serveur ne connaît pas la méthode d'identification demandée. Mettez auth à auto : "
        "Awizo prend celle que le serveur propose. S'il n'en propose aucune, prenez le port 587 ou "
        "465 ; sur le port 25 l'identification est souvent coupée.",
        "en": "The server does not know the way of logging in that was asked for. Set auth to auto "
        "and Awizo takes one that the server offers. If it offers none, use port 587 or 465: on port "
        "25 logins are often switched off.",
    },
    "credentials_refused": {
        "pl": "Serwer nie przyjął nazwy użytkownika lub hasła. Wpisz hasło ponownie; nazwą bywa cały "
        "adres e-mail. Przy weryfikacji dwuetapowej potrzebne jest hasło aplikacji, utworzone na "
        "stronie dostawcy, a nie zwykłe hasło.",
        "fr": "Le serveur a refusé le nom d'utilisateur ou le mot de passe. Saisissez-le à nouveau ; "
        "le nom est souvent l'adresse complète. Avec la validation en deux étapes il faut un mot de "
        "passe d'application, créé chez le fournisseur, non le mot de passe habituel.",
        "en": "The server did not take the user name or password. Enter the password again; the name "
        "is often the whole mail address. With two-step verification an app password is needed, "
        "made on the provider's page, not the usual one.",
    },
    "auth_disabled": {
        "pl": "Dostawca nie pozwala już temu kontu logować się zwykłym hasłem. Gmail: włącz "
        "weryfikację dwuetapową i utwórz hasło aplikacji. Microsoft 365 i Outlook.com: administrator "
        "musi dopuścić uwierzytelniony SMTP (SMTP AUTH) dla skrzynki, a gdy hasła są wyłączone, "
        "potrzebny jest OAuth2: auth xoauth2 z tokenem dostępu jako hasłem.",
        "fr": "Le fournisseur n'accepte plus le mot de passe habituel pour ce compte. Gmail : activez "
        "la validation en deux étapes et créez un mot de passe d'application. Microsoft 365 et "
        "Outlook.com : l'administrateur doit permettre le SMTP authentifié (SMTP AUTH) pour la "
        "boîte ; si les mots de passe sont coupés, il faut OAuth2 : auth xoauth2, avec le jeton "
        "d'accès comme mot de passe.",
        "en": "The provider no longer lets this account log in with its usual password. Gmail: turn "
        "on two-step verification and make an app password. Microsoft 365 and Outlook.com: the "
        "administrator has to allow authenticated SMTP (SMTP AUTH) for the mailbox; where passwords "
        "are switched off, OAuth2 is needed: auth xoauth2 with the access token as the password.",
    },
    "auth_temporary": {
        "pl": "Serwer chwilowo nie może sprawdzić logowania; hasło może być dobre. Powtórz próbę za "
        "kilka minut. Jeśli trwa to dłużej, powiadom administratora serwera poczty.",
        "fr": "Le serveur ne peut pas vérifier l'identification pour l'instant ; le mot de passe est "
        "peut-être bon. Réessayez dans quelques minutes. Si cela dure, prévenez l'administrateur du "
        "serveur de messagerie.",
        "en": "The server cannot check logins at the moment; the password may be right. Try again in "
        "a few minutes. If it lasts, tell the mail server's administrator.",
    },
    "consent_needed": {
        "pl": "Dostawca poczty nie uznaje już zgody (OAuth2), którą dał właściciel skrzynki: została "
        "cofnięta, wygasła albo dotyczy innego serwera lub użytkownika. Poproś właściciela o ponowną "
        "zgodę (POST /accounts/{account}/consent). Poczta czeka i potem wyjdzie sama.",
        "fr": "Le fournisseur n'accepte plus le consentement (OAuth2) du titulaire de la boîte : il a "
        "été retiré, a expiré, ou vaut pour un autre serveur ou utilisateur. Demandez-le à nouveau au "
        "titulaire (POST /accounts/{account}/consent). Le courrier attend et partira de lui-même.",
        "en": "The provider no longer honours the consent (OAuth2) of the mailbox's owner: it was "
        "taken back, has run out, or is for another server or user. Ask the owner for it again (POST "
        "/accounts/{account}/consent). Mail waits and then goes out by itself.",
    },
    "token_unavailable": {
        "pl": "Dostawca poczty nie wydał tokenu dostępu (OAuth2). Jeśli jest chwilowo niedostępny, "
        "Awizo spróbuje samo. Jeśli odpowiada invalid_client lub podobnie, administrator Awizo musi "
        "sprawdzić identyfikator i tajny klucz aplikacji (AWIZO_OAUTH_…); klucze Microsoftu wygasają.",
        "fr": "Le fournisseur n'a pas donné de jeton d'accès (OAuth2). S'il est indisponible pour "
        "l'instant, Awizo réessaie de lui-même. S'il répond invalid_client ou semblable, "
        "l'administrateur d'Awizo doit vérifier l'identifiant et le secret de l'application "
        "(AWIZO_OAUTH_…) ; chez Microsoft les secrets expirent.",
        "en": "The provider gave no access token (OAuth2). If it is away for the moment, Awizo tries "
        "again by itself. If it answers invalid_client or the like, the administrator of Awizo has "
        "to check the application's id and secret (AWIZO_OAUTH_…); Microsoft's secrets expire.",
    },
    "auth_required": {
        "pl": "Serwer wymaga zalogowania, zanim przyjmie wiadomość. Podaj nazwę użytkownika i hasło, "
        "a auth ustaw na auto. Niektóre serwery wymagają też najpierw szyfrowania: wybierz STARTTLS "
        "lub SSL/TLS.",
        "fr": "Le serveur exige une identification avant d'accepter un message. Indiquez nom "
        "d'utilisateur et mot de passe, avec auth à auto. Certains serveurs exigent d'abord le "
        "chiffrement : choisissez STARTTLS ou SSL/TLS.",
        "en": "The server wants a login before it takes a message. Give user name and password, and "
        "set auth to auto. Some servers want encryption first: choose STARTTLS or SSL/TLS.",
    },
    "sender_refused": {
        "pl": "Serwer nie przyjmuje tego adresu nadawcy. Zwykle musi to być adres zalogowanego konta "
        "albo alias, który wolno mu używać; sprawdź adres nadawcy i ścieżkę zwrotną (return_path) "
        "albo poproś administratora o prawo wysyłania w imieniu tego adresu.",
        "fr": "Le serveur n'accepte pas cette adresse d'expéditeur. D'ordinaire ce doit être celle "
        "du compte identifié, ou un alias permis ; vérifiez l'adresse et le chemin de retour "
        "(return_path), ou demandez à l'administrateur le droit d'envoyer au nom de cette adresse.",
        "en": "The server does not take this sender address. Usually it has to be the address of the "
        "account that logged in, or an alias it may use; check the sender's address and the "
        "return_path, or ask the administrator for the right to send as that address.",
    },
    "recipient_refused": {
        "pl": "Serwer odmówił co najmniej jednego odbiorcy. Sprawdź pisownię adresów nadawcy, DW i "
        "UDW. Odpowiedź „relaying denied” oznacza, że serwer przekazuje pocztę tylko zalogowanym: "
        "podaj nazwę użytkownika i hasło.",
        "fr": "Le serveur a refusé au moins un destinataire. Vérifiez les adresses de l'expéditeur, "
        "des copies et des copies cachées. « Relaying denied » veut dire que le serveur ne relaie "
        "que pour qui s'identifie : indiquez nom d'utilisateur et mot de passe.",
        "en": "The server refused at least one recipient. Check the spelling of the sender's, CC and "
        "BCC addresses. “Relaying denied” means that the server relays only for those who log in: "
        "give user name and password.",
    },
    "content_refused": {
        "pl": "Serwer przyjął nadawcę i odbiorców, ale odrzucił treść wiadomości, zwykle jako spam "
        "lub z powodu zasad bezpieczeństwa. Odpowiedź serwera mówi dlaczego; sprawdź też wpisy SPF, "
        "DKIM i DMARC domeny nadawcy.",
        "fr": "Le serveur a accepté expéditeur et destinataires mais refusé le contenu, d'ordinaire "
        "comme indésirable ou selon ses règles. Sa réponse dit pourquoi ; vérifiez aussi SPF, DKIM "
        "et DMARC du domaine de l'expéditeur.",
        "en": "The server took sender and recipients but refused the content, usually as spam or by "
        "a security rule. Its reply says why; check SPF, DKIM and DMARC of the sender's domain too.",
    },
    "too_large": {
        "pl": "Wiadomość jest większa, niż serwer przyjmuje. Wysyłaj mniejsze załączniki albo poproś "
        "administratora serwera o podniesienie limitu; jego wielkość podaje krok ehlo (size).",
        "fr": "Le message dépasse ce que le serveur accepte. Envoyez des pièces jointes plus petites "
        "ou demandez à l'administrateur du serveur de relever la limite ; l'étape ehlo la donne "
        "(size).",
        "en": "The message is larger than the server takes. Send smaller attachments, or ask the "
        "server's administrator to raise the limit; the step ehlo shows it (size).",
    },
    "rate_limited": {
        "pl": "Dla serwera to na razie za dużo wiadomości lub połączeń z tego konta. Odczekaj i wysyłaj "
        "wolniej: ustaw batch_limit (wiadomości w paczce) i batch_wait_s (przerwa w sekundach). "
        "Limity konta podaje dostawca.",
        "fr": "Le serveur juge qu'il reçoit trop de messages ou de connexions de ce compte. Attendez "
        "et envoyez plus lentement : réglez batch_limit (messages par lot) et batch_wait_s (pause en "
        "secondes). Le fournisseur indique les limites du compte.",
        "en": "The server has had too many messages or connections from this account for now. Wait, "
        "and send more slowly: set batch_limit (messages a lot) and batch_wait_s (pause in seconds). "
        "The provider says what the account's limits are.",
    },
}
