"""A few worker processes that encrypt PDFs, so that a hostile one kills only its own.

Workers start when they are first needed, get documents and passwords through pipes and inherit
nothing but those: no sockets, no locks, no environment (which holds the service's secrets).
Promises: at most ``workers`` processes, others wait their turn; a caller that is cancelled leaves
no half-read pipe behind (its worker is killed); a worker that dies by the document is the
document's fault (``pdf_damaged``), one that dies otherwise is replaced once, then ``Unavailable``.
Limits: memory (address space) and CPU time are the kernel's, so they hold without the parent too.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, cast

from app.errors import Unavailable
from app.mime.frames import READY, Outcome, read_reply, write_request

# How a worker ends when the document is too much for it: out of memory, CPU time used up, crashed
OWN_SIGNALS = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGPROF,
    signal.SIGSEGV,
    signal.SIGSYS,
}
# A pipe's default is 64 KiB; this is what an unprivileged process may have (pipe(7)). Measured: a
# third off the cost of passing 10 MB.
F_SETPIPE_SZ, PIPE_BYTES = 1031, 1 << 20  # linux/fcntl.h; the constant is missing on macOS
# Wall clock over CPU clock: a worker that got this little of a processor is stuck, not busy
WALL_FACTOR = 3


class WorkerDied(Exception):
    """A worker ended in the middle; ``code`` as in ``Popen.returncode``."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Worker:
    """One process and its two pipes; used by one thread at a time, killed from anywhere."""

    def __init__(self, memory_bytes: int, cpu_s: float) -> None:
        self._limit_bytes = memory_bytes
        self._is_ready = False
        self._lock = threading.Lock()
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "app.mime.pdf_worker", str(cpu_s), str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "PYTHONUTF8": "1"}
            | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
            start_new_session=True,  # Ctrl-C is for the service, which then closes the pool
        )
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # slower, not wrong, where a limit forbids it
                fcntl.fcntl(cast(BinaryIO, pipe), F_SETPIPE_SZ, PIPE_BYTES)

    def ask(self, content: bytes, password: str) -> Outcome:
        """Have one document encrypted (blocks). Raises WorkerDied; the worker is then gone."""
        with self._lock:
            try:
                self._is_ready = self._is_ready or self._hear_ready()
                write_request(cast(BinaryIO, self.process.stdin), content, password)
                return read_reply(cast(BinaryIO, self.process.stdout), self._limit_bytes)
            except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
                # Broken pipes mean that it is ending, and its own signal says why; a reply that
                # makes no sense means that it must.
                code = self._end()
                raise WorkerDied(code if self._is_ready else 0) from error

    def _hear_ready(self) -> bool:
        """Wait until it can work; how it ends before that is no document's fault."""
        if cast(BinaryIO, self.process.stdout).read(len(READY)) != READY:
            raise EOFError("the worker ended before it could work")
        return True

    def kill(self) -> None:
        """End the process from any thread; the one that waits for an answer comes back."""
        self.process.kill()

    def dispose(self) -> None:
        """Kill the process, wait for it and close its pipes; may be repeated."""
        self.kill()
        with self._lock:
            self._end()

    def _end(self) -> int:
        self.process.kill()  # does not change how a process that is already ending ends
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):  # what was still buffered for the dead
                cast(BinaryIO, pipe).close()
        return code


class ProtectPool:
    """Encrypts PDFs in at most ``workers`` processes.

    memory_bytes: address space of one worker. deadline_s: CPU time for one document; three times
    that by the wall clock means the machine, not the document, is to blame.
    """

    def __init__(
        self, workers: int = 2, memory_bytes: int = 1 << 30, deadline_s: float = 60
    ) -> None:
        self._count = workers
        self._memory_bytes = memory_bytes
        self._deadline_s = deadline_s
        self._turn = asyncio.Semaphore(workers)
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Open the pool; no process is started before the first document."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="protect")

    async def close(self) -> None:
        """End every worker, busy ones too (their callers get ``Unavailable``)."""
        threads, self._threads = self._threads, None
        if threads is None:
            return
        for worker in self._workers:
            worker.kill()
        await asyncio.to_thread(threads.shutdown)
        self._idle.clear()
        while self._workers:
            self._workers.pop().dispose()

    async def encrypt(self, content: bytes, password: str) -> Outcome:
        """Encrypt one PDF; waits for a free worker. The password is NFC, 1-127 UTF-8 bytes.

        Raises Unavailable (``protection_failed``) when that was impossible for a reason outside the
        document.
        """
        async with self._turn:
            for _ in range(2):
                try:
                    outcome = await self._ask(content, password)
                except WorkerDied as death:
                    if -death.code in OWN_SIGNALS:
                        return Outcome("pdf_damaged")
                    continue
                except TimeoutError:
                    break
                if outcome.verdict != "protection_failed":
                    return outcome
                break
        raise _failed()

    async def _ask(self, content: bytes, password: str) -> Outcome:
        if self._threads is None:
            raise _failed()
        with self._borrowed() as worker:
            async with asyncio.timeout(WALL_FACTOR * self._deadline_s):
                return await asyncio.get_running_loop().run_in_executor(
                    self._threads, worker.ask, content, password
                )

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[Worker]:
        """Lend an idle worker, or a new one; it comes back only after a whole exchange."""
        worker = self._idle.pop() if self._idle else self._spawn()
        try:
            yield worker
        except BaseException:
            worker.kill()
            if self._threads is not None:  # else close() is disposing of it
                self._workers.discard(worker)
                self._threads.submit(worker.dispose)
            raise
        self._idle.append(worker)

    def _spawn(self) -> Worker:
        # Here and not in a thread: a cancelled caller must know the process that it has to end.
        try:
            worker = Worker(self._memory_bytes, self._deadline_s)
        except OSError as error:  # no process or no memory to be had
            raise _failed() from error
        self._workers.add(worker)
        return worker


def _failed() -> Unavailable:
    return Unavailable(
        "The attachments could not be protected now; nothing was sent. Try again later.",
        code="protection_failed",
    )
