"""A worker's part in the webhooks: claims, posts and settles, beside the mail and never before it.

Every try is a task of its own, bounded by ``post.TIMEOUT_S``; how many a webhook may have is the
queue's business, so none waits for another's receiver. Sent is sent at least once: whoever dies
between the answer and its settling has it sent again, with the same ``webhook-id``.
"""

import asyncio
import random
from itertools import count

import structlog

from app.db import alone
from app.errors import Unavailable
from app.outbox.office import Office
from app.vault import CannotOpen
from app.webhooks.post import Answer, post
from app.webhooks.prune import prune
from app.webhooks.queue import MOST_AT_ONCE, Job, has_work, load, release
from app.webhooks.settle import Outcome, settle
from app.webhooks.sign import write_headers

_log = structlog.get_logger()


class Postman:
    """The tries of one worker; ``step`` whenever it may be time, ``stop`` once at the end."""

    def __init__(self, office: Office, worker_id: str) -> None:
        self._office = office
        self._worker_id = worker_id
        self._numbers = count(1)
        self._jobs: dict[asyncio.Task[None], Job] = {}
        self._stopping = False
        self.bell = asyncio.Event()  # tries ended, or there is more to collect

    async def step(self) -> None:
        """Start a try for everything that is due."""
        db = self._office.db
        # Where mail does not leave, this may be a copy: the receivers are not its own.
        if self._stopping or self._office.settings.delivery != "on":
            return
        if not await db.read(has_work):
            return
        fence = f"{self._worker_id}.{next(self._numbers)}"
        found = await db.write(alone, load, fence)
        if found is None:  # another worker is at it
            return
        for job in found.jobs:
            task = asyncio.create_task(self._try(job))
            self._jobs[task] = job
            task.add_done_callback(self._end)
        if found.more:
            self.bell.set()

    async def prune(self) -> None:
        """Give up what is too old, and forget what ended long ago."""
        keep_days = self._office.settings.keep_webhook_log_days
        while await self._office.db.write(alone, prune, keep_days):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # not a poll: senders go first

    async def stop(self, grace_s: float) -> None:
        """Begin nothing new, wait for the tries under way, and give back what takes longer."""
        self._stopping = True
        if not self._jobs:
            return
        _, late = await asyncio.wait(self._jobs, timeout=grace_s)
        jobs = tuple(self._jobs[task] for task in late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        try:
            await self._office.db.write(release, jobs)
        except Unavailable:
            _log.warning("webhooks_left_to_their_leases", worker=self._worker_id, count=len(jobs))

    def _end(self, task: asyncio.Task[None]) -> None:
        ended = self._jobs.pop(task)
        flying = sum(job.webhook_id == ended.webhook_id for job in self._jobs.values())
        if flying <= MOST_AT_ONCE // 2:  # a claim is worth several
            self.bell.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its claim comes back with its lease.
            _log.error("webhook_try_failed", worker=self._worker_id, exc_info=error)

    async def _try(self, job: Job) -> None:
        at = self._office.clock()
        answer = await send(self._office, job)
        jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
        _log.info(
            "webhook_tried",
            webhook=job.webhook_id,
            delivery=job.delivery_id,
            code=answer.code,
            error=answer.error,
            ms=answer.ms,
        )
        await self._office.db.write_merged(settle, Outcome(job, at, answer, jitter))


async def send(office: Office, job: Job) -> Answer:
    """Sign and post one delivery; whatever goes wrong is in the answer."""
    try:
        secrets = [office.vault.open(sealed, place) for sealed, place in job.secrets]
    except CannotOpen:
        return Answer(None, "Its secret does not open with this key ring; rotate the secret.", 0)
    headers = write_headers(secrets, job.delivery_id, office.clock(), job.body)
    return await post(job.url, headers, job.body, office.policy(any_port=True))
