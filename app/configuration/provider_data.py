"""What mail providers publish: servers, logins, limits, and what has to be done there first.

Facts as the providers publish them; what a server really does is for the probe to say. A figure
that differs by contract is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.configuration.model import Auth, Connection

# app_password: the account's own password is refused, one made for programs is needed.
# oauth2: basic sign-in is switched off. enable_smtp: an administrator has to allow it first.
# enable_programs: mail programs have to be allowed in the mailbox first.
# server_name: the customer's panel shows the name of the server.
# api_key: the password is an API key. smtp_user: the panel makes user name and password.
# verified_sender: the sender's address or domain has to be confirmed first.
Advice = Literal[
    "app_password", "oauth2", "enable_smtp", "enable_programs",
    "server_name", "api_key", "smtp_user", "verified_sender",
]  # fmt: skip
# address: the whole address. local_part: what stands before the @. word: the provider's
# ``login_word``, the same for everybody. smtp_user: one that the provider's panel shows.
Login = Literal["address", "local_part", "word", "smtp_user"]

ADVICE: Mapping[Advice, Mapping[str, str]] = {
    "app_password": {
        "pl": "Ten dostawca nie przyjmuje tu hasła skrzynki. Utwórz w jej ustawieniach hasło do "
        "aplikacji i wprowadź je.",
        "fr": "Ce fournisseur refuse ici le mot de passe de la boîte. Créez un mot de passe "
        "d’application dans ses réglages et entrez celui-là.",
        "en": "This provider refuses the mailbox's own password here. Make an app password in its "
        "settings and enter that one.",
    },
    "oauth2": {
        "pl": "Ten dostawca wyłączył logowanie hasłem; przyjmuje tylko token dostępu (XOAUTH2).",
        "fr": "Ce fournisseur a désactivé la connexion par mot de passe ; il n’accepte qu’un jeton "
        "d’accès (XOAUTH2).",
        "en": "This provider has switched off signing in with a password; it takes an access token "
        "(XOAUTH2) only.",
    },
    "enable_smtp": {
        "pl": "Administrator musi najpierw zezwolić na „Uwierzytelniony SMTP” dla tej skrzynki w "
        "centrum administracyjnym Microsoft 365.",
        "fr": "Un administrateur doit d’abord autoriser « SMTP authentifié » pour cette boîte dans "
        "le centre d’administration Microsoft 365.",
        "en": "An administrator has to allow “Authenticated SMTP” for this mailbox in the Microsoft "
        "365 admin centre first.",
    },
    "enable_programs": {
        "pl": "Najpierw trzeba włączyć wysyłkę przez programy pocztowe w ustawieniach skrzynki.",
        "fr": "L’envoi par les logiciels de messagerie doit d’abord être activé dans les réglages de "
        "la boîte.",
        "en": "Sending by mail programs has to be switched on in the mailbox's settings first.",
    },
    "server_name": {
        "pl": "Nazwę serwera znajdziesz w panelu klienta u dostawcy.",
        "fr": "Le nom de votre serveur figure dans l’espace client du fournisseur.",
        "en": "The name of your server stands in the provider's customer panel.",
    },
    "api_key": {
        "pl": "Hasłem jest klucz API, który tworzy się w panelu dostawcy; nazwa użytkownika jest dla "
        "wszystkich ta sama.",
        "fr": "Le mot de passe est une clé d’API créée dans l’espace client du fournisseur ; "
        "l’identifiant est le même pour tous.",
        "en": "The password is an API key made in the provider's panel; the user name is the same "
        "for everybody.",
    },
    "smtp_user": {
        "pl": "Nazwę użytkownika i hasło SMTP tworzy się w panelu dostawcy; nie są to dane logowania "
        "do panelu.",
        "fr": "L’identifiant et le mot de passe SMTP se créent dans l’espace client du fournisseur ; "
        "ce ne sont pas ceux de l’espace client.",
        "en": "The SMTP user name and password are made in the provider's panel; they are not the "
        "ones of the panel itself.",
    },
    "verified_sender": {
        "pl": "Najpierw potwierdź u dostawcy adres nadawcy lub jego domenę.",
        "fr": "Faites d’abord valider l’adresse ou le domaine de l’expéditeur chez le fournisseur.",
        "en": "Have the sender's address or domain confirmed at the provider first.",
    },
}


@dataclass(frozen=True, slots=True)
class Server:
    """An outgoing server. host: "" where it differs by customer."""

    host: str
    port: int
    connection: Connection


@dataclass(frozen=True, slots=True)
class Incoming:
    """A mailbox's server. host: "" where it differs by customer."""

    host: str
    port: int
    connection: Connection
    protocol: Literal["imap", "pop3"] = "imap"


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """What a provider allows one account; None where it publishes nothing.

    per_minute, per_day: messages. connections: at once. recipients_per_day: each of a message
    counts.
    """

    per_minute: float | None = None
    per_day: int | None = None
    recipients_per_day: int | None = None
    connections: int | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider.

    incoming: None where it only sends. domains: those it gives addresses in. mx: names under which
    its servers take the mail of its customers' own domains. keeps_sent: a sent message stands in
    the mailbox's Sent folder by itself. auth: what to sign in with, where ``auto`` would not do.
    """

    id: str
    name: str
    smtp: Server
    incoming: Incoming | None
    domains: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()
    auth: Auth = "auto"
    has_oauth2: bool = False
    login: Login = "address"
    login_word: str = ""
    keeps_sent: bool = False
    limits: SendingLimits = SendingLimits()


def _tls(host: str) -> Server:
    return Server(host, 465, "ssl_tls")


def _starttls(host: str) -> Server:
    return Server(host, 587, "starttls")


def _imap(host: str) -> Incoming:
    return Incoming(host, 993, "ssl_tls")


# Exchange Online delays what is beyond its rate; keeping the pace here lets single messages go
# before batches. Others count by the day, which is learned as it comes.
_MICROSOFT_PACE = SendingLimits(per_minute=30, connections=3, recipients_per_day=10_000)

PROVIDERS: Sequence[Provider] = (
    Provider(
        "gmail", "Gmail", _tls("smtp.gmail.com"), _imap("imap.gmail.com"),
        ("gmail.com", "googlemail.com"), advice=("app_password",), has_oauth2=True,
        keeps_sent=True, limits=SendingLimits(per_day=500),
    ),
    Provider(
        "google_workspace", "Google Workspace", _tls("smtp.gmail.com"), _imap("imap.gmail.com"),
        mx=("google.com", "googlemail.com"), advice=("app_password",), has_oauth2=True,
        keeps_sent=True, limits=SendingLimits(per_day=2000),
    ),
    Provider(
        "m365", "Microsoft 365", _starttls("smtp.office365.com"), _imap("outlook.office365.com"),
        mx=("mail.protection.outlook.com", "mx.microsoft"), advice=("enable_smtp",),
        has_oauth2=True, keeps_sent=True, limits=_MICROSOFT_PACE,
    ),
    Provider(
        "outlook", "Outlook.com", _starttls("smtp-mail.outlook.com"),
        _imap("outlook.office365.com"),
        ("outlook.com", "hotmail.com", "live.com", "msn.com", "outlook.fr", "hotmail.fr", "live.fr"),
        mx=("olc.protection.outlook.com",), advice=("oauth2",), auth="xoauth2", has_oauth2=True,
        keeps_sent=True, limits=SendingLimits(per_minute=30, connections=3),
    ),
    Provider(
        "home", "home.pl", _tls(""), _imap(""), mx=("home.pl",), advice=("server_name",),
    ),
    Provider(
        "nazwa", "nazwa.pl", _tls(""), _imap(""), mx=("nazwa.pl",), advice=("server_name",),
    ),
    Provider(
        "onet", "Onet Poczta", _tls("smtp.poczta.onet.pl"), _imap("imap.poczta.onet.pl"),
        ("onet.pl", "op.pl", "poczta.onet.pl", "vp.pl", "onet.eu"), ("poczta.onet.pl",),
        ("enable_programs",),
    ),
    Provider(
        "wp", "WP Poczta", _tls("smtp.wp.pl"), _imap("imap.wp.pl"), ("wp.pl",), ("wp.pl",),
        ("enable_programs",),
    ),
    Provider(
        "o2", "o2", _tls("poczta.o2.pl"), _imap("poczta.o2.pl"), ("o2.pl", "tlen.pl"), ("o2.pl",),
        ("enable_programs",),
    ),
    Provider(
        "interia", "Interia", _tls("poczta.interia.pl"), _imap("poczta.interia.pl"),
        ("interia.pl", "interia.eu", "interia.com", "poczta.fm"), ("interia.pl",),
        ("enable_programs",),
    ),
    Provider(
        "ovh", "OVHcloud (MX Plan)", _tls("ssl0.ovh.net"), _imap("ssl0.ovh.net"), mx=("ovh.net",),
    ),
    Provider(
        "gandi", "Gandi", _tls("mail.gandi.net"), _imap("mail.gandi.net"), mx=("mail.gandi.net",),
    ),
    Provider(
        "ionos", "IONOS", _tls("smtp.ionos.com"), _imap("imap.ionos.com"),
        mx=("ionos.com", "ionos.de", "ionos.fr", "ionos.es", "ionos.co.uk", "kundenserver.de"),
    ),
    Provider(
        "infomaniak", "Infomaniak", _tls("mail.infomaniak.com"), _imap("mail.infomaniak.com"),
        ("ik.me", "etik.com", "ikmail.com"), ("infomaniak.ch", "infomaniak.com"),
        limits=SendingLimits(recipients_per_day=1440),
    ),
    Provider(
        "hostpoint", "Hostpoint", _tls("asmtp.mail.hostpoint.ch"), _imap("imap.mail.hostpoint.ch"),
        mx=("mail.hostpoint.ch",),
    ),
    Provider(
        "bluewin", "Bluewin", _tls("smtpauths.bluewin.ch"), _imap("imaps.bluewin.ch"),
        ("bluewin.ch", "bluemail.ch"), ("bluewin.ch",),
    ),
    Provider(
        "orange", "Orange", _tls("smtp.orange.fr"), _imap("imap.orange.fr"),
        ("orange.fr", "wanadoo.fr"), ("orange.fr",),
    ),
    Provider(
        "free", "Free", _tls("smtp.free.fr"), _imap("imap.free.fr"), ("free.fr",), ("free.fr",),
        ("enable_programs",), login="local_part",
    ),
    Provider(
        "sfr", "SFR", _tls("smtp.sfr.fr"), _imap("imap.sfr.fr"), ("sfr.fr", "neuf.fr"), ("sfr.fr",),
    ),
    Provider(
        "laposte", "La Poste", _tls("smtp.laposte.net"), _imap("imap.laposte.net"),
        ("laposte.net",), ("laposte.net",),
    ),
    Provider(
        "yahoo", "Yahoo", _tls("smtp.mail.yahoo.com"), _imap("imap.mail.yahoo.com"),
        ("yahoo.com", "yahoo.fr"), ("yahoodns.net",), ("app_password",), has_oauth2=True,
    ),
    Provider(
        "icloud", "iCloud", _starttls("smtp.mail.me.com"), _imap("imap.mail.me.com"),
        ("icloud.com", "me.com", "mac.com"), ("mail.icloud.com",), ("app_password",),
        limits=SendingLimits(per_day=1000, recipients_per_day=1000),
    ),
    Provider(
        "gmx", "GMX", _tls("mail.gmx.net"), _imap("imap.gmx.net"), ("gmx.net", "gmx.ch", "gmx.de"),
        ("gmx.net",), ("enable_programs",),
    ),
    Provider(
        "zoho", "Zoho Mail", _tls("smtp.zoho.com"), _imap("imap.zoho.com"),
        ("zoho.com", "zohomail.com"), ("zoho.com",), ("enable_programs",), has_oauth2=True,
    ),
    Provider(
        "zoho_eu", "Zoho Mail (EU)", _tls("smtp.zoho.eu"), _imap("imap.zoho.eu"),
        ("zoho.eu", "zohomail.eu"), ("zoho.eu",), ("enable_programs",), has_oauth2=True,
    ),
    Provider(
        "sparkpost", "SparkPost", _starttls("smtp.sparkpostmail.com"), None,
        advice=("api_key", "verified_sender"), login="word", login_word="SMTP_Injection",
    ),
    Provider(
        "sparkpost_eu", "SparkPost (EU)", _starttls("smtp.eu.sparkpostmail.com"), None,
        advice=("api_key", "verified_sender"), login="word", login_word="SMTP_Injection",
    ),
    Provider(
        "sendgrid", "Sendgrid", _starttls("smtp.sendgrid.net"), None,
        advice=("api_key", "verified_sender"), login="word", login_word="apikey",
    ),
    Provider(
        "mailgun", "Mailgun", _starttls("smtp.mailgun.org"), None,
        advice=("smtp_user", "verified_sender"), login="smtp_user",
    ),
    Provider(
        "mailgun_eu", "Mailgun (EU)", _starttls("smtp.eu.mailgun.org"), None,
        advice=("smtp_user", "verified_sender"), login="smtp_user",
    ),
    Provider(
        "brevo", "Brevo", _starttls("smtp-relay.brevo.com"), None,
        advice=("smtp_user", "verified_sender"), login="smtp_user",
    ),
    Provider(
        "ses", "Amazon SES", _starttls(""), None,
        advice=("server_name", "smtp_user", "verified_sender"), login="smtp_user",
    ),
)  # fmt: skip
