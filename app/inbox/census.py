"""How much of what came in still wants somebody, for those who may read it; how mailboxes are doing."""

from dataclasses import dataclass

from sqlalchemy import TextClause, func, select
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.db import now
from app.inbox.reach import list_readable
from app.inbox.tables import UNANSWERED, UNMATCHED, incoming, mailbox

_MOST_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class Open:
    """answers: of people, to our mail, that nobody took care of. unmatched: reports on no message."""

    answers: int
    unmatched: int


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """failing: those whose last look failed. oldest_sync_s: since the one read longest ago was read;
    None where none was ever."""

    collected: int
    failing: int
    oldest_sync_s: float | None


def count_open(tx: Connection, caller: Caller) -> Open:
    """Count what the caller may read and nobody took care of, of the first ``_MOST_COUNTED``."""
    readable = list_readable(tx, caller)

    def count(condition: TextClause) -> int:
        # The inner query has an index of its own; grouped at once, another one would be taken.
        found = select(incoming.c.account_id).where(condition).limit(_MOST_COUNTED).subquery()
        query = select(found.c.account_id, func.count()).group_by(found.c.account_id)
        rows = tx.execute(query)
        return sum(number for each, number in rows if readable is None or each in readable)

    return Open(count(UNANSWERED), count(UNMATCHED))


def count_mailboxes(tx: Connection) -> Mailboxes:
    """Count the mailboxes that are collected."""
    failing = func.count().filter(mailbox.c.failures > 0)
    collected, failed, oldest = tx.execute(
        select(func.count(), failing, func.min(mailbox.c.synced_at))
    ).one()
    age_s = None if oldest is None else max(0.0, (now(tx) - oldest).total_seconds())
    return Mailboxes(collected, failed, age_s)
