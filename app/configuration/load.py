"""Read stored accounts; open the password of one at the moment of use."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.configuration.model import SmtpSettings, StoredAccount, name_scope, read_smtp
from app.configuration.secrets import open_for_target
from app.configuration.tables import account
from app.db import lock_rows, new_id
from app.errors import Missing
from app.vault import CannotOpen, Vault

_BY_ID = select(account).where(account.c.id == bindparam("id"))  # built once: the worker's way


def load_account(tx: Connection, account_id: str) -> StoredAccount | None:
    """Return an account by id, removed ones too; None where there is none."""
    row = tx.execute(_BY_ID, {"id": account_id}).mappings().first()
    return None if row is None else read_account(row)


def find_account(tx: Connection, scope: str) -> StoredAccount | None:
    """Return the configuration that a scope has stored; None where it has none."""
    query = select(account).where(
        account.c.scope == scope, account.c.is_default, account.c.removed_at.is_(None)
    )
    row = tx.execute(query).mappings().first()
    return None if row is None else read_account(row)


def lock_account(tx: Connection, scope: str) -> StoredAccount:
    """Return a scope's configuration, locked until the commit; raise ``Missing`` without one."""
    query = select(account).where(
        account.c.scope == scope, account.c.is_default, account.c.removed_at.is_(None)
    )
    row = tx.execute(lock_rows(tx, query)).mappings().first()
    if row is None:
        raise Missing(f"Nothing is stored for {scope}.", code="configuration_not_found")
    return read_account(row)


def claim_account(tx: Connection, user: str | None, at: datetime) -> StoredAccount:
    """Return a scope's row, locked, also one that was removed or never there (``removed_at``).

    The row of a removed configuration is used again: mail that waits names it.
    """
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    fresh = insert(account).values(
        id=new_id(at),
        scope=name_scope(user),
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
    query = select(account).where(account.c.scope == name_scope(user), account.c.is_default)
    return read_account(tx.execute(lock_rows(tx, query)).mappings().one())


def read_account(row: RowMapping | Mapping[str, Any]) -> StoredAccount:
    """Return a row of ``account`` as a value."""
    return StoredAccount(
        id=row["id"],
        scope=row["scope"],
        user_id=row["user_id"],
        version=row["version"],
        document=row["settings"],
        settings=read_smtp(row["settings"].get("smtp"), row["password_state"]),
        password=row["password"],
        password_state=row["password_state"],
        password_owner=row["password_owner"],
        attachment_password=row["attachment_password"],
        paused_at=row["paused_at"],
        updated_at=row["updated_at"],
        removed_at=row["removed_at"],
    )


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


def place_password(account_id: str) -> str:
    """Return where an account's SMTP password is sealed to stand."""
    return f"account:{account_id}:password"


def place_attachment_password(account_id: str) -> str:
    """Return where an account's attachment password is sealed to stand."""
    return f"account:{account_id}:attachment_password"
