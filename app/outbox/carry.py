"""What a carrier reads and writes: the account it works for, the bodies, the end of tries."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from app.configuration.load import load_account
from app.configuration.model import StoredAccount
from app.configuration.tables import account
from app.db import lock_rows, now
from app.errors import Missing
from app.outbox.complaint import Complaint
from app.outbox.health import note_success, note_trouble, read_health
from app.outbox.judge import read_lot
from app.outbox.manners import Limits, find_limits, heed, note_accepted
from app.outbox.queue import MOST_BYTES, Claimed, Wait, claim
from app.outbox.settle import Settlement, settle
from app.outbox.tables import message_body
from app.wire.capabilities import Capabilities

_BODIES = select(message_body.c.message_id, message_body.c.raw).where(
    message_body.c.message_id.in_(bindparam("ids", expanding=True))
)


@dataclass(frozen=True, slots=True)
class Carriage:
    """An account as a carrier sees it.

    saw_starttls, refused_dsn, broke_pipelining: what its present server did before. has_failed: the
    next session is the trial after trouble. may_widen: more than one connection is in order (no
    lots, and no trial). limits: what manners ask for.
    """

    stored: StoredAccount
    saw_starttls: bool
    refused_dsn: bool
    broke_pipelining: bool
    has_failed: bool
    may_widen: bool
    limits: Limits
    any_port: bool = True  # the port was checked when the configuration was saved


def load_carriage(tx: Connection, account_id: str) -> Carriage:
    """Return the account and what is known of its server."""
    stored = load_account(tx, account_id)
    if stored is None:
        raise Missing("There is no such account.")
    health = read_health(tx, account_id)
    server = stored.settings.server if stored.settings else None
    at = now(tx)
    limits = find_limits(health, stored.settings.host if stored.settings else "", at)
    return Carriage(
        stored=stored,
        saw_starttls=server is not None and health.starttls_seen == server,
        refused_dsn=server is not None and health.dsn_refused == server,
        broke_pipelining=server is not None and health.pipelining_broken == _name_day(server, at),
        has_failed=health.failures > 0,
        may_widen=health.failures == 0
        and health.slow_hits == 0
        and limits.connections != 1
        and not (stored.settings is not None and stored.settings.batch_limit),
        limits=limits,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages claimed at one stroke, and whose mail they are. bodies: by message; those of large
    messages and of erased ones are not among them."""

    carriage: Carriage
    claimed: tuple[Claimed, ...]
    bodies: Mapping[str, bytes]


def claim_batch(
    tx: Connection, account_id: str, claim_id: str, *, lease_s: float, delivery: str, most: int
) -> Batch | Wait | None:
    """Claim the account's next messages, to be carried by its configuration as it stands now."""
    carriage = load_carriage(tx, account_id)
    settings = carriage.stored.settings
    if settings is not None and settings.password_mode == "ask":
        most = 1  # each may have a login of its own
    claimed = claim(
        tx,
        account_id,
        claim_id,
        lease_s=lease_s,
        lot=read_lot(settings),
        limits=carriage.limits,
        delivery=delivery,
        most=most,
    )
    if isinstance(claimed, Wait):
        return claimed
    if not claimed:
        return None
    small = [each.message.id for each in claimed if each.message.size_bytes <= MOST_BYTES]
    return Batch(carriage, tuple(claimed), _read_bodies(tx, small))


def read_body(tx: Connection, message_id: str) -> bytes | None:
    """Return the finished message, or None where it was erased."""
    return _read_bodies(tx, [message_id]).get(message_id)


def _read_bodies(tx: Connection, message_ids: Collection[str]) -> dict[str, bytes]:
    found = tx.execute(_BODIES, {"ids": list(message_ids)})
    return {message_id: bytes(raw) for message_id, raw in found}


@dataclass(frozen=True, slots=True)
class Stand:
    """What a session that stood tells of its server (``host:port``)."""

    server: str
    capabilities: Capabilities
    starttls_offered: bool
    dsn_refused: bool
    pipelining_broken: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """A try and what it tells of its account.

    version: of the configuration it was made with. stand: where it is to be noted. trouble: cause
    and words of what pauses the account. complaint: what slows it down; where it turns out to be
    none, the trouble holds. host: its server.
    """

    settlement: Settlement
    version: int
    stand: Stand | None = None
    trouble: tuple[str, str] | None = None
    complaint: Complaint | None = None
    host: str = ""

    @property
    def account_id(self) -> str:
        """The account whose mail it was."""
        return str(self.settlement.claimed.message.account_id)


def settle_tries(tx: Connection, asked: Sequence[Tried]) -> list[bool]:
    """Settle tries and note on the accounts how their servers did; False where fenced off.

    Merged verb.
    """
    blaming = [
        each
        for each in asked
        if each.trouble is not None
        or each.complaint is not None
        or any(one.hold for one in each.settlement.outcomes)
    ]
    versions = _lock_versions(tx, {each.account_id for each in blaming})
    # What the old configuration came to says nothing of the new one: at once again.
    outdated = {id(each) for each in blaming if versions.get(each.account_id) != each.version}
    settled = settle(
        tx,
        [_drop_holds(one.settlement) if id(one) in outdated else one.settlement for one in asked],
    )
    for each in sorted(asked, key=lambda one: one.account_id):
        if _heed(tx, each, is_outdated=id(each) in outdated):
            continue
        if each.trouble is not None:
            if id(each) not in outdated:
                cause, detail = each.trouble
                note_trouble(tx, each.account_id, cause=cause, detail=detail, at=now(tx))
        elif each.stand is not None:
            _note_stand(tx, each.account_id, each.stand)
    return settled


def _heed(tx: Connection, tried: Tried, *, is_outdated: bool) -> bool:
    """Note what the server asked of our manners; True where it says all there is to say."""
    claimed = tried.settlement.claimed
    if tried.complaint is None:
        if claimed.is_trial and any(one.verdict == "sent" for one in tried.settlement.outcomes):
            note_accepted(tx, tried.account_id)
        return False
    if is_outdated:
        return True
    heeded = heed(tx, tried.account_id, claimed.id, tried.complaint, host=tried.host, at=now(tx))
    return heeded and tried.trouble is not None


def _lock_versions(tx: Connection, account_ids: Collection[str]) -> dict[str, int]:
    """Return what the configurations' versions are until the commit."""
    if not account_ids:
        return {}
    query = select(account.c.id, account.c.version).where(account.c.id.in_(account_ids))
    found = tx.execute(lock_rows(tx, query.order_by(account.c.id)))
    return {row.id: row.version for row in found}


def _drop_holds(settlement: Settlement) -> Settlement:
    outcomes = tuple(replace(each, hold=None) for each in settlement.outcomes)
    return replace(settlement, outcomes=outcomes)


def _note_stand(tx: Connection, account_id: str, stand: Stand) -> None:
    """Remember what the server can do; written only where it is news, because it is a hot row."""
    known = read_health(tx, account_id)
    # Under TLS from the first byte STARTTLS is not offered; that takes nothing back.
    starttls_seen = stand.server if stand.starttls_offered else known.starttls_seen
    dsn_refused = stand.server if stand.dsn_refused else None
    pipelining_broken = _name_day(stand.server, now(tx)) if stand.pipelining_broken else None
    shown = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(stand.capabilities).items()
    }
    if (
        known.succeeded_at is not None
        and known.failures == 0
        and dict(known.capabilities or {}) == shown
        and known.starttls_seen == starttls_seen
        and known.dsn_refused == dsn_refused
        and known.pipelining_broken == pipelining_broken
    ):
        return
    note_success(
        tx,
        account_id,
        at=now(tx),
        capabilities=shown,
        starttls_seen=starttls_seen,
        dsn_refused=dsn_refused,
        pipelining_broken=pipelining_broken,
    )


def _name_day(server: str, at: datetime) -> str:
    """Groups are tried again every day: what breaks them is often mended without a word."""
    return f"{server} {at:%Y-%m-%d}"
