"""What is tried next: due, nobody's yet, and the first that waits of its message.

A claim is a lease with a fence, as a message's is; it is longer than a try can take and never
renewed, so what a dead worker held comes back with its lease. A webhook has ``MOST_AT_ONCE`` tries
under way, one that fails all the time one: a receiver that is down is asked in one place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, exists, func, or_, select, update
from sqlalchemy.engine import Connection

from app.db import now
from app.outbox.tables import event, message
from app.webhooks.collect import collect, has_news
from app.webhooks.payload import TEST, write_event, write_test
from app.webhooks.retry import FALTERING
from app.webhooks.tables import webhook, webhook_delivery

MOST_AT_ONCE = 16
LEASE_S = 60  # over ``post.TIMEOUT_S`` and a slow database
_earlier = webhook_delivery.alias("earlier")


@dataclass(frozen=True, slots=True)
class Job:
    """One delivery in the hands of a worker. secrets: sealed, with their places, the new one first."""

    delivery_id: str
    webhook_id: str
    fence: str
    url: str
    body: bytes
    secrets: tuple[tuple[bytes, str], ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What was claimed. more: there is more to collect at once."""

    jobs: tuple[Job, ...]
    more: bool


def has_work(tx: Connection) -> bool:
    """Whether ``load`` would find anything; changes nothing."""
    at = now(tx)
    due = select(webhook_delivery.c.id).join(webhook).where(_is_claimable(at))
    news = select(webhook.c.id).where(has_news())
    return bool(tx.scalar(select(or_(exists(due), exists(news)))))


def load(tx: Connection, fence: str) -> Load:
    """Collect what happened and claim what is due; ``fence`` is of this call alone."""
    at = now(tx)
    more = collect(tx, at)
    return Load(tuple(_claim(tx, fence, at)), more)


def release(tx: Connection, jobs: Sequence[Job]) -> None:
    """Give back what was not tried to its end; it is due at once."""
    for job in jobs:
        tx.execute(
            update(webhook_delivery)
            .where(
                webhook_delivery.c.id == job.delivery_id, webhook_delivery.c.claimed_by == job.fence
            )
            .values(claimed_by=None, lease_until=None)
        )


def list_secrets(hook: Row[Any], at: datetime) -> tuple[tuple[bytes, str], ...]:
    """Return the sealed secrets that sign at a moment, with their places."""
    secrets = [(hook.secret, place_secret(hook.id))]
    if hook.old_secret is not None and hook.old_secret_until > at:
        secrets.append((hook.old_secret, place_secret(hook.id, "old_secret")))
    return tuple(secrets)


def place_secret(webhook_id: str, column: str = "secret") -> str:
    """Return what a secret is sealed for."""
    return f"webhook:{webhook_id}:{column}"


def _is_claimable(at: datetime) -> ColumnElement[bool]:
    mine = webhook_delivery.c
    before = select(_earlier.c.id).where(
        _earlier.c.webhook_id == mine.webhook_id,
        _earlier.c.message_id == mine.message_id,
        _earlier.c.due_at.is_not(None),
        _earlier.c.event_number < mine.event_number,
    )
    is_free = or_(mine.lease_until.is_(None), mine.lease_until <= at)
    return webhook.c.enabled & (mine.due_at <= at) & is_free & ~exists(before)


def _claim(tx: Connection, fence: str, at: datetime) -> list[Job]:
    ready = tx.scalars(
        select(webhook.c.id).join(webhook_delivery).where(_is_claimable(at)).distinct()
    ).all()
    jobs: list[Job] = []
    for webhook_id in ready:
        jobs += _claim_of(tx, webhook_id, fence, at)
    return jobs


def _claim_of(tx: Connection, webhook_id: str, fence: str, at: datetime) -> list[Job]:
    flying = tx.scalar(
        select(func.count()).where(
            webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.lease_until > at
        )
    )
    hook = tx.execute(select(webhook).where(webhook.c.id == webhook_id)).one()
    room = (1 if hook.failures >= FALTERING else MOST_AT_ONCE) - (flying or 0)
    if room <= 0:
        return []
    ids = tx.scalars(
        select(webhook_delivery.c.id)
        .join(webhook)
        .where(_is_claimable(at), webhook_delivery.c.webhook_id == webhook_id)
        .order_by(webhook_delivery.c.due_at, webhook_delivery.c.event_number)
        .limit(room)
    ).all()
    tx.execute(
        update(webhook_delivery)
        .where(webhook_delivery.c.id.in_(ids), webhook_delivery.c.due_at.is_not(None))
        .values(claimed_by=fence, lease_until=at + timedelta(seconds=LEASE_S))
    )
    secrets = list_secrets(hook, at)
    rows = tx.execute(
        select(
            webhook_delivery.c.id.label("delivery_id"),
            webhook_delivery.c.type.label("delivery_type"),
            webhook_delivery.c.created_at,
            event,
            message.c.reference_type,
            message.c.reference_number,
            message.c.reference_customer,
        )
        .outerjoin(event, event.c.number == webhook_delivery.c.event_number)
        .outerjoin(message, message.c.id == event.c.message_id)
        .where(webhook_delivery.c.id.in_(ids), webhook_delivery.c.claimed_by == fence)
        .order_by(webhook_delivery.c.event_number)
    )
    return [Job(row.delivery_id, webhook_id, fence, hook.url, _write(row), secrets) for row in rows]


def _write(row: Row[Any]) -> bytes:
    return write_test(row.created_at) if row.delivery_type == TEST else write_event(row)
