"""Callers that come at the same moment travel together: one snapshot, or one commit, for many.

Under load the work per call is what bounds a process, and most of it is the same for a group as for
one: a thread woken, a transaction begun, a statement prepared, an fsync. Both lanes let a group
gather for as long as the event loop has callers ready, then run it in one transaction.

A verb may run twice: a group in which one fails is repeated one by one, so that it takes nobody
with it; a database that is away fails them all. A merged verb gets the items of all its callers at
once and returns, in the same order, what each is to be told; an error among that is raised for its
own caller alone.
"""

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from app.errors import AwizoError, Unavailable

Item = TypeVar("Item")
T = TypeVar("T")
Merged = Callable[[Connection, Sequence[Item]], Sequence[T | AwizoError]]
Call = tuple[Merged[Any, Any], Any]  # a merged verb and one of its items

_GROUP_MOST = 128  # verbs that share one commit; past that the fsync is already cheap per verb
_GATHER_S = 0.01  # how long a busy event loop keeps the first of a group waiting for others


def run_merged(tx: Connection, calls: Sequence[Call]) -> list[Any]:
    """Run each verb once with all its items; return the results in the order of ``calls``."""
    places_by_verb: dict[Merged[Any, Any], list[int]] = {}
    for place, (verb, _) in enumerate(calls):
        places_by_verb.setdefault(verb, []).append(place)
    results: list[Any] = [None] * len(calls)
    for verb, places in places_by_verb.items():
        items = [calls[place][1] for place in places]
        for place, result in zip(places, verb(tx, items), strict=True):
            results[place] = result
    return results


class ReadLane:
    """Answers questions in groups, one group after the other; of one event loop.

    read: runs ``run_merged`` on a snapshot, in a thread.
    """

    def __init__(self, read: Callable[[Sequence[Call]], Awaitable[list[Any]]]) -> None:
        self._read = read
        self._asked: dict[Call, list[asyncio.Future[Any]]] = {}
        self._answering: asyncio.Task[None] | None = None

    def ask(self, verb: Merged[Item, T], item: Item) -> "asyncio.Future[T]":
        """Return the answer to come; the snapshot is taken later, equal items share an answer."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.setdefault((verb, item), []).append(answer)
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer())
        return answer

    async def _answer(self) -> None:
        try:
            while self._asked:
                await _gather(lambda: sum(map(len, self._asked.values())))
                asked, self._asked = self._asked, {}
                answers = await self._read_all(list(asked))
                for futures, answer in zip(asked.values(), answers, strict=True):
                    for future in futures:
                        _settle(future, answer)
        finally:
            self._answering = None

    async def _read_all(self, calls: Sequence[Call]) -> Sequence[Any]:
        """Return an answer, or what was raised, for each."""
        try:
            return await self._read(calls)
        except AwizoError as error:  # the database is away; what a verb raises is among the answers
            return [error] * len(calls)
        except Exception:
            alone = await asyncio.gather(
                *(self._read([call]) for call in calls), return_exceptions=True
            )
            return [each if isinstance(each, BaseException) else each[0] for each in alone]


@dataclass(frozen=True, slots=True)
class _Job:
    call: Call
    grouped: bool
    future: "asyncio.Future[Any]"


class WriteLane:
    """One thread that writes for all; ``close`` finishes what was handed in before.

    write: runs ``run_merged`` in a transaction; what it returned is durable.
    """

    def __init__(self, write: Callable[[Sequence[Call]], list[Any]]) -> None:
        self._write = write
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._gathered: list[_Job] = []
        self._handing: asyncio.Task[None] | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="db-write", daemon=True)
        self._thread.start()

    async def put(self, verb: Merged[Item, T], item: Item, *, grouped: bool) -> T:
        """Return what became of ``item``; it is finished also when the caller goes away."""
        job = _Job((verb, item), grouped, asyncio.get_running_loop().create_future())
        with self.open():
            if grouped:
                self._gathered.append(job)
            else:
                self._jobs.put(job)
        if grouped and self._handing is None:
            self._handing = asyncio.create_task(self._hand_over())
        result: T = await job.future
        return result

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep the lane open for a moment; raise ``Unavailable`` once it is closed."""
        with self._lock:
            if self._closed:
                raise Unavailable("This process is stopping.", code="stopping", retry_after_s=5)
            yield

    def close(self) -> None:
        """Write what was handed in, refuse what comes later."""
        with self._lock:  # nothing may stand behind the end: it would wait for ever
            self._put_gathered()
            self._closed = True
            self._jobs.put(None)
        self._thread.join()

    async def _hand_over(self) -> None:
        try:
            await _gather(lambda: len(self._gathered))
        finally:
            self._handing = None
            with self._lock:
                self._put_gathered()

    def _put_gathered(self) -> None:
        for job in self._gathered:
            self._jobs.put(job)
        self._gathered.clear()

    def _work(self) -> None:
        ended = False
        while not ended:
            jobs = [self._jobs.get()]
            with suppress(queue.Empty):
                while True:
                    jobs.append(self._jobs.get_nowait())
            ended = jobs[-1] is None
            for group in _cut([job for job in jobs if job is not None]):
                self._run(group)

    def _run(self, group: Sequence[_Job]) -> None:
        results: Sequence[Any]
        try:
            results = self._write([job.call for job in group])
        except BaseException as error:
            # Where the database is away they would wait for it one after the other; and a commit
            # that broke off may stand, so that a repetition would store everything twice.
            is_away = isinstance(error, Unavailable) and error.code == "database_away"
            if len(group) > 1 and not is_away:
                for job in group:
                    self._run([job])
                return
            results = [error] * len(group)
        settled: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        for job, result in zip(group, results, strict=True):
            settled.setdefault(job.future.get_loop(), []).append((job.future, result))
        for loop, several in settled.items():  # each call wakes the loop
            with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle_all, several)


def _cut(jobs: Sequence[_Job]) -> Iterator[Sequence[_Job]]:
    """Yield neighbours that may share a transaction."""
    group: list[_Job] = []
    for job in jobs:
        if group and not (job.grouped and group[0].grouped and len(group) < _GROUP_MOST):
            yield group
            group = []
        group.append(job)
    if group:
        yield group


async def _gather(count: Callable[[], int]) -> None:
    """Return once nobody joins those who are counted: the fewer groups, the less work for all."""
    loop = asyncio.get_running_loop()
    end, seen = loop.time() + _GATHER_S, 0
    while count() > seen and loop.time() < end:
        seen = count()
        await asyncio.sleep(0)


def _settle_all(several: Sequence[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, result in several:
        _settle(future, result)


def _settle(future: "asyncio.Future[Any]", result: Any) -> None:
    if future.done():  # whoever asked has gone away
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
        future.exception()  # seen: asyncio would log it where nobody comes to hear it
    else:
        future.set_result(result)
