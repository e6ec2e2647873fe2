"""Mail whose ``not_after`` has passed before it could be handed over."""

from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.db import now
from app.outbox.rows import lock_message, move, read_recipients, refresh
from app.outbox.status import WAITING
from app.outbox.tables import message


def expire(tx: Connection, *, most: int = 200) -> int:
    """Expire what waits past its ``not_after``; return how many messages were touched."""
    at = now(tx)
    late = list(
        tx.scalars(
            select(message.c.id)
            .where(
                message.c.not_after < at,
                message.c.ended_at.is_(None),
                message.c.status != "sending",  # its outcome comes first
                ~message.c.is_draft,
            )
            .order_by(message.c.id)
            .limit(most)
        )
    )
    for message_id in late:
        row = lock_message(tx, message_id)
        if row is None:
            continue
        waiting = [
            each
            for each in read_recipients(tx, message_id)
            if each.state in WAITING or each.state == "held"
        ]
        move(tx, row, waiting, state="expired", reason="not_after", at=at, event="expired")
        refresh(tx, row, at)
    return len(late)
