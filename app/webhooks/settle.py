"""What a try comes to: written in one transaction with the next one's time, or the end.

A webhook is switched off by a 410, and when a delivery is given up while nothing got through since
it was made. What waits then stays, and so does the webhook's place in the feed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.db import lock_rows, now
from app.webhooks.post import Answer
from app.webhooks.queue import Job
from app.webhooks.retry import FALTERING, GONE, wait_after
from app.webhooks.tables import webhook, webhook_attempt, webhook_delivery


@dataclass(frozen=True, slots=True)
class Outcome:
    """One try that ended. at: when it began. jitter: 0 to 1, spreads the next one."""

    job: Job
    at: datetime
    answer: Answer
    jitter: float


def settle(tx: Connection, outcomes: Sequence[Outcome]) -> list[None]:
    """Write down what came of the tries; one whose lease went to somebody else changes nothing."""
    at = now(tx)
    # Locks in the order in which everybody takes them: webhooks by id, then their deliveries.
    for outcome in sorted(outcomes, key=lambda each: (each.job.webhook_id, each.job.delivery_id)):
        _settle_one(tx, outcome, at)
    return [None] * len(outcomes)


def note_attempt(
    tx: Connection, delivery_id: str, number: int, begun_at: datetime, answer: Answer
) -> None:
    """Add a try to a delivery's log."""
    tx.execute(
        insert(webhook_attempt).values(
            delivery_id=delivery_id,
            number=number,
            at=begun_at,
            ms=answer.ms,
            code=answer.code,
            error=answer.error,
        )
    )


def _settle_one(tx: Connection, outcome: Outcome, at: datetime) -> None:
    job, answer = outcome.job, outcome.answer
    query = select(webhook).where(webhook.c.id == job.webhook_id)
    hook = tx.execute(lock_rows(tx, query)).first()
    query = select(webhook_delivery).where(
        webhook_delivery.c.id == job.delivery_id, webhook_delivery.c.claimed_by == job.fence
    )
    row = tx.execute(lock_rows(tx, query)).first()
    if hook is None or row is None:
        return
    note_attempt(tx, row.id, row.attempts + 1, outcome.at, answer)
    values: dict[str, Any] = {
        "attempts": row.attempts + 1,
        "claimed_by": None,
        "lease_until": None,
    }
    if answer.is_success:
        values |= {"state": "delivered", "due_at": None, "ended_at": at}
        _note_success(tx, hook, at)
    else:
        wait = wait_after(row.tries + 1, outcome.jitter)
        values["tries"] = row.tries + 1
        if wait is None:
            values |= {"state": "given_up", "due_at": None, "ended_at": at}
        else:
            values["due_at"] = at + wait
        _note_failure(tx, hook, row, answer, at, is_last=wait is None)
    tx.execute(update(webhook_delivery).where(webhook_delivery.c.id == row.id).values(**values))


def _note_success(tx: Connection, hook: Row[Any], at: datetime) -> None:
    _change(tx, hook, failures=0, error=None, succeeded_at=at)
    if hook.failures >= FALTERING:  # it is back: what waits need not wait longer
        hasten(tx, hook.id, at)


def _note_failure(
    tx: Connection, hook: Row[Any], row: Row[Any], answer: Answer, at: datetime, *, is_last: bool
) -> None:
    _change(tx, hook, failures=hook.failures + 1, error=answer.error, failed_at=at)
    if answer.code == GONE:
        _switch_off(tx, hook, "gone", at)
    elif is_last and (hook.succeeded_at is None or hook.succeeded_at < row.created_at):
        _switch_off(tx, hook, "failing", at)


def hasten(tx: Connection, webhook_id: str, at: datetime) -> None:
    """Make all that waits for a later try due at once."""
    tx.execute(
        update(webhook_delivery)
        .where(webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.due_at > at)
        .values(due_at=at)
    )


def _switch_off(tx: Connection, hook: Row[Any], reason: str, at: datetime) -> None:
    if not hook.enabled:
        return
    _change(tx, hook, enabled=False, disabled_reason=reason, version=hook.version + 1)
    before, after = {"enabled": True}, {"enabled": False, "reason": reason}
    audit.record(tx, audit.SYSTEM, "webhook.disable", f"webhooks/{hook.id}", before, after, at)


def _change(tx: Connection, hook: Row[Any], **values: Any) -> None:
    tx.execute(update(webhook).where(webhook.c.id == hook.id).values(**values))
