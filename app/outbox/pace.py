"""LIMITE and WAIT: at most n messages a lot, and a pause between two lots.

Messages are counted, not recipients, at MAIL; the next lot starts at least WAIT after the last
final reply of the previous one. The counter is a row, so it holds across processes and hosts.
"""

from datetime import datetime, timedelta

from sqlalchemy import exists, select, update
from sqlalchemy.engine import Connection

from app.db import lock_rows
from app.outbox.health import ensure_state
from app.outbox.tables import account_state, message, recipient


def take_place(
    tx: Connection, account_id: str, *, limit: int, wait_s: float, at: datetime
) -> datetime | None:
    """Count one message into the lot; return None, or when to ask again if the lot is full."""
    ensure_state(tx, account_id)
    row = tx.execute(
        lock_rows(
            tx,
            select(account_state.c.lot_count, account_state.c.lot_replied_at).where(
                account_state.c.account_id == account_id
            ),
        )
    ).one()
    pause = timedelta(seconds=wait_s)
    rested = row.lot_replied_at is None or at - row.lot_replied_at >= pause
    busy = row.lot_count > 0 and is_sending(tx, account_id)
    count = 0 if rested and not busy else row.lot_count
    if count >= limit:
        # While one is under way its final reply, which starts the pause, is still to come.
        return at + timedelta(seconds=0.2) if busy else row.lot_replied_at + pause
    tx.execute(
        update(account_state)
        .where(account_state.c.account_id == account_id)
        .values(lot_count=count + 1)
    )
    return None


def note_reply(tx: Connection, account_id: str, *, reached_mail: bool, at: datetime) -> None:
    """Start the pause anew after a message's last reply; give its place back if MAIL never went."""
    values = (
        {"lot_replied_at": at} if reached_mail else {"lot_count": account_state.c.lot_count - 1}
    )
    tx.execute(
        update(account_state)
        .where(account_state.c.account_id == account_id, account_state.c.lot_count > 0)
        .values(**values)
    )


def is_sending(tx: Connection, account_id: str) -> bool:
    """Whether a message of the account is claimed by anybody."""
    claimed = (
        select(recipient.c.id)
        .join(message, message.c.id == recipient.c.message_id)
        .where(recipient.c.lease_until.is_not(None), message.c.account_id == account_id)
    )
    return bool(tx.scalar(select(exists(claimed))))
