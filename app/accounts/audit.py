"""The audit trail: who changed or revealed what, when, from what, to what.

``record`` runs in the transaction of the change itself, so that neither exists without the other.
Secrets do not get in: callers leave them out, and members named like one are hidden here again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.accounts.tables import audit
from app.db import new_id

_SECRET = {"password", "smtp_password", "attachment_password", "key", "secret", "token"}
SYSTEM = Caller(owner_id="system", role="admin", name="system")
"""The actor of what a process does by itself, such as making the first key."""


def record(
    tx: Connection,
    caller: Caller,
    action: str,
    object: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    at: datetime,
) -> None:
    """Add one line: ``action`` like ``key.create`` on ``object`` like ``keys/01…``."""
    tx.execute(
        insert(audit).values(
            id=new_id(at),
            at=at,
            owner_id=caller.owner_id,
            actor=caller.name,
            role=caller.role,
            action=action,
            object=object,
            before=_hide(before),
            after=_hide(after),
            request_id=caller.request_id,
        )
    )


def list_audit(
    tx: Connection,
    *,
    object: str | None,
    actor: str | None,
    action: str | None,
    before: str | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Return lines that match exactly, the newest first; ``before`` is the last id seen."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    for column, wanted in (
        (audit.c.object, object),
        (audit.c.actor, actor),
        (audit.c.action, action),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if before is not None:
        query = query.where(audit.c.id < before)
    return tx.execute(query).all()


def _hide(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: "***" if name in _SECRET and isinstance(member, str) else _hide(member)
            for name, member in value.items()
        }
    if isinstance(value, list | tuple):
        return [_hide(member) for member in value]
    return value
