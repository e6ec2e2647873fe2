"""Worker heartbeats: who is at work and on what, for ``/workers``, ``/readyz`` and the admin page.

A worker that stops in order takes its row away. One that died is shown as late for a day.
"""

import os
import socket
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from app.db import now
from app.outbox.census import WORKER_SILENT_AFTER
from app.outbox.tables import recipient, worker
from app.settings import read_version

_FORGET = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker has claimed now. since: when the oldest of it was claimed."""

    messages: int = 0
    recipients: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class AtWork:
    """One worker. is_late: it was not heard of lately."""

    id: str
    host: str
    pid: int
    version: str | None
    started_at: datetime
    seen_at: datetime
    is_late: bool
    load: Load


def beat(tx: Connection, worker_id: str) -> None:
    """Write that a worker is alive; forget those silent for a day."""
    at = now(tx)
    seen = tx.execute(update(worker).where(worker.c.id == worker_id).values(seen_at=at))
    if not seen.rowcount:
        tx.execute(
            insert(worker).values(
                id=worker_id,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=read_version(),
                started_at=at,
                seen_at=at,
            )
        )
    tx.execute(delete(worker).where(worker.c.seen_at < at - _FORGET))


def leave(tx: Connection, worker_id: str) -> None:
    """Take a worker that stopped in order off the list."""
    tx.execute(delete(worker).where(worker.c.id == worker_id))


def list_workers(tx: Connection, *, after: str = "", limit: int | None = None) -> Sequence[AtWork]:
    """Return the workers, by id; after: the last id seen."""
    at = now(tx)
    rows = tx.execute(
        select(worker).where(worker.c.id > after).order_by(worker.c.id).limit(limit)
    ).all()
    loads = _weigh(tx) if rows else {}
    return [_show(row, at, loads.get(row.id, Load())) for row in rows]


def _show(row: Row[tuple[object, ...]], at: datetime, load: Load) -> AtWork:
    is_late = at - row.seen_at > WORKER_SILENT_AFTER
    return AtWork(
        row.id, row.host, row.pid, row.version, row.started_at, row.seen_at, is_late, load
    )


def _weigh(tx: Connection) -> dict[str, Load]:
    """Return what each worker carries; a claim's id is its worker's id, a dot, a number."""
    claims = defaultdict(list)
    for claim in tx.execute(
        select(
            recipient.c.claimed_by,
            func.count(recipient.c.message_id.distinct()).label("messages"),
            func.count().label("recipients"),
            func.min(recipient.c.claimed_at).label("since"),
        )
        .where(recipient.c.lease_until.is_not(None))
        .group_by(recipient.c.claimed_by)
    ):
        claims[claim.claimed_by.rpartition(".")[0]].append(claim)
    return {
        worker_id: Load(
            sum(each.messages for each in held),
            sum(each.recipients for each in held),
            min(each.since for each in held),
        )
        for worker_id, held in claims.items()
    }
