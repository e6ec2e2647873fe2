"""Figures for people: what waits, what became of each day's mail.

Messages are counted by status in an index, and by day through their ids, which begin with the time
they were made (``db.new_id``); so the figures cost little with a hundred thousand messages stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.load import ACCOUNTS, read_account
from app.configuration.model import StoredAccount, name_scope
from app.configuration.tables import account, consent
from app.db import new_id, now
from app.outbox.health import RECOVERY, Health, name_state, read_health
from app.outbox.tables import account_state, message, recipient

_TIME_CHARACTERS = 10  # of an id
_MOST_HELD_LOOKED_AT = 200
# What a person sees of a status; drafts and what was cancelled are neither.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "sent": ("sent", "delivered"),
    "waiting": ("scheduled", "queued", "sending", "deferred", "held"),
    "failed": ("failed", "partially_sent", "expired", "suppressed"),
}


@dataclass(frozen=True, slots=True)
class Day:
    """How many messages of one day are sent, waiting, failed by now."""

    begins_at: datetime
    sent: int
    waiting: int
    failed: int


@dataclass(frozen=True, slots=True)
class Queued:
    """Messages of one status. oldest_at: when the oldest was accepted."""

    status: str
    count: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class Trouble:
    """An account that needs somebody: ``paused``, ``awaiting_password``, ``consent_needed``,
    ``trouble``, ``slowed``."""

    stored: StoredAccount
    state: str
    health: Health


def count_days(tx: Connection, caller: Caller, bounds: Sequence[datetime]) -> list[Day]:
    """Return the figures of each day between two neighbours of ``bounds``."""
    days = list(pairwise(bounds))
    counts = [
        select(func.count())
        .where(
            _is_visible(caller),
            message.c.status.in_(statuses),
            message.c.id >= _first_id(begins_at),
            message.c.id < _first_id(ends_at),
        )
        .scalar_subquery()
        for begins_at, ends_at in days
        for statuses in GROUPS.values()
    ]
    found = list(tx.execute(select(*counts)).one())
    return [
        Day(begins_at, *found[index * len(GROUPS) : (index + 1) * len(GROUPS)])
        for index, (begins_at, _) in enumerate(days)
    ]


def count_queue(tx: Connection, caller: Caller) -> list[Queued]:
    """Return what has not ended, by status in the order in which a message passes them."""
    query = (
        select(message.c.status, func.count(), func.min(message.c.id))
        .where(_is_visible(caller), message.c.status.in_(GROUPS["waiting"]))
        .group_by(message.c.status)
    )
    found = {row[0]: row for row in tx.execute(query)}
    oldest = select(message.c.id, message.c.created_at).where(
        message.c.id.in_([row[2] for row in found.values()])
    )
    made = {row[0]: row[1] for row in tx.execute(oldest)}
    return [
        Queued(status, found[status][1], made[found[status][2]])
        for status in GROUPS["waiting"]
        if status in found
    ]


def count_since(tx: Connection, caller: Caller, statuses: Sequence[str], since: datetime) -> int:
    """Return how many messages accepted since then have one of ``statuses``."""
    query = select(func.count()).where(
        _is_visible(caller), message.c.status.in_(statuses), message.c.id >= _first_id(since)
    )
    return tx.scalar(query) or 0


def list_held_reasons(tx: Connection, caller: Caller) -> list[str]:
    """Return why messages are held, looking at the newest of them."""
    newest = (
        select(message.c.id)
        .where(_is_visible(caller), message.c.status == "held")
        .order_by(message.c.id.desc())
        .limit(_MOST_HELD_LOOKED_AT)
    )
    query = (
        select(recipient.c.reason)
        .where(recipient.c.message_id.in_(newest), recipient.c.state == "held")
        .distinct()
    )
    return sorted(reason for (reason,) in tx.execute(query) if reason)


def list_troubles(tx: Connection, caller: Caller) -> list[Trouble]:
    """Return the accounts that need somebody; a user is told of their own only."""
    at = now(tx)
    shaken = select(account_state.c.account_id).where(
        account_state.c.cause.is_not(None) | (account_state.c.slow_until > at - RECOVERY)
    )
    needs = (
        account.c.id.in_(shaken)
        | account.c.paused_at.is_not(None)
        | (consent.c.state == "needs_consent")
        | ((account.c.password_state == "awaiting") & consent.c.granted_at.is_(None))
    )
    own = true() if caller.user is None else account.c.scope == name_scope(caller.user)
    troubles = []
    for stored in _read_accounts(tx, needs & own & account.c.removed_at.is_(None)):
        health = read_health(tx, stored.id)
        troubles.append(Trouble(stored, name_state(stored, health, at), health))
    return troubles


def _read_accounts(tx: Connection, condition: ColumnElement[bool]) -> list[StoredAccount]:
    query = ACCOUNTS.where(condition).order_by(account.c.scope).limit(100)
    return [read_account(row) for row in tx.execute(query).mappings()]


def _is_visible(caller: Caller) -> ColumnElement[bool]:
    return true() if caller.user is None else message.c.user_id == caller.user


def _first_id(at: datetime) -> str:
    """Return what sorts before every id made at ``at`` or later, and after all that were before."""
    return new_id(at)[:_TIME_CHARACTERS]
