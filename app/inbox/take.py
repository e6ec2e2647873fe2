"""Storing what came in: understood, linked to the message it is about, once for each mailbox.

The remote mailbox is touched only after this commit (G9); a mail that comes a second time, because
nobody lived to touch it or because its folder was numbered anew, is known and not stored again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import and_, or_, select
from sqlalchemy.engine import Connection

from app.db import now
from app.inbox.entry import describe, read_answer
from app.inbox.mailboxes import Claim, holds
from app.inbox.tables import incoming, incoming_body
from app.inbox.take_in import take_in
from app.mime.incoming import Incoming, read_incoming
from app.vault import Vault


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail as the mailbox holds it. uid: its name in the mailbox, of one server."""

    uid: str
    raw: bytes
    size_bytes: int
    read: Incoming
    answer: str


def understand(uid: str, raw: bytes, size_bytes: int) -> Taken:
    """Read a mail; bounded, for a thread, raises nothing about what it reads."""
    read = read_incoming(raw)
    return Taken(uid, raw, size_bytes, read, read_answer(read))


def find_known(tx: Connection, account_id: str, uids: Collection[str]) -> set[str]:
    """Return which of these mails are stored already."""
    found: set[str] = set()
    listed = sorted(uids)
    for start in range(0, len(listed), 500):
        part = listed[start : start + 500]
        query = select(incoming.c.uid).where(
            incoming.c.account_id == account_id, incoming.c.uid.in_(part)
        )
        found.update(tx.scalars(query))
    return found


def take(
    tx: Connection, vault: Vault, held: Claim, batch: Sequence[Taken], *, is_renumbered: bool
) -> int | None:
    """Store mails; return how many were new, None where the mailbox is another worker's by now.

    is_renumbered: the folder has other UIDs than before, so that a mail may be here under its old one.
    """
    if not holds(tx, held):
        return None
    at, count = now(tx), 0
    known = find_known(tx, held.account_id, [each.uid for each in batch])
    for each in batch:
        if each.uid in known or (is_renumbered and _is_here(tx, held.account_id, each)):
            continue
        # Ids of one millisecond have no order; a mailbox has.
        moment = at + timedelta(milliseconds=count)
        take_in(
            tx, vault, held.stored, each.uid, each.raw, each.read, moment,
            answer=each.answer, size_bytes=each.size_bytes,
        )  # fmt: skip
        known.add(each.uid)
        count += 1
    return count


def _is_here(tx: Connection, account_id: str, each: Taken) -> bool:
    told = describe(each.read, each.answer, each.read.date or now(tx))
    alike = and_(
        *(incoming.c[name] == told[name] for name in ("message_id", "sender_key", "subject"))
    )
    if told["message_id"] is None:  # such mails may differ in their words alone
        same = select(incoming_body.c.raw).where(incoming_body.c.incoming_id == incoming.c.id)
        alike &= same.scalar_subquery() == each.raw
    # Of a mail whose sender was erased there is nothing else to know it by.
    erased = and_(incoming.c.body_erased_at.is_not(None), incoming.c.sent_at == told["sent_at"])
    query = select(incoming.c.id).where(
        incoming.c.account_id == account_id,
        incoming.c.size_bytes == each.size_bytes,
        or_(alike, erased),
    )
    return tx.execute(query.limit(1)).first() is not None
