"""Erasing a person's data: bodies and addresses go, counts stay (GDPR art. 17)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.db import now
from app.mime.address import Mailbox
from app.outbox.rows import ERASED, lock_message, move, read_recipients, refresh
from app.outbox.status import LAST
from app.outbox.tables import attempt, event, idempotency, message, message_body, recipient

# What else of a person stands in the answer to POST /send.
_BLANK = {"subject": "", "metadata": {}, "reference": {}, "attachments": [], "warnings": []}


@dataclass(frozen=True, slots=True)
class Erased:
    """messages: how many named the address. pending: those still being sent to somebody else,
    whose content goes when they end."""

    messages: int
    pending: int


def erase(tx: Connection, caller: Caller, address: Mailbox) -> Erased:
    """Take an address out of every message; what still waits for it is cancelled."""
    caller.require("admin")
    at = now(tx)
    found = tx.scalars(
        select(recipient.c.message_id)
        .where(recipient.c.address_key == address.key)
        .distinct()
        .order_by(recipient.c.message_id)
    ).all()
    pending = 0
    for message_id in found:
        row = lock_message(tx, message_id)
        if row is None:
            continue
        theirs = [each for each in read_recipients(tx, row.id) if each.address_key == address.key]
        waiting = [each for each in theirs if each.state not in LAST and each.state != "sending"]
        move(tx, row, waiting, state="cancelled", reason="erased", at=at, event="cancelled")
        others = [each for each in read_recipients(tx, row.id) if each.state not in LAST]
        _erase_rows(tx, row, [each.id for each in theirs])
        if others and not row.is_draft:
            pending += 1
            tx.execute(update(message).where(message.c.id == row.id).values(erase_at_end=True))
        else:
            tx.execute(delete(message_body).where(message_body.c.message_id == row.id))
            tx.execute(update(message).where(message.c.id == row.id).values(body_erased_at=at))
        refresh(tx, row, at)
    _erase_answers(tx, set(found), address)
    # The audit says that it was done, not for whom: that is what was asked for.
    audit.record(tx, caller, "recipient.erase", "recipients", None, {"messages": len(found)}, at)
    return Erased(len(found), pending)


def _erase_rows(tx: Connection, row: Row[Any], ids: list[str]) -> None:
    # One that is being sent is erased, too: its claim has the address in memory, and ``settle``
    # ends a recipient that it finds erased.
    tx.execute(
        update(recipient)
        .where(recipient.c.id.in_(ids))
        .values(address=ERASED, address_key=ERASED, name="")
    )
    tx.execute(
        update(message)
        .where(message.c.id == row.id)
        .values(
            subject="",
            metadata={},
            warnings=[],
            attachments=[],
            reference_number=None,
            reference_customer=None,
        )
    )
    # Servers repeat the address in their replies, to the final dot for every recipient.
    tx.execute(update(attempt).where(attempt.c.message_id == row.id).values(reply=None))
    tx.execute(update(event).where(event.c.message_id == row.id).values(data={}))


def _erase_answers(tx: Connection, message_ids: set[str], address: Mailbox) -> None:
    """Take the person out of the answers that are remembered with their keys."""
    for kept in tx.execute(select(idempotency)).all():
        # A batch's answer names ids only.
        if message_ids.isdisjoint(kept.message_ids) or "id" not in kept.answer:
            continue
        tx.execute(
            update(idempotency)
            .where(idempotency.c.owner_id == kept.owner_id, idempotency.c.key == kept.key)
            .values(answer=_blot(kept.answer, address.key) | _BLANK)
        )


def _blot(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        named = value.get("address")
        if isinstance(named, str) and Mailbox(named).key == key:
            return {**value, "address": ERASED, "name": ""}
        return {name: _blot(member, key) for name, member in value.items()}
    if isinstance(value, list):
        return [_blot(member, key) for member in value]
    return value
