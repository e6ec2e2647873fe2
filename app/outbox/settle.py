"""The end of a claim: settled by its worker, or taken back when its lease ran out.

Both write the attempt in the transaction in which its recipient leaves ``sending`` (G5), and touch
only rows that still carry the claim. A claim that was lost after its mark is ``uncertain``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, case, func, insert, select, update
from sqlalchemy.engine import Connection

from app.db import new_id, now
from app.outbox import pace
from app.outbox.queue import Claimed
from app.outbox.retry import Move, Verdict, decide
from app.outbox.rows import (
    ERASED,
    Moving,
    lock_messages,
    move_all,
    read_all_recipients,
    refresh_all,
)
from app.outbox.status import LAST
from app.outbox.suppressions import NO_SUCH_ADDRESS, note_bounces
from app.outbox.tables import BATCH, FORCED, SINGLE, attempt, message, recipient

_ATTEMPT = insert(attempt)


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


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a try came to. reached_mail: MAIL went out, so that it counts for LIMITE."""

    claimed: Claimed
    outcomes: tuple[Outcome, ...]
    policy: Policy
    jitter: float
    server: str | None = None
    tls: str | None = None
    reached_mail: bool = True


def settle(tx: Connection, asked: Sequence[Settlement]) -> list[bool]:
    """Write what tries came to; False, and nothing is changed, where another took it meanwhile.

    Merged verb.
    """
    ids = {each.claimed.message.id for each in asked}
    rows = lock_messages(tx, ids)
    recipients = read_all_recipients(tx, rows)
    book = _Book(tx, now(tx))
    done = [
        (row := rows.get(each.claimed.message.id)) is not None
        and _settle_claim(book, row, recipients[row.id], each)
        for each in asked
    ]
    settled = [each for each, is_ours in zip(asked, done, strict=True) if is_ours]
    touched = {each.claimed.message.id for each in settled}
    book.close({id_: rows[id_] for id_ in touched}, {id_: recipients[id_] for id_ in touched})
    tried = [each for each in settled if any(one.verdict for one in each.outcomes)]
    _unforce(tx, [each.claimed.message for each in tried])
    return done


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
    rows = lock_messages(tx, found)
    book = _Book(tx, now(tx))
    # Read again under the lock: its worker may have settled or renewed it meanwhile.
    query = select(recipient).where(recipient.c.message_id.in_(rows), which)
    for each in tx.execute(query.order_by(recipient.c.message_id, recipient.c.position)):
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
        row = rows[each.message_id]
        book.replied[row.account_id] += 1
        _settle_one(book, row, each, outcome, policy, jitter, None, None)
    book.close(rows)
    _unforce(tx, rows.values())
    return len(found)


class _Book:
    """What a transaction is to write about tries and moves, so that many cost as little as one."""

    def __init__(self, tx: Connection, at: datetime) -> None:
        self.tx = tx
        self.at = at
        self.attempts: list[dict[str, Any]] = []
        self.moving: list[Moving] = []
        self.replied: Counter[str] = Counter()  # by account
        self.returned: Counter[str] = Counter()
        self.bounced: list[tuple[Row[Any], str]] = []  # message and address

    def close(
        self,
        rows: Mapping[str, Row[Any]],
        recipients: Mapping[str, Sequence[Row[Any]]] | None = None,
    ) -> None:
        """Write it all; rows: the messages that were touched, recipients: all that they have."""
        if self.attempts:
            self.tx.execute(_ATTEMPT, self.attempts)
        move_all(self.tx, self.moving, self.at)
        states = None
        if recipients is not None:
            moved = {each.recipient.id: (each.state, each.due_at) for each in self.moving}
            states = {
                message_id: [moved.get(each.id, (each.state, each.due_at)) for each in several]
                for message_id, several in recipients.items()
            }
        if rows:
            refresh_all(self.tx, list(rows.values()), self.at, states)
        note_bounces(self.tx, self.bounced, self.at)
        for account_id in sorted(self.replied.keys() | self.returned.keys()):
            pace.note_replies(
                self.tx,
                account_id,
                replied=self.replied[account_id],
                returned=self.returned[account_id],
                at=self.at,
            )


def _settle_claim(
    book: _Book, row: Row[Any], recipients: Sequence[Row[Any]], asked: Settlement
) -> bool:
    ours = {each.id: each for each in recipients if each.claimed_by == asked.claimed.id}
    if not ours:
        return False
    if asked.claimed.in_lot:
        (book.replied if asked.reached_mail else book.returned)[row.account_id] += 1
    for outcome in asked.outcomes:
        each = ours.get(outcome.recipient_id)
        if each is not None:
            _settle_one(
                book, row, each, outcome, asked.policy, asked.jitter, asked.server, asked.tls
            )
    return True


def _settle_one(
    book: _Book,
    row: Row[Any],
    each: Row[Any],
    outcome: Outcome,
    policy: Policy,
    jitter: float,
    server: str | None,
    tls: str | None,
) -> None:
    erased = each.address == ERASED  # while it was under way; the server may repeat the address
    if outcome.verdict is None:
        if erased:
            moving = Moving(row, each, "cancelled", "cancelled", reason="erased")
        else:
            moving = Moving(row, each, "queued", "returned", due_at=book.at)
        book.moving.append(moving)
        return
    if not erased and _is_hard_bounce(outcome, row.delivery):
        book.bounced.append((row, each.address))
    next_move = _choose(book, row, each, outcome, policy, jitter)
    if erased and next_move.state not in LAST:
        next_move = Move("cancelled", "erased")
    reply = None if erased else outcome.reply
    number = each.attempts + 1
    book.attempts.append(
        {
            "id": new_id(book.at),
            "message_id": row.id,
            "recipient_id": each.id,
            "number": number,
            "started_at": each.claimed_at,
            "ended_at": book.at,
            "verdict": "deferred" if outcome.verdict == "trouble" else outcome.verdict,
            "phase": outcome.phase,
            "cause": outcome.cause,
            "code": outcome.code,
            "enhanced": outcome.enhanced,
            "reply": reply,
            "local": outcome.local,
            "server": server,
            "tls": tls,
            "worker": each.claimed_by.partition(".")[0],
        }
    )
    book.moving.append(
        Moving(
            row,
            each,
            next_move.state,
            next_move.state if outcome.verdict != "uncertain" else "uncertain",
            reason=next_move.reason,
            due_at=next_move.due_at,
            data={
                "attempt": number,
                "code": outcome.code,
                "enhanced": outcome.enhanced,
                "reply": reply,
                "local": outcome.local,
                "redirected_to": row.delivery.partition(":")[2] or None,
            },
            attempts=number,
            tries=each.tries + int(next_move.counts),
        )
    )


def _choose(
    book: _Book,
    row: Row[Any],
    each: Row[Any],
    outcome: Outcome,
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
        losses=_count_losses(book.tx, each.id) if outcome.verdict == "lost" else 0,
        at=book.at,
        give_up_at=row.give_up_at,
        not_after=row.not_after,
        schedule_s=policy.schedule_s,
        jitter=jitter,
        on_uncertain=row.on_uncertain,
    )


def _is_hard_bounce(outcome: Outcome, delivery: str) -> bool:
    """Tell whether the server says that there is no such recipient, of the recipient itself."""
    said = (outcome.verdict, outcome.phase, outcome.local) == ("refused", "rcpt", False)
    return said and outcome.enhanced in NO_SUCH_ADDRESS and not delivery.startswith("redirect:")


def _count_losses(tx: Connection, recipient_id: str) -> int:
    return (
        tx.scalar(
            select(func.count())
            .select_from(attempt)
            .where(attempt.c.recipient_id == recipient_id, attempt.c.verdict == "lost")
        )
        or 0
    )


def _unforce(tx: Connection, rows: Iterable[Row[Any]]) -> None:
    """A person's retry passes a pause once."""
    forced = [row.id for row in rows if row.priority == FORCED]
    if forced:
        priority = case((message.c.batch_id.is_(None), SINGLE), else_=BATCH)
        tx.execute(
            update(message)
            .where(message.c.id.in_(forced), message.c.priority == FORCED)
            .values(priority=priority)
        )
