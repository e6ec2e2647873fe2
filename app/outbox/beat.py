"""Worker heartbeats: who is at work, for /readyz and the admin page."""

import os
import socket
from datetime import timedelta

from sqlalchemy import delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.db import now
from app.outbox.tables import worker

_FORGET = timedelta(days=1)  # a worker that died is shown as silent for a day


def beat(tx: Connection, worker_id: str) -> None:
    """Write that a worker is alive; forget those silent for a day."""
    at = now(tx)
    seen = tx.execute(update(worker).where(worker.c.id == worker_id).values(seen_at=at))
    if seen.rowcount:
        return
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    tx.execute(
        insert(worker)
        .values(id=worker_id, host=socket.gethostname(), pid=os.getpid(), started_at=at, seen_at=at)
        .on_conflict_do_nothing()
    )
    tx.execute(delete(worker).where(worker.c.seen_at < at - _FORGET))


def leave(tx: Connection, worker_id: str) -> None:
    """Take a worker that stopped in order off the list."""
    tx.execute(delete(worker).where(worker.c.id == worker_id))
