"""Who is not to be written to: the question, and what it does to mail.

A suppression covers a message where its scope is ``global``, the message's own (``users/<id>``,
``accounts/<id>``) or that of the user it is sent as. It is asked three times: when a message is
prepared (the answer shows it), when a suppression is made (what waits is stopped at once), and in
the statement that claims (so that nothing slips through between the two; it costs no round trip).
An expired suppression is none; what it stopped stays stopped.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, exists, or_, select
from sqlalchemy.engine import Connection

from app.configuration.model import GLOBAL, name_scope
from app.db import now
from app.mime.address import Mailbox
from app.outbox.rows import (
    Moving,
    lock_messages,
    move_all,
    read_all_recipients,
    read_recipients,
    refresh_all,
)
from app.outbox.status import WAITING
from app.outbox.tables import message, recipient, suppression

STOPPED = "suppressed"
_STOPPABLE = WAITING | {"held"}
_CHUNK = 1000  # addresses of one statement: databases bound its parameters
_ASK = select(
    suppression.c.address_key, suppression.c.scope, suppression.c.reason, suppression.c.expires_at
).where(suppression.c.address_key.in_(bindparam("keys", expanding=True)))


@dataclass(frozen=True, slots=True)
class Asked:
    """A message's recipients. scopes: of ``name_scopes``; keys: ``Mailbox.key`` of each."""

    scopes: frozenset[str]
    keys: frozenset[str]
    at: datetime


def name_scopes(scope: str, user: str | None) -> frozenset[str]:
    """Return the scopes whose suppressions cover a message of ``scope``, sent as ``user``."""
    return frozenset((GLOBAL, scope, name_scope(user)))


def find_suppressed(tx: Connection, asked: Sequence[Asked]) -> list[dict[str, str]]:
    """Return of each question the reasons of those who are suppressed, by key. Merged verb."""
    found = _read(tx, {key for each in asked for key in each.keys})
    return [
        {key: reason for key in each.keys if (reason := _choose(found, key, each.scopes, each.at))}
        for each in asked
    ]


def find_suppressed_of(tx: Connection, row: Row[Any]) -> Mapping[str, str]:
    """Return the reasons of the recipients of a message that are suppressed now, by key."""
    keys = frozenset(each.address_key for each in read_recipients(tx, row.id))
    return find_suppressed(tx, [Asked(name_scopes(row.scope, row.user_id), keys, now(tx))])[0]


def is_suppressed(at: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition on a ``recipient`` that its address is suppressed at the instant."""
    return exists(
        select(suppression.c.id)
        .where(
            suppression.c.address_key == recipient.c.address_key,
            # No join: it would bring a recipient of its own into the question, any of all.
            message.c.id == recipient.c.message_id,
            or_(suppression.c.expires_at.is_(None), suppression.c.expires_at > at),
            or_(
                suppression.c.scope.in_((GLOBAL, message.c.scope)),
                suppression.c.scope == "users/" + message.c.user_id,
            ),
        )
        .correlate(recipient)
    )


def stop_waiting(tx: Connection, addresses: Collection[str], at: datetime) -> int:
    """Suppress those of ``addresses`` (keys) that wait or are held in any message and may not be
    written to; return how many. Who is being sent to is asked again by the next claim."""
    stopped = 0
    for keys in _cut(sorted(addresses)):
        waiting = (
            select(recipient.c.message_id)
            .join(message, message.c.id == recipient.c.message_id)
            .where(
                recipient.c.address_key.in_(keys),
                recipient.c.state.in_(_STOPPABLE),
                ~message.c.is_draft,
            )
        )
        found = tx.scalars(waiting.distinct()).all()
        if found:
            stopped += len(stop(tx, list(lock_messages(tx, found).values()), at))
    return stopped


def stop(tx: Connection, rows: Sequence[Row[Any]], at: datetime) -> list[str]:
    """Suppress the waiting recipients of locked messages that may not be written to; return their
    ids. The rows need ``scope`` and what ``rows.refresh_all`` reads."""
    recipients = read_all_recipients(tx, [row.id for row in rows])
    waiting = {
        row.id: [each for each in recipients[row.id] if each.state in _STOPPABLE] for row in rows
    }
    found = _read(tx, {_key(each) for several in waiting.values() for each in several})
    moving = [
        Moving(row, each, STOPPED, STOPPED, reason=reason)
        for row in rows
        for each in waiting[row.id]
        if (reason := _choose(found, _key(each), name_scopes(row.scope, row.user_id), at))
    ]
    move_all(tx, moving, at)
    touched = {each.row.id for each in moving}
    refresh_all(tx, [row for row in rows if row.id in touched], at)
    return [each.recipient.id for each in moving]


_Found = Mapping[str, Sequence[Any]]


def _read(tx: Connection, keys: Collection[str]) -> _Found:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for some in _cut(sorted(keys)):
        for row in tx.execute(_ASK, {"keys": some}):
            found[row.address_key].append(row)
    return found


def _choose(found: _Found, key: str, scopes: Collection[str], at: datetime) -> str | None:
    """Return the reason of the suppression that covers an address, the widest first."""
    holding = [
        each
        for each in found.get(key, ())
        if each.scope in scopes and (each.expires_at is None or each.expires_at > at)
    ]
    return min(holding, key=lambda each: each.scope != GLOBAL).reason if holding else None


def _key(each: Row[Any]) -> str:
    return Mailbox(each.address).key


def _cut(keys: Iterable[str]) -> Iterable[list[str]]:
    left = iter(keys)
    return iter(lambda: list(islice(left, _CHUNK)), [])
