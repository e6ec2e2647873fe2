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
from app.outbox.carry import Carriage, Tried, claim_next, read_body, settle_session
from app.outbox.judge import (
    describe_failed,
    find_trouble,
    hold_all,
    is_redirect,
    judge,
    judge_failed,
    make_envelope,
    make_target,
    reached_mail,
    refuse_erased,
    return_all,
    spread,
)
from app.outbox.office import Office
from app.outbox.queue import Claimed, Wait, mark
from app.outbox.settle import Outcome, Policy
from app.settings import parse_schedule
from app.vault import CannotOpen
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
                if await self._carry_next() or await self._idle():
                    continue
                await self._close_session()
                if not self._wake.is_set():  # while it said goodbye
                    return
        finally:
            await self._close_session()

    def abort(self) -> bool:
        """Drop the connection: a final reply that is still awaited becomes uncertain.

        False where there is none yet: then the task may be cancelled, and its claim is given back.
        """
        if self._session is None:
            return False
        self._session.abort()
        return True

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
        claim_id = f"{self._worker_id}.{self._next_number()}"
        # Held before the claim commits, so that a slow start cannot lose the lease unrenewed.
        self._active.add(claim_id)
        try:
            carriage, claimed = await office.db.write_grouped(
                claim_next,
                self._account_id,
                claim_id,
                lease_s=office.settings.lease_s,
                delivery=office.settings.delivery,
            )
            if claimed is None:
                return False
            if isinstance(claimed, Wait):
                return await self._wait_for_lot(claimed)
            if carriage.may_widen:
                self._more()
            await self._carry(claimed, carriage)
        finally:
            self._active.discard(claim_id)
        return True

    async def _wait_for_lot(self, wait: Wait) -> bool:
        try:
            # Asked again every second: LIMITE may be changed, the rest of a lot given back.
            async with asyncio.timeout(max(0.02, min(wait.delay_s, 1))):
                await self._stopping.wait()
        except TimeoutError:
            return True
        return False

    async def _carry(self, claimed: Claimed, carriage: Carriage) -> None:
        everyone = [each.id for each in claimed.recipients]
        nothing = Tried(carriage.stored.version, reached_mail=False)
        if carriage.stored.settings is None:
            await self._settle(claimed, hold_all(everyone, "scope_removed"), nothing)
            return
        if is_redirect(claimed.message.delivery) and not self._office.settings.redirect_to:
            # Written while a test ran: only a person can say that its customers are to have it.
            await self._settle(claimed, hold_all(everyone, "delivery_redirected"), nothing)
            return
        try:
            password = self._open_password(claimed, carriage.stored)
        except CannotOpen:
            await self._settle(claimed, hold_all(everyone, "awaiting_password"), nothing)
            return
        try:
            body = await self._office.db.read(read_body, claimed.message.id)
            if body is None:
                refused = [refuse_erased(each) for each in everyone]
                await self._settle(claimed, refused, nothing)
                return
            session = await self._take_session(carriage, password)
        except SessionFailed as failed:
            await self._settle_failed(claimed, carriage, failed)
        except Unavailable:
            await self._settle(claimed, return_all(everyone), nothing)
        except asyncio.CancelledError:  # the worker stops, and nothing has gone out
            await self._settle(claimed, return_all(everyone), nothing)
            raise
        else:
            await self._send(session, claimed, carriage, body)

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

    async def _send(
        self, session: Session, claimed: Claimed, carriage: Carriage, body: bytes
    ) -> None:
        office = self._office
        redirect = office.settings.redirect_to
        envelope = make_envelope(office, claimed, redirect)
        ids = [each.id for each in claimed.recipients]

        async def mark_it(accepted: tuple[int, ...]) -> bool:
            marked = ids if redirect else [ids[index] for index in accepted]
            try:
                return await office.db.write_grouped(mark, claimed.id, marked)
            except Unavailable:
                return False  # without a durable mark no dot: handed back untried

        transaction = await session.send(
            envelope,
            body,
            before_dot=mark_it,
            final_reply_timeout_s=office.settings.final_reply_timeout_s,
        )
        verdicts = spread(transaction, len(ids), redirect)
        outcomes = [judge(each, verdict) for each, verdict in zip(ids, verdicts, strict=True)]
        tried = Tried(
            version=carriage.stored.version,
            server=self._server,
            tls=session.tls_facts.version if session.tls_facts else None,
            capabilities=asdict(session.capabilities),
            starttls_offered=session.starttls_offered,
            dsn_refused=session.dsn_refused,
            trouble=find_trouble(verdicts),
            reached_mail=reached_mail(transaction),
        )
        await self._settle(claimed, outcomes, tried)

    async def _settle_failed(
        self, claimed: Claimed, carriage: Carriage, failed: SessionFailed
    ) -> None:
        settings = carriage.stored.settings
        outcomes = [judge_failed(each.id, failed, settings) for each in claimed.recipients]
        # A refused password of the message's own: the account is not to blame.
        blamed = not any(each.hold for each in outcomes)
        tried = Tried(
            version=carriage.stored.version,
            server=settings.server if settings else None,
            trouble=describe_failed(failed) if blamed else None,
            reached_mail=False,
        )
        await self._settle(claimed, outcomes, tried)

    async def _settle(self, claimed: Claimed, outcomes: Sequence[Outcome], tried: Tried) -> None:
        """Write what came of it, again and again while the database is away."""
        jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
        while True:
            try:
                ours = await self._office.db.write_grouped(
                    settle_session,
                    claimed,
                    tuple(outcomes),
                    tried,
                    policy=self._policy,
                    jitter=jitter,
                )
                break
            except Unavailable:
                await asyncio.sleep(1)
        self._office.db.ring()
        _write_log(self._office, self._worker_id, claimed, outcomes, ours)

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
