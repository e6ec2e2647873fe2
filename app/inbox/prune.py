"""Retention of what came in: content and records go after their time, in small slices.

The time counts from when a mail was collected, whether somebody took care of it or not. What is
forgotten is not collected again: the place in the mailbox is kept beside it (``mailboxes``).
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.engine import Connection

from app.db import new_id, now
from app.inbox.tables import incoming, incoming_body
from app.settings import Settings

_SLICE = 500  # rows a transaction, so that it never keeps senders waiting


def prune(tx: Connection, settings: Settings) -> int:
    """Delete one slice of what has outlived its time; return how many rows went."""
    at = now(tx)
    gone = 0
    if settings.keep_bodies_days:
        gone += _prune_bodies(tx, at - timedelta(days=settings.keep_bodies_days), at)
    if settings.keep_inbox_days:
        gone += _prune_mails(tx, at - timedelta(days=settings.keep_inbox_days))
    return gone


def _prune_bodies(tx: Connection, before: datetime, at: datetime) -> int:
    old = tx.scalars(
        select(incoming_body.c.incoming_id)
        .where(_is_before(incoming_body.c.incoming_id, before))
        .limit(_SLICE)
    ).all()
    if old:
        tx.execute(delete(incoming_body).where(incoming_body.c.incoming_id.in_(old)))
        values = {"text": "", "body_erased_at": at}
        tx.execute(update(incoming).where(incoming.c.id.in_(old)).values(values))
    return len(old)


def _prune_mails(tx: Connection, before: datetime) -> int:
    query = select(incoming.c.id).where(_is_before(incoming.c.id, before)).limit(_SLICE)
    old = tx.scalars(query).all()
    if old:
        tx.execute(delete(incoming).where(incoming.c.id.in_(old)))
    return len(old)


def _is_before(column: ColumnElement[str], at: datetime) -> ColumnElement[bool]:
    """Ids begin with the moment they were made, so that the primary key finds what is old."""
    return column < new_id(at)[:10]
