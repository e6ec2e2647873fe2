"""What a report does to the message it is about: moves by the table of ``docs/states.md``, or events.

The caller locked the message and saw a signed id. A success counts from everywhere, for who has the
mail is not sent it again; a failure only where the server had taken it; the rest is told and moves
nothing. A report may overtake the worker that still writes down the sending: then it waits.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.engine import Connection

from app.configuration.tables import account
from app.inbox.tables import incoming
from app.mime.address import parse_mailbox
from app.mime.report import decode_xtext
from app.outbox.events import Note, record
from app.outbox.rows import ERASED, Moving, lock_message, move_all, read_recipients, refresh
from app.outbox.suppressions import NO_SUCH_ADDRESS, note_bounces

BOUNCED = "bounced"  # the reason of a recipient that a report says to have failed
# RFC 5965 §7.3; not-spam is the contrary, auth-failure (RFC 6591) nobody's complaint.
_COMPLAINTS = ("", "abuse", "opt-out")
# From which states a report moves; the state has the name of the report's action.
MOVES: Mapping[str, Collection[str]] = {
    "delivered": frozenset({"queued", "deferred", "held", "sent", "failed"}),
    "failed": frozenset({"sent"}),
}


def apply_report(
    tx: Connection, row: Row[Any], incoming_id: str, report: Mapping[str, Any], at: datetime
) -> bool:
    """Apply a report, as it is stored, to the locked message ``row``; False where it must wait."""
    recipients = [] if row.is_draft else read_recipients(tx, row.id)
    said = [
        (each, told) for told in _list_told(report) for each in _find_meant(row, recipients, told)
    ]
    if any(each.state == "sending" for each, _ in said):
        tx.execute(update(incoming).where(incoming.c.id == incoming_id).values(waits_since=at))
        return False
    moving: dict[str, Moving] = {}
    notes: list[Note] = []
    for each, told in said:
        action = told["action"]
        data = _show(told, incoming_id)
        if action not in MOVES:
            notes.append(_note(row, each, action, data, at))
        elif each.state in MOVES[action] and each.id not in moving:
            reason = BOUNCED if action == "failed" else None
            moving[each.id] = Moving(row, each, action, action, reason=reason, data=data)
    record(tx, notes)
    if moving:
        move_all(tx, list(moving.values()), at)
        refresh(tx, row, at)
    complained = [each for each, told in said if told["action"] == "complained"]
    if len(complained) == 1:  # of several, nobody knows who it was
        _suppress(tx, row, incoming_id, complained, at, "complaint")
    gone = [
        moved.recipient
        for moved in moving.values()
        if moved.state == "failed" and (moved.data or {}).get("status") in NO_SUCH_ADDRESS
    ]
    _suppress(tx, row, incoming_id, gone, at, "hard_bounce")
    return True


def find_waiting(tx: Connection) -> list[str]:
    """Return the reports that came while their message was still being sent."""
    query = select(incoming.c.id).where(incoming.c.waits_since.is_not(None))
    return list(tx.scalars(query.order_by(incoming.c.waits_since).limit(200)))


def apply_waiting(tx: Connection, incoming_id: str, at: datetime) -> bool:
    """Apply a report that waits, if its message is sent by now; say whether it was done."""
    mail = tx.execute(select(incoming).where(incoming.c.id == incoming_id)).first()
    if mail is None:
        return False
    row = lock_message(tx, mail.about_id) if mail.about_id else None
    taken = tx.execute(
        update(incoming)
        .where(incoming.c.id == incoming_id, incoming.c.waits_since.is_not(None))
        .values(waits_since=None)
    )
    if row is None or not taken.rowcount:
        return False
    return apply_report(tx, row, incoming_id, mail.report, at)


def _list_told(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is said of whom; a reading by a person is told like an action."""
    told: list[Mapping[str, Any]] = list(report["recipients"])
    read = report["disposition"]
    if read and read["type"] == "displayed":
        told.append({**read, "action": "displayed"})
    if report["kind"] == "arf" and report["feedback_type"] in _COMPLAINTS:
        told += [
            {"action": "complained", "final_recipient": each} for each in report["complained"]
        ] or [{"action": "complained"}]
    return told


def _find_meant(
    row: Row[Any], recipients: Sequence[Row[Any]], told: Mapping[str, Any]
) -> list[Row[Any]]:
    """Find of whom a report speaks; all of them where it names the address of a test."""
    known = [each for each in recipients if each.address != ERASED]
    named = [told.get(name, "") for name in ("original_recipient", "final_recipient")]
    if not any(named):
        return known if len(known) == len(recipients) == 1 else []
    for name in filter(None, named):
        keys = read_keys(name)
        meant = [each for each in known if each.address_key in keys]
        if meant:
            return meant
        if not keys.isdisjoint(read_keys(row.delivery.partition("redirect:")[2])):
            return known
    return []


def read_keys(address: str) -> set[str]:
    """The spellings under which an address may be ours: as it stands, and decoded from xtext."""
    keys = set()
    for spelling in {address, decode_xtext(address)} - {""}:
        mailbox, _ = parse_mailbox(spelling, "")
        keys.add(mailbox.key if mailbox else spelling.casefold())
    return keys


def _show(told: Mapping[str, Any], incoming_id: str) -> dict[str, Any]:
    names = ("status", "diagnostic", "remote_mta", "will_retry_until", "is_automatic")
    return {"incoming": incoming_id} | {name: told[name] for name in names if told.get(name)}


def _note(
    row: Row[Any], each: Row[Any], action: str, data: Mapping[str, Any], at: datetime
) -> Note:
    return Note(
        type=f"recipient.{action}",
        message_id=row.id,
        owner_id=row.owner_id,
        user_id=row.user_id,
        at=at,
        recipient_id=each.id,
        data={"address": each.address, "reason": None, **data},
    )


def _suppress(
    tx: Connection,
    row: Row[Any],
    incoming_id: str,
    recipients: Sequence[Row[Any]],
    at: datetime,
    reason: str,
) -> None:
    """Suppress whoever the setting says; never for a test, whose address is nobody's."""
    if not recipients or row.delivery.startswith("redirect:"):
        return
    query = select(account.c.id, account.c.user_id).join(incoming)
    box = tx.execute(query.where(incoming.c.id == incoming_id)).one()
    is_told_by_user = box.user_id is not None and box.id != row.account_id
    bounced = [(row, each.address) for each in recipients]
    note_bounces(tx, bounced, at, reason=reason, is_told_by_user=is_told_by_user)
