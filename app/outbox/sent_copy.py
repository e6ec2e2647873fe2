"""The copy of a sent message in its account's Sent folder: asked for, claimed, settled.

It is asked for in the transaction in which the message ends, at most once for a message whatever is
retried later. A claim is a lease longer than ``copier`` may work on it; whoever gets it after another
looks first whether the copy is there. What cannot be made is a warning on the message, never a
second send.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.configuration.load import load_account
from app.configuration.model import StoredAccount
from app.db import lock_rows, now
from app.outbox.events import Note, record
from app.outbox.tables import message, message_body, sent_copy

LEASE_S = 600.0
MOST_AT_ONCE = 10
# Seconds to wait after each try; after the last one it is given up, a day later or so.
WAITS_S = (60, 300, 1800, 7200, 21_600, 43_200)


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy in a worker's hands. fence: of this claim alone. is_retry: it may be there already."""

    message_id: str
    rfc_message_id: str
    fence: str
    raw: bytes | None
    is_retry: bool


@dataclass(frozen=True, slots=True)
class Copies:
    """The copies of one account that are due."""

    stored: StoredAccount
    copies: tuple[Copy, ...]


def ask_for_copies(tx: Connection, rows: Sequence[Row[Any]], at: datetime) -> None:
    """Ask for the copies of messages that ended; those of a test (``redirect``) get none."""
    wanted = [
        row.id
        for row in rows
        if row.copy_account_id and row.delivery == "on" and not row.erase_at_end
    ]
    if not wanted:
        return
    accounts = {row.id: row.copy_account_id for row in rows}
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    tx.execute(
        insert(sent_copy).on_conflict_do_nothing(),
        [
            {
                "message_id": each,
                "account_id": accounts[each],
                "due_at": at,
                "tries": 0,
                "asked_at": at,
            }
            for each in wanted
        ],
    )


def find_due(tx: Connection) -> list[str]:
    """Return the accounts that have copies to make."""
    return list(tx.scalars(select(sent_copy.c.account_id).where(_is_due(now(tx))).distinct()))


def claim_copies(tx: Connection, account_id: str, fence: str) -> Copies | None:
    """Take an account's next copies; None where there are none, or the account is gone."""
    at = now(tx)
    query = (
        select(sent_copy.c.message_id, sent_copy.c.tries, message.c.message_id.label("rfc_id"))
        .join(message, message.c.id == sent_copy.c.message_id)
        .where(_is_due(at), sent_copy.c.account_id == account_id)
        .order_by(sent_copy.c.due_at, sent_copy.c.message_id)
        .limit(MOST_AT_ONCE)
    )
    found = tx.execute(lock_rows(tx, query, skip_locked=True)).all()
    stored = load_account(tx, account_id)
    if not found or stored is None:
        return None
    ids = [row.message_id for row in found]
    tx.execute(
        update(sent_copy)
        .where(sent_copy.c.message_id.in_(ids))
        .values(
            claimed_by=fence,
            lease_until=at + timedelta(seconds=LEASE_S),
            tries=sent_copy.c.tries + 1,
        )
    )
    bodies = select(message_body.c.message_id, message_body.c.raw)
    raw = {
        row.message_id: bytes(row.raw)
        for row in tx.execute(bodies.where(message_body.c.message_id.in_(ids)))
    }
    return Copies(
        stored,
        tuple(
            Copy(row.message_id, row.rfc_id, fence, raw.get(row.message_id), row.tries > 0)
            for row in found
        ),
    )


def note_copied(tx: Connection, copy: Copy, folder: str | None) -> None:
    """Write that the copy stands in ``folder``; None: nothing was left to copy, or to do."""
    at = now(tx)
    if not _end(tx, copy, {"due_at": None, "ended_at": at, "folder": folder}):
        return
    if folder is not None:
        _note(tx, copy, "message.copied", {"folder": folder}, at)


def note_not_copied(tx: Connection, copy: Copy, cause: str, detail: str) -> None:
    """Write that a try failed: another follows, or it is given up, which is shown on the message."""
    at = now(tx)
    query = select(sent_copy.c.tries).where(sent_copy.c.message_id == copy.message_id)
    tries = tx.scalar(query) or 0  # pruned meanwhile: then nothing is written
    values: dict[str, Any] = {"cause": cause, "detail": detail}
    gives_up = tries > len(WAITS_S)
    if gives_up:
        values |= {"due_at": None, "ended_at": at}
    else:
        values |= {"due_at": at + timedelta(seconds=WAITS_S[tries - 1])}
    if not _end(tx, copy, values) or not gives_up:
        return
    warned = {
        "code": "copy_failed",
        "detail": f"It was sent, but no copy could be put into the Sent folder: {detail}",
    }
    shown = select(message.c.warnings).where(message.c.id == copy.message_id)
    warnings = tx.scalar(lock_rows(tx, shown))
    tx.execute(
        update(message)
        .where(message.c.id == copy.message_id)
        .values(warnings=[*(warnings or ()), warned])
    )
    _note(tx, copy, "message.copy_failed", {"cause": cause, "detail": detail}, at)


def give_back(tx: Connection, copies: Sequence[Copy]) -> None:
    """Hand back copies, due at once. The first may have been begun; the others count no try."""
    for position, each in enumerate(copies):
        _end(tx, each, {"tries": sent_copy.c.tries - 1} if position else {})


def _is_due(at: datetime) -> ColumnElement[bool]:
    is_free = or_(sent_copy.c.lease_until.is_(None), sent_copy.c.lease_until <= at)
    return (sent_copy.c.due_at <= at) & is_free


def _end(tx: Connection, copy: Copy, values: dict[str, Any]) -> bool:
    """End the claim; False, and nothing is changed, where it is another's by now."""
    found = tx.execute(
        update(sent_copy)
        .where(sent_copy.c.message_id == copy.message_id, sent_copy.c.claimed_by == copy.fence)
        .values(claimed_by=None, lease_until=None, **values)
    )
    return bool(found.rowcount)


def _note(tx: Connection, copy: Copy, type: str, data: dict[str, Any], at: datetime) -> None:
    row = tx.execute(
        select(message.c.owner_id, message.c.user_id).where(message.c.id == copy.message_id)
    ).one()
    record(tx, [Note(type, copy.message_id, row.owner_id, row.user_id, at, data=data)])
