"""The list of those who are not to be written to: made, changed, lifted, read.

One row per address and scope. What a person enters replaces what is there; what happens by itself
(``suppress``: an unsubscription, a hard bounce, a complaint) never shortens it. Lifting one brings
back no mail: what it stopped is sent anew with ``resend``.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import SENDERS, Caller
from app.accounts.people import check_user_id
from app.configuration.model import ACCOUNT_SCOPE, GLOBAL, name_scope
from app.configuration.tables import account
from app.db import lock_rows, new_id
from app.errors import Denied, Fault, Missing, Refused
from app.mime.address import Mailbox
from app.outbox.suppressed import stop_waiting
from app.outbox.tables import suppression

MOST_NOTE_CHARS = 500
# RFC 3463 §3.2, RFC 7505 §4.2: no such mailbox, no such domain, no address, moved, null MX. The
# others of 5.1 are about the sender, or say no more than "something with the address".
NO_SUCH_ADDRESS = frozenset(("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"))
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One address that a scope is not to write to. expires_at: None is never.

    message_id: the message that it came of.
    """

    address: Mailbox
    scope: str
    reason: str
    expires_at: datetime | None = None
    note: str = ""
    message_id: str | None = None

    @property
    def place(self) -> tuple[str, str]:
        """What no other entry has: key and scope."""
        return self.address.key, self.scope


@dataclass(frozen=True, slots=True)
class Listed:
    """What became of entries. stopped: recipients that waited and wait no more."""

    rows: tuple[Row[Any], ...]
    created: int
    changed: int
    stopped: int


@dataclass(frozen=True, slots=True)
class Wished:
    """What a list is narrowed to: all that is given must hold. active: not expired at ``at``."""

    at: datetime
    address: Mailbox | None = None
    scope: str | None = None
    reason: str | None = None
    active: bool | None = None


def suppress(
    tx: Connection,
    address: Mailbox,
    scope: str,
    reason: str,
    *,
    caller: Caller,
    at: datetime,
    message_id: str | None = None,
    stop: bool = True,
) -> bool:
    """Suppress an address by itself, for good; False where it was so before.

    scope: ``global``, ``users/<id>`` or ``accounts/<id>``. caller: whom the audit names. stop:
    what waits stops at once; else when it is claimed, for who has messages locked already.
    """
    entry = Entry(address, scope, reason, message_id=message_id)
    kept = tx.scalar(
        select(suppression.c.id).where(_is_at(entry), suppression.c.expires_at.is_(None))
    )
    if kept is None:
        put_suppression(tx, caller, entry, at, stop=stop)
    return kept is None


def note_bounces(
    tx: Connection,
    bounced: Iterable[tuple[Row[Any], str]],
    at: datetime,
    *,
    reason: str = "hard_bounce",
    is_told_by_user: bool = False,
) -> None:
    """Suppress addresses that do not exist, or whose owners complained, where the configuration
    says so.

    bounced: the message (id, scope) and the address of each. The suppression holds for the scope
    that says so, and only where its own server said it: a server of a user's choice decides for
    nobody else, and neither does what came to a mailbox of a user's own (is_told_by_user).
    """
    for row, address in sorted(bounced, key=lambda each: each[1]):
        scope = _find_wish(tx, row.scope, row.account_id)
        if scope is not None and is_told_by_user:
            scope = name_scope(row.user_id) if row.user_id else None
        if scope is not None:
            suppress(
                tx, Mailbox(address), scope, reason, caller=audit.SYSTEM, at=at,
                message_id=row.id, stop=False,
            )  # fmt: skip


def _find_wish(tx: Connection, scope: str, account_id: str) -> str | None:
    """Return the scope that is to suppress, where ``suppress_hard_bounces`` is on for ``scope``."""
    query = select(account.c.id, account.c.scope, account.c.settings).where(
        account.c.scope.in_((scope, GLOBAL)), account.c.removed_at.is_(None)
    )
    stored = {row.scope: row for row in tx.execute(query)}
    for each in (scope, GLOBAL):
        wish = each in stored and stored[each].settings.get("suppress_hard_bounces")
        if each in stored and wish is not None:
            return (each if stored[each].id == account_id else scope) if wish else None
    return None


def carry_over(tx: Connection, before: str, after: str, at: datetime) -> None:
    """Let what covers the scope ``before`` cover ``after`` too: an account that moved there."""
    rows = tx.execute(select(suppression).where(suppression.c.scope == before)).mappings().all()
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    if rows:
        copies = [{**row, "id": new_id(at), "scope": after, "updated_at": at} for row in rows]
        tx.execute(insert(suppression).on_conflict_do_nothing(), copies)


def put_suppression(
    tx: Connection, caller: Caller, entry: Entry, at: datetime, *, stop: bool = True
) -> Listed:
    """Make one suppression, or change the one of that address and scope."""
    before = tx.execute(lock_rows(tx, select(suppression).where(_is_at(entry)))).first()
    done = _write(tx, caller, [entry], at, stop=stop)
    if done.created or done.changed:
        (row,) = done.rows
        what = "create" if done.created else "change"
        shown = None if before is None else _show(before)
        audit.record(
            tx, caller, f"suppression.{what}", f"suppressions/{row.id}", shown, _show(row), at
        )
    return done


def import_suppressions(
    tx: Connection, caller: Caller, entries: Sequence[Entry], at: datetime
) -> Listed:
    """Make or change many; of several of one address and scope the last one counts."""
    done = _write(tx, caller, list({each.place: each for each in entries}.values()), at)
    counts = {"created": done.created, "changed": done.changed, "stopped": done.stopped}
    audit.record(tx, caller, "suppression.import", "suppressions", None, counts, at)
    return done


def count_import(tx: Connection, entries: Sequence[Entry]) -> Listed:
    """Return what ``import_suppressions`` would do, without saying whom it would stop."""
    wanted = {each.place: each for each in entries}
    known = _read_known(tx, wanted)
    changed = sum(_differs(row, wanted[place]) for place, row in known.items())
    return Listed((), len(wanted) - len(known), changed, 0)


def lift(tx: Connection, caller: Caller, suppression_id: str, at: datetime) -> None:
    """Take one off the list; raise ``Missing`` where there is none for this caller."""
    row = read_suppression(tx, caller, suppression_id)
    tx.execute(delete(suppression).where(suppression.c.id == row.id))
    audit.record(tx, caller, "suppression.delete", f"suppressions/{row.id}", _show(row), None, at)


def read_suppression(tx: Connection, caller: Caller, suppression_id: str) -> Row[Any]:
    """Return one; raise ``Missing`` where there is none for this caller."""
    query = _narrow_to_own(select(suppression), caller)
    row = tx.execute(query.where(suppression.c.id == suppression_id)).first()
    if row is None:
        raise Missing("There is no such suppression.", code="suppression_not_found")
    return row


def list_suppressions(
    tx: Connection,
    caller: Caller,
    wished: Wished,
    *,
    before: str | None = None,
    limit: int | None = None,
) -> Sequence[Row[Any]]:
    """Return those that fit, the newest first; ``before`` is the last id seen."""
    query = _narrow_to_own(select(suppression), caller).order_by(suppression.c.id.desc())
    for column, value in (
        (suppression.c.address_key, wished.address and wished.address.key),
        (suppression.c.scope, wished.scope),
        (suppression.c.reason, wished.reason),
    ):
        if value is not None:
            query = query.where(column == value)
    if wished.active is not None:
        holds = or_(suppression.c.expires_at.is_(None), suppression.c.expires_at > wished.at)
        query = query.where(holds if wished.active else ~holds)
    if before is not None:
        query = query.where(suppression.c.id < before)
    return tx.execute(query.limit(limit)).all()


def require_own_scope(caller: Caller, scope: str | None) -> str:
    """Return the scope that a caller means (None: its widest); raise ``Denied`` for another's."""
    caller.require(*SENDERS)
    own = name_scope(caller.user)
    if scope is None or caller.user is None or scope == own:
        return own if scope is None else scope
    raise Denied("This key is bound to one user and suppresses for that one.", code="other_scope")


def find_unknown_scopes(tx: Connection, scopes: Collection[str]) -> dict[str, Fault]:
    """Return what is wrong with scopes, by scope; pointers are empty."""
    accounts = {scope for scope in scopes if scope.startswith(ACCOUNT_SCOPE)}
    known: set[str] = set()
    for some in _cut(sorted(accounts)):
        query = select(account.c.scope).where(account.c.scope.in_(some))
        known |= set(tx.scalars(query.where(account.c.removed_at.is_(None))))
    wrong = {
        scope: Fault("", "account_not_found", "There is no such account; GET /accounts lists them.")
        for scope in accounts - known
    }
    for scope in set(scopes) - accounts:
        if (detail := _find_wrong(scope)) is not None:
            wrong[scope] = Fault("", "invalid_scope", detail)
    return wrong


def _find_wrong(scope: str) -> str | None:
    place, slash, user = scope.partition("/")
    if scope == GLOBAL:
        return None
    if place != "users" or not slash:
        return "A scope is global, users/<id> or accounts/<id>."
    try:
        return None if check_user_id(user) == user else "Give the user id in its NFC form."
    except Refused as error:
        return error.detail


def _write(
    tx: Connection, caller: Caller, entries: Sequence[Entry], at: datetime, *, stop: bool = True
) -> Listed:
    """Insert what is new, change what differs, stop what waits; entries: of different places."""
    wanted = {each.place: each for each in sorted(entries, key=lambda each: each.place)}
    fresh = {place: _make_row(each, caller, at) for place, each in wanted.items()}
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    if fresh:
        # In one order, so that two lists at once never wait for each other in a circle.
        tx.execute(insert(suppression).on_conflict_do_nothing(), list(fresh.values()))
    known = _read_known(tx, wanted)
    created = sum(known[place].id == row["id"] for place, row in fresh.items())
    changed = 0
    for place, row in known.items():
        if row.id != fresh[place]["id"] and _differs(row, wanted[place]):
            kept = {"id", "made_at", "address_key", "scope"}
            values = {name: value for name, value in fresh[place].items() if name not in kept}
            tx.execute(update(suppression).where(suppression.c.id == row.id).values(values))
            changed += 1
    if changed:
        known = _read_known(tx, wanted)
    stopped = stop_waiting(tx, {key for key, _ in wanted}, at) if stop else 0
    return Listed(tuple(known[each.place] for each in entries), created, changed, stopped)


def _read_known(
    tx: Connection, places: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Row[Any]]:
    found: dict[tuple[str, str], Row[Any]] = {}
    for keys in _cut(sorted({key for key, _ in places})):
        query = select(suppression).where(suppression.c.address_key.in_(keys))
        for row in tx.execute(query.order_by(suppression.c.address_key, suppression.c.scope)):
            if (row.address_key, row.scope) in places:
                found[row.address_key, row.scope] = row
    return found


def _make_row(entry: Entry, caller: Caller, at: datetime) -> dict[str, Any]:
    return {
        "id": new_id(at),
        "address": entry.address.address,
        "address_key": entry.address.key,
        "scope": entry.scope,
        "reason": entry.reason,
        "note": entry.note,
        "message_id": entry.message_id,
        "expires_at": entry.expires_at,
        "made_by": caller.name,
        "made_at": at,
        "updated_at": at,
    }


def _differs(row: Row[Any], entry: Entry) -> bool:
    return (row.reason, row.expires_at, row.note) != (entry.reason, entry.expires_at, entry.note)


def _is_at(entry: Entry) -> ColumnElement[bool]:
    key, scope = entry.place
    return (suppression.c.address_key == key) & (suppression.c.scope == scope)


def _narrow_to_own(query: Select[Any], caller: Caller) -> Select[Any]:
    caller.require(*SENDERS)
    if caller.user is None:
        return query
    return query.where(suppression.c.scope == name_scope(caller.user))


def _show(row: Row[Any]) -> dict[str, Any]:
    return {
        "address": row.address,
        "scope": row.scope,
        "reason": row.reason,
        "expires_at": row.expires_at and row.expires_at.isoformat(),
        "note": row.note,
    }


def _cut(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
