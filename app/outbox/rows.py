"""Moving recipients: the only place that changes a recipient's state.

Whoever moves one has locked its message row (``lock_message``), writes the event beside it, and
calls ``refresh`` at the end, so that ``status``, ``due_at`` and ``ended_at`` of the message follow in
the same transaction.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.engine import Connection

from app.db import lock_rows
from app.outbox.events import Note, record
from app.outbox.status import LAST, WAITING, derive_status
from app.outbox.tables import message, message_body, recipient

ERASED = "erased@invalid"  # stands for an address that its owner had erased


def lock_message(tx: Connection, message_id: str) -> Row[Any] | None:
    """Return the message row, locked until the transaction ends; None where there is none."""
    return tx.execute(lock_rows(tx, select(message).where(message.c.id == message_id))).first()


def read_recipients(tx: Connection, message_id: str) -> list[Row[Any]]:
    """Return the recipients in the order they were given."""
    return list(
        tx.execute(
            select(recipient)
            .where(recipient.c.message_id == message_id)
            .order_by(recipient.c.position)
        )
    )


def move(
    tx: Connection,
    row: Row[Any],
    to: Iterable[Row[Any]],
    *,
    state: str,
    at: datetime,
    event: str,
    reason: str | None = None,
    due_at: datetime | None = None,
    data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> None:
    """Move the recipients ``to`` of the locked message ``row`` to ``state`` and note it.

    values: further columns to set. Whatever held a claim on them is fenced off from here on.
    """
    moved = list(to)
    if not moved:
        return
    tx.execute(
        update(recipient)
        .where(recipient.c.id.in_([each.id for each in moved]))
        .values(
            state=state,
            reason=reason,
            due_at=due_at,
            claimed_by=None,
            lease_until=None,
            claimed_at=None,
            marked_at=None,
            updated_at=at,
            **(values or {}),
        )
    )
    record(
        tx,
        [
            Note(
                type=f"recipient.{event}",
                message_id=row.id,
                owner_id=row.owner_id,
                user_id=row.user_id,
                at=at,
                recipient_id=each.id,
                data={"address": each.address, "reason": reason, **(data or {})},
            )
            for each in moved
        ],
    )


def restart_clock(tx: Connection, row: Row[Any], at: datetime, **values: Any) -> None:
    """Give a message its whole time to be delivered again, from now; set further columns."""
    give_up_at = max(row.give_up_at, at + timedelta(hours=row.give_up_after_h))
    tx.execute(
        update(message).where(message.c.id == row.id).values(give_up_at=give_up_at, **values)
    )


def refresh(tx: Connection, row: Row[Any], at: datetime) -> str:
    """Derive the message's status, queue place and end from its recipients; return the status."""
    states = tx.execute(
        select(recipient.c.state, recipient.c.due_at).where(recipient.c.message_id == row.id)
    ).all()
    status = derive_status(
        [each.state for each in states], is_draft=row.is_draft, send_at=row.send_at, at=at
    )
    ended = all(each.state in LAST for each in states)
    values: dict[str, Any] = {
        "status": status,
        "due_at": min((each.due_at for each in states if each.state in WAITING), default=None),
        "ended_at": (row.ended_at or at) if ended else None,
    }
    if ended:
        values["smtp_password"] = None  # G4: it lives no longer than the message
        if row.erase_at_end:
            values["body_erased_at"] = at
            tx.execute(message_body.delete().where(message_body.c.message_id == row.id))
    tx.execute(update(message).where(message.c.id == row.id).values(**values))
    return status
