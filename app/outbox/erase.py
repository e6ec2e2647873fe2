"""Erasing a person's data: bodies and addresses go, counts stay (GDPR art. 17)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.engine import Connection

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
    """message_ids: of those that named the address. pending: how many of them are still being sent
    to somebody else; their content goes when they end."""

    message_ids: frozenset[str]
    pending: int

    @property
    def messages(self) -> int:
        """How many named the address."""
        return len(self.message_ids)


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
        pending += _erase_message(tx, message_id, at, key=address.key)
    _erase_answers(tx, set(found), address)
    return Erased(frozenset(found), pending)


def erase_reply(tx: Connection, message_id: str, at: datetime) -> list[str]:
    """Erase a message that answers the person, to whatever address; return the keys of those."""
    query = select(recipient.c.address_key).where(recipient.c.message_id == message_id)
    keys = list(tx.scalars(query))
    _erase_message(tx, message_id, at)
    return keys


def find_quoting(tx: Connection, quoted: Iterable[str]) -> list[str]:
    """Return the messages that carry the words of others: of messages and mails, by their ids."""
    found: list[str] = []
    for each in quoted:
        found += tx.scalars(select(message.c.id).where(message.c.quotes == each))
    return found


def erase_contents(tx: Connection, message_ids: Iterable[str], at: datetime) -> None:
    """Take out what messages say, whomever they went to."""
    for message_id in sorted(message_ids):
        row = lock_message(tx, message_id)
        if row is not None:
            _erase_content(tx, row, at)


def _erase_message(
    tx: Connection, message_id: str, at: datetime, *, key: str | None = None
) -> bool:
    """Erase the recipient ``key`` (None: all) and the content; True where that waits for others."""
    row = lock_message(tx, message_id)
    if row is None:
        return False
    theirs = [each for each in read_recipients(tx, row.id) if key in (None, each.address_key)]
    waiting = [each for each in theirs if each.state not in LAST and each.state != "sending"]
    move(tx, row, waiting, state="cancelled", reason="erased", at=at, event="cancelled")
    # One that is being sent is erased, too: its claim has the address in memory, and ``settle``
    # ends a recipient that it finds erased.
    tx.execute(
        update(recipient)
        .where(recipient.c.id.in_([each.id for each in theirs]))
        .values(address=ERASED, address_key=ERASED, name="")
    )
    waits = _erase_content(tx, row, at)
    refresh(tx, row, at)
    return waits


def _erase_content(tx: Connection, row: Row[Any], at: datetime) -> bool:
    """Take out what a locked message says; True where its bytes wait for those still sent to."""
    others = [each for each in read_recipients(tx, row.id) if each.state not in LAST]
    waits = bool(others) and not row.is_draft
    if not waits:
        tx.execute(delete(message_body).where(message_body.c.message_id == row.id))
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
            **({"erase_at_end": True} if waits else {"body_erased_at": at}),
        )
    )
    # Servers repeat the address in their replies, to the final dot for every recipient.
    tx.execute(update(attempt).where(attempt.c.message_id == row.id).values(reply=None))
    tx.execute(update(event).where(event.c.message_id == row.id).values(data={}))
    return waits


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
