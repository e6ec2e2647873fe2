"""Storing what came in: understood, linked to the message it is about, once for each mailbox.

The remote mailbox is touched only after this commit (G9); a mail that comes a second time, because
nobody lived to touch it or because its folder was numbered anew, is known and not stored again.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection

from app.db import new_id, now
from app.inbox.mailboxes import Claim, holds
from app.inbox.tables import incoming, incoming_body
from app.mime.incoming import Incoming, read_incoming
from app.mime.quoted import find_answer
from app.mime.tags import find_tags
from app.outbox.events import publish
from app.outbox.identity import read_signed_id
from app.outbox.tables import message
from app.vault import Vault

_TEXT_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail as the mailbox holds it. uid: ``<uidvalidity>:<uid>``, or POP3's unique id."""

    uid: str
    raw: bytes
    size_bytes: int
    read: Incoming
    answer: str


def understand(uid: str, raw: bytes, size_bytes: int) -> Taken:
    """Read a mail; bounded, for a thread, raises nothing about what it reads."""
    read = read_incoming(raw)
    return Taken(uid, raw, size_bytes, read, find_answer(read.text, read.html)[:_TEXT_CHARS])


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
        _store(tx, vault, held, each, at + timedelta(milliseconds=count))
        known.add(each.uid)
        count += 1
    return count


def find_about(tx: Connection, vault: Vault, read: Incoming) -> Any:
    """Return the message of ours that a mail is about, by an id that we signed; None without."""
    tags = find_tags(read)
    for each in (tags.envelope_id, *tags.message_ids):
        message_id = read_signed_id(vault, each) if each else None
        if message_id is not None:
            query = select(
                message.c.id,
                message.c.reference_type,
                message.c.reference_number,
                message.c.reference_customer,
            )
            row = tx.execute(query.where(message.c.id == message_id)).first()
            if row is not None:
                return row
    return None


def _is_here(tx: Connection, account_id: str, each: Taken) -> bool:
    query = select(incoming.c.id).where(
        incoming.c.account_id == account_id,
        incoming.c.message_id == (each.read.message_id or None),
        incoming.c.size_bytes == each.size_bytes,
        incoming.c.sender_key == _find_key(each.read),
        incoming.c.subject == _clean(each.read.subject),
    )
    return tx.execute(query.limit(1)).first() is not None


def _store(tx: Connection, vault: Vault, held: Claim, each: Taken, at: datetime) -> None:
    read, new = each.read, new_id(at)
    about = find_about(tx, vault, read)
    values = {
        "id": new,
        "account_id": held.account_id,
        "uid": each.uid,
        "kind": read.kind,
        "message_id": _clean(read.message_id) or None,
        "in_reply_to": _clean(" ".join(read.in_reply_to)) or None,
        "sender_address": _clean(read.from_.address) if read.from_ else "",
        "sender_key": _find_key(read),
        "sender_name": _clean(read.from_.name) if read.from_ else "",
        "to": [
            {"address": _clean(one.address), "name": _clean(one.name)}
            for one in (*read.to, *read.cc)[:100]
        ],
        "subject": _clean(read.subject),
        "text": _clean(each.answer),
        "attachments": [
            {
                "filename": _clean(part.filename),
                "content_type": _clean(part.media_type),
                "bytes": len(part.content),
            }
            for part in read.attachments
        ],
        "report": _show_report(read),
        "sent_at": read.date,
        "received_at": at,
        "size_bytes": each.size_bytes,
        "about_id": about.id if about else None,
        "is_verified": about is not None,
        "reference_type": about.reference_type if about else None,
        "reference_number": about.reference_number if about else None,
        "reference_customer": about.reference_customer if about else None,
    }
    tx.execute(insert(incoming).values(values))
    tx.execute(insert(incoming_body).values(incoming_id=new, raw=each.raw))
    told = {"id": new, "account": held.account_id, "kind": read.kind,
            "from": values["sender_address"], "subject": values["subject"]}  # fmt: skip
    publish(
        tx, "inbox.received", told, at=at, user=held.stored.user_id,
        message_id=about.id if about else None,
    )  # fmt: skip


def _find_key(read: Incoming) -> str:
    return _clean(read.from_.key) if read.from_ else ""


def _show_report(read: Incoming) -> dict[str, Any] | None:
    report = read.report
    if report is None:
        return None
    shown: dict[str, Any] = {
        "kind": report.kind,
        "reporting_mta": report.reporting_mta,
        "feedback_type": report.feedback_type,
        "complained": list(report.complained),
        "recipients": [
            asdict(each)
            | {
                "will_retry_until": each.will_retry_until.isoformat()
                if each.will_retry_until
                else None
            }
            for each in report.recipients
        ],
        "disposition": asdict(report.disposition) if report.disposition else None,
    }
    return {name: _clean_all(value) for name, value in shown.items()}


def _clean(text: str) -> str:
    """Return text as every database takes it: no NUL, no lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _clean_all(value: Any) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {name: _clean_all(each) for name, each in value.items()}
    return [_clean_all(each) for each in value] if isinstance(value, (list, tuple)) else value
