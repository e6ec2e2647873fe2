"""The admin key that a new installation starts with.

Either ``AWIZO_ADMIN_KEY`` gives it: stored hashed, and the one it replaces is revoked (so is the
last one when the setting goes away). Or, where no admin key works, one is made and left in
``<data_dir>/admin.key`` (0600). Several processes that start at once agree on one key.
"""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.keys import (
    ENVIRONMENT_PREFIX,
    PURPOSE,
    KeyRow,
    count_working_admins,
    describe_key,
    insert_key,
)
from app.accounts.tables import api_key
from app.db import lock_table
from app.settings import Settings
from app.vault import Vault, write_private


def ensure_admin_key(tx: Connection, settings: Settings, vault: Vault, at: datetime) -> str | None:
    """Make the admin key where one is due; return it, to be printed once, where it is new.

    The file is written before the transaction commits: a key that works is never one that nobody
    has. Raises OSError where the data directory cannot be written.
    """
    lock_table(tx, api_key)
    given = None if settings.admin_key is None else settings.admin_key.get_secret_value()
    present = tx.execute(select(api_key).where(api_key.c.prefix == ENVIRONMENT_PREFIX)).first()
    if given is not None and present and vault.matches(PURPOSE, given.encode(), present.hash):
        return None
    if present is not None:
        _retire(tx, present, at)
    if given is not None:
        # The same owner as the key it replaces: messages and passwords stay reachable.
        row, _ = insert_key(
            tx, vault, role="admin", name="AWIZO_ADMIN_KEY", source="environment", given=given,
            owner_id=present.owner_id if present else None, at=at,
        )  # fmt: skip
        _record_new(tx, row, at)
        return None
    if count_working_admins(tx, at):
        return None
    row, key = insert_key(tx, vault, role="admin", name="First admin", source="first_start", at=at)
    _record_new(tx, row, at)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    write_private(settings.data_dir / "admin.key", key + "\n")
    return key


def _retire(tx: Connection, row: KeyRow, at: datetime) -> None:
    """Revoke the environment's key and give up its prefix, which one row holds."""
    tx.execute(
        update(api_key).where(api_key.c.id == row.id).values(revoked_at=at, prefix=f"env-{row.id}")
    )
    audit.record(tx, audit.SYSTEM, "key.revoke", f"keys/{row.id}", describe_key(row), None, at)


def _record_new(tx: Connection, row: KeyRow, at: datetime) -> None:
    audit.record(tx, audit.SYSTEM, "key.create", f"keys/{row.id}", None, describe_key(row), at)
