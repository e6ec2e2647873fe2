"""The queue: which accounts have mail, claim, renew, mark; all grouped verbs.

A claim moves the due recipients of one message to ``sending`` under a lease. Its id is the fence:
mark and settle touch only rows that still carry it, so a worker that slept past its lease changes
nothing. ``mark`` is committed before the final dot goes out (G6): a claim that is lost after its
mark is ``uncertain``, before it a clean retry. What ends a claim is in ``settle``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, exists, or_, select, update
from sqlalchemy.engine import Connection

from app.configuration.tables import account
from app.db import lock_rows, now
from app.outbox import pace
from app.outbox.rows import read_recipients, refresh
from app.outbox.status import WAITING
from app.outbox.tables import FORCED, PRIORITIES, account_state, message, recipient


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
    """The account has due mail, and its lot is full for ``delay_s`` more seconds."""

    delay_s: float


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
    delivery: str = "on",
) -> Claimed | Wait | None:
    """Claim the next due message of an account; None where there is nothing to do.

    delivery: where mail goes now, which the message shows from here on.
    """
    at = now(tx)
    row = None
    for priority in (FORCED,) if _is_closed(tx, account_id, at) else PRIORITIES:
        row = tx.execute(
            lock_rows(
                tx,
                select(message)
                .where(
                    message.c.account_id == account_id,
                    message.c.priority == priority,
                    message.c.due_at <= at,
                    or_(message.c.not_after.is_(None), message.c.not_after > at),
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
            return Wait((until - at).total_seconds())
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
    if row.delivery != delivery:
        tx.execute(update(message).where(message.c.id == row.id).values(delivery=delivery))
    refresh(tx, row, at)
    return Claimed(claim_id, row, tuple(due), at)


def _is_closed(tx: Connection, account_id: str, at: datetime) -> bool:
    """Whether the account is paused, or is making the one trial that follows trouble."""
    row = tx.execute(
        select(account.c.paused_at, account_state.c.paused_until, account_state.c.failures)
        .outerjoin(account_state, account_state.c.account_id == account.c.id)
        .where(account.c.id == account_id)
    ).one()
    if row.paused_at is not None or (row.paused_until is not None and row.paused_until > at):
        return True
    return bool(row.failures) and pace.is_sending(tx, account_id)


def renew(tx: Connection, claim_ids: Sequence[str], *, lease_s: float) -> None:
    """Lengthen the leases of claims that are still under way."""
    tx.execute(
        update(recipient)
        .where(recipient.c.claimed_by.in_(claim_ids), recipient.c.state == "sending")
        .values(lease_until=now(tx) + timedelta(seconds=lease_s))
    )


def mark(tx: Connection, claim_id: str, recipient_ids: Sequence[str]) -> bool:
    """Write that the final dot may go out for these; False where the claim is no longer ours.

    A recipient that the server refused before the dot is not among them: it is certain.
    """
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
