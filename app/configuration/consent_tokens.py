"""The tokens of a consent: read, and replaced by one process at a time.

Who may ask for the next access token takes a lease by a row's update (no transaction waits for a
socket); what the provider answers is written where the refresh token is still the one that was
shown to it. A rotated refresh token is stored in the same transaction as its access token.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.configuration.consent import place_token
from app.configuration.consent_state import ConsentGrant, ConsentProvider
from app.configuration.model import (
    IncomingSettings,
    SmtpSettings,
    takes_token,
)
from app.configuration.secrets import move_to_place, open_for_servers, reseal_for_target
from app.configuration.tables import consent
from app.db import lock_rows, now
from app.errors import Notice
from app.vault import CannotOpen, Vault
from app.wire.oauth import Refusal, Tokens

_LEASE = timedelta(seconds=30)  # longer than a token endpoint is asked
_EARLY = timedelta(minutes=5)
_LATEST = timedelta(seconds=20)  # a login takes its time, and clocks differ
_REST = timedelta(seconds=10)  # an endpoint in trouble is not asked by every message
OTHER_SERVERS = (
    "The consent was given for another server or user name, or for a safer connection, and is not "
    "used for this one; its owner has to consent again."
)
COLUMNS = ("refresh_token", "access_token")


@dataclass(frozen=True, slots=True)
class Held:
    """A granted consent as it stands ``at`` this moment; the tokens are sealed."""

    account_id: str
    provider: ConsentProvider
    grant: ConsentGrant
    refresh_token: bytes = field(repr=False)
    access_token: bytes | None = field(repr=False)
    expires_at: datetime | None
    refreshed_at: datetime | None
    failed_at: datetime | None
    error: str | None
    at: datetime

    @property
    def is_usable(self) -> bool:
        """Whether the access token is good for a login now."""
        return self.expires_at is not None and self.at < self.expires_at - _LATEST

    @property
    def is_fresh(self) -> bool:
        """Whether it need not be replaced yet: not within its last five minutes, or half its life."""
        if self.expires_at is None or self.refreshed_at is None:
            return False
        early = min(_EARLY, (self.expires_at - self.refreshed_at) / 2)
        return self.is_usable and self.at < self.expires_at - early

    @property
    def rests(self) -> bool:
        """Whether the endpoint failed a moment ago."""
        return self.failed_at is not None and self.at < self.failed_at + _REST

    def open_access(self, vault: Vault, settings: SmtpSettings | IncomingSettings) -> str | None:
        """Return the access token for a server; raise ``CannotOpen`` where it is not for that one."""
        self.open_refresh(vault, settings)
        if self.access_token is None:
            return None
        return open_for_servers(vault, self.access_token, self.place("access_token"), settings)

    def open_refresh(
        self, vault: Vault, settings: SmtpSettings | IncomingSettings | None = None
    ) -> str:
        """Return the refresh token, empty for client credentials; raise ``CannotOpen``."""
        place = self.place("refresh_token")
        return open_for_servers(vault, self.refresh_token, place, settings)

    def place(self, column: str) -> str:
        """Return where one of the tokens is sealed to stand."""
        return place_token(self.account_id, column, self.provider, self.grant)


def read_held(tx: Connection, account_id: str) -> Held | None:
    """Return the account's consent; None where none is granted."""
    query = select(consent).where(consent.c.account_id == account_id, consent.c.state == "granted")
    row = tx.execute(query).first()
    if row is None:
        return None
    return Held(
        account_id=account_id,
        provider=row.provider,
        grant=row.grant_type,
        refresh_token=row.refresh_token,
        access_token=row.access_token,
        expires_at=row.expires_at,
        refreshed_at=row.refreshed_at,
        failed_at=row.failed_at,
        error=row.error,
        at=now(tx),
    )


def take_turn(tx: Connection, held: Held) -> bool:
    """Whether the caller, and nobody else now, may ask for the next access token."""
    at = now(tx)
    taken = tx.execute(
        update(consent)
        .where(
            consent.c.account_id == held.account_id,
            consent.c.state == "granted",
            or_(consent.c.lease_until.is_(None), consent.c.lease_until <= at),
            # Somebody may have got one since ``held`` was read.
            consent.c.refreshed_at.is_(None)
            if held.refreshed_at is None
            else consent.c.refreshed_at == held.refreshed_at,
        )
        .values(lease_until=at + _LEASE)
    )
    return taken.rowcount == 1


def note_answer(
    tx: Connection, vault: Vault, shown: Held, answer: Tokens | Refusal
) -> Refusal | None:
    """Store what the provider answered when it was shown the refresh token of ``shown``.

    Where another token was stored meanwhile nothing changes. Returns a refusal that still holds.
    """
    at = now(tx)
    query = select(consent).where(
        consent.c.account_id == shown.account_id, consent.c.state == "granted"
    )
    tx.execute(lock_rows(tx, query)).first()
    present = read_held(tx, shown.account_id)
    if present is None or not _is_same(vault, present, shown):
        return None
    change = update(consent).where(consent.c.account_id == shown.account_id)
    if isinstance(answer, Refusal):
        if answer.kind == "consent":
            lose_consent(tx, shown.account_id, answer.detail)
        else:
            tx.execute(change.values(lease_until=None, error=answer.detail, failed_at=at))
        return answer

    def seal(secret: str, column: str) -> bytes:
        return move_to_place(vault, secret, present.place(column), present.refresh_token)

    values: dict[str, Any] = {
        "access_token": seal(answer.access.reveal(), "access_token"),
        "expires_at": at + timedelta(seconds=answer.lasts_s),
        "refreshed_at": at,
        "lease_until": None,
        "error": None,
        "failed_at": None,
    }
    if answer.refresh is not None and present.grant == "authorization_code":
        values["refresh_token"] = seal(answer.refresh.reveal(), "refresh_token")
    if answer.scopes is not None:
        values["scopes"] = answer.scopes
    tx.execute(change.values(**values))
    return None


def check_servers(
    tx: Connection, vault: Vault, account_id: str, settings: SmtpSettings | None
) -> tuple[Notice, ...]:
    """Take a consent back that is not for the server just saved, and say so."""
    held = read_held(tx, account_id)
    if held is None or settings is None or not takes_token(settings):
        return ()
    try:
        held.open_refresh(vault, settings)
    except CannotOpen:
        lose_consent(tx, account_id, OTHER_SERVERS)
        return (Notice("consent_needed", f"{OTHER_SERVERS} Mail waits until then.", "/smtp"),)
    return ()


def lose_consent(tx: Connection, account_id: str, detail: str) -> bool:
    """Write that only a person can go on: the consent was taken back, or is for other servers.

    False where that was so before.
    """
    at = now(tx)
    lost = tx.execute(
        update(consent)
        .where(consent.c.account_id == account_id, consent.c.state == "granted")
        .values(
            state="needs_consent",
            refresh_token=None,
            access_token=None,
            expires_at=None,
            lease_until=None,
            error=detail,
            failed_at=at,
        )
    )
    if lost.rowcount:
        what = {"detail": detail}
        audit.record(
            tx, audit.SYSTEM, "account.consent_lost", f"accounts/{account_id}", None, what, at
        )
    return bool(lost.rowcount)


def reseal_consents(tx: Connection, vault: Vault) -> int:
    """Seal tokens again that an older key sealed; return how many."""
    query = select(consent).where(consent.c.refresh_token.is_not(None))
    done = 0
    for row in tx.execute(lock_rows(tx, query.order_by(consent.c.account_id))).all():
        changed = {}
        for column in COLUMNS:
            place = place_token(row.account_id, column, row.provider, row.grant_type)
            sealed = row._mapping[column]
            again = None if sealed is None else reseal_for_target(vault, sealed, place)
            if again is not None:
                changed[column] = again
        if changed:
            where = consent.c.account_id == row.account_id
            tx.execute(update(consent).where(where).values(**changed))
            done += len(changed)
    return done


def _is_same(vault: Vault, present: Held, shown: Held) -> bool:
    """Whether the refresh token is still the one that was shown; it may be sealed anew."""
    try:
        return (present.provider, present.grant, present.open_refresh(vault)) == (
            shown.provider,
            shown.grant,
            shown.open_refresh(vault),
        )
    except CannotOpen:
        return False
