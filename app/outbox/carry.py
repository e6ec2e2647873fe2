"""What a carrier reads and writes: the account it works for, the body, the end of a try."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.configuration.load import load_account
from app.configuration.model import StoredAccount
from app.configuration.tables import account
from app.db import lock_rows, now
from app.errors import Missing
from app.outbox.health import note_success, note_trouble, read_health
from app.outbox.judge import read_lot
from app.outbox.queue import Claimed, Wait, claim
from app.outbox.settle import Outcome, Policy, settle
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


def claim_next(
    tx: Connection, account_id: str, claim_id: str, *, lease_s: float, delivery: str
) -> tuple[Carriage, Claimed | Wait | None]:
    """Claim the account's next message, to be carried by its configuration as it stands now."""
    carriage = load_carriage(tx, account_id)
    lot = read_lot(carriage.stored.settings)
    claimed = claim(tx, account_id, claim_id, lease_s=lease_s, lot=lot, delivery=delivery)
    return carriage, claimed


@dataclass(frozen=True, slots=True)
class Tried:
    """How a try went, beside its outcomes.

    version: of the configuration it was made with. capabilities: given where a session stood.
    trouble: cause and words of what pauses the account.
    """

    version: int
    server: str | None = None
    tls: str | None = None
    capabilities: Mapping[str, Any] | None = None
    starttls_offered: bool = False
    dsn_refused: bool = False
    trouble: tuple[str, str] | None = None
    reached_mail: bool = True


def settle_session(
    tx: Connection,
    claimed: Claimed,
    outcomes: tuple[Outcome, ...],
    tried: Tried,
    *,
    policy: Policy,
    jitter: float,
) -> bool:
    """Settle a try and note on the account how its server did; False where we were fenced off."""
    account_id = claimed.message.account_id
    blames_configuration = tried.trouble is not None or any(each.hold for each in outcomes)
    if blames_configuration and _was_changed(tx, account_id, tried.version):
        # What the old configuration came to says nothing of the new one: at once again.
        outcomes = tuple(replace(each, hold=None) for each in outcomes)
    elif tried.trouble is not None:
        cause, detail = tried.trouble
        note_trouble(tx, account_id, cause=cause, detail=detail, at=now(tx))
    elif tried.capabilities is not None:
        _note_session(tx, account_id, tried)
    return settle(
        tx,
        claimed,
        outcomes,
        policy=policy,
        jitter=jitter,
        server=tried.server,
        tls=tried.tls,
        reached_mail=tried.reached_mail,
    )


def _was_changed(tx: Connection, account_id: str, version: int) -> bool:
    """Tell whether somebody saved the configuration meanwhile; nobody does until the commit."""
    query = select(account.c.version).where(account.c.id == account_id)
    return bool(tx.scalar(lock_rows(tx, query)) != version)


def _note_session(tx: Connection, account_id: str, tried: Tried) -> None:
    """Remember what the server can do; written only where it is news, because it is a hot row."""
    known = read_health(tx, account_id)
    # Under TLS from the first byte STARTTLS is not offered; that takes nothing back.
    starttls_seen = tried.server if tried.starttls_offered else known.starttls_seen
    refused = tried.server if tried.dsn_refused else None
    shown = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in (tried.capabilities or {}).items()
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
