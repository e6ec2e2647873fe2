"""A few processes for work that can go badly wrong, so that one of it kills only its own.

They start when they are first needed, get their work through pipes and inherit nothing but those: no
sockets, no locks, no environment (which holds the service's secrets). What runs in them: ``sandbox_worker``.
Promises: at most ``count`` processes, others wait their turn; a caller that is cancelled leaves no
half-read pipe behind (its process is killed); a process that dies by its work is the work's fault
(``Overran``), one that dies otherwise is replaced once, then ``NoSandbox``.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, TypeVar, cast

from app.sandbox_worker import READY

T = TypeVar("T")
# How a process ends when its work is too much for it: out of memory, CPU time used up, crashed
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
# Wall clock over CPU clock: a process that got this little of a processor is stuck, not busy
WALL_FACTOR = 3


class SandboxDied(Exception):
    """A process ended in the middle; ``code`` as in ``Popen.returncode``."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Overran(Exception):
    """The work took more memory or time than it may have, or broke what did it."""


class NoSandbox(Exception):
    """There was no process to do the work, for a reason outside of it."""


class Sandbox:
    """One process and its two pipes; used by one thread at a time, killed from anywhere."""

    def __init__(self, module: str, memory_bytes: int, cpu_s: float) -> None:
        self._is_ready = False
        self._lock = threading.Lock()
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", module, str(cpu_s), str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "PYTHONUTF8": "1"}
            | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
            start_new_session=True,  # Ctrl-C is for the service, which then closes the pool
        )
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # slower, not wrong, where a limit forbids it
                fcntl.fcntl(cast(BinaryIO, pipe), F_SETPIPE_SZ, PIPE_BYTES)

    def ask(self, write: Callable[[BinaryIO], None], read: Callable[[BinaryIO], T]) -> T:
        """Have one piece of work done (blocks). Raises ``SandboxDied``; the process is then gone."""
        with self._lock:
            try:
                self._is_ready = self._is_ready or self._hear_ready()
                write(cast(BinaryIO, self.process.stdin))
                return read(cast(BinaryIO, self.process.stdout))
            except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
                # Broken pipes mean that it is ending, and its own signal says why; a reply that
                # makes no sense means that it must.
                code = self._end()
                raise SandboxDied(code if self._is_ready else 0) from error

    def _hear_ready(self) -> bool:
        """Wait until it can work; how it ends before that is the fault of no work."""
        if cast(BinaryIO, self.process.stdout).read(len(READY)) != READY:
            raise EOFError("the process ended before it could work")
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


class SandboxPool:
    """At most ``count`` processes of one module.

    memory_bytes: address space of one. deadline_s: CPU time for one piece of work; three times that
    by the wall clock means the machine, not the work, is to blame.
    """

    def __init__(self, module: str, count: int, memory_bytes: int, deadline_s: float) -> None:
        self._module = module
        self._count = count
        self._memory_bytes = memory_bytes
        self._deadline_s = deadline_s
        self._turn = asyncio.Semaphore(count)
        self._sandboxes: set[Sandbox] = set()
        self._idle: list[Sandbox] = []
        self._threads: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Open; no process is started before the first work."""
        if self._threads is None:
            name = self._module.rpartition(".")[2]
            self._threads = ThreadPoolExecutor(self._count, thread_name_prefix=name)

    async def close(self) -> None:
        """End every process, busy ones too (their callers get ``NoSandbox``)."""
        threads, self._threads = self._threads, None
        if threads is None:
            return
        for sandbox in self._sandboxes:
            sandbox.kill()
        await asyncio.to_thread(threads.shutdown)
        self._idle.clear()
        while self._sandboxes:
            self._sandboxes.pop().dispose()

    async def ask(self, write: Callable[[BinaryIO], None], read: Callable[[BinaryIO], T]) -> T:
        """Have one piece of work done; waits for a free process. Raises ``Overran``, ``NoSandbox``."""
        async with self._turn:
            for _ in range(2):
                try:
                    return await self._ask(write, read)
                except SandboxDied as death:
                    if -death.code in OWN_SIGNALS:
                        raise Overran from death
                except TimeoutError:
                    break
        raise NoSandbox

    async def _ask(self, write: Callable[[BinaryIO], None], read: Callable[[BinaryIO], T]) -> T:
        if self._threads is None:
            raise NoSandbox
        with self._borrowed() as sandbox:
            async with asyncio.timeout(WALL_FACTOR * self._deadline_s):
                return await asyncio.get_running_loop().run_in_executor(
                    self._threads, sandbox.ask, write, read
                )

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[Sandbox]:
        """Lend an idle process, or a new one; it comes back only after a whole exchange."""
        sandbox = self._idle.pop() if self._idle else self._spawn()
        try:
            yield sandbox
        except BaseException:
            sandbox.kill()
            if self._threads is not None:  # else close() is disposing of it
                self._sandboxes.discard(sandbox)
                self._threads.submit(sandbox.dispose)
            raise
        self._idle.append(sandbox)

    def _spawn(self) -> Sandbox:
        # Here and not in a thread: a cancelled caller must know the process that it has to end.
        try:
            sandbox = Sandbox(self._module, self._memory_bytes, self._deadline_s)
        except OSError as error:  # no process or no memory to be had
            raise NoSandbox from error
        self._sandboxes.add(sandbox)
        return sandbox
