"""Answers to our mail: who waits for one need not any more."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, update
from sqlalchemy.engine import Connection

from app.outbox.answer_watch import answer_watch


def note_answer(tx: Connection, row: Row[Any], kind: str, at: datetime) -> None:
    """Note that the message ``row`` was answered: by a person, for a machine answers nothing."""
    if kind == "human":
        tx.execute(
            update(answer_watch)
            .where(answer_watch.c.message_id == row.id, answer_watch.c.answered_at.is_(None))
            .values(answered_at=at)
        )
