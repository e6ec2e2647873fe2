"""How the post office is doing, as ``/readyz``, ``/metrics`` and the admin page show it.

The queue is read through its index, so readiness costs the same with a million waiting messages.
Counts by status read an index of every message; ``/metrics`` keeps them for some seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import func, inspect, select, text, union_all
from sqlalchemy.engine import Connection

from app.configuration.tables import account
from app.db import now
from app.outbox.tables import PRIORITIES, message, recipient, worker
from migrations.run import find_newest_revision

WORKER_SILENT_AFTER = timedelta(seconds=30)  # six of its heartbeats
_newest_revision = cache(find_newest_revision)


@dataclass(frozen=True, slots=True)
class Readiness:
    """The state of what an accepted message needs, at one moment of the database's clock."""

    at: datetime
    schema: str | None
    schema_is_current: bool
    workers_alive: int
    worker_seen_at: datetime | None
    oldest_due_at: datetime | None

    @property
    def oldest_due_s(self) -> float:
        """How long the message that is due longest has been due; 0 where none is."""
        return _age_s(self.at, self.oldest_due_at) or 0.0

    @property
    def worker_silent_s(self) -> float | None:
        """How long no worker has been heard of; None where none is known."""
        return _age_s(self.at, self.worker_seen_at)


@dataclass(frozen=True, slots=True)
class Census:
    """Readiness and counts. recipients: by state, of messages that have not ended."""

    readiness: Readiness
    recipients: Mapping[str, int]
    messages: Mapping[str, int]


def read_readiness(tx: Connection) -> Readiness:
    """Return how ready the installation is."""
    at = now(tx)
    has_schema = inspect(tx).has_table("alembic_version")
    schema = tx.scalar(text("select version_num from alembic_version")) if has_schema else None
    if schema != _newest_revision():
        return Readiness(at, schema, False, 0, None, None)
    alive, seen_at = tx.execute(
        select(
            func.count().filter(worker.c.seen_at > at - WORKER_SILENT_AFTER),
            func.max(worker.c.seen_at),
        )
    ).one()
    return Readiness(at, schema, True, alive, seen_at, _find_oldest_due(tx, at))


def take_census(tx: Connection) -> Census:
    """Return readiness and counts."""
    recipients = (
        select(recipient.c.state, func.count())
        .join(message, message.c.id == recipient.c.message_id)
        .where(message.c.ended_at.is_(None))
        .group_by(recipient.c.state)
    )
    messages = select(message.c.status, func.count()).group_by(message.c.status)
    readiness = read_readiness(tx)
    if not readiness.schema_is_current:
        return Census(readiness, {}, {})
    return Census(
        readiness,
        {row[0]: row[1] for row in tx.execute(recipients)},
        {row[0]: row[1] for row in tx.execute(messages)},
    )


def _find_oldest_due(tx: Connection, at: datetime) -> datetime | None:
    # One probe of the index for each account and priority, never a walk through the queue.
    probes = (
        select(
            select(func.min(message.c.due_at))
            .where(
                message.c.account_id == account.c.id,
                message.c.priority == priority,
                message.c.due_at <= at,
            )
            .scalar_subquery()
            .label("due_at")
        )
        for priority in PRIORITIES
    )
    oldest: datetime | None = tx.scalar(select(func.min(union_all(*probes).subquery().c.due_at)))
    return oldest


def _age_s(at: datetime, since: datetime | None) -> float | None:
    return None if since is None else max(0.0, (at - since).total_seconds())
