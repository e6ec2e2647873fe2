"""The queue: claim, renew, mark, settle, sweep; all grouped verbs.

A claim moves the due recipients of one message to ``sending`` under a lease. Its id is the fence:
mark and settle touch only rows that still carry it, so a worker that slept past its lease changes
nothing. ``mark`` is committed before the final dot goes out (G6): a claim that is lost after its
mark is ``uncertain``, before it a clean retry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, exists, insert, or_, select, update
from sqlalchemy.engine import Connection

from app.configuration.tables import account
from app.db import lock_rows, new_id, now
from app.outbox import pace
from app.outbox.retry import Move, Verdict, decide
from app.outbox.rows import lock_message, move, read_recipients, refresh
from app.outbox.status import WAITING
from app.outbox.tables import (
    BATCH,
    FORCED,
    PRIORITIES,
    SINGLE,
    account_state,
    attempt,
    message,
    recipient,
)


@dataclass(frozen=True, slots=True)
class Lot:
    """The account's LIMITE and WAIT."""

    limit: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """One message in our hands. id: the fence."""

    id: str
    message: Row[Any]
    recipients: tuple[Row[Any], ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Wait:
    """The account has due mail, and its lot is full until ``until``."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try came to for one recipient; ``None`` verdict: handed back untried.

    local: the diagnostic is our own words, not the server's.
    """

    recipient_id: str
    verdict: Verdict | None
    phase: str | None = None
    cause: str | None = None
    code: int | None = None
    enhanced: str | None = None
    reply: str | None = None
    local: bool = False
    hold: str | None = None  # hold with this reason instead of trying again


@dataclass(frozen=True, slots=True)
class Policy:
    """What ``settle`` and ``sweep`` need from the settings. schedule_s: waits between tries."""

    schedule_s: tuple[float, ...]


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
        account.c.removed_at.is_(None),
        or_(account_state.c.paused_until.is_(None), account_state.c.paused_until <= at),
    )
    query = (
        select(account.c.id)
        .outerjoin(account_state, account_state.c.account_id == account.c.id)
        .where(or_(and_(may_run, due(*PRIORITIES)), due(FORCED)))
    )
    return list(tx.scalars(query))


def claim(
    tx: Connection, account_id: str, claim_id: str, *, lease_s: float, lot: Lot | None = None
) -> Claimed | Wait | None:
    """Claim the next due message of an account; None where there is nothing to do."""
    at = now(tx)
    paused = _is_paused(tx, account_id, at)
    row = None
    for priority in (FORCED,) if paused else PRIORITIES:
        row = tx.execute(
            lock_rows(
                tx,
                select(message)
                .where(
                    message.c.account_id == account_id,
                    message.c.priority == priority,
                    message.c.due_at <= at,
                )
                .order_by(message.c.due_at)
                .limit(1),
                skip_locked=True,
            )
        ).first()
        if row is not None:
            break
    if row is None:
        return None
    if lot is not None:
        until = pace.take_place(tx, account_id, limit=lot.limit, wait_s=lot.wait_s, at=at)
        if until is not None:
            return Wait(until)
    due = [
        each for each in read_recipients(tx, row.id) if each.state in WAITING and each.due_at <= at
    ]
    tx.execute(
        update(recipient)
        .where(recipient.c.id.in_([each.id for each in due]))
        .values(
            state="sending",
            reason=None,
            due_at=None,
            claimed_by=claim_id,
            claimed_at=at,
            lease_until=at + timedelta(seconds=lease_s),
            updated_at=at,
        )
    )
    refresh(tx, row, at)
    return Claimed(claim_id, row, tuple(due), at)


def _is_paused(tx: Connection, account_id: str, at: datetime) -> bool:
    row = tx.execute(
        select(account.c.paused_at, account.c.removed_at, account_state.c.paused_until)
        .outerjoin(account_state, account_state.c.account_id == account.c.id)
        .where(account.c.id == account_id)
    ).one()
    return (
        row.paused_at is not None
        or row.removed_at is not None
        or (row.paused_until is not None and row.paused_until > at)
    )


def renew(tx: Connection, claim_ids: Sequence[str], *, lease_s: float) -> None:
    """Lengthen the leases of claims that are still under way."""
    tx.execute(
        update(recipient)
        .where(recipient.c.claimed_by.in_(claim_ids), recipient.c.state == "sending")
        .values(lease_until=now(tx) + timedelta(seconds=lease_s))
    )


def mark(tx: Connection, claim_id: str, recipient_ids: Sequence[str]) -> bool:
    """Write that the final dot may go out for these; False where the claim is no longer ours."""
    at = now(tx)
    found = tx.execute(
        update(recipient)
        .where(
            recipient.c.id.in_(recipient_ids),
            recipient.c.claimed_by == claim_id,
            recipient.c.state == "sending",
            recipient.c.lease_until > at,
        )
        .values(marked_at=at)
    )
    return found.rowcount == len(recipient_ids)


def settle(
    tx: Connection,
    claimed: Claimed,
    outcomes: Sequence[Outcome],
    *,
    policy: Policy,
    jitter: float,
    server: str | None = None,
    tls: str | None = None,
    reached_mail: bool = True,
) -> bool:
    """Write what a try came to, attempts included (G5); False where another took it meanwhile."""
    row = lock_message(tx, claimed.message.id)
    if row is None:
        return False
    at = now(tx)
    ours = {each.id: each for each in read_recipients(tx, row.id) if each.claimed_by == claimed.id}
    pace.note_reply(tx, row.account_id, reached_mail=reached_mail, at=at)
    for outcome in outcomes:
        each = ours.get(outcome.recipient_id)
        if each is not None:
            _settle_one(tx, row, each, outcome, at, policy, jitter, server, tls)
    if row.priority == FORCED:
        row = _unforce(tx, row)
    refresh(tx, row, at)
    return len(ours) == len(claimed.recipients)


def _settle_one(
    tx: Connection,
    row: Row[Any],
    each: Row[Any],
    outcome: Outcome,
    at: datetime,
    policy: Policy,
    jitter: float,
    server: str | None,
    tls: str | None,
) -> None:
    if outcome.verdict is None:
        move(tx, row, [each], state="queued", due_at=at, at=at, event="returned")
        return
    next_move = (
        Move("held", outcome.hold, counts=False)
        if outcome.hold
        else decide(
            outcome.verdict,
            reason=outcome.cause,
            tries=each.tries,
            at=at,
            give_up_at=row.give_up_at,
            not_after=row.not_after,
            schedule_s=policy.schedule_s,
            jitter=jitter,
            on_uncertain=row.on_uncertain,
        )
    )
    number = each.attempts + 1
    tx.execute(
        insert(attempt).values(
            id=new_id(at),
            message_id=row.id,
            recipient_id=each.id,
            number=number,
            started_at=each.claimed_at,
            ended_at=at,
            verdict="deferred" if outcome.verdict == "trouble" else outcome.verdict,
            phase=outcome.phase,
            cause=outcome.cause,
            code=outcome.code,
            enhanced=outcome.enhanced,
            reply=outcome.reply,
            local=outcome.local,
            server=server,
            tls=tls,
            worker=(each.claimed_by or "").partition(".")[0],
        )
    )
    move(
        tx,
        row,
        [each],
        state=next_move.state,
        reason=next_move.reason,
        due_at=next_move.due_at,
        at=at,
        event=next_move.state if outcome.verdict != "uncertain" else "uncertain",
        data={
            "attempt": number,
            "code": outcome.code,
            "enhanced": outcome.enhanced,
            "reply": outcome.reply,
            "local": outcome.local,
        },
        values={"attempts": number, "tries": each.tries + int(next_move.counts)},
    )


def _unforce(tx: Connection, row: Row[Any]) -> Row[Any]:
    priority = SINGLE if row.batch_id is None else BATCH
    tx.execute(update(message).where(message.c.id == row.id).values(priority=priority))
    return row


def sweep(tx: Connection, *, policy: Policy, jitter: float, most: int = 200) -> int:
    """Take back claims whose lease ran out; return how many messages were touched."""
    at = now(tx)
    lost = list(
        tx.scalars(
            select(recipient.c.message_id)
            .where(recipient.c.lease_until < at)
            .distinct()
            .order_by(recipient.c.message_id)
            .limit(most)
        )
    )
    for message_id in lost:
        row = lock_message(tx, message_id)
        if row is None:
            continue
        for each in read_recipients(tx, message_id):
            if each.state != "sending" or each.lease_until >= at:
                continue
            marked = each.marked_at is not None
            outcome = Outcome(
                each.id,
                "uncertain" if marked else "lost",
                phase="dot" if marked else None,
                cause="worker_lost",
                reply="The worker ended without a word.",
                local=True,
            )
            _settle_one(tx, row, each, outcome, at, policy, jitter, None, None)
        pace.note_reply(tx, row.account_id, reached_mail=True, at=at)
        refresh(tx, row, at)
    return len(lost)
