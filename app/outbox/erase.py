"""Erasing a person's data: bodies and addresses go, counts stay (GDPR art. 17)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.db import now
from app.mime.address import Mailbox
from app.outbox.rows import lock_message, move, read_recipients, refresh
from app.outbox.status import LAST
from app.outbox.tables import attempt, event, idempotency, message, message_body, recipient

ERASED = "erased@invalid"


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
        select(recipient.c.message_id).where(recipient.c.address_key == address.key).distinct()
    ).all()
    pending = 0
    for message_id in sorted(found):
        row = lock_message(tx, message_id)
        if row is None:
            continue
        theirs = [each for each in read_recipients(tx, row.id) if each.address_key == address.key]
        waiting = [each for each in theirs if each.state not in LAST and each.state != "sending"]
        move(tx, row, waiting, state="cancelled", reason="erased", at=at, event="cancelled")
        others = [each for each in read_recipients(tx, row.id) if each.state not in LAST]
        _erase_rows(tx, row, theirs, address.address)
        if others and not row.is_draft:
            pending += 1
            tx.execute(update(message).where(message.c.id == row.id).values(erase_at_end=True))
        else:
            tx.execute(delete(message_body).where(message_body.c.message_id == row.id))
            tx.execute(update(message).where(message.c.id == row.id).values(body_erased_at=at))
        refresh(tx, row, at)
    # The audit says that it was done, not for whom: that is what was asked for.
    audit.record(tx, caller, "recipient.erase", "recipients", None, {"messages": len(found)}, at)
    return Erased(len(found), pending)


def _erase_rows(tx: Connection, row: Row[Any], theirs: list[Row[Any]], address: str) -> None:
    ids = [each.id for each in theirs]
    tx.execute(
        update(recipient)
        .where(recipient.c.id.in_(ids), recipient.c.state != "sending")
        .values(address=ERASED, address_key=ERASED, name="")
    )
    tx.execute(
        update(message)
        .where(message.c.id == row.id)
        .values(
            subject="",
            metadata={},
            reference_number=None,
            reference_customer=None,
        )
    )
    # Servers repeat the address in their replies.
    tx.execute(update(attempt).where(attempt.c.recipient_id.in_(ids)).values(reply=None))
    tx.execute(update(event).where(event.c.message_id == row.id).values(data={}))
    for key in tx.execute(
        select(idempotency.c.owner_id, idempotency.c.key, idempotency.c.answer).where(
            idempotency.c.owner_id == row.owner_id
        )
    ):
        if row.id in _list_ids(key.answer):
            answer = _blot(key.answer, address)
            tx.execute(
                update(idempotency)
                .where(idempotency.c.owner_id == key.owner_id, idempotency.c.key == key.key)
                .values(answer=answer)
            )


def _list_ids(answer: Any) -> set[str]:
    if "id" in answer:
        return {answer["id"]}
    return {each.get("id") for each in answer.get("data", ())}


def _blot(value: Any, address: str) -> Any:
    if isinstance(value, dict):
        if value.get("address") == address:
            return {**value, "address": ERASED, "name": ""}
        return {name: _blot(member, address) for name, member in value.items()}
    if isinstance(value, list):
        return [_blot(member, address) for member in value]
    return value
