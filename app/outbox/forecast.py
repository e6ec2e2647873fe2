"""When mail will have gone: an account's queue, and a batch.

What is due is counted with the slowest of what bounds it: LIMITE and WAIT, the account's manners, and
what its server took in the last minute in which mail was waiting all along. All goes on as now, is
the assumption; where nothing bounds it and nothing went yet, nothing is said.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.load import ACCOUNTS, read_account
from app.configuration.model import SmtpSettings
from app.configuration.tables import account
from app.errors import Missing
from app.outbox.find import name_present_status
from app.outbox.health import Health, read_health
from app.outbox.manners import count_accepted, find_limits
from app.outbox.reach import narrow_to_visible
from app.outbox.tables import BATCH, message

_LOOKED_BACK = timedelta(minutes=1)
_LOOKED_LEAST = timedelta(seconds=5)  # waiting for less says nothing of the rate


@dataclass(frozen=True, slots=True)
class Line:
    """What waits for one account's server.

    goes_at: when the next one goes. lasts_s: how long all take from then; None where nothing tells.
    """

    scope: str
    server: str | None
    count: int
    goes_at: datetime
    lasts_s: float | None


@dataclass(frozen=True, slots=True)
class BatchForecast:
    """How a batch is doing. statuses: its messages by status. waiting: how many have not ended.

    next_at: when the next of them goes; None where none may. ends_at: when the last of those will
    have gone that wait for nothing but their turn; None where none do, or nothing tells. ended_at:
    when the last one ended, where all have.
    """

    created_at: datetime
    statuses: Mapping[str, int]
    waiting: int
    next_at: datetime | None
    ends_at: datetime | None
    ended_at: datetime | None


def forecast(tx: Connection, caller: Caller, at: datetime) -> list[Line]:
    """Return what waits at each account's server, with the time that it takes."""
    query: Select[Any] = (
        narrow_to_visible(
            select(message.c.account_id, func.count(), func.min(message.c.due_at)), caller
        )
        .where(message.c.due_at.is_not(None))
        .group_by(message.c.account_id)
    )
    lines = []
    for account_id, count, due_at in tx.execute(query).all():
        row = tx.execute(ACCOUNTS.where(account.c.id == account_id)).mappings().first()
        if row is None:
            continue
        stored, health = read_account(row), read_health(tx, account_id)
        goes_at = _find_start(health, due_at, at)
        lasts_s = _estimate(tx, account_id, stored.settings, health, count, due_at, at)
        server = stored.settings.server if stored.settings else None
        lines.append(Line(stored.scope, server, count, goes_at, lasts_s))
    return sorted(lines, key=lambda line: -line.count)


def forecast_batch(tx: Connection, caller: Caller, batch_id: str, at: datetime) -> BatchForecast:
    """Return how a batch is doing; raise ``Missing`` where there is none for this caller."""
    columns = (message.c.account_id, message.c.status, message.c.send_at)
    query = narrow_to_visible(
        select(
            *columns,
            func.count().label("messages"),
            func.min(message.c.created_at).label("created_at"),
            func.min(message.c.due_at).label("first_due_at"),
            func.max(message.c.due_at).label("last_due_at"),
            func.count(message.c.ended_at).label("ended"),
            func.max(message.c.ended_at).label("ended_at"),
        ),
        caller,
    )
    rows = tx.execute(query.where(message.c.batch_id == batch_id).group_by(*columns)).all()
    if not rows:
        raise Missing("There is no such batch.", code="batch_not_found")
    statuses: dict[str, int] = {}
    for row in rows:
        status = name_present_status(row, at)
        statuses[status] = statuses.get(status, 0) + row.messages
    waiting = sum(row.messages - row.ended for row in rows)
    starts: list[datetime] = []
    ends: list[datetime | None] = []
    for account_id in {row.account_id for row in rows if row.first_due_at is not None}:
        due = [row for row in rows if row.account_id == account_id and row.first_due_at is not None]
        first, last = min(row.first_due_at for row in due), max(row.last_due_at for row in due)
        start, end = _forecast_part(tx, account_id, first, last, at)
        starts.append(start)
        ends.append(end)
    known = [end for end in ends if end is not None]
    return BatchForecast(
        created_at=min(row.created_at for row in rows),
        statuses=statuses,
        waiting=waiting,
        next_at=min(starts, default=None),
        ends_at=max(known) if known and len(known) == len(ends) else None,
        ended_at=None if waiting else max(row.ended_at for row in rows),
    )


def _forecast_part(
    tx: Connection, account_id: str, first: datetime, last: datetime, at: datetime
) -> tuple[datetime, datetime | None]:
    """Return when the first and the last message of a batch go through an account."""
    row = tx.execute(ACCOUNTS.where(account.c.id == account_id)).mappings().one()
    stored, health = read_account(row), read_health(tx, account_id)
    start = _find_start(health, first, at)
    if stored.paused_at is not None:
        return start, None
    # Whatever is more urgent, or was due before, goes first; it bounds the batch as its own does.
    before = or_(message.c.priority < BATCH, message.c.due_at <= last)
    count, oldest = tx.execute(
        select(func.count(), func.min(message.c.due_at)).where(
            message.c.account_id == account_id, message.c.due_at <= max(last, at), before
        )
    ).one()
    lasts_s = _estimate(tx, account_id, stored.settings, health, count, oldest, at)
    if lasts_s is None:
        return start, None
    return start, max(_find_start(health, oldest, at) + timedelta(seconds=lasts_s), last)


def _find_start(health: Health, due_at: datetime, at: datetime) -> datetime:
    return max(due_at, health.rests_until or at, at)


def _estimate(
    tx: Connection,
    account_id: str,
    settings: SmtpSettings | None,
    health: Health,
    count: int,
    due_at: datetime,
    at: datetime,
) -> float | None:
    """Return how long ``count`` messages take, of which the first is due since ``due_at``."""
    bounds: list[float] = []
    if settings is not None and settings.batch_limit:
        bounds.append((math.ceil(count / settings.batch_limit) - 1) * settings.batch_wait_s)
    per_minute = find_limits(health, settings.host if settings else "", at).per_minute
    if per_minute is not None:
        bounds.append((count - 1) * 60 / per_minute)
    since = max(due_at, at - _LOOKED_BACK)
    if at - since >= _LOOKED_LEAST and (went := count_accepted(tx, account_id, since)):
        bounds.append(count * (at - since).total_seconds() / went)
    return max(bounds, default=None)
