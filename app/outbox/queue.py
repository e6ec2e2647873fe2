"""The queue: which accounts have mail, claim, renew, mark; all grouped verbs.

A claim moves the due recipients of some messages to ``sending`` under a lease. Its id is the fence:
mark and settle touch only rows that still carry it, so a worker that slept past its lease changes
nothing. ``mark`` is committed before the final dot goes out (G6): a claim that is lost after its
mark is ``uncertain``, before it a clean retry. What ends a claim is in ``settle``.
"""

import sys
from bisect import bisect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from sqlalchemy import BindParameter, Row, and_, bindparam, exists, or_, select, update
from sqlalchemy.engine import Connection

from app.configuration.tables import account
from app.db import lock_rows, now
from app.outbox import manners, pace
from app.outbox.manners import UNLIMITED, Limits
from app.outbox.rows import read_all_recipients, refresh_all
from app.outbox.status import WAITING
from app.outbox.suppressed import is_suppressed, stop
from app.outbox.tables import FORCED, PRIORITIES, account_state, message, recipient

MOST_BYTES = 1 << 20  # of messages claimed together
_CARRIED = (
    message.c.id,
    message.c.owner_id,
    message.c.user_id,
    message.c.scope,
    message.c.account_id,
    message.c.is_draft,
    message.c.status,
    message.c.reverse_path,
    message.c.notify,
    message.c.return_content,
    message.c.needs_smtputf8,
    message.c.delivery,
    message.c.priority,
    message.c.size_bytes,
    message.c.smtp_password,
    message.c.send_at,
    message.c.not_after,
    message.c.ended_at,
    message.c.erase_at_end,
    message.c.copy_account_id,
)
# Built once: building a statement costs more than running it.
_IDS: BindParameter[list[str]] = bindparam("ids", expanding=True)
_DUE = (
    select(*_CARRIED)
    .where(
        message.c.account_id == bindparam("account_id"),
        message.c.priority == bindparam("priority"),
        message.c.due_at <= bindparam("at"),
        or_(message.c.not_after.is_(None), message.c.not_after > bindparam("at")),
    )
    .order_by(message.c.due_at)
    .limit(bindparam("most"))
)
_STANDING = (
    select(
        account.c.paused_at,
        account_state.c.paused_until,
        account_state.c.failures,
        account_state.c.slow_until,
        account_state.c.slow_hits,
    )
    .outerjoin(account_state, account_state.c.account_id == account.c.id)
    .where(account.c.id == bindparam("id"))
)
_CLAIM = (
    update(recipient)
    .where(recipient.c.id.in_(_IDS), ~is_suppressed(bindparam("b_at")))
    .values(
        state="sending",
        reason=None,
        due_at=None,
        claimed_by=bindparam("b_claim_id"),
        claimed_at=bindparam("b_at"),
        lease_until=bindparam("b_until"),
        updated_at=bindparam("b_at"),
    )
)
_LEASED = (
    select(recipient.c.id, recipient.c.claimed_by)
    .where(recipient.c.id.in_(_IDS), recipient.c.lease_until > bindparam("at"))
    .order_by(recipient.c.id)
)
_MARK = update(recipient).where(recipient.c.id.in_(_IDS)).values(marked_at=bindparam("b_at"))


@dataclass(frozen=True, slots=True)
class Lot:
    """The account's LIMITE and WAIT."""

    limit: int
    wait_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Claimed:
    """One message in our hands. id: the fence, shared by what was claimed at one stroke.

    is_trial: it goes alone, to see whether the server is well again. in_lot: it has a place in the
    account's lot.
    """

    id: str
    message: Row[Any]
    recipients: tuple[Row[Any], ...]
    at: datetime
    is_trial: bool = False
    in_lot: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A wish to send the final dot for recipients of a claim. claim_id: the fence."""

    claim_id: str
    recipient_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """The account has due mail, and its lot is full, or its turn to come, for ``delay_s`` seconds.

    is_leave: it has connections enough without this one.
    """

    delay_s: float
    is_leave: bool = False


def was_redirected(delivery: str, now: str) -> bool:
    """Whether mail was accepted to go to another address than its own, and would now go to its own."""
    return delivery.startswith("redirect:") and not now.startswith("redirect:")


def read_standings(tx: Connection, account_ids: Collection[str]) -> Mapping[str, tuple[int, bool]]:
    """Return of each account the version of its configuration, and whether a person paused it."""
    query = select(account.c.id, account.c.version, account.c.paused_at)
    found = tx.execute(query.where(account.c.id.in_(account_ids)))
    return {row.id: (row.version, row.paused_at is not None) for row in found}


def find_ready(tx: Connection, at: datetime | None = None) -> list[str]:
    """Return the ids of the accounts that have mail to claim now."""
    at = at or now(tx)

    def due(*priorities: int) -> Any:
        # One index probe per priority; a range over several would scan the whole queue.
        return or_(
            *(
                exists(
                    select(message.c.id).where(
                        message.c.account_id == account.c.id,
                        message.c.priority == priority,
                        message.c.due_at <= at,
                    )
                )
                for priority in priorities
            )
        )

    may_run = and_(
        account.c.paused_at.is_(None),
        or_(account_state.c.paused_until.is_(None), account_state.c.paused_until <= at),
        or_(account_state.c.slow_until.is_(None), account_state.c.slow_until <= at),
    )
    query = (
        select(account.c.id)
        .outerjoin(account_state, account_state.c.account_id == account.c.id)
        .where(or_(and_(may_run, due(*PRIORITIES)), due(FORCED)))
    )
    return list(tx.scalars(query))


def claim(
    tx: Connection,
    account_id: str,
    claim_id: str,
    *,
    lease_s: float,
    lot: Lot | None = None,
    limits: Limits = UNLIMITED,
    delivery: str = "on",
    most: int = 1,
) -> list[Claimed] | Wait:
    """Claim the next due messages of an account: at most ``most`` and 1 MiB, or one larger.

    delivery: where mail goes now, which the messages show from here on.
    """
    at = now(tx)
    if limits.connections is not None and not manners.may_claim(
        tx, account_id, claim_id, limits.connections
    ):
        return Wait(1, is_leave=True)
    may = _find_may(tx, account_id, at)
    rows = _find_due(tx, account_id, at, most, may)
    if rows and lot is not None:
        taken = pace.take_places(
            tx, account_id, len(rows), limit=lot.limit, wait_s=lot.wait_s, at=at
        )
        if isinstance(taken, datetime):
            return Wait((taken - at).total_seconds())
        rows = rows[:taken]
    if rows and limits.per_minute is not None:
        turns = manners.take_turns(tx, account_id, len(rows), per_minute=limits.per_minute, at=at)
        count = turns if isinstance(turns, int) else 0
        if lot is not None and count < len(rows):
            pace.note_replies(tx, account_id, replied=0, returned=len(rows) - count, at=at)
        if isinstance(turns, datetime):
            return Wait((turns - at).total_seconds())
        rows = rows[:count]
    if not rows:
        return []
    recipients = read_all_recipients(tx, [row.id for row in rows])
    due = {
        row.id: tuple(
            each for each in recipients[row.id] if each.state in WAITING and each.due_at <= at
        )
        for row in rows
    }
    ids = [each.id for several in due.values() for each in several]
    until = at + timedelta(seconds=lease_s)
    values = {"ids": ids, "b_claim_id": claim_id, "b_at": at, "b_until": until}
    if tx.execute(_CLAIM, values).rowcount < len(ids):
        stopped = stop(tx, rows, at)  # suppressed since they were accepted
        due = {id_: tuple(each for each in due[id_] if each.id not in stopped) for id_ in due}
        kept = [row for row in rows if due[row.id]]
        if lot is not None and len(kept) < len(rows):
            pace.note_replies(tx, account_id, replied=0, returned=len(rows) - len(kept), at=at)
        rows = kept
        recipients = read_all_recipients(tx, [row.id for row in rows])
    going = {each.id for several in due.values() for each in several}
    # What a test's customers were to have stays theirs until a person releases it.
    elsewhere = [
        row.id
        for row in rows
        if row.delivery != delivery and not was_redirected(row.delivery, delivery)
    ]
    if elsewhere:
        tx.execute(update(message).where(message.c.id.in_(elsewhere)).values(delivery=delivery))
    states = {
        row.id: [
            ("sending", None) if each.id in going else (each.state, each.due_at)
            for each in recipients[row.id]
        ]
        for row in rows
    }
    refresh_all(tx, rows, at, states)
    return [
        Claimed(claim_id, row, due[row.id], at, may.is_trial, in_lot=lot is not None)
        for row in rows
    ]


def _find_due(
    tx: Connection, account_id: str, at: datetime, most: int, may: "_May"
) -> list[Row[Any]]:
    """Lock and return what may be claimed now, the most urgent first."""
    rows: list[Row[Any]] = []
    for priority in may.priorities:
        left = min(most, may.most) - len(rows)
        if left <= 0:
            break
        values = {"account_id": account_id, "priority": priority, "at": at, "most": left}
        rows += tx.execute(lock_rows(tx, _DUE, skip_locked=True), values)
    # A message that kills its worker should take little with it, and memory has an end.
    total_bytes = list(accumulate(row.size_bytes for row in rows))
    return rows[: max(1, bisect(total_bytes, MOST_BYTES))]


@dataclass(frozen=True, slots=True)
class _May:
    priorities: tuple[int, ...] = PRIORITIES
    most: int = sys.maxsize
    is_trial: bool = False


def _find_may(tx: Connection, account_id: str, at: datetime) -> _May:
    """Return what may be claimed: nothing but what a person asks for while the account is paused or
    makes the one trial that follows trouble or a complaint."""
    row = tx.execute(_STANDING, {"id": account_id}).one()
    is_trial = bool(row.failures or row.slow_hits)
    pauses = [each for each in (row.paused_until, row.slow_until) if each is not None]
    if row.paused_at is not None or any(each > at for each in pauses):
        return _May((FORCED,), is_trial=is_trial)
    if not is_trial:
        return _May()
    if pace.is_sending(tx, account_id):
        return _May((FORCED,), is_trial=True)
    return _May(most=1, is_trial=True)


def renew(tx: Connection, claim_ids: Sequence[str], *, lease_s: float) -> None:
    """Lengthen the leases of claims that are still under way."""
    tx.execute(
        update(recipient)
        .where(recipient.c.claimed_by.in_(claim_ids), recipient.c.state == "sending")
        .values(lease_until=now(tx) + timedelta(seconds=lease_s))
    )


def mark(tx: Connection, asked: Sequence[Mark]) -> list[bool]:
    """Write that final dots may go out; False for each whose claim is no longer its own.

    Merged verb. A recipient that the server refused before the dot is not among those marked: it is
    certain.
    """
    at = now(tx)
    ids = sorted({each for mark in asked for each in mark.recipient_ids})
    found = tx.execute(lock_rows(tx, _LEASED), {"ids": ids, "at": at})
    claims = {row.id: row.claimed_by for row in found}
    marked = [
        all(claims.get(each) == mark.claim_id for each in mark.recipient_ids) for mark in asked
    ]
    good = [
        each
        for mark, is_ours in zip(asked, marked, strict=True)
        if is_ours
        for each in mark.recipient_ids
    ]
    tx.execute(_MARK, {"ids": good, "b_at": at})
    return marked
