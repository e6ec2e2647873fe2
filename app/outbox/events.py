"""The time line: one row for every move, written in the transaction that makes it.

The feed is ordered by (txid, number), see ``db.commit_horizon``: a reader that goes on from its
cursor misses nothing, however long another transaction took. The same rows are what webhooks push;
what is of no message comes by ``publish``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, insert, select, tuple_
from sqlalchemy.engine import Connection

from app.configuration.tables import account
from app.db import TRANSACTION_ID, commit_horizon
from app.outbox.tables import event

_EVENT = insert(event).values(txid=TRANSACTION_ID)
_HOUSE = "system"  # who owns what no caller made


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that happened. type: ``message.…`` or ``recipient.…`` in the past tense."""

    type: str
    message_id: str | None
    owner_id: str
    user_id: str | None
    at: datetime
    recipient_id: str | None = None
    data: Mapping[str, Any] | None = None


def record(tx: Connection, notes: list[Note]) -> None:
    """Write ``notes`` in their order."""
    if not notes:
        return
    tx.execute(
        _EVENT,
        [
            {
                "at": note.at,
                "type": note.type,
                "message_id": note.message_id,
                "recipient_id": note.recipient_id,
                "owner_id": note.owner_id,
                "user_id": note.user_id,
                "data": dict(note.data or {}),
            }
            for note in notes
        ],
    )


def publish(
    tx: Connection,
    type: str,
    data: Mapping[str, Any],
    *,
    at: datetime,
    user: str | None = None,
    message_id: str | None = None,
) -> None:
    """Write an event of another room: ``inbox.received``, ``account.paused``.

    type: at most 32 characters. data: JSON, no secret in it; ``/events`` and webhooks show it as it
    is. user: whose it is; only senders and admins see one of nobody.
    """
    record(tx, [Note(type, message_id, _HOUSE, user, at, data=data)])


def publish_of_account(
    tx: Connection, type: str, account_id: str, data: Mapping[str, Any], *, at: datetime
) -> None:
    """Write an ``account.…`` event: its holder sees it; of a group's or the common one senders do."""
    named = account.c.settings["name"].as_string().label("name")
    query = select(account.c.scope, account.c.user_id, named).where(account.c.id == account_id)
    row = tx.execute(query).one()
    told = {"account": account_id, "scope": row.scope, "name": row.name, **data}
    publish(tx, type, told, at=at, user=row.user_id)


def read_feed(
    tx: Connection, query: Select[Any], *, after: tuple[int, int], limit: int
) -> list[Row[Any]]:
    """Return the events of ``query`` after a cursor (txid, number), in commit order."""
    return list(
        tx.execute(
            query.where(
                tuple_(event.c.txid, event.c.number) > tuple_(*after),
                event.c.txid < commit_horizon(tx),
            )
            .order_by(event.c.txid, event.c.number)
            .limit(limit)
        )
    )


def select_events() -> Select[Any]:
    """Return a query of all event columns, to be narrowed by the caller."""
    return select(event)
