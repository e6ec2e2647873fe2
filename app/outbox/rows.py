"""Moving recipients: the only place that changes a recipient's state.

Whoever moves one has locked its message row (``lock_message``), and calls ``refresh`` at the end, so
that ``status``, ``due_at`` and ``ended_at`` of the message follow in the same transaction. The forms
for many messages cost as many statements as those for one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.engine import Connection

from app.db import lock_rows
from app.outbox.events import Note, record
from app.outbox.status import LAST, WAITING, derive_status
from app.outbox.tables import message, message_body, recipient

ERASED = "erased@invalid"  # stands for an address that its owner had erased


_LOCKED = (
    message.c.id,
    message.c.owner_id,
    message.c.user_id,
    message.c.account_id,
    message.c.is_draft,
    message.c.status,
    message.c.on_uncertain,
    message.c.delivery,
    message.c.priority,
    message.c.batch_id,
    message.c.send_at,
    message.c.not_after,
    message.c.give_up_after_h,
    message.c.give_up_at,
    message.c.ended_at,
    message.c.erase_at_end,
)
_MOVE = (
    update(recipient)
    .where(recipient.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"),
        reason=bindparam("b_reason"),
        due_at=bindparam("b_due_at"),
        attempts=bindparam("b_attempts"),
        tries=bindparam("b_tries"),
        updated_at=bindparam("b_at"),
        claimed_by=None,
        lease_until=None,
        claimed_at=None,
        marked_at=None,
    )
)
_FOLLOW: dict[str, Any] = {
    "status": bindparam("b_status"),
    "due_at": bindparam("b_due_at"),
    "ended_at": bindparam("b_ended_at"),
}
_GO_ON = update(message).where(message.c.id == bindparam("b_id")).values(_FOLLOW)
# G4: a message's own password lives no longer than the message
_END = _GO_ON.values(smtp_password=None)


@dataclass(frozen=True, slots=True)
class Moving:
    """One recipient (of the locked message ``row``) on its way to ``state``. event: what is noted.

    attempts, tries: their new number, where it changes.
    """

    row: Row[Any]
    recipient: Row[Any]
    state: str
    event: str
    reason: str | None = None
    due_at: datetime | None = None
    data: Mapping[str, Any] | None = None
    attempts: int | None = None
    tries: int | None = None


def lock_message(tx: Connection, message_id: str) -> Row[Any] | None:
    """Return the message row, locked until the transaction ends; None where there is none."""
    return tx.execute(lock_rows(tx, select(message).where(message.c.id == message_id))).first()


def lock_messages(tx: Connection, message_ids: Collection[str]) -> dict[str, Row[Any]]:
    """Lock those that exist, in the order of their ids so that nobody deadlocks; return the columns
    that deciding about recipients takes, by id."""
    query = select(*_LOCKED).where(message.c.id.in_(message_ids)).order_by(message.c.id)
    return {row.id: row for row in tx.execute(lock_rows(tx, query))}


def read_recipients(tx: Connection, message_id: str) -> list[Row[Any]]:
    """Return the recipients in the order they were given."""
    return read_all_recipients(tx, [message_id])[message_id]


def read_all_recipients(
    tx: Connection, message_ids: Collection[str]
) -> defaultdict[str, list[Row[Any]]]:
    """Return the recipients of several messages, each in the order they were given."""
    found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for each in tx.execute(
        select(recipient)
        .where(recipient.c.message_id.in_(message_ids))
        .order_by(recipient.c.message_id, recipient.c.position)
    ):
        found[each.message_id].append(each)
    return found


def move(
    tx: Connection,
    row: Row[Any],
    to: Iterable[Row[Any]],
    *,
    state: str,
    at: datetime,
    event: str,
    reason: str | None = None,
    due_at: datetime | None = None,
    tries: int | None = None,
) -> None:
    """Move the recipients ``to`` of the locked message ``row`` to ``state`` and note it."""
    moving = [
        Moving(row, each, state, event, reason=reason, due_at=due_at, tries=tries) for each in to
    ]
    move_all(tx, moving, at)


def move_all(tx: Connection, moving: Sequence[Moving], at: datetime) -> None:
    """Move recipients of any locked messages; whatever held a claim on them is fenced off."""
    if not moving:
        return
    tx.execute(
        _MOVE,
        [
            {
                "b_id": each.recipient.id,
                "b_state": each.state,
                "b_reason": each.reason,
                "b_due_at": each.due_at,
                "b_attempts": each.recipient.attempts if each.attempts is None else each.attempts,
                "b_tries": each.recipient.tries if each.tries is None else each.tries,
                "b_at": at,
            }
            for each in moving
        ],
    )
    record(
        tx,
        [
            Note(
                type=f"recipient.{each.event}",
                message_id=each.row.id,
                owner_id=each.row.owner_id,
                user_id=each.row.user_id,
                at=at,
                recipient_id=each.recipient.id,
                data={
                    "address": each.recipient.address,
                    "reason": each.reason,
                    **(each.data or {}),
                },
            )
            for each in moving
        ],
    )


def restart_clock(tx: Connection, row: Row[Any], at: datetime, **values: Any) -> None:
    """Give a message its whole time to be delivered again, from now; set further columns."""
    give_up_at = max(row.give_up_at, at + timedelta(hours=row.give_up_after_h))
    tx.execute(
        update(message).where(message.c.id == row.id).values(give_up_at=give_up_at, **values)
    )


def refresh(tx: Connection, row: Row[Any], at: datetime) -> str:
    """Derive the message's status, queue place and end from its recipients; return the status."""
    return refresh_all(tx, [row], at)[0]


def refresh_all(tx: Connection, rows: Sequence[Row[Any]], at: datetime) -> list[str]:
    """Derive status, queue place and end of several messages; return the statuses."""
    states: defaultdict[str, list[tuple[str, datetime | None]]] = defaultdict(list)
    for message_id, state, due_at in tx.execute(
        select(recipient.c.message_id, recipient.c.state, recipient.c.due_at).where(
            recipient.c.message_id.in_([row.id for row in rows])
        )
    ):
        states[message_id].append((state, due_at))
    going: list[dict[str, Any]] = []
    ended: list[dict[str, Any]] = []
    for row in rows:
        mine = states[row.id]
        has_ended = all(state in LAST for state, _ in mine)
        due = [due_at for state, due_at in mine if due_at is not None and state in WAITING]
        (ended if has_ended else going).append(
            {
                "b_id": row.id,
                "b_status": derive_status(
                    [state for state, _ in mine],
                    is_draft=row.is_draft,
                    send_at=row.send_at,
                    at=at,
                ),
                "b_due_at": min(due, default=None),
                "b_ended_at": (row.ended_at or at) if has_ended else None,
            }
        )
    if going:
        tx.execute(_GO_ON, going)
    if ended:
        tx.execute(_END, ended)
        _erase_ended(tx, rows, {each["b_id"] for each in ended}, at)
    statuses = {each["b_id"]: str(each["b_status"]) for each in (*going, *ended)}
    return [statuses[row.id] for row in rows]


def _erase_ended(
    tx: Connection, rows: Sequence[Row[Any]], ended: Collection[str], at: datetime
) -> None:
    erased = [row.id for row in rows if row.erase_at_end and row.id in ended]
    if erased:
        tx.execute(update(message).where(message.c.id.in_(erased)).values(body_erased_at=at))
        tx.execute(message_body.delete().where(message_body.c.message_id.in_(erased)))
