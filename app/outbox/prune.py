"""Retention: content and records go after their time, in small slices."""

from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select, update
from sqlalchemy.engine import Connection

from app.db import now
from app.outbox.tables import allowance, event, idempotency, message, message_body
from app.settings import Settings

_SLICE = 500  # rows a transaction, so that it never keeps senders waiting
_MINUTE_S = 60


def prune(tx: Connection, settings: Settings) -> int:
    """Delete one slice of what has outlived its time; return how many rows went."""
    at = now(tx)
    gone = 0
    if settings.keep_bodies_days:
        gone += _prune_bodies(tx, at - timedelta(days=settings.keep_bodies_days), at)
    if settings.keep_metadata_days:
        before = at - timedelta(days=settings.keep_metadata_days)
        gone += _prune_messages(tx, before) + _prune_events(tx, before)
    gone += tx.execute(
        delete(idempotency).where(
            idempotency.c.created_at < at - timedelta(hours=settings.keep_idempotency_h)
        )
    ).rowcount
    gone += tx.execute(
        delete(allowance).where(allowance.c.minute < int(at.timestamp()) // _MINUTE_S - 60)
    ).rowcount
    return gone


def _prune_bodies(tx: Connection, before: datetime, at: datetime) -> int:
    old = tx.scalars(
        select(message.c.id)
        .where(
            message.c.ended_at < before,
            message.c.body_erased_at.is_(None),
            exists(
                select(message_body.c.message_id).where(message_body.c.message_id == message.c.id)
            ),
        )
        .limit(_SLICE)
    ).all()
    if old:
        tx.execute(delete(message_body).where(message_body.c.message_id.in_(old)))
        tx.execute(update(message).where(message.c.id.in_(old)).values(body_erased_at=at))
    return len(old)


def _prune_messages(tx: Connection, before: datetime) -> int:
    old = tx.scalars(select(message.c.id).where(message.c.ended_at < before).limit(_SLICE)).all()
    if old:
        tx.execute(delete(message).where(message.c.id.in_(old)))
    return len(old)


def _prune_events(tx: Connection, before: datetime) -> int:
    """Delete events of no message; the others go with theirs."""
    first = (
        select(event.c.number, event.c.at)
        .where(event.c.message_id.is_(None))
        .order_by(event.c.number)
        .limit(_SLICE)
    )
    old = [row.number for row in tx.execute(first) if row.at < before]
    if old:
        tx.execute(delete(event).where(event.c.number.in_(old)))
    return len(old)
