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

from sqlalchemy import Row, Select, bindparam, select, update
from sqlalchemy.engine import Connection

from app.db import lock_rows
from app.outbox.events import Note, record
from app.outbox.sent_copy import ask_for_copies
from app.outbox.status import LAST, SENT, WAITING, derive_status
from app.outbox.tables import message, message_body, recipient

ERASED = "erased@invalid"  # stands for an address that its owner had erased


_LOCKED = (
    message.c.id,
    message.c.owner_id,
    message.c.user_id,
    message.c.scope,
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
    message.c.copy_account_id,
)
# What deciding about recipients takes of them.
_TRIED: Select[Any] = (
    select(
        recipient.c.id,
        recipient.c.message_id,
        recipient.c.address,
        recipient.c.state,
        recipient.c.due_at,
        recipient.c.attempts,
        recipient.c.tries,
        recipient.c.claimed_by,
        recipient.c.claimed_at,
    )
    .where(recipient.c.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(recipient.c.message_id, recipient.c.position)
)
_LOCK = (
    select(*_LOCKED)
    .where(message.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(message.c.id)
)
_MOVE = (
    update(recipient)
    .where(recipient.c.id.in_(bindparam("ids", expanding=True)))
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
_GO_ON = (
    update(message)
    .where(message.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        status=bindparam("b_status"),
        due_at=bindparam("b_due_at"),
        ended_at=bindparam("b_ended_at"),
    )
)
# G4: a message's own password lives no longer than the message
_END = _GO_ON.values(smtp_password=None)
States = Mapping[str, Sequence[tuple[str, datetime | None]]]  # state and due_at, by message


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
    found = tx.execute(lock_rows(tx, _LOCK), {"ids": list(message_ids)})
    return {row.id: row for row in found}


def read_recipients(tx: Connection, message_id: str) -> list[Row[Any]]:
    """Return the recipients in the order they were given."""
    query = select(recipient).where(recipient.c.message_id == message_id)
    return list(tx.execute(query.order_by(recipient.c.position)))


def read_all_recipients(
    tx: Connection, message_ids: Collection[str]
) -> defaultdict[str, list[Row[Any]]]:
    """Return the recipients of several messages, each in the order they were given, and of them
    what deciding about them takes."""
    found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for each in tx.execute(_TRIED, {"ids": list(message_ids)}):
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
    alike: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for each in moving:
        attempts = each.recipient.attempts if each.attempts is None else each.attempts
        tries = each.recipient.tries if each.tries is None else each.tries
        alike[each.state, each.reason, each.due_at, attempts, tries].append(each.recipient.id)
    for (state, reason, due_at, attempts, tries), ids in alike.items():
        values = {"b_state": state, "b_reason": reason, "b_due_at": due_at, "b_at": at}
        tx.execute(_MOVE, {**values, "b_attempts": attempts, "b_tries": tries, "ids": ids})
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


def refresh_all(
    tx: Connection, rows: Sequence[Row[Any]], at: datetime, states: States | None = None
) -> list[str]:
    """Derive status, queue place and end of several messages; return the statuses.

    states: what their recipients were just moved to, where the caller knows it of all of them.
    """
    if states is None:
        states = _read_states(tx, rows)
    alike: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    statuses: list[str] = []
    for row in rows:
        present = [state for state, _ in states[row.id]]
        due = [due for state, due in states[row.id] if due is not None and state in WAITING]
        ended_at = (row.ended_at or at) if LAST.issuperset(present) else None
        statuses.append(derive_status(present, is_draft=row.is_draft, send_at=row.send_at, at=at))
        alike[statuses[-1], min(due, default=None), ended_at].append(row.id)
    for (status, due_at, ended_at), ids in alike.items():
        values = {"b_status": status, "b_due_at": due_at, "b_ended_at": ended_at}
        tx.execute(_GO_ON if ended_at is None else _END, {**values, "ids": ids})
        if ended_at is not None:
            _erase_ended(tx, rows, set(ids), at)
            if status in SENT:
                ask_for_copies(tx, [row for row in rows if row.id in ids], at)
    return statuses


def _read_states(tx: Connection, rows: Sequence[Row[Any]]) -> States:
    found: defaultdict[str, list[tuple[str, datetime | None]]] = defaultdict(list)
    for each in tx.execute(_TRIED, {"ids": [row.id for row in rows]}):
        found[each.message_id].append((each.state, each.due_at))
    return found


def _erase_ended(
    tx: Connection, rows: Sequence[Row[Any]], ended: Collection[str], at: datetime
) -> None:
    erased = [row.id for row in rows if row.erase_at_end and row.id in ended]
    if erased:
        tx.execute(update(message).where(message.c.id.in_(erased)).values(body_erased_at=at))
        tx.execute(message_body.delete().where(message_body.c.message_id.in_(erased)))
