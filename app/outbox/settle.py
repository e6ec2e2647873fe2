"""The end of a claim: settled by its worker, or taken back when its lease ran out.

Both write the attempt in the transaction in which its recipient leaves ``sending`` (G5), and touch
only rows that still carry the claim. A claim that was lost after its mark is ``uncertain``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, insert, select, update
from sqlalchemy.engine import Connection

from app.db import new_id, now
from app.outbox import pace
from app.outbox.queue import Claimed
from app.outbox.retry import Move, Verdict, decide
from app.outbox.rows import ERASED, lock_message, move, read_recipients, refresh
from app.outbox.status import LAST
from app.outbox.tables import BATCH, FORCED, SINGLE, attempt, message, recipient


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
    """Write what a try came to; False, and nothing is changed, where another took it meanwhile."""
    row = lock_message(tx, claimed.message.id)
    if row is None:
        return False
    at = now(tx)
    ours = {each.id: each for each in read_recipients(tx, row.id) if each.claimed_by == claimed.id}
    if not ours:
        return False
    pace.note_reply(tx, row.account_id, reached_mail=reached_mail, at=at)
    for outcome in outcomes:
        each = ours.get(outcome.recipient_id)
        if each is not None:
            _settle_one(tx, row, each, outcome, at, policy, jitter, server, tls)
    if claimed.message.priority == FORCED:
        _unforce(tx, row)
    refresh(tx, row, at)
    return True


def sweep(tx: Connection, *, policy: Policy, jitter: float, most: int = 200) -> int:
    """Take back claims whose lease ran out; return how many messages were touched."""
    lost = recipient.c.lease_until < now(tx)
    return _take_back(tx, lost, policy=policy, jitter=jitter, hold=None, most=most)


def hold_claimed(tx: Connection, reason: str, *, most: int = 200) -> int:
    """Take back every claim and hold it, lease or not: nobody is there who would settle it."""
    claimed = recipient.c.lease_until.is_not(None)
    return _take_back(tx, claimed, policy=Policy(()), jitter=0, hold=reason, most=most)


def _take_back(
    tx: Connection,
    which: ColumnElement[bool],
    *,
    policy: Policy,
    jitter: float,
    hold: str | None,
    most: int,
) -> int:
    found = tx.scalars(
        select(recipient.c.message_id)
        .where(which)
        .distinct()
        .order_by(recipient.c.message_id)
        .limit(most)
    ).all()
    for message_id in found:
        row = lock_message(tx, message_id)
        if row is None:
            continue
        at = now(tx)
        # Read again under the lock: its worker may have settled or renewed it meanwhile.
        for each in tx.execute(select(recipient).where(recipient.c.message_id == row.id, which)):
            marked = each.marked_at is not None
            outcome = Outcome(
                each.id,
                "uncertain" if marked else "lost",
                phase="dot" if marked else None,
                cause="worker_lost",
                reply="The worker ended without a word.",
                local=True,
                hold=hold,
            )
            _settle_one(tx, row, each, outcome, at, policy, jitter, None, None)
        pace.note_reply(tx, row.account_id, reached_mail=True, at=at)
        _unforce(tx, row)
        refresh(tx, row, at)
    return len(found)


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
    erased = each.address == ERASED  # while it was under way; the server may repeat the address
    if outcome.verdict is None:
        if erased:
            move(tx, row, [each], state="cancelled", reason="erased", at=at, event="cancelled")
        else:
            move(tx, row, [each], state="queued", due_at=at, at=at, event="returned")
        return
    next_move = _choose(tx, row, each, outcome, at, policy, jitter)
    if erased and next_move.state not in LAST:
        next_move = Move("cancelled", "erased")
    reply = None if erased else outcome.reply
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
            reply=reply,
            local=outcome.local,
            server=server,
            tls=tls,
            worker=each.claimed_by.partition(".")[0],
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
            "reply": reply,
            "local": outcome.local,
            "redirected_to": row.delivery.partition(":")[2] or None,
        },
        values={"attempts": number, "tries": each.tries + int(next_move.counts)},
    )


def _choose(
    tx: Connection,
    row: Row[Any],
    each: Row[Any],
    outcome: Outcome,
    at: datetime,
    policy: Policy,
    jitter: float,
) -> Move:
    if outcome.verdict is None:
        raise AssertionError("what was handed back untried is not judged")
    if outcome.hold:
        return Move("held", outcome.hold, counts=False)
    return decide(
        outcome.verdict,
        reason=outcome.cause,
        tries=each.tries,
        losses=_count_losses(tx, each.id) if outcome.verdict == "lost" else 0,
        at=at,
        give_up_at=row.give_up_at,
        not_after=row.not_after,
        schedule_s=policy.schedule_s,
        jitter=jitter,
        on_uncertain=row.on_uncertain,
    )


def _count_losses(tx: Connection, recipient_id: str) -> int:
    return (
        tx.scalar(
            select(func.count())
            .select_from(attempt)
            .where(attempt.c.recipient_id == recipient_id, attempt.c.verdict == "lost")
        )
        or 0
    )


def _unforce(tx: Connection, row: Row[Any]) -> None:
    """A person's retry passes a pause once."""
    priority = SINGLE if row.batch_id is None else BATCH
    tx.execute(
        update(message)
        .where(message.c.id == row.id, message.c.priority == FORCED)
        .values(priority=priority)
    )
