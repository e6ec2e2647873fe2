"""The loops of a worker: deliver, sweep lost leases, expire, push events, prune; stops on request.

A worker is embedded in ``serve`` or a process of its own; any number of them share a database.
Every loop survives the database being away. Stopping claims nothing new, lets what is under way
finish for ``AWIZO_STOP_GRACE_S`` and then drops the connections: what still waited for its final
reply becomes uncertain, nothing is forgotten.
"""

import asyncio
import os
import random
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count

import structlog

from app.db import alone, new_id
from app.errors import Unavailable
from app.inbox.clerk import tidy_up
from app.inbox.collector import Collector
from app.inbox.prune import prune as prune_inbox
from app.outbox.beat import beat, leave
from app.outbox.copier import Copier
from app.outbox.deliver import Carrier
from app.outbox.experience import Experience
from app.outbox.expire import expire
from app.outbox.hold import hold_due
from app.outbox.office import Office
from app.outbox.prune import prune
from app.outbox.queue import find_ready, read_standings, renew
from app.outbox.settle import Policy, sweep
from app.schedule import parse_schedule
from app.webhooks.postman import Postman

_SWEEP_S = 1.0
_BEAT_S = 5.0
_PRUNE_S = 60.0
_COPY_S = 1.0
_COLLECT_S = 1.0
_log = structlog.get_logger()


class Worker:
    """One worker; ``running`` is its whole life."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.id = f"{socket.gethostname()[:20]}-{os.getpid()}-{new_id()[-8:]}".replace(".", "-")
        self._stopping = asyncio.Event()
        self._bell = asyncio.Event()
        self._wakes: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._carriers: defaultdict[str, dict[asyncio.Task[None], Carrier]] = defaultdict(dict)
        self._active: set[str] = set()
        self._experience = Experience()
        self._numbers = count(1)
        self._policy = Policy(parse_schedule(office.settings.retry_schedule))
        self._postman = Postman(office, self.id)
        self._copier = Copier(office, self.id)
        self._collector = Collector(office, self.id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Worker"]:
        """Work until the block ends."""
        office = self._office
        office.db.add_bell(self._bell)
        loops = [
            asyncio.create_task(self._repeat(self._dispatch, office.settings.poll_s, self._bell)),
            asyncio.create_task(self._repeat(self._renew, office.settings.lease_s / 3)),
            asyncio.create_task(self._repeat(self._sweep, _SWEEP_S)),
            asyncio.create_task(self._repeat(self._beat, _BEAT_S)),
            asyncio.create_task(self._repeat(self._prune, _PRUNE_S)),
            asyncio.create_task(
                self._repeat(self._postman.step, office.settings.poll_s, self._postman.bell)
            ),
            asyncio.create_task(self._repeat(self._postman.prune, _PRUNE_S)),
            asyncio.create_task(self._repeat(self._copier.step, _COPY_S, self._copier.bell)),
            asyncio.create_task(self._repeat(self._collector.step, _COLLECT_S)),
            asyncio.create_task(self._repeat(self._tidy_up, _COLLECT_S)),
        ]
        _log.info("worker_started", worker=self.id, delivery=office.settings.delivery)
        try:
            yield self
        finally:
            await self._stop(loops)
            office.db.remove_bell(self._bell)

    async def _stop(self, loops: list[asyncio.Task[None]]) -> None:
        self._stopping.set()
        self._bell.set()
        for wake in self._wakes.values():
            wake.set()
        grace_s = self._office.settings.stop_grace_s
        posting = asyncio.gather(
            self._postman.stop(grace_s), self._copier.stop(grace_s), self._collector.stop()
        )
        tasks = [task for carriers in self._carriers.values() for task in carriers]
        if tasks:
            _log.info("worker_finishing", worker=self.id, connections=len(tasks))
            _, late = await asyncio.wait(tasks, timeout=self._office.settings.stop_grace_s)
            for carriers in self._carriers.values():
                for task, carrier in carriers.items():
                    if task in late and not carrier.abort():
                        task.cancel()
            if late:
                _, stuck = await asyncio.wait(late, timeout=10)
                for task in stuck:
                    task.cancel()
        await posting
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        try:
            await self._office.db.write(leave, self.id)
        except Unavailable:
            _log.warning("worker_left_unnoticed", worker=self.id)
        _log.info("worker_stopped", worker=self.id)

    async def _repeat(
        self, step: Callable[[], Awaitable[None]], every_s: float, bell: asyncio.Event | None = None
    ) -> None:
        """Do ``step`` now, then at every ring of the bell or after ``every_s``."""
        while True:
            if bell is not None:
                bell.clear()
            wait_s = every_s
            try:
                await step()
            except Unavailable as error:
                _log.warning("database_unavailable", worker=self.id, detail=error.detail)
                wait_s = max(every_s, 1.0)
            except Exception as error:
                # A loop that ended would look like a healthy worker that sends nothing.
                _log.error("worker_loop_failed", worker=self.id, step=step.__name__, exc_info=error)
                wait_s = max(every_s, 1.0)
            if bell is None:
                await asyncio.sleep(wait_s)
                continue
            # Not wait_for: before Python 3.12 it can swallow a cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await bell.wait()

    async def _dispatch(self) -> None:
        if self._stopping.is_set():
            return
        if self._office.settings.delivery == "off":
            await self._office.db.write(hold_due)
            return
        await self._tell_standings()
        for account_id in await self._office.db.read(find_ready):
            self._wakes[account_id].set()
            if all(each.is_outdated for each in self._carriers[account_id].values()):
                self._add_carrier(account_id)

    async def _tell_standings(self) -> None:
        """Tell busy carriers of a pause and of a changed configuration."""
        busy = [account_id for account_id, carriers in self._carriers.items() if carriers]
        if not busy:
            return
        standings = await self._office.db.read(read_standings, busy)
        for account_id, (version, is_paused) in standings.items():
            for carrier in self._carriers[account_id].values():
                carrier.heed(version, is_paused=is_paused)

    def _add_carrier(self, account_id: str) -> None:
        """Start one more connection of an account, up to its number."""
        carriers = self._carriers[account_id]
        most = self._office.settings.connections_per_account
        present = sum(not each.is_outdated for each in carriers.values())
        if present >= most or self._stopping.is_set():
            return
        carrier = Carrier(
            self._office,
            account_id,
            self.id,
            wake=self._wakes[account_id],
            stopping=self._stopping,
            active=self._active,
            next_number=self._numbers.__next__,
            more=lambda: self._add_carrier(account_id),
            experience=self._experience,
        )
        task = asyncio.create_task(carrier.run())
        carriers[task] = carrier
        task.add_done_callback(lambda done: self._end_carrier(account_id, done))

    def _end_carrier(self, account_id: str, task: asyncio.Task[None]) -> None:
        self._carriers[account_id].pop(task, None)
        if self._wakes[account_id].is_set():  # rung while it ended: somebody else is to come
            self._bell.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its claim, if it had one, is no longer renewed and comes back with its lease.
            _log.error("carrier_failed", worker=self.id, account=account_id, exc_info=error)

    async def _renew(self) -> None:
        if self._active:
            await self._office.db.write_grouped(
                renew, tuple(self._active), lease_s=self._office.settings.lease_s
            )

    async def _sweep(self) -> None:
        jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
        swept = await self._office.db.write(alone, sweep, policy=self._policy, jitter=jitter)
        expired = await self._office.db.write(alone, expire)
        if swept or expired:
            _log.info("swept", worker=self.id, lost=swept, expired=expired)
            self._office.db.ring()

    async def _beat(self) -> None:
        await self._office.db.write(beat, self.id)

    async def _tidy_up(self) -> None:
        await tidy_up(self._office)

    async def _prune(self) -> None:
        for forget in (prune, prune_inbox):
            while await self._office.db.write(alone, forget, self._office.settings):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # not a poll: senders go first
