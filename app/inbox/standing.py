"""How collecting from an account's mailbox stands, in plain words: pl, fr, en."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.load import ACCOUNTS, read_account
from app.configuration.model import StoredAccount
from app.configuration.tables import account
from app.inbox.mailboxes import name_target
from app.inbox.reach import may_read
from app.inbox.tables import mailbox

_MOST_BOXES = 500

_NO_ANSWER = {
    "pl": "Serwer skrzynki nie odpowiada. Sprawdź serwer i port (zwykle 993, IMAP z SSL/TLS).",
    "fr": "Le serveur de la boîte ne répond pas. Vérifiez le serveur et le port (d’ordinaire 993, "
    "IMAP avec SSL/TLS).",
    "en": "The mailbox's server does not answer. Check the server and the port (usually 993, IMAP "
    "with SSL/TLS).",
}
_NO_TLS = {
    "pl": "Bezpieczne połączenie ze skrzynką się nie udało; hasła nie wysłano. Sprawdź nazwę "
    "serwera, rodzaj połączenia i certyfikat.",
    "fr": "La connexion sécurisée à la boîte a échoué ; le mot de passe n’a pas été envoyé. "
    "Vérifiez le nom du serveur, le type de connexion et le certificat.",
    "en": "The secure connection to the mailbox failed; no password was sent. Check the server's "
    "name, the kind of connection and the certificate.",
}
_NO_LOGIN = {
    "pl": "Skrzynka nie przyjmuje logowania. Sprawdź użytkownika i hasło; wielu dostawców wymaga "
    "hasła do aplikacji albo włączenia IMAP lub POP3.",
    "fr": "La boîte refuse la connexion. Vérifiez l’utilisateur et le mot de passe ; beaucoup de "
    "fournisseurs exigent un mot de passe d’application ou l’activation d’IMAP ou de POP3.",
    "en": "The mailbox refuses the login. Check user name and password; many providers want an app "
    "password, or IMAP or POP3 to be switched on.",
}
_NO_FOLDER = {
    "pl": "W skrzynce nie ma tego folderu. Sprawdź pole „folder” (zwykle INBOX).",
    "fr": "La boîte n’a pas ce dossier. Vérifiez le champ « folder » (d’ordinaire INBOX).",
    "en": "The mailbox has no such folder. Check the member folder (usually INBOX).",
}
_NO_CONSENT = {
    "pl": "Dostawca chce ponownej zgody właściciela skrzynki.",
    "fr": "Le fournisseur demande à nouveau le consentement du propriétaire de la boîte.",
    "en": "The provider wants the consent of the mailbox's owner again.",
}
_TROUBLE = {
    "pl": "Skrzynka jest chwilowo niedostępna; Awizo próbuje dalej.",
    "fr": "La boîte est momentanément indisponible ; Awizo réessaie.",
    "en": "The mailbox cannot be reached for the moment; Awizo goes on trying.",
}
_ADVICE: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("name_not_found", "connection_refused", "timeout", "host_not_allowed"), _NO_ANSWER),
    **dict.fromkeys(
        ("tls_failed", "certificate_expired", "certificate_wrong_host", "certificate_untrusted",
         "starttls_not_offered", "starttls_refused", "insecure_auth"), _NO_TLS,
    ),
    **dict.fromkeys(("credentials_refused", "mechanism_not_offered", "auth_disabled"), _NO_LOGIN),
    "folder_not_found": _NO_FOLDER,
    "consent_needed": _NO_CONSENT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """Last sync, last error, next try. advice: by language, None where nothing is wrong."""

    synced_at: datetime | None
    unread: int | None
    next_try_at: datetime
    failed_at: datetime | None
    cause: str | None
    detail: str | None

    @property
    def advice(self) -> Mapping[str, str] | None:
        """What to do about it."""
        return None if self.cause is None else _ADVICE.get(self.cause, _TROUBLE)


def read_standing(tx: Connection, stored: StoredAccount) -> Standing | None:
    """Return how collecting stands; None where nothing is collected (yet)."""
    row = tx.execute(select(mailbox).where(mailbox.c.account_id == stored.id)).first()
    return _read(row, stored)


@dataclass(frozen=True, slots=True)
class Box:
    """An account's mailbox. standing: None where nothing is collected from it (yet)."""

    stored: StoredAccount
    standing: Standing | None


def list_boxes(tx: Connection, caller: Caller, *, only_failing: bool = False) -> list[Box]:
    """Return the mailboxes that the caller may read, those that are switched off too."""
    query = ACCOUNTS.where(
        account.c.removed_at.is_(None),
        account.c.settings["incoming"].as_string().is_not(None),
        may_read(tx, caller, account.c.id),
    )
    if only_failing:
        failing = select(mailbox.c.account_id).where(mailbox.c.cause.is_not(None))
        query = query.where(account.c.id.in_(failing))
    rows = tx.execute(query.order_by(account.c.id).limit(_MOST_BOXES)).mappings()
    accounts = [read_account(row) for row in rows]
    known = select(mailbox).where(mailbox.c.account_id.in_([each.id for each in accounts]))
    rows_by_id = {row.account_id: row for row in tx.execute(known)}
    return [Box(each, _read(rows_by_id.get(each.id), each)) for each in accounts]


def _read(row: Row[Any] | None, stored: StoredAccount) -> Standing | None:
    """None also where the row is still that of the mailbox before the last change."""
    if row is None or stored.incoming is None or row.target != name_target(stored):
        return None
    next_at: datetime = row.next_at
    if row.synced_at is not None and row.claimed_by is not None:  # waits for news at the server
        next_at = max(next_at, row.synced_at + timedelta(seconds=stored.incoming.poll_s))
    return Standing(row.synced_at, row.unread, next_at, row.failed_at, row.cause, row.detail)
