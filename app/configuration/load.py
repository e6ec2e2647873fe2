"""Read stored accounts; open the password of one at the moment of use."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.engine import Connection

from app.configuration.model import SmtpSettings, StoredAccount, read_smtp
from app.configuration.secrets import open_for_target
from app.configuration.tables import account
from app.vault import CannotOpen, Vault


def load_account(tx: Connection, account_id: str) -> StoredAccount | None:
    """Return an account by id, removed ones too; None where there is none."""
    row = tx.execute(select(account).where(account.c.id == account_id)).mappings().first()
    return None if row is None else read_account(row)


def find_account(tx: Connection, scope: str) -> StoredAccount | None:
    """Return the configuration that a scope has stored; None where it has none."""
    query = select(account).where(
        account.c.scope == scope, account.c.is_default, account.c.removed_at.is_(None)
    )
    row = tx.execute(query).mappings().first()
    return None if row is None else read_account(row)


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
