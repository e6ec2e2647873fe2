"""What webhooks forget: deliveries whose time is up, and the log of those that ended."""

from datetime import timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.engine import Connection

from app.db import now
from app.webhooks.tables import webhook_delivery

_SLICE = 500  # rows a transaction, so that it never keeps senders waiting


def prune(tx: Connection, keep_days: float) -> int:
    """Give up and delete one slice each; return how many rows that were. keep_days 0: for ever."""
    at = now(tx)
    delivery = webhook_delivery.c
    # Not one that is being tried: its settling decides.
    is_free = or_(delivery.lease_until.is_(None), delivery.lease_until <= at)
    late = tx.scalars(
        select(delivery.id)
        .where(delivery.due_at.is_not(None), delivery.give_up_at < at, is_free)
        .limit(_SLICE)
    ).all()
    if late:
        tx.execute(
            update(webhook_delivery)
            .where(delivery.id.in_(late), delivery.due_at.is_not(None), is_free)
            .values(state="given_up", due_at=None, claimed_by=None, lease_until=None, ended_at=at)
        )
    old = []
    if keep_days:
        before = at - timedelta(days=keep_days)
        old = list(tx.scalars(select(delivery.id).where(delivery.ended_at < before).limit(_SLICE)))
    if old:
        tx.execute(delete(webhook_delivery).where(delivery.id.in_(old)))
    return len(late) + len(old)
