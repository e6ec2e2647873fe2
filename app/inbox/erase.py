"""Erasing a person's data, of what was sent and of what came in, in one transaction (GDPR art. 17).

Of a mail stays that it came, when, to which account, and its uid, so that the collector never takes
it a second time. Its content goes where it is the person's, names them as a receiver or in a report,
or is about a message whose content went; so does the content of messages that carry its words.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.tables import audit as audit_trail
from app.db import now
from app.inbox.reports import read_keys
from app.inbox.tables import auto_reply, incoming, incoming_body
from app.mime.address import Mailbox
from app.outbox.erase import erase, erase_contents, erase_reply, find_quoting
from app.outbox.rows import ERASED
from app.outbox.tables import event, message

_BLANK: dict[str, Any] = {
    "message_id": None,
    "in_reply_to": None,
    "subject": "",
    "text": "",
    "attachments": [],
    "reference_number": None,
    "reference_customer": None,
    "handled_note": None,
    "reply_detail": None,
    "reply_state": case((incoming.c.reply_state == "due", None), else_=incoming.c.reply_state),
}
_NOBODY = {"sender_address": ERASED, "sender_key": ERASED, "sender_name": ""}


@dataclass(frozen=True, slots=True)
class ErasedPerson:
    """messages, pending: as ``outbox.erase``. incoming: mails whose content went."""

    messages: int
    pending: int
    incoming: int


def erase_person(tx: Connection, caller: Caller, address: Mailbox) -> ErasedPerson:
    """Take an address out of all mail; what still waits for it is cancelled."""
    at = now(tx)
    sent = erase(tx, caller, address)
    alerts = find_quoting(tx, sent.message_ids)
    erase_contents(tx, alerts, at)
    forwarded = _list_quoted(tx, sent.message_ids)
    found = [*_find_naming(tx, address.key), *_find_about(tx, {*sent.message_ids, *alerts})]
    done: dict[str, Row[Any]] = {}
    while found:
        fresh = {row.id: row for row in found if row.id not in done}
        for row in fresh.values():
            _erase_row(tx, row, address.key, at)
            if row.sender_key == address.key:
                _erase_replies(tx, row, at)
        done |= fresh
        # A forwarded copy, or an answer by itself, may have been answered.
        ours = {*find_quoting(tx, fresh), *(row.reply_id for row in fresh.values() if row.reply_id)}
        erase_contents(tx, ours, at)
        found = _find_about(tx, ours)
    tx.execute(delete(auto_reply).where(auto_reply.c.sender_key == address.key))
    _erase_events(tx, done)
    _erase_notes(tx, {*done, *forwarded})
    # The audit says that it was done, not for whom: that is what was asked for.
    counts = {"messages": sent.messages, "incoming": len(done)}
    audit.record(tx, caller, "recipient.erase", "recipients", None, counts, at)
    return ErasedPerson(sent.messages, sent.pending, len(done))


def _find_naming(tx: Connection, key: str) -> list[Row[Any]]:
    """Find mails that are the person's or name them, by a walk through all of them."""
    # Case and encodings leave runs of ASCII letters as they are: what has none of it is not read.
    runs = re.findall(r"[a-z0-9]+", key.rpartition("@")[0])
    likely: list[ColumnElement[bool]] = [
        func.lower(cast(column, Text)).contains(max(runs, key=len, default=""))
        for column in (incoming.c.to, incoming.c.report)
    ]
    rows = tx.execute(_ROWS.where(or_(incoming.c.sender_key == key, *likely)))
    return [row for row in rows if row.sender_key == key or _names(row, key)]


def _find_about(tx: Connection, message_ids: Iterable[str]) -> list[Row[Any]]:
    found: list[Row[Any]] = []
    for each in sorted(message_ids):
        found += tx.execute(_ROWS.where(incoming.c.about_id == each))
    return found


_ROWS: Select[Any] = select(
    incoming.c.id,
    incoming.c.about_id,
    incoming.c.account_id,
    incoming.c.sender_key,
    incoming.c.reply_id,
    incoming.c.to,
    incoming.c.report,
).order_by(incoming.c.id)


def _names(row: Row[Any], key: str) -> bool:
    return (row.to, row.report) != (_blot(row.to, key), _blot(row.report, key))


def _blot(value: Any, key: str) -> Any:
    """Return a JSON value in which the address, however it is written, stands no more."""
    if isinstance(value, str):
        return ERASED if key in read_keys(value) else value
    if isinstance(value, list):
        return [_blot(member, key) for member in value]
    if isinstance(value, dict):
        kept = {name: _blot(member, key) for name, member in value.items()}
        is_theirs = "address" in kept and kept["address"] != value["address"]
        return {**kept, "name": ""} if is_theirs else kept
    return value


def _erase_row(tx: Connection, row: Row[Any], key: str, at: datetime) -> None:
    report = _blot(row.report, key)
    for told in report["recipients"] if report else ():
        told["diagnostic"] = ""  # the server's words repeat the address
    values = _BLANK | {"to": _blot(row.to, key), "report": report, "body_erased_at": at}
    if row.sender_key == key:
        values |= _NOBODY
    tx.execute(update(incoming).where(incoming.c.id == row.id).values(values))
    tx.execute(delete(incoming_body).where(incoming_body.c.incoming_id == row.id))


def _erase_replies(tx: Connection, row: Row[Any], at: datetime) -> None:
    """Erase what a mail was answered by itself: that went to its return path, which may name them."""
    if row.reply_id is None:
        return
    for key in erase_reply(tx, row.reply_id, at):
        remembered = (auto_reply.c.account_id == row.account_id, auto_reply.c.sender_key == key)
        tx.execute(delete(auto_reply).where(*remembered))


def _erase_events(tx: Connection, rows: Mapping[str, Row[Any]]) -> None:
    # By the mail alone: it may have been about another message when it happened.
    ids = list(rows)
    for start in range(0, len(ids), 500):
        tx.execute(_BLANK_EVENT.where(_ID.in_(ids[start : start + 500])))


_BLANK_EVENT = update(event).where(event.c.type.startswith("inbox.")).values(data={})
_ID = event.c.data["id"].as_string()


def _list_quoted(tx: Connection, message_ids: Iterable[str]) -> set[str]:
    """Return the mails that were forwarded to the person; who forwards is asked for the address."""
    found = {
        tx.scalar(select(message.c.quotes).where(message.c.id == each)) for each in message_ids
    }
    return {each for each in found if each is not None}


def _erase_notes(tx: Connection, incoming_ids: Collection[str]) -> None:
    """Take out of the audit trail what people noted of mails; who did what when stays."""
    for each in incoming_ids:
        tx.execute(
            update(audit_trail)
            .where(audit_trail.c.object == f"inbox/{each}")
            .values(before=None, after=None)
        )
