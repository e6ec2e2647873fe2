"""Cancelling: what has not been handed over yet is taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, select
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.db import now
from app.errors import Conflict
from app.outbox.order import Reference
from app.outbox.reach import lock_visible, narrow_to_visible
from app.outbox.rows import lock_message, move, read_recipients, refresh
from app.outbox.status import WAITING
from app.outbox.tables import message

_CANCELLABLE = WAITING | {"held"}
_NEVER_SENT = {"cancelled", "expired", "failed", "suppressed"}


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Message ids: those with a recipient taken back, and those whose envelope was out already."""

    cancelled: tuple[str, ...]
    too_late: tuple[str, ...]


def cancel(tx: Connection, caller: Caller, message_id: str) -> None:
    """Cancel the recipients not yet handed over; raise ``Conflict`` where it is too late."""
    row = lock_visible(tx, caller, message_id)
    if row.is_draft:
        raise Conflict("A draft is not sent by Awizo; there is nothing to cancel.", code="is_draft")
    if not _cancel_locked(tx, row, now(tx)):
        raise Conflict(
            "It is too late: the message is being handed over or has been.", code="too_late"
        )


def cancel_by_reference(tx: Connection, caller: Caller, reference: Reference) -> Cancelled:
    """Cancel every own message about a document; a finished one counts as too late only if sent."""
    wanted: list[ColumnElement[bool]] = [
        column == value
        for column, value in (
            (message.c.reference_type, reference.type),
            (message.c.reference_number, reference.number),
            (message.c.reference_customer, reference.customer),
        )
        if value is not None
    ]
    found: Sequence[str] = tx.scalars(
        narrow_to_visible(select(message.c.id), caller)
        .where(*wanted, ~message.c.is_draft)
        .order_by(message.c.id)
    ).all()
    cancelled: list[str] = []
    too_late: list[str] = []
    at = now(tx)
    for message_id in found:
        row = lock_message(tx, message_id)
        if row is None or row.status in _NEVER_SENT:
            continue
        (cancelled if _cancel_locked(tx, row, at) else too_late).append(message_id)
    return Cancelled(tuple(cancelled), tuple(too_late))


def _cancel_locked(tx: Connection, row: Row[Any], at: datetime) -> bool:
    recipients = read_recipients(tx, row.id)
    waiting = [each for each in recipients if each.state in _CANCELLABLE]
    if not waiting or any(each.state == "sending" for each in recipients):
        return False
    move(tx, row, waiting, state="cancelled", at=at, event="cancelled")
    refresh(tx, row, at)
    return True
