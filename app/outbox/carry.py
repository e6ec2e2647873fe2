"""What a carrier reads and writes: the account it works for, the body, the end of a try."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.configuration.load import load_account
from app.configuration.model import StoredAccount
from app.db import now
from app.errors import Missing
from app.outbox.health import note_success, note_trouble, read_health
from app.outbox.queue import Claimed, Outcome, Policy, settle
from app.outbox.tables import message_body


@dataclass(frozen=True, slots=True)
class Carriage:
    """An account as a carrier sees it.

    saw_starttls, refused_dsn: what its present server did before. may_widen: more than one
    connection is in order (no lots, and not the one trial after trouble).
    """

    stored: StoredAccount
    saw_starttls: bool
    refused_dsn: bool
    may_widen: bool
    any_port: bool = True  # the port was checked when the configuration was saved


def load_carriage(tx: Connection, account_id: str) -> Carriage:
    """Return the account and what is known of its server."""
    stored = load_account(tx, account_id)
    if stored is None:
        raise Missing("There is no such account.")
    health = read_health(tx, account_id)
    server = stored.settings.server if stored.settings else None
    return Carriage(
        stored=stored,
        saw_starttls=server is not None and health.starttls_seen == server,
        refused_dsn=server is not None and health.dsn_refused == server,
        may_widen=health.failures == 0
        and not (stored.settings is not None and stored.settings.batch_limit),
    )


def read_body(tx: Connection, message_id: str) -> bytes | None:
    """Return the finished message, or None where it was erased."""
    raw = tx.scalar(select(message_body.c.raw).where(message_body.c.message_id == message_id))
    return None if raw is None else bytes(raw)


def settle_session(
    tx: Connection,
    claimed: Claimed,
    outcomes: tuple[Outcome, ...],
    *,
    policy: Policy,
    jitter: float,
    server: str | None,
    tls: str | None,
    capabilities: Mapping[str, Any] | None,
    starttls_offered: bool,
    dsn_refused: bool,
    trouble: tuple[str, str] | None,
    reached_mail: bool,
) -> bool:
    """Settle a try and note on the account how its server did; False where we were fenced off.

    capabilities: given where a session stood. trouble: cause and words of what pauses the account.
    """
    account_id = claimed.message.account_id
    if trouble is not None:
        note_trouble(tx, account_id, cause=trouble[0], detail=trouble[1], at=now(tx))
    elif capabilities is not None:
        _note_session(tx, account_id, server, capabilities, starttls_offered, dsn_refused)
    return settle(
        tx,
        claimed,
        outcomes,
        policy=policy,
        jitter=jitter,
        server=server,
        tls=tls,
        reached_mail=reached_mail,
    )


def _note_session(
    tx: Connection,
    account_id: str,
    server: str | None,
    capabilities: Mapping[str, Any],
    starttls_offered: bool,
    dsn_refused: bool,
) -> None:
    """Remember what the server can do; written only where it is news, because it is a hot row."""
    known = read_health(tx, account_id)
    # Under TLS from the first byte STARTTLS is not offered; that takes nothing back.
    starttls_seen = server if starttls_offered else known.starttls_seen
    refused = server if dsn_refused else None
    shown = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in capabilities.items()
    }
    if (
        known.succeeded_at is not None
        and known.failures == 0
        and dict(known.capabilities or {}) == shown
        and known.starttls_seen == starttls_seen
        and known.dsn_refused == refused
    ):
        return
    note_success(
        tx,
        account_id,
        at=now(tx),
        capabilities=shown,
        starttls_seen=starttls_seen,
        dsn_refused=refused,
    )
