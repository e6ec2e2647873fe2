"""Read stored accounts; open the password of one at the moment of use."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.configuration.consent_state import Consent
from app.configuration.domain import Domain
from app.configuration.model import (
    ACCOUNT_SCOPE,
    SmtpSettings,
    StoredAccount,
    read_mailbox_server,
    read_server,
    takes_token,
)
from app.configuration.secrets import open_for_target
from app.configuration.tables import account, consent, mail_domain
from app.db import new_id
from app.errors import Missing
from app.vault import CannotOpen, Vault

_CONSENT = {
    "provider": "provider",
    "grant": "grant_type",
    "state": "state",
    "scopes": "scopes",
    "address": "address",
    "error": "error",
    "failed_at": "failed_at",
    "granted_at": "granted_at",
    "refreshed_at": "refreshed_at",
    "expires_at": "expires_at",
    "asked_until": "pending_until",
}
# An account with its e-mail domain's settings; built once, it is the worker's way too.
FROM_ACCOUNT = account.outerjoin(mail_domain, mail_domain.c.name == account.c.domain).outerjoin(
    consent, consent.c.account_id == account.c.id
)
ACCOUNTS = select(
    account,
    mail_domain.c.version.label("domain_version"),
    mail_domain.c.settings.label("shared"),
    *(consent.c[column].label(f"consent_{name}") for name, column in _CONSENT.items()),
).select_from(FROM_ACCOUNT)
_BY_ID = ACCOUNTS.where(account.c.id == bindparam("id"))
_BY_SCOPE = ACCOUNTS.where(
    account.c.scope == bindparam("scope"), account.c.is_default, account.c.removed_at.is_(None)
)


def load_account(tx: Connection, account_id: str) -> StoredAccount | None:
    """Return an account by id, removed ones too; None where there is none."""
    row = tx.execute(_BY_ID, {"id": account_id}).mappings().first()
    return None if row is None else read_account(row)


def find_account(tx: Connection, scope: str) -> StoredAccount | None:
    """Return the configuration that a scope has stored; None where it has none."""
    row = tx.execute(_BY_SCOPE, {"scope": scope}).mappings().first()
    return None if row is None else read_account(row)


def lock_account(tx: Connection, scope: str) -> StoredAccount:
    """Return a scope's configuration, locked until the commit; raise ``Missing`` without one."""
    row = tx.execute(_lock(tx, _BY_SCOPE), {"scope": scope}).mappings().first()
    if row is None:
        raise Missing(f"Nothing is stored for {scope}.", code="configuration_not_found")
    return read_account(row)


def claim_account(tx: Connection, scope: str, user: str | None, at: datetime) -> StoredAccount:
    """Return a scope's row, locked, also one that was removed or never there (``removed_at``).

    user: who holds it. The row of a removed configuration is used again: mail that waits names it.
    """
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    fresh = insert(account).values(
        id=scope.removeprefix(ACCOUNT_SCOPE) if scope.startswith(ACCOUNT_SCOPE) else new_id(at),
        scope=scope,
        user_id=user,
        is_default=True,
        version=0,
        settings={},
        password_state="none",
        created_at=at,
        updated_at=at,
        removed_at=at,
    )
    tx.execute(fresh.on_conflict_do_nothing())
    query = _lock(tx, ACCOUNTS.where(account.c.scope == scope, account.c.is_default))
    return read_account(tx.execute(query).mappings().one())


def _lock(tx: Connection, query: Select[Any]) -> Select[Any]:
    # Not the domain's row: PostgreSQL locks no side of an outer join that may be null.
    return query if tx.dialect.name == "sqlite" else query.with_for_update(of=account)


def read_account(row: RowMapping | Mapping[str, Any]) -> StoredAccount:
    """Return a row of ``ACCOUNTS`` as a value."""
    document, domain = row["settings"], None
    if row["shared"] is not None:
        domain = Domain(row["domain"], row["domain_version"], row["shared"])
    stored = StoredAccount(
        id=row["id"],
        scope=row["scope"],
        user_id=row["user_id"],
        version=row["version"],
        document=document,
        settings=read_server(document, domain, row["password_state"]),
        incoming=read_mailbox_server(document, domain),
        domain=domain,
        password=row["password"],
        password_state=row["password_state"],
        password_owner=row["password_owner"],
        incoming_password=row["incoming_password"],
        attachment_password=row["attachment_password"],
        paused_at=row["paused_at"],
        updated_at=row["updated_at"],
        removed_at=row["removed_at"],
    )
    if row["consent_state"] is None:
        return stored
    return apply_consent(stored, Consent(**{name: row[f"consent_{name}"] for name in _CONSENT}))


def apply_consent(stored: StoredAccount, given: Consent | None) -> StoredAccount:
    """Return the account with a consent: what may log in by its token does so, not by a password."""
    stored = replace(stored, consent=given)
    if given is None or given.state == "pending":
        return stored
    settings, incoming = stored.settings, stored.incoming
    if settings is not None and takes_token(settings):
        stored = replace(
            stored,
            settings=replace(settings, auth="xoauth2", password_mode="stored"),
            password_state="stored" if given.state == "granted" else "consent_needed",
        )
    if incoming is not None and incoming.auth == "auto" and stored.incoming_password is None:
        stored = replace(stored, incoming=replace(incoming, auth="xoauth2"))
    return stored


def open_password(vault: Vault, stored: StoredAccount) -> str | None:
    """Return the SMTP password for the account's own settings; None where none is stored.

    Raises ``CannotOpen`` where the settings name another or a weaker target than it was entered for.
    """
    if stored.settings is None:
        return None
    return open_password_for(vault, stored, stored.settings)


def open_password_for(vault: Vault, stored: StoredAccount, settings: SmtpSettings) -> str | None:
    """Return the account's password for unsaved ``settings`` (a probe); rules as above."""
    if stored.password is None:
        return None
    return open_for_target(vault, stored.password, place_password(stored.id), settings)


def can_use_password(vault: Vault, stored: StoredAccount, settings: SmtpSettings) -> bool:
    """Whether a password is stored and opens for ``settings``."""
    try:
        return open_password_for(vault, stored, settings) is not None
    except CannotOpen:
        return False


def open_incoming_password(vault: Vault, stored: StoredAccount) -> str | None:
    """Return the password of the account's mailbox; None where none is stored.

    Raises ``CannotOpen`` where the settings name another or a weaker server than it was entered for.
    """
    if stored.incoming is None or stored.incoming_password is None:
        return None
    place = place_incoming_password(stored.id)
    return open_for_target(vault, stored.incoming_password, place, stored.incoming)


def place_password(account_id: str) -> str:
    """Return where an account's SMTP password is sealed to stand."""
    return f"account:{account_id}:password"


def place_incoming_password(account_id: str) -> str:
    """Return where the password of an account's mailbox is sealed to stand."""
    return f"account:{account_id}:incoming_password"


def place_attachment_password(account_id: str) -> str:
    """Return where an account's attachment password is sealed to stand."""
    return f"account:{account_id}:attachment_password"
