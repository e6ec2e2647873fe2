"""How much of what came in still wants somebody, for those who may read it."""

from dataclasses import dataclass

from sqlalchemy import TextClause, func, select
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.inbox.reach import may_read
from app.inbox.tables import UNANSWERED, UNMATCHED, incoming


@dataclass(frozen=True, slots=True)
class Open:
    """answers: of people, to our mail, that nobody took care of. unmatched: reports on no message."""

    answers: int
    unmatched: int


def count_open(tx: Connection, caller: Caller) -> Open:
    """Count what the caller may read and nobody took care of."""

    def count(condition: TextClause) -> int:
        query = select(func.count()).select_from(incoming)
        is_theirs = may_read(tx, caller, incoming.c.account_id)
        return tx.scalar(query.where(condition, is_theirs)) or 0

    return Open(count(UNANSWERED), count(UNMATCHED))
