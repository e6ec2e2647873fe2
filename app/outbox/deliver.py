"""Delivery: one carrier is one SMTP connection of one account, and takes its mail one by one.

claim → open or reuse a session → envelope and body → mark (committed) → final dot → settle.
No transaction waits for a socket (G7). What a server does delays its own account only (G11):
every account has carriers of its own, and a session belongs to one account *and* one credential.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import structlog

from app.configuration.load import open_password
from app.configuration.model import StoredAccount
from app.configuration.secrets import open_for_target
from app.errors import Unavailable
from app.outbox.accept import smtp_password_place
from app.outbox.carry import Carriage, load_carriage, read_body, settle_session
from app.outbox.judge import (
    TROUBLE,
    describe_trouble,
    hold_all,
    judge,
    make_envelope,
    make_target,
    read_lot,
    refuse_erased,
    spread,
)
from app.outbox.office import Office
from app.outbox.queue import Claimed, Outcome, Policy, Wait, claim, mark
from app.settings import parse_schedule
from app.vault import CannotOpen
from app.wire.envelope import Verdict
from app.wire.session import Session
from app.wire.steps import SessionFailed
from app.wire.target import Secret

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Key:
    """What a kept session was opened with; another one needs another session."""

    version: int
    password: Secret | None


class Carrier:
    """One connection's worth of work for one account; ``run`` ends when there is none left."""

    def __init__(
        self,
        office: Office,
        account_id: str,
        worker_id: str,
        *,
        wake: asyncio.Event,
        stopping: asyncio.Event,
        active: set[str],
        next_number: Callable[[], int],
        more: Callable[[], None],
    ) -> None:
        """active: ids of claims whose leases the worker renews. more: ask for another carrier."""
        self._office = office
        self._account_id = account_id
        self._worker_id = worker_id
        self._wake = wake
        self._stopping = stopping
        self._active = active
        self._next_number = next_number
        self._more = more
        self._policy = Policy(parse_schedule(office.settings.retry_schedule))
        self._session: Session | None = None
        self._key: _Key | None = None
        self._server: str | None = None

    async def run(self) -> None:
        """Carry mail until none is due, then keep the connection for a while."""
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                if not await self._carry_next() and not await self._idle():
                    return
        finally:
            await self._close_session()

    def abort(self) -> None:
        """Drop the connection: a final reply that is still awaited becomes uncertain."""
        if self._session is not None:
            self._session.abort()

    async def _idle(self) -> bool:
        """Wait for the next message; False when it is time to go."""
        idle_s = self._office.settings.connection_idle_s if self._session is not None else 0.05
        try:
            async with asyncio.timeout(idle_s):  # not wait_for: 3.11 loses cancellations in it
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _carry_next(self) -> bool:
        """Carry one message; False where none is due."""
        office = self._office
        account = await office.db.read(load_carriage, self._account_id)
        claim_id = f"{self._worker_id}.{self._next_number()}"
        # Held before the claim commits, so that a slow start cannot lose the lease unrenewed.
        self._active.add(claim_id)
        try:
            claimed = await office.db.write_grouped(
                claim,
                self._account_id,
                claim_id,
                lease_s=office.settings.lease_s,
                lot=read_lot(account.stored.settings),
            )
            if claimed is None:
                return False
            if isinstance(claimed, Wait):
                return await self._wait_for_lot(claimed)
            if account.may_widen:
                self._more()
            await self._carry(claimed, account)
        finally:
            self._active.discard(claim_id)
        return True

    async def _wait_for_lot(self, wait: Wait) -> bool:
        delay_s = (wait.until - self._office.clock()).total_seconds()
        try:
            async with asyncio.timeout(max(0.02, min(delay_s, 5))):
                await self._stopping.wait()
        except TimeoutError:
            return True
        return False

    async def _carry(self, claimed: Claimed, account: Carriage) -> None:
        everyone = [each.id for each in claimed.recipients]
        if account.stored.settings is None:
            await self._settle(claimed, hold_all(everyone, "scope_removed"), reached_mail=False)
            return
        try:
            password = self._open_password(claimed, account.stored)
        except CannotOpen:
            await self._settle(claimed, hold_all(everyone, "awaiting_password"), reached_mail=False)
            return
        try:
            session = await self._take_session(account, password)
        except SessionFailed as failed:
            await self._settle_failed(claimed, account, failed)
            return
        body = await self._office.db.read(read_body, claimed.message.id)
        if body is None:
            await self._settle(
                claimed, [refuse_erased(each) for each in everyone], reached_mail=False
            )
            return
        await self._send(session, claimed, body)

    def _open_password(self, claimed: Claimed, stored: StoredAccount) -> Secret | None:
        """Return the password to log in with; raise ``CannotOpen`` where it is to be entered."""
        settings = stored.settings
        if settings is None or not settings.wants_login:
            return None
        if settings.password_mode == "ask":
            sealed = claimed.message.smtp_password
            if sealed is None:
                raise CannotOpen("this message's password was never given")
            place = smtp_password_place(claimed.message.id)
            return Secret(open_for_target(self._office.vault, sealed, place, settings))
        if stored.password_state != "stored":
            raise CannotOpen("the account's password is still to be entered")
        password = open_password(self._office.vault, stored)
        return None if password is None else Secret(password)

    async def _take_session(self, account: Carriage, password: Secret | None) -> Session:
        """Return a session of this account and credential, the kept one where it is still good."""
        key = _Key(account.stored.version, password)
        if self._session is not None and (
            self._key != key or not self._session.usable or self._session.is_stale()
        ):
            await self._close_session()
        if self._session is None:
            settings = account.stored.settings
            if settings is None:
                raise AssertionError("an account without a server has no session")
            self._session = await Session.open(
                make_target(settings, password, starttls_seen=account.saw_starttls),
                policy=self._office.policy(any_port=account.any_port),
                ehlo_name=self._office.ehlo_name,
            )
            self._session.dsn_refused = account.refused_dsn
            self._key = key
            self._server = settings.server
        return self._session

    async def _send(self, session: Session, claimed: Claimed, body: bytes) -> None:
        office = self._office
        redirect = office.settings.redirect_to
        envelope = make_envelope(office, claimed, redirect)
        # A lease that was lost before the dot: nothing goes out and nothing is written.
        ids = [each.id for each in claimed.recipients]

        async def mark_it() -> bool:
            return await office.db.write_grouped(mark, claimed.id, ids)

        transaction = await session.send(
            envelope,
            body,
            before_dot=mark_it,
            final_reply_timeout_s=office.settings.final_reply_timeout_s,
        )
        verdicts = spread(transaction, len(ids), redirect)
        outcomes = [judge(each, verdict) for each, verdict in zip(ids, verdicts, strict=True)]
        trouble = next((verdict for verdict in verdicts if verdict.cause in TROUBLE), None)
        await self._settle(claimed, outcomes, session=session, trouble=trouble)

    async def _settle(
        self,
        claimed: Claimed,
        outcomes: Sequence[Outcome],
        *,
        session: Session | None = None,
        trouble: Verdict | None = None,
        failed: SessionFailed | None = None,
        reached_mail: bool = True,
    ) -> None:
        """Write what came of it, again and again while the database is away."""
        jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
        while True:
            try:
                ours = await self._office.db.write_grouped(
                    settle_session,
                    claimed,
                    tuple(outcomes),
                    policy=self._policy,
                    jitter=jitter,
                    server=self._server if session else None,
                    tls=session.tls_facts.version if session and session.tls_facts else None,
                    capabilities=asdict(session.capabilities) if session else None,
                    starttls_offered=bool(session and session.starttls_offered),
                    dsn_refused=bool(session and session.dsn_refused),
                    trouble=describe_trouble(trouble, failed),
                    reached_mail=reached_mail,
                )
                break
            except Unavailable:
                await asyncio.sleep(1)
        self._office.db.ring()
        _write_log(self._office, self._worker_id, claimed, outcomes, ours)

    async def _settle_failed(
        self, claimed: Claimed, account: Carriage, failed: SessionFailed
    ) -> None:
        reply = failed.reply
        settings = account.stored.settings
        own_password = settings is not None and settings.password_mode == "ask"
        refused = failed.cause in ("credentials_refused", "auth_disabled")
        outcomes = [
            Outcome(
                each.id,
                "trouble",
                phase=failed.step,
                cause=failed.cause,
                code=reply.code if reply else None,
                enhanced=reply.enhanced if reply else None,
                reply=reply.text if reply else failed.detail,
                local=reply is None,
                # A password of this message's own: the account is not to blame.
                hold="password_refused" if own_password and refused else None,
            )
            for each in claimed.recipients
        ]
        await self._settle(
            claimed,
            outcomes,
            failed=None if own_password and refused else failed,
            reached_mail=False,
        )

    async def _close_session(self) -> None:
        session, self._session, self._key = self._session, None, None
        if session is not None:
            await session.quit() if session.usable else session.abort()


def _write_log(
    office: Office, worker_id: str, claimed: Claimed, outcomes: Sequence[Outcome], ours: bool
) -> None:
    names = {each.id: each.address for each in claimed.recipients}
    for outcome in outcomes:
        _log.info(
            "recipient",
            message=claimed.message.id,
            recipient=(
                names[outcome.recipient_id]
                if office.settings.log_addresses
                else outcome.recipient_id
            ),
            verdict=outcome.verdict or "returned",
            code=outcome.code,
            cause=outcome.cause,
            worker=worker_id,
            fenced=not ours,
        )
