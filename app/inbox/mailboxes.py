"""Which mailboxes are collected, who is at it, and how far each was read.

A row of ``mailbox`` stands for every account whose incoming mail is switched on. A claim is a lease
that ``renew`` prolongs; what a worker writes after it lost its claim changes nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, or_, select, update
from sqlalchemy.engine import Connection

from app.configuration.load import ACCOUNTS, load_account, read_account
from app.configuration.model import StoredAccount
from app.configuration.tables import account
from app.db import lock_rows, now
from app.inbox.tables import mailbox, mailbox_uidl
from app.outbox.events import publish_of_account

LEASE_S = 60.0
# Waits after failures in a row, in seconds; the last one again and again.
WAITS_S = (30, 60, 120, 300, 600, 900)
TOLD_AFTER = 2  # failures in a row: servers cut a connection now and then


@dataclass(frozen=True, slots=True)
class Claim:
    """A mailbox in a worker's hands. fence: of this claim alone. numbering: None at first."""

    stored: StoredAccount
    fence: str
    numbering: int | None
    last_uid: int
    synced_at: datetime | None
    unread: int | None

    @property
    def account_id(self) -> str:
        """Whose mailbox it is."""
        return self.stored.id


def enroll(tx: Connection) -> None:
    """Make the rows of ``mailbox`` follow the configurations; another mailbox starts anew."""
    at = now(tx)
    query = ACCOUNTS.where(
        account.c.removed_at.is_(None), account.c.settings["incoming"].as_string().is_not(None)
    )
    accounts = [read_account(row) for row in tx.execute(query).mappings()]
    wanted = {each.id: each for each in accounts if name_target(each)}
    known = {row.account_id: row for row in tx.execute(select(mailbox))}
    for account_id in sorted(known.keys() - wanted.keys()):
        tx.execute(delete(mailbox).where(mailbox.c.account_id == account_id))
    for account_id, stored in sorted(wanted.items()):
        row, target = known.get(account_id), name_target(stored)
        if row is None:
            values = {"account_id": account_id, "target": target, "failures": 0, "next_at": at}
            tx.execute(insert(mailbox).values(values))
        elif row.target != target:
            _tell_recovery(tx, account_id, "changed", at)
            _change(
                tx, account_id, target=target, uidvalidity=None, last_uid=None, unread=None,
                synced_at=None, next_at=at, **_WELL, claimed_by=None, lease_until=None,
            )  # fmt: skip
            tx.execute(delete(mailbox_uidl).where(mailbox_uidl.c.account_id == account_id))
        elif row.failed_at is not None and stored.updated_at > row.failed_at:
            _tell_recovery(tx, account_id, "changed", at)
            _change(tx, account_id, next_at=at, **_WELL)  # a corrected password is tried at once


def name_target(stored: StoredAccount) -> str | None:
    """Return whose position it is: server, user and folder; None where nothing is collected."""
    incoming = stored.incoming
    if incoming is None or incoming.mode == "off" or stored.removed_at is not None:
        return None
    folder = incoming.folder if incoming.protocol == "imap" else ""
    return f"{incoming.protocol}://{incoming.username}@{incoming.server}/{folder}"


def find_due(tx: Connection) -> list[str]:
    """Return the accounts whose mailbox is to be looked at, the longest waiting first."""
    query = select(mailbox.c.account_id).where(_is_due(now(tx))).order_by(mailbox.c.next_at)
    return list(tx.scalars(query))


def claim(tx: Connection, account_id: str, fence: str) -> Claim | None:
    """Take a mailbox; None where another has it, or it is not due."""
    at = now(tx)
    taken = tx.execute(
        update(mailbox)
        .where(mailbox.c.account_id == account_id, _is_due(at))
        .values(claimed_by=fence, lease_until=at + timedelta(seconds=LEASE_S))
    )
    stored = load_account(tx, account_id)
    if not taken.rowcount or stored is None:
        return None
    row = tx.execute(select(mailbox).where(mailbox.c.account_id == account_id)).one()
    return Claim(stored, fence, row.uidvalidity, row.last_uid or 0, row.synced_at, row.unread)


def renew(tx: Connection, fences: Collection[str]) -> dict[str, int]:
    """Prolong claims; return those that are still good, with the version of their configuration."""
    until = now(tx) + timedelta(seconds=LEASE_S)
    tx.execute(update(mailbox).where(mailbox.c.claimed_by.in_(fences)).values(lease_until=until))
    query = select(mailbox.c.claimed_by, account.c.version).join(account)
    return {
        row.claimed_by: row.version
        for row in tx.execute(query.where(mailbox.c.claimed_by.in_(fences)))
    }


def holds(tx: Connection, held: Claim) -> bool:
    """Whether the claim is still good; the row is locked by looking."""
    touched = update(mailbox).where(_is(held)).values(claimed_by=held.fence)
    return bool(tx.execute(touched).rowcount)


def note_position(tx: Connection, held: Claim, numbering: int, last_uid: int) -> None:
    """Write how far an IMAP folder was read and touched, in which numbering."""
    values = {"uidvalidity": numbering, "last_uid": last_uid}
    tx.execute(update(mailbox).where(_is(held)).values(values))


def note_choice(
    tx: Connection, held: Claim, numbering: int, last_uid: int, left_out: Sequence[str]
) -> None:
    """Write what is left out at first: what is below a place, or these messages of POP3."""
    values = {"uidvalidity": numbering, "last_uid": last_uid, "synced_at": None}
    tx.execute(update(mailbox).where(_is(held)).values(values))
    note_uidls(tx, held, left_out, ())


def note_uidls(tx: Connection, held: Claim, seen: Sequence[str], gone: Collection[str]) -> None:
    """Write which messages of a POP3 mailbox were looked at, and forget those that are gone."""
    if not holds(tx, held):
        return
    at = now(tx)
    for each in seen:
        tx.execute(insert(mailbox_uidl).values(account_id=held.account_id, uidl=each, seen_at=at))
    for each in gone:
        mine = mailbox_uidl.c.account_id == held.account_id
        tx.execute(delete(mailbox_uidl).where(mine, mailbox_uidl.c.uidl == each))


def read_uidls(tx: Connection, account_id: str) -> set[str]:
    """Return the messages of a POP3 mailbox that were looked at."""
    query = select(mailbox_uidl.c.uidl).where(mailbox_uidl.c.account_id == account_id)
    return set(tx.scalars(query))


def note_synced(
    tx: Connection, held: Claim, unread: int | None, place: tuple[int, int] | None = None
) -> datetime | None:
    """Write that all was taken, up to ``place``; the claim goes on. None where it is another's by now."""
    at = now(tx)
    _tell_recovery(tx, held.account_id, "works", at, _is(held))
    values = {"synced_at": at, "unread": unread, **_WELL}
    if place is not None:
        values["uidvalidity"], values["last_uid"] = place
    return at if tx.execute(update(mailbox).where(_is(held)).values(values)).rowcount else None


def release(tx: Connection, held: Claim, wait_s: float) -> None:
    """End a claim; the mailbox is looked at again after ``wait_s``."""
    _end(tx, held, {"next_at": now(tx) + timedelta(seconds=wait_s)})


def note_failed(tx: Connection, held: Claim, cause: str, detail: str) -> None:
    """Write what went wrong, and end the claim; the waits grow."""
    at = now(tx)
    row = tx.execute(select(mailbox.c.failures).where(_is(held))).first()
    if row is None:
        return
    wait_s = WAITS_S[min(row.failures, len(WAITS_S) - 1)]
    values = {"failed_at": at, "failures": row.failures + 1, "cause": cause, "detail": detail}
    _end(tx, held, values | {"next_at": at + timedelta(seconds=wait_s)})
    if values["failures"] == TOLD_AFTER:
        told = {"cause": cause, "detail": detail}
        publish_of_account(tx, "account.mailbox_failed", held.account_id, told, at=at)


def _tell_recovery(
    tx: Connection, account_id: str, why: str, at: datetime, *where: ColumnElement[bool]
) -> None:
    """Tell that a mailbox is well, where its failure was told; before it is written."""
    told = (mailbox.c.account_id == account_id, mailbox.c.failures >= TOLD_AFTER)
    if tx.execute(lock_rows(tx, select(mailbox.c.account_id).where(*told, *where))).first():
        publish_of_account(tx, "account.mailbox_recovered", account_id, {"why": why}, at=at)


_WELL: dict[str, Any] = {"failed_at": None, "failures": 0, "cause": None, "detail": None}


def _is_due(at: datetime) -> ColumnElement[bool]:
    is_free = or_(mailbox.c.lease_until.is_(None), mailbox.c.lease_until <= at)
    return (mailbox.c.next_at <= at) & is_free


def _is(held: Claim) -> ColumnElement[bool]:
    return (mailbox.c.account_id == held.account_id) & (mailbox.c.claimed_by == held.fence)


def _end(tx: Connection, held: Claim, values: dict[str, Any]) -> None:
    done = values | {"claimed_by": None, "lease_until": None}
    tx.execute(update(mailbox).where(_is(held)).values(done))


def _change(tx: Connection, account_id: str, **values: Any) -> None:
    tx.execute(update(mailbox).where(mailbox.c.account_id == account_id).values(values))
