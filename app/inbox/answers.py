"""Answers to our mail: who waits for one need not any more.

What answers is a person's mail (``human``) that names our signed id and is not of the account's own
address (a colleague who writes once more), or that somebody linked by hand.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, or_, select, update
from sqlalchemy.engine import Connection

from app.configuration.load import load_account
from app.inbox.answerable import list_mine
from app.inbox.tables import incoming
from app.outbox.answer_watch import answer_watch
from app.outbox.tables import message

_MOST_ANSWERS = 200  # that are looked through for one of somebody else
_REACHED_NOBODY = ("failed", "suppressed", "cancelled", "expired")


def note_answer(tx: Connection, message_id: str, mail: Mapping[str, Any], at: datetime) -> None:
    """Note that a message was answered, where the verified ``mail`` is a person's."""
    if mail["kind"] == "human" and not _is_own(tx, mail["account_id"], mail["sender_address"]):
        _write(tx, message_id, at)


def look_again(tx: Connection, message_id: str, at: datetime) -> None:
    """Note whether a message is answered, after somebody corrected what is about it.

    A wait that ended by mistake goes on; nobody is told a second time.
    """
    answers = select(incoming.c.account_id, incoming.c.sender_address, incoming.c.linked_by).where(
        incoming.c.about_id == message_id,
        incoming.c.kind == "human",
        or_(incoming.c.is_verified, incoming.c.linked_by.is_not(None)),
    )
    is_answered = any(
        each.linked_by is not None or not _is_own(tx, each.account_id, each.sender_address)
        for each in tx.execute(answers.limit(_MOST_ANSWERS))
    )
    _write(tx, message_id, at if is_answered else None)


def read_watch(tx: Connection, message_id: str) -> Row[Any] | None:
    """Return until when a message's answer is waited for, and what became of that; None: it is not,
    or not any more, because the message reached nobody.
    """
    watched = select(answer_watch).join(message, message.c.id == answer_watch.c.message_id)
    is_told = answer_watch.c.answered_at.is_not(None) | answer_watch.c.alerted_at.is_not(None)
    may_be_answered = or_(is_told, message.c.status.not_in(_REACHED_NOBODY))
    return tx.execute(watched.where(message.c.id == message_id, may_be_answered)).first()


def _is_own(tx: Connection, account_id: str, address: str) -> bool:
    stored = load_account(tx, account_id)
    return stored is not None and list_mine(stored).holds(address)


def _write(tx: Connection, message_id: str, answered_at: datetime | None) -> None:
    changing = update(answer_watch).where(answer_watch.c.message_id == message_id)
    if answered_at is not None:  # the first answer's moment stays
        changing = changing.where(answer_watch.c.answered_at.is_(None))
    tx.execute(changing.values(answered_at=answered_at))
