"""What a person says of a mail: who wrote it, and which message it is about.

What a report says of itself and what a signed id says stay as they are. Nothing here moves a
recipient, and a link by hand is never verified; but a person's answer that is linked by hand is an
answer, so the waiting for one follows.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.configuration.load import load_account
from app.db import lock_rows, now
from app.errors import Conflict, Fault, Refused
from app.inbox.about import choose_reference
from app.inbox.answers import look_again
from app.inbox.find import find_incoming
from app.inbox.tables import incoming
from app.outbox.reach import narrow_to_visible
from app.outbox.rows import lock_message
from app.outbox.tables import message


def correct_kind(tx: Connection, caller: Caller, incoming_id: str, kind: str) -> Row[Any]:
    """Say that a mail is of another kind: ``human``, ``auto_reply`` or ``list``.

    Raises ``Missing``; ``Conflict`` ``is_report`` where it is a report.
    """
    row = _lock(tx, caller, incoming_id)
    if row.report is not None:
        raise Conflict("A report is of the kind that it says itself.", code="is_report")
    if kind == row.kind:
        return row
    told = {"kind": kind, "kind_by": caller.name}
    return _change(tx, caller, row, "inbox.kind", told, told)


def link(tx: Connection, caller: Caller, incoming_id: str, message_id: str | None) -> Row[Any]:
    """Say which message a mail is about; None: about none, also where Awizo guessed.

    The document is taken from the message, which the caller must be allowed to see. Raises
    ``Missing``; ``Refused`` ``message_not_found``; ``Conflict`` ``is_verified``.
    """
    row = _lock(tx, caller, incoming_id, message_id)
    if row.is_verified:
        raise Conflict("A signed id says which message this mail is about.", code="is_verified")
    about = None
    if message_id is not None:
        query = narrow_to_visible(select(message), caller).where(message.c.id == message_id)
        about = tx.execute(query).first()
        if about is None:
            fault = Fault("/message", "message_not_found", "There is no such message.")
            raise Refused("There is no such message.", faults=[fault])
    if row.about_id == message_id and (row.linked_by is not None) == (message_id is not None):
        return row
    stored = load_account(tx, row.account_id)
    assert stored is not None  # a foreign key says so
    told = {"about_id": message_id, "linked_by": caller.name if about else None}
    values = told | choose_reference(stored, about, is_report=row.report is not None)
    return _change(tx, caller, row, "inbox.message", values, told)


def _lock(
    tx: Connection, caller: Caller, incoming_id: str, message_id: str | None = None
) -> Row[Any]:
    """Return the mail, locked after the messages that it is or will be about, as everywhere."""
    found = find_incoming(tx, caller, incoming_id)
    for each in sorted({found.about_id, message_id} - {None}):
        lock_message(tx, each)
    return tx.execute(lock_rows(tx, select(incoming).where(incoming.c.id == found.id))).one()


def _change(
    tx: Connection,
    caller: Caller,
    row: Row[Any],
    action: str,
    values: Mapping[str, Any],
    told: Mapping[str, Any],
) -> Row[Any]:
    """Write a correction and what follows from it. told: the part of ``values`` that is audited."""
    at = now(tx)
    tx.execute(update(incoming).where(incoming.c.id == row.id).values(dict(values)))
    before = {name: row._mapping[name] for name in told}
    audit.record(tx, caller, action, f"inbox/{row.id}", before, dict(told), at)
    changed = tx.execute(select(incoming).where(incoming.c.id == row.id)).one()
    for each in sorted({row.about_id, changed.about_id} - {None}):
        look_again(tx, each, at)
    return changed
