"""What a session tells while it works: one `Step` per thing done, in the order they happen.

Steps are what a probe shows, so they hold no secret and nothing unbounded. A step that fails
while a session opens ends in `SessionFailed`; later steps fail as data (`Verdict`).
"""

import asyncio
import ssl
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


class Declined(Exception):
    """The server answers no; the outcome holds its reply."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome.reply))
        self.outcome = outcome


CUT_OFF = "cut off: the time is up"

# All that a step may raise. TimeoutError is an OSError; ValueError: a name that TLS cannot take.
FAILURES = (
    OSError,
    ValueError,
    SMTPException,
    ProtocolViolation,
    AddressDenied,
    NameNotFound,
    Halted,
    Declined,
)


async def run_step(step: str, work: Awaitable[Outcome], observe: Observe) -> Outcome:
    """Await one step of opening and report it; raise SessionFailed where it fails."""
    started = time.monotonic()
    try:
        outcome = await work
    except asyncio.CancelledError:
        report(step, False, started, Outcome(detail=CUT_OFF), observe)
        raise
    except FAILURES as exc:
        cause, outcome = explain(step, exc)
        report(step, False, started, outcome, observe)
        detail = outcome.detail or str(outcome.reply)
        raise SessionFailed(cause, step, outcome.reply, detail) from None
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


def explain(step: str, error: Exception) -> tuple[str, Outcome]:
    """Turn what a step raised into a cause and what there is to tell."""
    if isinstance(error, SMTPResponseException):
        error = Declined(Outcome(read_reply(error.code, error.message)))
    if isinstance(error, Declined) and error.outcome.reply:
        return causes.classify_reply(step, error.outcome.reply), error.outcome
    if isinstance(error, Halted):
        return error.cause, Outcome(detail=describe(error))
    return causes.classify_error(step, error), Outcome(detail=describe(error))


def describe(error: Exception) -> str:
    """Say what an exception says, safe to show; it may quote the server."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return shorten(escape(str(error))) or type(error).__name__
