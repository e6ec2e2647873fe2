"""Holding mail: delivery is off, the queue is held after a restore, a scope is gone."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.engine import Connection

from app.db import now
from app.outbox.rows import lock_message, move, read_recipients, refresh
from app.outbox.settle import hold_claimed
from app.outbox.status import WAITING
from app.outbox.tables import message


def hold(tx: Connection, reason: str, *where: ColumnElement[bool], most: int = 500) -> int:
    """Hold waiting messages that fit ``where``; return how many (call again until it is 0)."""
    at = now(tx)
    found: Sequence[str] = tx.scalars(
        select(message.c.id)
        .where(message.c.due_at.is_not(None), *where)
        .order_by(message.c.id)
        .limit(most)
    ).all()
    for message_id in found:
        row = lock_message(tx, message_id)
        if row is None:
            continue
        waiting = [each for each in read_recipients(tx, message_id) if each.state in WAITING]
        move(tx, row, waiting, state="held", reason=reason, at=at, event="held")
        refresh(tx, row, at)
    return len(found)


def hold_queue(tx: Connection) -> int:
    """Hold all that waits or was under way, after a restore: nobody knows what of it went out."""
    return hold(tx, "queue_held") + hold_claimed(tx, "queue_held")


def hold_due(tx: Connection) -> int:
    """Hold what is due while delivery is off."""
    return hold(tx, "delivery_off", message.c.due_at <= now(tx))
