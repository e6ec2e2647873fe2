"""What a caller may read of the mail that came in, and marking it as handled.

Lists run from the newest to the oldest and carry the first words of each mail, not all of it. A search
for words has no index: it looks through ``WINDOW`` mails at a time, so that none takes long, and says
how far it came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.db import lock_rows, now
from app.errors import Missing
from app.inbox.reach import list_readable, may_read
from app.inbox.tables import REPORTS, incoming, incoming_body

WINDOW = 2000  # mails that one search looks through
SEARCHED_CHARS = 4000  # of each text
PREVIEW_CHARS = 300
REPORT = "report"  # in place of a kind: any of REPORTS
_LINE = (
    *(column for column in incoming.c if column.name not in ("text", "report")),
    func.substr(incoming.c.text, 1, PREVIEW_CHARS).label("preview"),
    # Of a report no more than that: it may name a thousand.
    incoming.c.report[("recipients", 0)].label("first_reported"),
    incoming.c.report["disposition"].label("disposition"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which mail is listed; None: any. handled: whether somebody took care of it.

    kind: one, or ``REPORT``. matched: whether it is about a message. text: in sender, subject,
    document or the beginning of the text, in any case.
    """

    account: str | None = None
    kind: str | None = None
    reference_type: str | None = None
    reference_number: str | None = None
    reference_customer: str | None = None
    message: str | None = None
    handled: bool | None = None
    matched: bool | None = None
    verified: bool | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of mail. following: the id to go on below; None at the end.

    is_cut: it ended because of ``WINDOW``, before it was full.
    """

    rows: Sequence[Row[Any]]
    following: str | None
    is_cut: bool = False


def list_incoming(
    tx: Connection, caller: Caller, wanted: Wanted, *, before: str | None, limit: int
) -> Found:
    """Return mail, the newest first, below the id ``before``; ``preview`` has its first words."""
    conditions = _choose(wanted)
    if before is not None:
        conditions.append(incoming.c.id < before)
    if wanted.text:
        return _search(tx, caller, conditions, wanted.text.casefold(), limit)
    ids = _list_ids(tx, caller, conditions, limit + 1)
    following = ids[limit - 1] if len(ids) > limit else None
    return Found(_read_lines(tx, ids[:limit]), following)


def find_incoming(tx: Connection, caller: Caller, incoming_id: str) -> Row[Any]:
    """Return one mail; raise ``Missing`` where there is none for this caller."""
    is_theirs = may_read(tx, caller, incoming.c.account_id)
    row = tx.execute(select(incoming).where(incoming.c.id == incoming_id, is_theirs)).first()
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


def _choose(wanted: Wanted) -> list[ColumnElement[bool]]:
    equal = {
        incoming.c.account_id: wanted.account,
        incoming.c.reference_type: wanted.reference_type,
        incoming.c.reference_number: wanted.reference_number,
        incoming.c.reference_customer: wanted.reference_customer,
        incoming.c.about_id: wanted.message,
    }
    chosen = [column == value for column, value in equal.items() if value]
    if wanted.kind is not None:
        kinds = REPORTS if wanted.kind == REPORT else (wanted.kind,)
        chosen.append(incoming.c.kind.in_(kinds))
    for condition, wish in (
        (incoming.c.handled_at.is_not(None), wanted.handled),
        (incoming.c.about_id.is_not(None), wanted.matched),
        (incoming.c.is_verified, wanted.verified),
    ):
        if wish is not None:
            chosen.append(condition if wish else ~condition)
    return chosen


def _list_ids(
    tx: Connection, caller: Caller, conditions: Sequence[ColumnElement[bool]], limit: int
) -> list[str]:
    query = select(incoming.c.id).where(*conditions).order_by(incoming.c.id.desc()).limit(limit)
    accounts = list_readable(tx, caller)
    if accounts is None:
        return list(tx.scalars(query))
    found = (tx.scalars(query.where(incoming.c.account_id == each)) for each in accounts)
    return nlargest(limit, chain.from_iterable(found))


def _read_lines(tx: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
    query = select(*_LINE).where(incoming.c.id.in_(ids))
    return tx.execute(query.order_by(incoming.c.id.desc())).all()


def _search(
    tx: Connection,
    caller: Caller,
    conditions: Sequence[ColumnElement[bool]],
    text: str,
    limit: int,
) -> Found:
    """Look for ``text``, case folded, here: databases fold ASCII only, or each in its own way."""
    seen = _list_ids(tx, caller, conditions, WINDOW)
    query = select(
        incoming.c.id,
        incoming.c.sender_key,
        incoming.c.sender_name,
        incoming.c.subject,
        incoming.c.reference_number,
        incoming.c.reference_customer,
        func.substr(incoming.c.text, 1, SEARCHED_CHARS),
    ).where(incoming.c.id.in_(seen))
    rows = tx.execute(query.order_by(incoming.c.id.desc()))
    hits = [row.id for row in rows if any(each and text in each.casefold() for each in row[1:])]
    is_cut = len(hits) <= limit and len(seen) == WINDOW
    following = hits[limit - 1] if len(hits) > limit else seen[-1] if is_cut else None
    return Found(_read_lines(tx, hits[:limit]), following, is_cut)
