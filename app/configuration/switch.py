"""Switch what is stored on and off: a user's active scope, an account's pause."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.people import ensure_person, read_person
from app.accounts.tables import person
from app.configuration.load import find_account, lock_account
from app.configuration.model import ActiveScope, StoredAccount, name_object, name_scope
from app.configuration.tables import account
from app.errors import Conflict


def set_active_scope(
    tx: Connection, caller: Caller, user: str, scope: ActiveScope, at: datetime
) -> None:
    """Let the global or the personal configuration send for ``user``; both stay stored.

    Raises ``Conflict`` ``no_configuration`` for a personal one that is not stored.
    """
    if scope == "personal" and find_account(tx, name_scope(user)) is None:
        raise Conflict(
            "This user has no configuration of their own; put one first.", code="no_configuration"
        )
    before = read_person(tx, user)
    ensure_person(tx, user, at)
    tx.execute(update(person).where(person.c.id == user).values(active_scope=scope, updated_at=at))
    audit.record(
        tx,
        caller,
        "config.activate",
        f"config/{name_scope(user)}",
        {"active_scope": before.active_scope} if before else None,
        {"active_scope": scope},
        at,
    )


def pause(tx: Connection, caller: Caller, scope: str, at: datetime) -> StoredAccount:
    """Stop sending through a scope's own server until ``resume``; a second pause changes nothing.

    Raises ``Conflict`` ``inherits_server`` where the scope has no server of its own.
    """
    stored = lock_account(tx, scope)
    if "smtp" not in stored.document and stored.settings is None:
        raise Conflict(
            "This configuration inherits its mail server; pause the scope that has it.",
            code="inherits_server",
        )
    if stored.paused_at is None:
        _set_pause(tx, stored, at, caller.name)
        audit.record(tx, caller, "config.pause", name_object(scope), None, {"paused": True}, at)
    return lock_account(tx, scope)


def resume(tx: Connection, caller: Caller, scope: str, at: datetime) -> StoredAccount:
    """Send again."""
    stored = lock_account(tx, scope)
    if stored.paused_at is not None:
        _set_pause(tx, stored, None, None)
        audit.record(tx, caller, "config.resume", name_object(scope), None, {"paused": False}, at)
    return lock_account(tx, scope)


def _set_pause(tx: Connection, stored: StoredAccount, at: datetime | None, by: str | None) -> None:
    tx.execute(update(account).where(account.c.id == stored.id).values(paused_at=at, paused_by=by))
