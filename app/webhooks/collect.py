"""From the feed to deliveries: each webhook reads on from its own place.

A webhook that has ``MOST_WAITING`` deliveries before it reads no further, and one that is switched
off not at all: what comes meanwhile stays in the feed. So nothing is missed, but what is older than
``retry.MOST_AGE`` when its turn comes; that is counted in ``missed``.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, exists, func, insert, select, tuple_, update
from sqlalchemy.engine import Connection

from app.db import commit_horizon, lock_rows, new_id
from app.outbox.events import read_feed, select_events
from app.outbox.tables import event, recipient
from app.webhooks.retry import MOST_AGE
from app.webhooks.tables import webhook, webhook_delivery
from app.webhooks.wishes import is_wanted

MOST_WAITING = 1000
_SLICE = 500  # events at a time, so that the transaction is short
BEGINNING = (-1, 0)


def find_present(tx: Connection) -> tuple[int, int]:
    """Return the place in the feed that whatever happens from now on comes after."""
    last = tx.execute(
        select(event.c.txid, event.c.number)
        .where(event.c.txid < commit_horizon(tx))
        .order_by(event.c.txid.desc(), event.c.number.desc())
        .limit(1)
    ).first()
    return BEGINNING if last is None else (last.txid, last.number)


def has_news() -> ColumnElement[bool]:
    """Return the condition on a webhook that it may have events to collect."""
    place = tuple_(webhook.c.feed_txid, webhook.c.feed_number)
    news = select(event.c.number).where(tuple_(event.c.txid, event.c.number) > place)
    return and_(webhook.c.enabled, exists(news), _count_waiting() < MOST_WAITING)


def collect(tx: Connection, at: datetime) -> bool:
    """Make deliveries of what happened; return whether there is more to collect.

    Not to be run by two at a time: others wait for the locks.
    """
    query = select(webhook).where(has_news()).order_by(webhook.c.id)
    hooks = tx.execute(lock_rows(tx, query)).all()
    events: dict[tuple[int, int], list[Row[Any]]] = {}  # most webhooks stand at the same place
    more = False
    for hook in hooks:
        place = (hook.feed_txid, hook.feed_number)
        if place not in events:
            events[place] = _read_on(tx, place)
        found = events[place]
        if found:
            _advance(tx, hook, found, at)
        more = more or len(found) == _SLICE
    return more


def _read_on(tx: Connection, place: tuple[int, int]) -> list[Row[Any]]:
    query = select_events().add_columns(recipient.c.hidden)
    query = query.outerjoin(recipient, recipient.c.id == event.c.recipient_id)
    return read_feed(tx, query, after=place, limit=_SLICE)


def _advance(tx: Connection, hook: Row[Any], found: list[Row[Any]], at: datetime) -> None:
    wanted = [each for each in found if is_wanted(hook.events, each.type) and _may_see(hook, each)]
    fresh = [each for each in wanted if each.at > at - MOST_AGE]
    _add(tx, hook.id, fresh, at)
    tx.execute(
        update(webhook)
        .where(webhook.c.id == hook.id)
        .values(
            feed_txid=found[-1].txid,
            feed_number=found[-1].number,
            missed=webhook.c.missed + len(wanted) - len(fresh),
        )
    )


def _may_see(hook: Row[Any], each: Row[Any]) -> bool:
    """A user's webhook is shown what the user is: not the BCC of the global configuration."""
    return hook.user_id is None or (each.user_id == hook.user_id and not each.hidden)


def _add(tx: Connection, webhook_id: str, events: Iterable[Row[Any]], at: datetime) -> None:
    rows = [
        {
            "id": new_id(at),
            "webhook_id": webhook_id,
            "event_number": each.number,
            "type": each.type,
            "message_id": each.message_id,
            "state": "waiting",
            "due_at": at,
            "give_up_at": at + MOST_AGE,
            "tries": 0,
            "attempts": 0,
            "created_at": at,
        }
        for each in events
    ]
    if rows:
        tx.execute(insert(webhook_delivery), rows)


def _count_waiting() -> Any:
    return (
        select(func.count())
        .where(
            webhook_delivery.c.webhook_id == webhook.c.id, webhook_delivery.c.due_at.is_not(None)
        )
        .scalar_subquery()
    )
