"""What a session tells while it works: one `Step` per thing done, in the order they happen.

Steps are what a probe shows, so they hold no secret and nothing unbounded. A step that fails
while a session opens ends in `SessionFailed`; later steps fail as data (`Verdict`).
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiosmtplib import SMTPException, SMTPResponseException

from app.wire import causes
from app.wire.address_policy import AddressDenied, NameNotFound
from app.wire.capabilities import Capabilities
from app.wire.channel import ProtocolViolation
from app.wire.reply import Reply, escape, read_reply, shorten
from app.wire.tls import TlsFacts


@dataclass(frozen=True, slots=True)
class Step:
    """step: ``resolve connect tls greeting ehlo starttls auth mail rcpt data quit``.

    ms: how long it took. reply: the server's text (at most 512 bytes, escaped).
    """

    step: str
    ok: bool
    ms: int
    code: int | None = None
    enhanced: str | None = None
    reply: str | None = None
    detail: str | None = None
    capabilities: Capabilities | None = None
    tls: TlsFacts | None = None


Observe = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step has found out, apart from its name and its time."""

    reply: Reply | None = None
    detail: str | None = None
    capabilities: Capabilities | None = None
    tls: TlsFacts | None = None


class SessionFailed(Exception):
    """No session came about. cause: a word of contract §5; reply: the server's, where it spoke."""

    def __init__(self, cause: str, step: str, reply: Reply | None, detail: str) -> None:
        super().__init__(f"{step}: {cause}: {reply or detail}")
        self.cause = cause
        self.step = step
        self.reply = reply
        self.detail = detail


class Halted(Exception):
    """We stop by our own decision. cause: a word of contract §5; the text says why."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


# All that a step may raise; ValueError is a host name that TLS cannot take. TimeoutError is an
# OSError.
FAILURES = (
    OSError, ValueError, SMTPException, ProtocolViolation, Halted, AddressDenied, NameNotFound,
)  # fmt: skip


async def run_step(step: str, work: Awaitable[Outcome], observe: Observe) -> Outcome:
    """Await one step of opening and report it; raise SessionFailed where it fails."""
    started = time.monotonic()
    try:
        outcome = await work
    except FAILURES as exc:
        cause, reply, detail = explain(step, exc)
        report(step, False, started, Outcome(reply, None if reply else detail), observe)
        raise SessionFailed(cause, step, reply, detail) from None
    report(step, True, started, outcome, observe)
    return outcome


def report(step: str, ok: bool, started: float, outcome: Outcome, observe: Observe | None) -> None:
    """Tell the observer of a step that began at `started` (time.monotonic)."""
    if observe is None:
        return
    reply = outcome.reply
    observe(
        Step(
            step,
            ok,
            round((time.monotonic() - started) * 1000),
            reply.code if reply else None,
            reply.enhanced if reply else None,
            reply.text if reply else None,
            outcome.detail,
            outcome.capabilities,
            outcome.tls,
        )
    )


def explain(step: str, error: Exception) -> tuple[str, Reply | None, str]:
    """Turn what a step raised into cause, the server's reply if it gave one, and a detail."""
    if isinstance(error, SMTPResponseException):
        reply = read_reply(error.code, error.message)
        return causes.classify_reply(step, reply), reply, str(reply)
    if isinstance(error, Halted):
        return error.cause, None, describe(error)
    return causes.classify_error(step, error), None, describe(error)


def describe(error: Exception) -> str:
    """Say what an exception says, safe to show; it may quote the server."""
    return shorten(escape(str(error))) or type(error).__name__
