"""LIMITE and WAIT: at most n messages a lot, and a pause between two lots.

Messages are counted, not recipients, at MAIL; the next lot starts at least WAIT after the last
final reply of the previous one. The counter is a row, so it holds across processes and hosts.
"""

from datetime import datetime, timedelta

from sqlalchemy import BindParameter, bindparam, case, exists, func, select, update
from sqlalchemy.engine import Connection

from app.db import lock_rows
from app.outbox.health import ensure_state
from app.outbox.tables import account_state, message, recipient

_COUNT = account_state.c.lot_count
_RETURNED: BindParameter[int] = bindparam("b_returned")
_NOTE_REPLIES = (
    update(account_state)
    .where(account_state.c.account_id == bindparam("b_account_id"), _COUNT > 0)
    .values(
        lot_replied_at=func.coalesce(
            bindparam("b_at", type_=account_state.c.lot_replied_at.type),
            account_state.c.lot_replied_at,
        ),
        lot_count=case((_COUNT > _RETURNED, _COUNT - _RETURNED), else_=0),
    )
)


def take_places(
    tx: Connection, account_id: str, wanted: int, *, limit: int, wait_s: float, at: datetime
) -> int | datetime:
    """Count up to ``wanted`` messages into the lot.

    Return how many have a place, or when to ask again if the lot is full.
    """
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
    taken = min(wanted, limit - count)
    tx.execute(
        update(account_state)
        .where(account_state.c.account_id == account_id)
        .values(lot_count=count + taken)
    )
    return taken


def note_replies(
    tx: Connection, account_id: str, *, replied: int, returned: int, at: datetime
) -> None:
    """Start the pause anew after the last reply to a message; give back places of those where
    MAIL never went."""
    values = {"b_account_id": account_id, "b_at": at if replied else None, "b_returned": returned}
    tx.execute(_NOTE_REPLIES, values)


def is_sending(tx: Connection, account_id: str) -> bool:
    """Whether a message of the account is claimed by anybody."""
    claimed = (
        select(recipient.c.id)
        .join(message, message.c.id == recipient.c.message_id)
        .where(recipient.c.lease_until.is_not(None), message.c.account_id == account_id)
    )
    return bool(tx.scalar(select(exists(claimed))))
