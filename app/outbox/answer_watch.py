"""Who waits for an answer, and until when: written with the message, looked at by the inbox.

Minutes count from the moment when the message may go out; where the account gives working hours,
only those within them.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Column, ForeignKey, Index, String, Table, insert, text
from sqlalchemy.engine import Connection

from app.db import UtcInstant, metadata
from app.outbox.prepare import Prepared

_MOST_DAYS = 366

answer_watch = Table(
    "answer_watch",
    metadata,
    # "No answer within n minutes": one row per message that waits for one.
    Column(
        "message_id", String(32), ForeignKey("message.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("account_id", String(32), ForeignKey("account.id"), nullable=False),
    Column("due_at", UtcInstant, nullable=False),
    Column("answered_at", UtcInstant),
    Column("alerted_at", UtcInstant),
)
Index(
    "ix_answer_watch_due",
    answer_watch.c.due_at,
    sqlite_where=text("answered_at is null and alerted_at is null"),
    postgresql_where=text("answered_at is null and alerted_at is null"),
)


def watch(tx: Connection, accepted: Iterable[Prepared]) -> None:
    """Note which of the messages just accepted wait for an answer."""
    rows = [
        {
            "message_id": each.id,
            "account_id": each.resolved.scope_account_id,
            "due_at": due_at,
        }
        for each in accepted
        if (due_at := find_due(each)) is not None
    ]
    if rows:
        tx.execute(insert(answer_watch), rows)


def find_due(prepared: Prepared) -> datetime | None:
    """Return when somebody is to be told that nobody answered; None: nobody waits."""
    wish = prepared.resolved.correspondence.get("answer_alert") or {}
    minutes = prepared.order.answer_within_min
    if minutes is None:
        minutes = wish.get("after_min", 0)
    if not minutes or prepared.is_draft or prepared.order.auto_submitted is not None:
        return None
    starts_at = prepared.send_at or prepared.at
    return add_minutes(starts_at, minutes, wish.get("hours"))


def add_minutes(at: datetime, minutes: int, hours: Mapping[str, Any] | None) -> datetime:
    """Return the moment ``minutes`` after ``at``; of working ``hours``, where they are given, and
    then at most a year ahead."""
    left = timedelta(minutes=minutes)
    if hours is None:
        return at + left
    zone = ZoneInfo(hours["timezone"])
    day = at.astimezone(zone).date()
    for _ in range(_MOST_DAYS):
        if day.isoweekday() in hours["days"]:
            opens = max(at, _place(day, hours["from"], zone))
            room = _place(day, hours["to"], zone) - opens
            if room >= left:
                return opens + left
            left -= max(room, timedelta())
        day += timedelta(days=1)
    return at + timedelta(days=_MOST_DAYS)


def _place(day: date, clock: str, zone: ZoneInfo) -> datetime:
    """The moment of a clock time on a day, UTC; 24:00 is the next day's begin."""
    if clock == "24:00":
        day, clock = day + timedelta(days=1), "00:00"
    return datetime.combine(day, time.fromisoformat(clock), zone).astimezone(UTC)
