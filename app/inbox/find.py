"""What a caller may read of the mail that came in, and marking it as handled.

Who may read an account may read its mail (``account_rights``): admins and the role ``sender`` all of
it, a user that of their own accounts and of those granted to them, as long as the grant lasts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, or_, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import SENDERS, Caller
from app.configuration.tables import account, account_right
from app.db import lock_rows, now
from app.errors import Missing
from app.inbox.tables import incoming, incoming_body


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which mail is listed; None: any. handled: whether somebody took care of it."""

    account: str | None = None
    kind: str | None = None
    reference_type: str | None = None
    reference_number: str | None = None
    reference_customer: str | None = None
    message: str | None = None
    handled: bool | None = None


def list_incoming(
    tx: Connection, caller: Caller, wanted: Wanted, *, before: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Return mail, the newest first, below the id ``before``."""
    equal = {
        incoming.c.account_id: wanted.account,
        incoming.c.kind: wanted.kind,
        incoming.c.reference_type: wanted.reference_type,
        incoming.c.reference_number: wanted.reference_number,
        incoming.c.reference_customer: wanted.reference_customer,
        incoming.c.about_id: wanted.message,
    }
    query = select(incoming).where(
        _may_read(tx, caller), *(column == value for column, value in equal.items() if value)
    )
    if wanted.handled is not None:
        done = incoming.c.handled_at.is_not(None)
        query = query.where(done if wanted.handled else ~done)
    if before is not None:
        query = query.where(incoming.c.id < before)
    return tx.execute(query.order_by(incoming.c.id.desc()).limit(limit)).all()


def find_incoming(tx: Connection, caller: Caller, incoming_id: str) -> Row[Any]:
    """Return one mail; raise ``Missing`` where there is none for this caller."""
    query = select(incoming).where(incoming.c.id == incoming_id, _may_read(tx, caller))
    row = tx.execute(query).first()
    if row is None:
        raise Missing("There is no such mail.", code="incoming_not_found")
    return row


def read_raw(tx: Connection, caller: Caller, incoming_id: str) -> bytes:
    """Return a mail byte for byte; of one that was too large, its header. Raises ``Missing``."""
    find_incoming(tx, caller, incoming_id)
    query = select(incoming_body.c.raw).where(incoming_body.c.incoming_id == incoming_id)
    raw = tx.scalar(query)
    if raw is None:
        raise Missing("The content of this mail was erased.", code="body_erased")
    return bytes(raw)


def mark_handled(
    tx: Connection, caller: Caller, incoming_id: str, *, handled: bool, note: str | None
) -> Row[Any]:
    """Write who took care of a mail and what they say of it, or that it is open again."""
    found = find_incoming(tx, caller, incoming_id)
    row = tx.execute(lock_rows(tx, select(incoming).where(incoming.c.id == found.id))).one()
    if handled == (row.handled_at is not None) and (not handled or note == row.handled_note):
        return row  # the first one keeps it
    at = now(tx)
    values = {
        "handled_at": at if handled else None,
        "handled_by": caller.name if handled else None,
        "handled_note": note if handled else None,
    }
    tx.execute(update(incoming).where(incoming.c.id == row.id).values(values))
    action = "inbox.handled" if handled else "inbox.reopened"
    before = {"handled_by": row.handled_by, "note": row.handled_note}
    after = {"handled_by": values["handled_by"], "note": values["handled_note"]}
    audit.record(tx, caller, action, f"inbox/{row.id}", before, after, at)
    return tx.execute(select(incoming).where(incoming.c.id == row.id)).one()


def _may_read(tx: Connection, caller: Caller) -> ColumnElement[bool]:
    caller.require(*SENDERS)
    if caller.user is None:
        return incoming.c.id.is_not(None)
    granted = select(account_right.c.account_id).where(
        account_right.c.user_id == caller.user,
        account_right.c.may_read | account_right.c.may_manage,
        or_(account_right.c.until.is_(None), account_right.c.until > now(tx)),
    )
    own = select(account.c.id).where(account.c.user_id == caller.user)
    return incoming.c.account_id.in_(own.union(granted))
