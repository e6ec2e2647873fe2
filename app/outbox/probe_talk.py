"""One conversation of a probe: open a session, ask or send, say goodbye; nothing is decided here.

``Talk`` gathers the steps and ends with a `Failure` or none. Whoever cuts it off finds the step in
which that happened among the steps.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from app.wire.address_policy import AddressPolicy
from app.wire.envelope import Envelope, Phase, Verdict, is_mailbox
from app.wire.session import Session
from app.wire.steps import Observe, SessionFailed, Step
from app.wire.target import Target

_STEPS: dict[Phase, str] = {"mail": "mail", "rcpt": "rcpt"}  # all others happen within DATA


@dataclass(frozen=True, slots=True)
class Failure:
    """Where it ended and why. code: the server's, where it spoke. detail: for a person."""

    step: str
    cause: str
    code: int | None = None
    detail: str = ""


class Talk:
    """A probe's conversation; `run` it once, then read its members, also when it was cut off.

    observe: told of each step when it is done, through ``veil``. session: None unless it opened.
    accepted_sender: an envelope sender that the server takes where it refused the one asked for.
    """

    def __init__(
        self,
        target: Target,
        policy: AddressPolicy,
        ehlo_name: str,
        observe: Observe | None,
        veil: Callable[[Step], Step],
    ) -> None:
        self.target = target
        self.steps: list[Step] = []
        self._observe = observe
        self._veil = veil
        self.failure: Failure | None = None
        self.session: Session | None = None
        self.accepted_sender: str | None = None
        self._policy = policy
        self._ehlo_name = ehlo_name
        self._finished = False

    async def run(
        self,
        *,
        login: bool,
        envelope: Envelope | None = None,
        body: bytes | None = None,
        other_senders: tuple[str, ...] = (),
        timeout_s: float,
    ) -> None:
        """Talk for at most ``timeout_s``. envelope: to be asked for; body: to be sent with it."""
        ends_at = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(ends_at):
                await self._open(login)
                if self.session is not None and envelope is not None:
                    await self._hand_over(self.session, envelope, body, ends_at)
                    if self.failure and self.failure.cause == "sender_refused":
                        await self._try_senders(self.session, envelope, other_senders)
                self._finished = True
                if self.session is not None and self.session.usable:
                    await self.session.quit(self._add)
        except TimeoutError:
            if not self._finished and self.failure is None:
                detail = "the time for the probe is up"
                if not self.steps or self.steps[-1].ok:  # it was writing the message
                    self._add(Step("data", ok=False, ms=0, detail=detail))
                self.failure = Failure(self.steps[-1].step, "timeout", detail=detail)
        finally:
            if self.session is not None:
                self.session.abort()

    def fail(self, failed: SessionFailed) -> None:
        """End before a server was spoken to."""
        self._add(Step(failed.step, ok=False, ms=0, detail=failed.detail))
        self.failure = Failure(failed.step, failed.cause, detail=failed.detail)

    async def _open(self, login: bool) -> None:
        try:
            self.session = await Session.open(
                self.target,
                policy=self._policy,
                ehlo_name=self._ehlo_name,
                observe=self._add,
                login=login,
            )
        except SessionFailed as failed:
            code = failed.reply.code if failed.reply else None
            self.failure = Failure(failed.step, failed.cause, code, failed.detail)

    async def _hand_over(
        self, session: Session, envelope: Envelope, body: bytes | None, ends_at: float
    ) -> None:
        if body is None:
            transaction = await session.try_envelope(envelope, self._add)
        else:
            left_s = ends_at - asyncio.get_running_loop().time()
            transaction = await session.send(
                envelope,
                body,
                before_dot=_agree,
                final_reply_timeout_s=max(0.1, left_s - 0.1),  # to fail by itself, with its step
                observe=self._add,
            )
        trouble = transaction.trouble
        if trouble is not None:
            self._note(trouble)

    def _add(self, step: Step) -> None:
        self.steps.append(step)
        if self._observe is not None:
            self._observe(self._veil(step))

    def _note(self, trouble: Verdict) -> None:
        step, reply = _STEPS.get(trouble.phase, "data"), trouble.reply
        if all(each.ok for each in self.steps):  # the server said nothing that ends the step
            detail = reply.text if reply else "the connection ended while the message was written"
            self._add(Step(step, ok=False, ms=0, detail=detail))
        self.failure = Failure(
            step, trouble.cause or "protocol_error", reply.code if reply else None
        )

    async def _try_senders(
        self, session: Session, envelope: Envelope, others: tuple[str, ...]
    ) -> None:
        """Find out which other sender the server would take; no step tells of it."""
        for sender in others:
            if not session.usable or not is_mailbox(sender):
                return
            asked = await session.try_envelope(Envelope(sender, envelope.recipients))
            if asked.trouble is None or asked.trouble.phase != "mail":
                self.accepted_sender = sender
                return


async def _agree(accepted: tuple[int, ...]) -> bool:
    return True
