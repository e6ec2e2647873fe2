"""A session with a mailbox in a thread of its own, awaited from the event loop.

``open_mailbox`` resolves by the address policy, connects and logs in; ``Mailbox.do`` runs one method
of the session. Who is cancelled meanwhile drops the connection, which ends the thread. What goes
wrong is one ``SessionFailed``, with a cause in the words of contract §5 and of ``FURTHER_CAUSES``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

from app.wire.address_policy import AddressPolicy
from app.wire.causes import classify_error
from app.wire.line import Line
from app.wire.steps import FAILURES, SessionFailed, describe
from app.wire.target import Target

FURTHER_CAUSES = ("folder_not_found", "mailbox_full", "mailbox_refused")
_MOST_TIMEOUT_S = 120.0  # a configuration may say an hour; no thread is held so long for one reply
_MOST_STEP_S = 900.0  # of a server that drips, so that every reply comes in time and none ends

P = ParamSpec("P")
T = TypeVar("T")


class MailboxSession(Protocol):
    """What speaks the protocol over a line; blocking."""

    @classmethod
    def open(cls, line: Line, target: Target) -> Self:
        """Greet, encrypt and log in on a connected line."""
        ...

    def close(self) -> None:
        """Say goodbye; never fails."""
        ...


S = TypeVar("S", bound=MailboxSession)


class Mailbox(Generic[S]):
    """An open session."""

    def __init__(self, session: S, line: Line, thread: ThreadPoolExecutor) -> None:
        self.session = session
        self._line = line
        self._thread = thread

    async def do(self, method: Callable[Concatenate[S, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Run a method of the session, one after the other; raise ``SessionFailed``."""
        return await _run(self._thread, self._line, lambda: method(self.session, *args, **kw))


@asynccontextmanager
async def open_mailbox(
    kind: type[S], target: Target, policy: AddressPolicy
) -> AsyncIterator[Mailbox[S]]:
    """Open a session, logged in; it is closed at the end. Raises ``SessionFailed``."""
    line = Line(min(target.timeout_ms / 1000, _MOST_TIMEOUT_S))
    thread = ThreadPoolExecutor(1, thread_name_prefix="mailbox")

    def connect() -> S:
        try:
            line.dial(addresses, target.port)
        except OSError as error:
            cause = classify_error("connect", error)
            raise SessionFailed(cause, "connect", None, describe(error)) from None
        return kind.open(line, target)

    try:
        try:
            addresses = await policy.resolve(target.host, target.port, timeout_s=line.timeout_s)
        except FAILURES as error:
            cause = classify_error("resolve", error)
            raise SessionFailed(cause, "resolve", None, describe(error)) from None
        session = await _run(thread, line, connect)
        try:
            yield Mailbox(session, line, thread)
        except BaseException:
            line.abort()  # no goodbye to wait for
            raise
        await _run(thread, line, session.close)
    finally:
        thread.submit(line.close)
        thread.shutdown(wait=False)


async def _run(thread: ThreadPoolExecutor, line: Line, call: Callable[[], T]) -> T:
    running = asyncio.get_running_loop().run_in_executor(thread, call)
    try:
        async with asyncio.timeout(_MOST_STEP_S):
            return await asyncio.shield(running)
    except (asyncio.CancelledError, TimeoutError) as error:
        line.abort()
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        if isinstance(error, TimeoutError):
            detail = f"the server was not done in {_MOST_STEP_S:.0f} s"
            raise SessionFailed("timeout", "read", None, detail) from None
        raise
