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
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from app.errors import Unavailable
from app.outbox.access import log_in
from app.outbox.carry import Batch, Carriage, claim_batch, load_carriage
from app.outbox.experience import Experience
from app.outbox.job import Job
from app.outbox.judge import hold_all, make_target
from app.outbox.office import Office
from app.outbox.queue import Wait
from app.outbox.settler import Settler
from app.outbox.unpack import unpack
from app.wire.conveyor import Conveyor
from app.wire.envelope import Transaction
from app.wire.session import Session
from app.wire.steps import SessionFailed
from app.wire.target import Secret
from app.wire.window import Window

_AHEAD_MOST = 32
_SMALL_BYTES = 256 * 1024
_STALE_S = 2.0  # what is in our hands for longer and not on the wire goes back
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
        experience: Experience,
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
        self._experience = experience
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
        self._claimed_at = math.inf
        self._batch: Batch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_slow = False
        self.is_outdated = False  # busy with a configuration that was changed meanwhile

    async def run(self) -> None:
        """Carry mail until none is due, then keep the connection for a while."""
        try:
            while not (self._stopping.is_set() or self._is_leaving):
                self._wake.clear()
                if await self._carry_next() or (not self._is_leaving and await self._idle()):
                    continue
                await self._close_session()
                if not self._wake.is_set():  # while it said goodbye
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
                self._return(await self._claiming)
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
            self._batch, self.is_outdated, self._is_slow = batch, False, False
            await self._carry(batch)
        finally:
            self._batch = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._hand.clear()
            self._return(batch)
        ahead = 2 * self._ahead if loop.time() - started < _AHEAD_S else self._ahead // 2
        self._ahead = 1 if self._in_trouble else max(1, min(ahead, _AHEAD_MOST))
        return True

    def heed(self, version: int, *, is_paused: bool) -> None:
        """Learn how the account stands: what is not on the wire goes by that."""
        batch = self._batch
        self.is_outdated = batch is not None and batch.carriage.stored.version != version
        # Another carrier takes its place at once; both together would be too many connections.
        self._is_leaving |= self.is_outdated
        if is_paused or self.is_outdated:
            self._lay_down()

    def _lay_down(self) -> None:
        """Give back what is in our hands and not on the wire: it may be cancelled, or another's."""
        if self._batch is None:
            return
        stored = self._batch.carriage.stored
        self._settler.give_back([job.claimed for job in self._hand], stored)
        self._hand.clear()
        claiming = self._claiming
        if claiming is not None and claiming.done() and claiming.exception() is None:
            self._claiming = None
            self._return(claiming.result())

    def _be_slow(self) -> None:
        self._is_slow = True
        self._lay_down()
        self._timer = asyncio.get_running_loop().call_later(_STALE_S, self._be_slow)

    def _return(self, batch: Batch | Wait | None) -> None:
        if isinstance(batch, Batch):
            self._settler.give_back(batch.claimed, batch.carriage.stored)

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
        self._hand, password = await unpack(self._office, self._settler, batch)
        login = self._name_own_login(carriage, password)
        if self._experience.was_refused(login):
            for job in self._hand:
                outcomes = hold_all(
                    [each.id for each in job.claimed.recipients], "password_refused"
                )
                self._settler.tell_untried(job.claimed, carriage.stored, outcomes)
            return
        while self._hand and not self._in_trouble:
            try:
                enter = partial(self._take_session, carriage)
                session = await log_in(self._office, carriage.stored, password, enter)
            except SessionFailed as failed:
                self._settler.tell_failed(self._hand[0].claimed, carriage.stored, failed)
                if login and failed.cause in ("credentials_refused", "auth_disabled"):
                    self._experience.note_refused(login)
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
            self._experience.note_groups(
                self._account_id, cut=session.group_cut, proven=session.groups_proven
            )
            if self._stopping.is_set():
                return
            if self._settler.is_behind:
                await self._settler.wait()

    def _name_own_login(self, carriage: Carriage, password: Secret | None) -> str:
        """Return a digest of the login that messages bring along, or nothing where they do not."""
        stored = carriage.stored
        if password is None or stored.settings is None or stored.settings.password_mode != "ask":
            return ""
        login = f"{stored.id} {stored.version} {password.reveal()}"
        return self._office.vault.digest("own-login", login.encode())

    def _is_small(self) -> bool:
        """Whether the next message may be one of several on their way at once."""
        return not self._hand or len(self._hand[0].body) <= _SMALL_BYTES

    def _take(self) -> Job | None:
        """Give the conveyor its next message, and see to it that there will be more."""
        if self._stopping.is_set() or self._in_trouble or self._settler.is_behind:
            return None
        if self._is_full():
            return None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_STALE_S, self._be_slow)
        job = self._hand.popleft() if self._hand else None
        if self._claiming is None and not self._is_slow and len(self._hand) <= self._ahead // 2:
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
                pipelining=not carriage.broke_pipelining
                and self._experience.may_group(self._account_id),
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
