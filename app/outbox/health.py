"""How an account's mail server is doing: the circuit breaker's row, seen and changed.

Trouble of the configuration (refused login, failed handshake, dead host) pauses the account with
growing waits and shows its cause; the waiting mail keeps its tries. Success, or a saved change of
the configuration, closes it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.configuration.model import StoredAccount
from app.db import now
from app.outbox.events import publish_of_account
from app.outbox.tables import account_state

# What mail is held for while an account's login lacks something; the account's state, too.
HELD_FOR = {"awaiting": "awaiting_password", "consent_needed": "consent_needed"}
RECOVERY = timedelta(minutes=30)  # after the pause that a complaint made, all is as before
_BY_ID = select(account_state).where(account_state.c.account_id == bindparam("id"))
_WAITS_S = (60, 120, 300, 600, 900)  # the last repeats: a quarter of an hour is soon enough to see

_FORGOTTEN = (
    "paused_until",
    "cause",
    "detail",
    "slowed_at",
    "slow_until",
    "slow_reason",
    "slow_detail",
    "slow_rate",
    "slow_connections",
    "turn_at",
    "session_messages",
    "session_learned_at",
)


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of an account's server. paused_until: the next try after trouble."""

    failures: int = 0
    paused_until: datetime | None = None
    cause: str | None = None
    detail: str | None = None
    failed_at: datetime | None = None
    succeeded_at: datetime | None = None
    capabilities: Mapping[str, Any] | None = None
    starttls_seen: str | None = None
    dsn_refused: str | None = None
    pipelining_broken: str | None = None
    # Of ``manners``.
    slowed_at: datetime | None = None
    slow_until: datetime | None = None
    slow_reason: str | None = None
    slow_detail: str | None = None
    slow_hits: int = 0
    slow_rate: float | None = None
    slow_connections: int | None = None
    session_messages: int | None = None
    session_learned_at: datetime | None = None

    @property
    def rests_until(self) -> datetime | None:
        """When mail may go again, after trouble or a complaint."""
        pauses = [each for each in (self.paused_until, self.slow_until) if each is not None]
        return max(pauses, default=None)

    def is_slowed(self, at: datetime) -> bool:
        """Whether the server asked us to slow down, and it is not yet forgotten."""
        return self.slow_until is not None and at < self.slow_until + RECOVERY


def read_health(tx: Connection, account_id: str) -> Health:
    """Return what is known; all empty for an account that has not sent yet."""
    row = tx.execute(_BY_ID, {"id": account_id}).first()
    return Health() if row is None else _show(row)


def name_state(stored: StoredAccount, health: Health, at: datetime) -> str:
    """Return in one word how an account is doing."""
    if stored.paused_at is not None:
        return "paused"
    if stored.password_state in ("awaiting", "consent_needed"):
        return HELD_FOR[stored.password_state]
    if health.cause:
        return "trouble"
    return "slowed" if health.is_slowed(at) else "active"


def note_trouble(
    tx: Connection, account_id: str, *, cause: str, detail: str, at: datetime
) -> datetime:
    """Pause the account because of its configuration; return when it is tried again.

    Several connections that fail together are one trouble: only the first lengthens the wait, and
    only the first after it was well is told (``account.paused``).
    """
    ensure_state(tx, account_id)
    known = read_health(tx, account_id)
    failures, until = known.failures, known.paused_until
    if until is None or until <= at:
        failures += 1
        until = at + timedelta(seconds=_WAITS_S[min(failures, len(_WAITS_S)) - 1])
    is_news = _change(tx, account_id, account_state.c.cause.is_(None), cause=cause)
    _change(
        tx, account_id, failures=failures, paused_until=until, cause=cause, detail=detail, failed_at=at
    )  # fmt: skip
    if is_news:
        told = {
            "cause": cause,
            "detail": detail,
            "until": f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        publish_of_account(tx, "account.paused", account_id, told, at=at)
    return until


def note_success(
    tx: Connection,
    account_id: str,
    *,
    at: datetime,
    capabilities: Mapping[str, Any],
    starttls_seen: str | None,
    dsn_refused: str | None,
    pipelining_broken: str | None,
) -> None:
    """Record that a session stood, and what its server can do; close the breaker."""
    ensure_state(tx, account_id)
    _tell_end(tx, account_id, "works", at)
    _change(
        tx,
        account_id,
        failures=0,
        paused_until=None,
        cause=None,
        detail=None,
        succeeded_at=at,
        capabilities=dict(capabilities),
        starttls_seen=starttls_seen,
        dsn_refused=dsn_refused,
        pipelining_broken=pipelining_broken,
    )


def close_breaker(tx: Connection, account_id: str) -> None:
    """Forget the trouble and the complaints: the configuration was changed, or a person said try
    now."""
    _tell_end(tx, account_id, "changed", now(tx))
    _change(tx, account_id, failures=0, slow_hits=0, **dict.fromkeys(_FORGOTTEN))


def _tell_end(tx: Connection, account_id: str, why: str, at: datetime) -> None:
    """Tell that an account in trouble goes on, once: of several at the same moment one finds it."""
    if _change(tx, account_id, account_state.c.cause.is_not(None), cause=None):
        publish_of_account(tx, "account.resumed", account_id, {"why": why}, at=at)


def _change(tx: Connection, account_id: str, *where: ColumnElement[bool], **values: Any) -> bool:
    changing = update(account_state).where(account_state.c.account_id == account_id, *where)
    return bool(tx.execute(changing.values(values)).rowcount)


def ensure_state(tx: Connection, account_id: str) -> None:
    """Make the account's row where there is none."""
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    tx.execute(
        insert(account_state)
        .values(account_id=account_id, failures=0, lot_count=0)
        .on_conflict_do_nothing()
    )


def _show(row: Row[Any]) -> Health:
    known = row._mapping
    return Health(**{each.name: known[each.name] for each in fields(Health)})
