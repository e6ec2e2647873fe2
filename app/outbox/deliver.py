"""Delivery: one carrier is one SMTP connection of one account, and takes its mail batch by batch.

claim → open or reuse a session → envelope and body → mark (committed) → final dot → settle.
The next batch is claimed while the last one travels, and settling waits for nobody, so that the
connection never waits for the database. A batch grows while all goes well and quickly: behind a slow
server little is held that a person may want to cancel.
No transaction waits for a socket (G7). What a server does delays its own account only (G11):
every account has carriers of its own, and a session belongs to one account *and* one credential.
"""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from app.configuration.load import open_password
from app.configuration.model import StoredAccount
from app.configuration.secrets import open_for_target
from app.errors import Unavailable
from app.outbox.accept import smtp_password_place
from app.outbox.carry import Batch, Carriage, claim_batch, load_carriage, read_body
from app.outbox.job import Job
from app.outbox.judge import hold_all, is_redirect, make_envelope, make_target, refuse_erased
from app.outbox.office import Office
from app.outbox.queue import Claimed, Wait
from app.outbox.settler import Settler
from app.vault import CannotOpen
from app.wire.conveyor import Conveyor
from app.wire.envelope import Transaction
from app.wire.session import Session
from app.wire.steps import SessionFailed
from app.wire.target import Secret
from app.wire.window import Window

_AHEAD_MOST = 32
_SMALL_BYTES = 256 * 1024
_CUTS = 2  # sessions in a row that broke at their first group: the third does without groups
_STALE_S = (
    2.0  # what is in our hands for longer is looked at anew: it may be cancelled, or others' now
)
_AHEAD_S = 0.5  # a batch should not be in our hands for longer


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
        cuts: Counter[str],
    ) -> None:
        """active: ids of claims whose leases the worker renews. more: ask for another carrier.

        cuts: by account, sessions in a row that broke at their first group of commands.
        """
        self._office = office
        self._account_id = account_id
        self._worker_id = worker_id
        self._wake = wake
        self._stopping = stopping
        self._active = active
        self._next_number = next_number
        self._more = more
        self._cuts = cuts
        self._name = f"{worker_id}.{next_number()}"
        self._session_most: int | None = None
        self._is_leaving = False
        self._settler = Settler(office, worker_id, active)
        self._session: Session | None = None
        self._key: _Key | None = None
        self._hand: deque[Job] = deque()
        self._in_trouble = False
        self._claiming: asyncio.Task[Batch | Wait | None] | None = None
        self._ahead = 1
        self._claimed_at = self._stale_at = math.inf

    async def run(self) -> None:
        """Carry mail until none is due, then keep the connection for a while."""
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                if await self._carry_next() or (not self._is_leaving and await self._idle()):
                    continue
                await self._close_session()
                if self._is_leaving or not self._wake.is_set():  # while it said goodbye
                    return
        finally:
            await self._finish()

    def abort(self) -> bool:
        """Drop the connection: a final reply that is still awaited becomes uncertain.

        False where there is none yet: then the task may be cancelled, and its claim is given back.
        """
        if self._session is None:
            return False
        self._session.abort()
        return True

    async def _finish(self) -> None:
        """Give back what nobody will carry any more."""
        if self._claiming is not None:
            with suppress(Unavailable):
                batch = await self._claiming
                if isinstance(batch, Batch):
                    self._settler.return_rest(batch)
        await self._close_session()
        await self._settler.wait()

    async def _idle(self) -> bool:
        """Wait for the next message; False when it is time to go."""
        idle_s = self._office.settings.connection_idle_s if self._session is not None else 0.05
        try:
            async with asyncio.timeout(idle_s):  # not wait_for: 3.11 loses cancellations in it
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    # What is in our hands

    async def _carry_next(self) -> bool:
        """Carry a batch; False where none is due."""
        claiming = self._claiming or self._begin_claim()
        batch = await asyncio.shield(claiming)  # what it claims is ours whatever becomes of us
        self._claiming = None
        if batch is None:
            return False
        if isinstance(batch, Wait):
            return await self._wait_for_lot(batch)
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._in_trouble = False
        try:
            if started - self._claimed_at > _STALE_S:
                fresh = await self._office.db.read(load_carriage, self._account_id)
                batch = replace(batch, carriage=fresh)
            self._stale_at = math.inf
            await self._carry(batch)
        finally:
            self._hand.clear()
            self._settler.return_rest(batch)
        ahead = 2 * self._ahead if loop.time() - started < _AHEAD_S else self._ahead // 2
        self._ahead = 1 if self._in_trouble else max(1, min(ahead, _AHEAD_MOST))
        return True

    def _begin_claim(self) -> "asyncio.Task[Batch | Wait | None]":
        claim_id = f"{self._name}.{self._next_number()}"
        # Held before the claim commits, so that a slow start cannot lose the lease unrenewed.
        self._active.add(claim_id)
        self._claiming = asyncio.create_task(self._claim(claim_id, self._ahead))
        return self._claiming

    async def _claim(self, claim_id: str, most: int) -> Batch | Wait | None:
        batch: Batch | Wait | None = None
        try:
            batch = await self._office.db.write_grouped(
                claim_batch,
                self._account_id,
                claim_id,
                lease_s=self._office.settings.lease_s,
                delivery=self._office.settings.delivery,
                most=most,
            )
        finally:
            if not isinstance(batch, Batch):
                self._active.discard(claim_id)
        self._claimed_at = asyncio.get_running_loop().time()
        if isinstance(batch, Batch):
            self._settler.expect(batch.claimed)
            if len(batch.claimed) == most and batch.carriage.may_widen:
                self._more()
        return batch

    async def _wait_for_lot(self, wait: Wait) -> bool:
        if wait.is_leave:
            self._is_leaving = True
            return False
        try:
            # Asked again every second: LIMITE may be changed, the rest of a lot given back.
            async with asyncio.timeout(max(0.02, min(wait.delay_s, 1))):
                await self._stopping.wait()
        except TimeoutError:
            return True
        return False

    async def _carry(self, batch: Batch) -> None:
        """Carry a batch over as many sessions as it takes, until something is wrong."""
        carriage = batch.carriage
        self._session_most = carriage.limits.per_connection
        password = await self._take_in_hand(batch)
        while self._hand and not self._in_trouble:
            try:
                session = await self._take_session(carriage, password)
            except SessionFailed as failed:
                self._settler.tell_failed(self._hand[0].claimed, carriage.stored, failed)
                return
            except Unavailable:
                return

            def put_down(job: Job, came: Transaction, session: Session = session) -> None:
                self._in_trouble |= self._settler.tell(job.claimed, carriage.stored, session, came)

            final_s = self._office.settings.final_reply_timeout_s
            window = carriage.stored.settings.chunking_window if carriage.stored.settings else 0
            if window and session.chunking and self._is_small():
                through = Window[Job](session, size=window, final_reply_timeout_s=final_s)
                await through.carry(lambda: self._take() if self._is_small() else None, put_down)
            else:
                conveyor = Conveyor[Job](session, final_reply_timeout_s=final_s)
                await conveyor.carry(self._take, put_down)
            if session.group_cut:
                self._cuts[self._account_id] += 1
            elif session.groups_proven:
                self._cuts.pop(self._account_id, None)
            if self._stopping.is_set() or self._is_stale:
                return
            if self._settler.is_behind:
                await self._settler.wait()

    async def _take_in_hand(self, batch: Batch) -> Secret | None:
        """Take what can be carried, settle the rest; return the password to log in with."""
        office, stored, settler = self._office, batch.carriage.stored, self._settler
        password = None
        for claimed in batch.claimed:
            everyone = [each.id for each in claimed.recipients]
            if stored.settings is None:
                settler.tell_untried(claimed, stored, hold_all(everyone, "scope_removed"))
                continue
            if is_redirect(claimed.message.delivery) and not office.settings.redirect_to:
                # Written while a test ran: only a person can say that its customers are to have it.
                settler.tell_untried(claimed, stored, hold_all(everyone, "delivery_redirected"))
                continue
            try:
                password = self._open_password(claimed, stored)
            except CannotOpen:
                settler.tell_untried(claimed, stored, hold_all(everyone, "awaiting_password"))
                continue
            body = batch.bodies.get(claimed.message.id)
            if body is None:
                body = await self._read_body(claimed)
            if body is None:
                refused = [refuse_erased(each) for each in everyone]
                settler.tell_untried(claimed, stored, refused)
                continue
            envelope = make_envelope(office, claimed, office.settings.redirect_to)
            self._hand.append(Job(office, claimed, envelope, body))
        return password

    async def _read_body(self, claimed: Claimed) -> bytes | None:
        """Return a body that was too large to be read with its claim."""
        while True:
            try:
                return await self._office.db.read(read_body, claimed.message.id)
            except Unavailable:
                await asyncio.sleep(1)

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

    @property
    def _is_stale(self) -> bool:
        return asyncio.get_running_loop().time() > self._stale_at

    def _is_small(self) -> bool:
        """Whether the next message may be one of several on their way at once."""
        return not self._hand or len(self._hand[0].body) <= _SMALL_BYTES

    def _take(self) -> Job | None:
        """Give the conveyor its next message, and see to it that there will be more."""
        if self._stopping.is_set() or self._in_trouble or self._settler.is_behind:
            return None
        if self._is_full() or (self._hand and self._is_stale):
            return None
        now = asyncio.get_running_loop().time()
        self._stale_at = min(self._stale_at, now + _STALE_S)
        job = self._hand.popleft() if self._hand else None
        if self._claiming is None and len(self._hand) <= self._ahead // 2:
            self._begin_claim()
        return job

    # The session

    async def _take_session(self, carriage: Carriage, password: Secret | None) -> Session:
        """Return a session of this account and credential, the kept one where it is still good."""
        key = _Key(carriage.stored.version, password)
        if self._session is not None and (
            self._key != key
            or not self._session.usable
            or self._session.is_stale()
            or self._is_full()
        ):
            await self._close_session()
        if carriage.has_failed:
            self._settler.forget_stand()
        if self._session is None:
            settings = carriage.stored.settings
            if settings is None:
                raise AssertionError("an account without a server has no session")
            self._session = await Session.open(
                make_target(settings, password, starttls_seen=carriage.saw_starttls),
                policy=self._office.policy(any_port=carriage.any_port),
                ehlo_name=self._office.ehlo_name,
                pipelining=not carriage.broke_pipelining and self._cuts[self._account_id] < _CUTS,
            )
            self._session.dsn_refused = carriage.refused_dsn
            self._key = key
        return self._session

    def _is_full(self) -> bool:
        """Tell whether the server would end this session at its next message."""
        session, most = self._session, self._session_most
        return session is not None and most is not None and session.messages_begun >= most

    async def _close_session(self) -> None:
        session, self._session, self._key = self._session, None, None
        if session is not None:
            await session.quit() if session.usable else session.abort()
