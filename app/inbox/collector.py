"""A worker's part in collecting: a task for every mailbox it holds, so that none waits for another.

Claims are renewed together; a claim that was lost, or whose configuration was changed, ends its task.
Where more are due than a worker may hold, who only waits for news gives way, until its poll, and so
does who is not done for minutes.
Stopping drops the connections at once: nothing is half done that the next one does not finish.
"""

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import structlog

from app.db import alone
from app.errors import Unavailable
from app.inbox.collect import Collecting, LostClaim
from app.inbox.mailboxes import (
    Claim,
    claim,
    enroll,
    find_due,
    note_failed,
    release,
    renew,
)
from app.outbox.office import Office
from app.wire.steps import SessionFailed

_MOST_SESSIONS = 200
_MOST_TURN_S = 300.0  # of one that is not done, where others wait: its server drips, or never ends
_ENROLL_S = 5.0
_RENEW_S = 5.0  # who waits for news sees so soon that its configuration was changed
_log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Job:
    task: asyncio.Task[None] | None = field(default=None)
    fence: str = ""
    version: int = 0  # of the configuration it works by
    began_at: float = field(default_factory=time.monotonic)  # with what it does now


class Collector:
    """The mailboxes of one worker; ``step`` every second, ``stop`` once at the end."""

    def __init__(self, office: Office, worker_id: str) -> None:
        self._office = office
        self._worker_id = worker_id
        self._numbers = count(1)
        self._jobs: dict[str, _Job] = {}
        self._lacking = 0  # sessions for mailboxes that are due
        self._stopping = False
        self._enrolled_at = float("-inf")
        self._renewed_at = time.monotonic()

    async def step(self) -> None:
        """Follow the configurations, keep what is held, and begin with every mailbox that is due."""
        if self._stopping:
            return
        db = self._office.db
        if time.monotonic() - self._enrolled_at > _ENROLL_S:
            await db.write(alone, enroll)
            self._enrolled_at = time.monotonic()
        await self._renew()
        due = [each for each in await db.read(find_due) if each not in self._jobs]
        free = max(_MOST_SESSIONS - len(self._jobs), 0)
        for account_id in due[:free]:
            job = self._jobs[account_id] = _Job()
            job.task = asyncio.create_task(self._serve(account_id, job))
            job.task.add_done_callback(partial(self._end, account_id))
        self._lacking = len(due[free:])
        self._drop_late()

    async def stop(self) -> None:
        """Drop every connection and give the mailboxes back."""
        self._stopping = True
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _renew(self) -> None:
        held = {job.fence: job for job in self._jobs.values() if job.fence}
        if not held or time.monotonic() - self._renewed_at < _RENEW_S:
            return
        still = await self._office.db.write(renew, tuple(held))
        self._renewed_at = time.monotonic()
        for fence, job in held.items():
            if still.get(fence) != job.version and job.task is not None:
                job.fence = ""
                job.task.cancel()  # it gives the mailbox back, and begins anew

    def _drop_late(self) -> None:
        """Have those who are at it for too long begin anew, after the others who wait."""
        now_s = time.monotonic()
        late = [job for job in self._jobs.values() if now_s - job.began_at > _MOST_TURN_S]
        for job in sorted(late, key=lambda each: each.began_at)[: self._lacking]:
            job.began_at = now_s  # a second cancellation would cut it off from giving back
            if job.task is not None:
                job.task.cancel()

    def _may_wait(self, job: _Job) -> bool:
        job.began_at = time.monotonic()
        if self._lacking:
            self._lacking -= 1
            return False
        return True

    def _end(self, account_id: str, task: asyncio.Task[None]) -> None:
        self._jobs.pop(account_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its claim comes back with its lease.
            _log.error("collecting_failed", account=account_id, exc_info=error)

    async def _serve(self, account_id: str, job: _Job) -> None:
        db, fence = self._office.db, f"{self._worker_id}.{next(self._numbers)}"
        held = await db.write(claim, account_id, fence)
        if held is None or held.stored.incoming is None:
            return
        job.fence, job.version = fence, held.stored.version
        wait_s = 0.0  # cut short: somebody goes on at once
        try:
            await Collecting(self._office, held, partial(self._may_wait, job)).run()
            wait_s = held.stored.incoming.poll_s
        except LostClaim:
            return
        except SessionFailed as failed:
            _log.warning("mailbox_failed", account=account_id, cause=failed.cause)
            detail = str(failed.reply) if failed.reply else failed.detail
            await db.write(note_failed, held, failed.cause, detail)
            return
        except Unavailable:
            raise
        except Exception as error:
            # Not tried again at once, for ever.
            await db.write(note_failed, held, "internal_error", type(error).__name__)
            raise
        finally:
            await self._release(held, wait_s)

    async def _release(self, held: Claim, wait_s: float) -> None:
        try:
            await self._office.db.write(release, held, wait_s)
        except Unavailable:
            _log.warning("mailbox_left_to_its_lease", account=held.account_id)
