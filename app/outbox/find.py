"""Finding messages, for every door: those that a caller may see, with what became of them.

Lists run from the newest to the oldest; a page goes on after the id it ended with. Free text has no
index: it looks through ``WINDOW`` messages at a time, so that no search takes long, and says how far
it came.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, or_, select
from sqlalchemy.engine import Connection

from app.accounts.caller import SENDERS, Caller
from app.db import new_id
from app.errors import Fault, Missing, Refused
from app.mime.address import Mailbox, parse_mailbox
from app.outbox.events import read_feed, select_events
from app.outbox.health import read_health
from app.outbox.order import Reference
from app.outbox.reach import narrow_to_visible, sees_hidden
from app.outbox.rows import read_recipients
from app.outbox.status import STATUSES
from app.outbox.tables import attempt, event, message, recipient

WINDOW = 5000  # messages that one search for free text looks through
_ANY = Reference()
_FIRST, _LAST = datetime(1971, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)  # ids end there


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for: all that is given must hold. text: in subject, document, recipients."""

    statuses: tuple[str, ...] = ()
    to: Mailbox | None = None
    user: str | None = None
    reference: Reference = _ANY
    document: str | None = None  # its number or the customer's
    batch_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One message. paused_until: of its account, which no waiting mail precedes."""

    row: Row[Any]
    recipients: tuple[Row[Any], ...]
    paused_until: datetime | None


@dataclass(frozen=True, slots=True)
class Search:
    """A page of a search. following: the id to go on after; None at the end.

    is_cut: it ended because of ``WINDOW``, before it was full.
    """

    found: list[Found]
    following: str | None
    is_cut: bool = False


def read_statuses(text: str) -> tuple[str, ...]:
    """Return the statuses of a list with commas; raise ``Refused`` ``unknown_value``."""
    wanted = tuple(each.strip().lower().replace("-", "_") for each in text.split(","))
    unknown = [each for each in wanted if each not in STATUSES]
    if unknown:
        raise Refused(
            f"{unknown[0]!r} is no status.",
            code="unknown_value",
            faults=[Fault("", "unknown_value", f"A status is one of {', '.join(STATUSES)}.")],
        )
    return wanted


def read_address(text: str) -> Mailbox:
    """Return a recipient to look for; raise ``Refused`` for what is no address."""
    mailbox, faults = parse_mailbox(text, "")
    if mailbox is None or faults:
        raise Refused("This is no mail address.", faults=faults)
    return mailbox


def find_messages(
    tx: Connection, caller: Caller, wanted: Wanted, *, after: str | None, limit: int, at: datetime
) -> Search:
    """Return a page of what is wanted, the newest first."""
    query = _narrow(select(message), caller, wanted, at)
    if after is not None:
        query = query.where(message.c.id < after)
    query = query.order_by(message.c.id.desc())
    if wanted.text:
        return _search(tx, caller, query, wanted.text.casefold(), limit)
    rows = tx.execute(query.limit(limit + 1)).all()
    following = rows[limit - 1].id if len(rows) > limit else None
    return Search(_read_all(tx, caller, rows[:limit]), following)


def find_message(tx: Connection, caller: Caller, message_id: str) -> Found:
    """Return a message; raise ``Missing`` where there is none for this caller."""
    row = tx.execute(
        narrow_to_visible(select(message), caller).where(message.c.id == message_id)
    ).first()
    if row is None:
        raise Missing("There is no such message.")
    recipients = tuple(
        each for each in read_recipients(tx, row.id) if not each.hidden or sees_hidden(caller)
    )
    paused_until = read_health(tx, row.account_id).rests_until if row.due_at else None
    return Found(row, recipients, paused_until)


def read_attempts(tx: Connection, found: Found) -> list[Row[Any]]:
    """Return the tries for the recipients that are shown, in the order they ended."""
    places = {each.id: each.position for each in found.recipients}
    rows = tx.execute(select(attempt).where(attempt.c.message_id == found.row.id))
    return sorted(
        (each for each in rows if each.recipient_id in places),
        key=lambda each: (each.ended_at, places[each.recipient_id]),
    )


def read_events(
    tx: Connection,
    caller: Caller,
    *,
    after: tuple[int, int],
    limit: int,
    message_id: str | None = None,
) -> list[Row[Any]]:
    """Return the next events this caller may see after a cursor (txid, number), in order."""
    caller.require(*SENDERS)
    query = select_events()
    if caller.user is not None:
        query = query.where(event.c.user_id == caller.user)
    if not sees_hidden(caller):
        hidden = select(recipient.c.id).where(
            recipient.c.id == event.c.recipient_id, recipient.c.hidden
        )
        query = query.where(~exists(hidden))
    if message_id is not None:
        query = query.where(event.c.message_id == message_id)
    return read_feed(tx, query, after=after, limit=limit)


def name_present_status(row: Row[Any], at: datetime) -> str:
    """Return the status now: what was scheduled is queued once its time has come."""
    if row.status == "scheduled" and row.send_at is not None and row.send_at <= at:
        return "queued"
    return str(row.status)


def _narrow(query: Select[Any], caller: Caller, wanted: Wanted, at: datetime) -> Select[Any]:
    query = narrow_to_visible(query, caller)
    user = caller.acts_as(wanted.user)
    if user is not None:
        query = query.where(message.c.user_id == user)
    if wanted.statuses:
        query = query.where(_has_status(wanted.statuses, at))
    if wanted.to is not None:
        named = select(recipient.c.message_id).where(recipient.c.address_key == wanted.to.key)
        if not sees_hidden(caller):
            named = named.where(~recipient.c.hidden)
        query = query.where(message.c.id.in_(named))
    if wanted.document is not None:
        either = (message.c.reference_number, message.c.reference_customer)
        query = query.where(or_(*(column == wanted.document for column in either)))
    for column, value in (
        (message.c.reference_type, wanted.reference.type),
        (message.c.reference_number, wanted.reference.number),
        (message.c.reference_customer, wanted.reference.customer),
        (message.c.batch_id, wanted.batch_id),
    ):
        if value is not None:
            query = query.where(column == value)
    # Ids begin with the time they were made: the bounds on them are for the index alone.
    if (after := wanted.created_after) is not None:
        query = query.where(message.c.created_at > after, message.c.id > _begin_ids(after, -1))
    if (before := wanted.created_before) is not None:
        query = query.where(message.c.created_at < before, message.c.id < _begin_ids(before, 1))
    return query


def _begin_ids(at: datetime, hours: int) -> str:
    """Return what sorts before every id made ``hours`` after ``at``, and after those made before."""
    at = min(max(at, _FIRST), _LAST)
    return new_id(at + timedelta(hours=hours))[:10]


def _has_status(statuses: Sequence[str], at: datetime) -> ColumnElement[bool]:
    # What was scheduled is queued once its time has come, without anybody writing it down.
    plain = [each for each in statuses if each != "scheduled"]
    choices: list[ColumnElement[bool]] = [message.c.status.in_(plain)] if plain else []
    if "scheduled" in statuses:
        choices.append(and_(message.c.status == "scheduled", message.c.send_at > at))
    if "queued" in statuses:
        choices.append(and_(message.c.status == "scheduled", message.c.send_at <= at))
    return or_(*choices)


def _search(tx: Connection, caller: Caller, query: Select[Any], text: str, limit: int) -> Search:
    """Look for ``text``, case folded, here: databases fold ASCII only, or each in its own way."""
    window = query.limit(WINDOW)
    seen = tx.execute(
        window.with_only_columns(
            message.c.id,
            message.c.subject,
            message.c.reference_number,
            message.c.reference_customer,
        )
    ).all()
    ids = window.with_only_columns(message.c.id).subquery()
    named = select(recipient.c.message_id, recipient.c.address_key, recipient.c.name).join(
        ids, ids.c.id == recipient.c.message_id
    )
    if not sees_hidden(caller):
        named = named.where(~recipient.c.hidden)
    fits = {row[0] for row in (*seen, *tx.execute(named)) if _holds(row[1:], text)}
    hits = [row.id for row in seen if row.id in fits]
    is_cut = len(hits) <= limit and len(seen) == WINDOW
    following = hits[limit - 1] if len(hits) > limit else seen[-1].id if is_cut else None
    rows = tx.execute(
        select(message).where(message.c.id.in_(hits[:limit])).order_by(message.c.id.desc())
    ).all()
    return Search(_read_all(tx, caller, rows), following, is_cut)


def _holds(texts: Sequence[str | None], wanted: str) -> bool:
    return any(text is not None and wanted in text.casefold() for text in texts)


def _read_all(tx: Connection, caller: Caller, rows: Sequence[Row[Any]]) -> list[Found]:
    """Return messages with their recipients and the pauses of their accounts."""
    recipients: dict[str, list[Row[Any]]] = defaultdict(list)
    for each in tx.execute(
        select(recipient)
        .where(recipient.c.message_id.in_([row.id for row in rows]))
        .order_by(recipient.c.message_id, recipient.c.position)
    ):
        if not each.hidden or sees_hidden(caller):
            recipients[each.message_id].append(each)
    pauses = {
        account_id: read_health(tx, account_id).rests_until
        for account_id in {row.account_id for row in rows if row.due_at is not None}
    }
    return [
        Found(row, tuple(recipients[row.id]), pauses.get(row.account_id) if row.due_at else None)
        for row in rows
    ]
