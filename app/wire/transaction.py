"""One mail transaction in lock-step: MAIL, RCPT…, DATA, the body, the mark, the dot.

What is guaranteed (DESIGN G6): `before_dot` is awaited once, after the body, with the indices of
the recipients whose fate the dot decides; a connection that breaks before the dot leaves everybody
`deferred`, one that breaks after it leaves them `uncertain`.
A reply decides by its class: 4yz again, 5yz for good; a 5yz that means the account (530) defers.
What the server lacks for this message is refused here, in our own words, and never sent.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from aiosmtplib import SMTPException

from app.wire import causes, dsn
from app.wire.channel import SERVICE_CLOSING, ProtocolViolation
from app.wire.envelope import (
    BeforeDot,
    Envelope,
    Kind,
    Phase,
    Recipient,
    Transaction,
    Verdict,
    is_mailbox,
)
from app.wire.reply import Reply, read_reply, speak_locally
from app.wire.steps import CUT_OFF, Observe, Outcome, describe, report

if TYPE_CHECKING:
    from app.wire.session import Session

# How a server refuses parameters it does not know, although it advertised DSN (RFC 5321 §4.2.4).
_PARAMETERS_REFUSED = frozenset((455, 500, 501, 502, 504, 555))
_START_INPUT = 354


class _Stopped(Exception):
    """The transaction ends here; whoever was still open has a verdict."""


class Carrying:
    """The state of one transaction; used once."""

    def __init__(self, session: "Session", envelope: Envelope, observe: Observe | None) -> None:
        self.session = session
        self.channel = session.channel
        self.envelope = envelope
        self.observe = observe
        self.verdicts: list[Verdict | None] = [None] * len(envelope.recipients)
        self.fresh = session.messages_begun == 0
        self.utf8 = False

    async def send(
        self,
        body: bytes,
        before_dot: BeforeDot,
        final_reply_timeout_s: float,
    ) -> Transaction:
        """Carry the message as far as it goes."""
        if body and not body.endswith(b"\r\n"):
            body += b"\r\n"
        try:
            self._check_body(body)
            await self._ask_envelope(self._list_parameters(body))
            await self._start_data()
            await self._write_body(body, before_dot)
            await self._finish(final_reply_timeout_s)
        except _Stopped:
            pass
        return self._conclude()

    async def try_out(self) -> Transaction:
        """Ask MAIL and RCPT, then RSET."""
        try:
            await self._ask_envelope([])
            await self.session.reset()
            self._settle("accepted", "rcpt")
        except _Stopped:
            pass
        return self._conclude()

    # What we refuse ourselves

    def _check_body(self, body: bytes) -> None:
        size_limit = self.session.capabilities.size
        line_ends = body.count(b"\r\n")
        # SMTP smuggling: to some server a lone CR or LF ends a line, and a dot behind it a message.
        if body.count(b"\r") != line_ends or body.count(b"\n") != line_ends or b"\0" in body:
            self._refuse(
                554, "5.6.0", "the message holds a lone CR, LF or a NUL", "content_refused"
            )
        if size_limit and len(body) > size_limit:
            text = f"the message has {len(body)} bytes, the server takes {size_limit}"
            self._refuse(552, "5.3.4", text, "too_large")
        if not body.isascii() and not self.session.capabilities.eightbitmime:
            text = "the message is 8-bit and the server does not offer 8BITMIME"
            self._refuse(554, "5.6.3", text, "content_refused")

    def _check_addresses(self) -> None:
        sender, recipients = self.envelope.sender, self.envelope.recipients
        if sender and not is_mailbox(sender):
            self._refuse(553, "5.1.7", "the sender's address is not valid", "sender_refused")
        for index, recipient in enumerate(recipients):
            if not is_mailbox(recipient.address):
                reply = speak_locally(553, "5.1.3", "the recipient's address is not valid")
                self.verdicts[index] = Verdict("refused", "rcpt", reply, "recipient_refused")
        if self.session.capabilities.smtputf8:
            addresses = [sender, *(recipient.address for recipient in recipients)]
            self.utf8 = self.envelope.smtputf8 or not all(map(str.isascii, addresses))
            return
        text = "this needs SMTPUTF8, which the server does not offer"
        if self.envelope.smtputf8 or not sender.isascii():
            self._refuse(553, "5.6.7", text, "sender_refused")
        for index in self._open():
            if not recipients[index].address.isascii():
                reply = speak_locally(553, "5.6.7", text)
                self.verdicts[index] = Verdict("refused", "rcpt", reply, "recipient_refused")

    def _refuse(self, code: int, enhanced: str, text: str, cause: str) -> NoReturn:
        self._settle("refused", "mail", speak_locally(code, enhanced, text), cause)
        raise _Stopped

    # What we ask the server

    def _list_parameters(self, body: bytes) -> list[str]:
        parameters = []
        if self.session.capabilities.size is not None:
            parameters.append(f"SIZE={len(body)}")
        if not body.isascii():
            parameters.append("BODY=8BITMIME")
        return parameters

    async def _ask_envelope(self, parameters: list[str]) -> None:
        """MAIL and every RCPT; stops unless a recipient was accepted."""
        self._check_addresses()
        if self._open():
            await self._ask_mail(parameters)
            for index in self._open():
                await self._ask_rcpt(index, self.envelope.recipients[index])
        if not self._open():
            if self.session.in_transaction:
                await self.session.reset()
            raise _Stopped

    async def _ask_mail(self, parameters: list[str]) -> None:
        envelope = self.envelope
        if self.utf8:
            parameters = [*parameters, "SMTPUTF8"]
        line = " ".join((f"MAIL FROM:<{envelope.sender}>", *parameters))
        self.session.in_transaction = True
        reply = await self._ask(
            "mail", line, dsn.list_mail_parameters(envelope.ret, envelope.envid)
        )
        self.session.messages_begun += 1
        if not reply.is_positive:
            self.session.in_transaction = False
            self._settle_by(reply, "mail")
            raise _Stopped

    async def _ask_rcpt(self, index: int, recipient: Recipient) -> None:
        original = recipient.original or recipient.address
        reply = await self._ask(
            "rcpt",
            f"RCPT TO:<{recipient.address}>",
            dsn.list_rcpt_parameters(recipient.notify, original),
            recipient.address,
        )
        if not reply.is_positive:
            self.verdicts[index] = _judge(reply, "rcpt")

    async def _ask(
        self, phase: Phase, line: str, dsn_parameters: Sequence[str] = (), detail: str | None = None
    ) -> Reply:
        """Send a command and return its reply; where the connection ends with it, stop."""
        started = time.monotonic()
        with_dsn = bool(dsn_parameters) and self.session.offers_dsn
        try:
            reply = await self._exchange(" ".join((line, *dsn_parameters)) if with_dsn else line)
            if with_dsn and reply.code in _PARAMETERS_REFUSED:
                reply = await self._exchange(line)
                if reply.is_positive:
                    self.session.dsn_refused = True
                    detail = "the server advertises DSN and refuses its parameters"
        except asyncio.CancelledError:
            self._report(phase, False, started, detail=CUT_OFF)
            raise
        except (OSError, SMTPException, ProtocolViolation) as exc:
            self._report(phase, False, started, detail=describe(exc))
            self._break(exc, phase)
        # DATA as a step is done when the final reply is there; anything but 354 ends it.
        if phase != "data" or reply.code != _START_INPUT:
            self._report(phase, reply.is_positive and phase != "data", started, reply, detail)
        if reply.code == SERVICE_CLOSING:
            self._close_by(reply, phase)
        return reply

    async def _exchange(self, line: str) -> Reply:
        return await self.session.command(line.encode("utf-8" if self.utf8 else "ascii"))

    async def _start_data(self) -> None:
        reply = await self._ask("data", "DATA")
        if reply.code != _START_INPUT:
            self._settle_by(reply, "data")
            await self.session.reset()
            raise _Stopped

    # The body, the mark, the dot

    async def _write_body(self, body: bytes, before_dot: BeforeDot) -> None:
        """Write the body and get the mark; stop unless the dot may follow."""
        try:
            await self.channel.write_body(stuff_dots(body), self.session.timeout_s)
        except (OSError, SMTPException) as exc:
            self._heed_early_reply()
            self._break(exc, "body")
        self._heed_early_reply()
        if not await before_dot(tuple(self._open())):
            self._settle("not_tried", "body")
            raise _Stopped
        self._heed_early_reply()
        if self.session.is_stale():
            self._settle("deferred", "body", cause="connection_lost")
            raise _Stopped

    def _heed_early_reply(self) -> None:
        """A reply before the dot is the server's word on the message: stop, without a dot."""
        early = self.channel.take_early()
        if early:
            self._settle_by(read_reply(early.code, early.message), "body")
            raise _Stopped

    async def _finish(self, timeout_s: float) -> None:
        """Write the final dot; from here on only the server's reply tells what happened."""
        started = time.monotonic()
        self.channel.write(b".\r\n")
        try:
            response = await self.channel.read_reply(timeout_s)
        except (OSError, SMTPException, ProtocolViolation) as exc:
            self._report("data", False, started, detail=describe(exc))
            self._settle("uncertain", "dot", cause=causes.classify_error("data", exc))
            return
        reply = read_reply(response.code, response.message)
        self._report("data", reply.is_positive, started, reply)
        self.session.in_transaction = reply.code == SERVICE_CLOSING
        if reply.is_positive:
            self._settle("sent", "dot", reply)
        elif reply.code < 400:  # neither taken nor refused
            self.session.in_transaction = True
            self._settle("uncertain", "dot", reply, "protocol_error")
        else:
            self._settle_by(reply, "dot")

    # Verdicts

    def _open(self) -> list[int]:
        return [index for index, verdict in enumerate(self.verdicts) if verdict is None]

    def _settle(
        self, kind: Kind, phase: Phase, reply: Reply | None = None, cause: str | None = None
    ) -> None:
        for index in self._open():
            self.verdicts[index] = Verdict(kind, phase, reply, cause)

    def _settle_by(self, reply: Reply, phase: Phase) -> None:
        verdict = _judge(reply, phase)
        self._settle(verdict.kind, phase, reply, verdict.cause)

    def _break(self, error: Exception, phase: Phase) -> NoReturn:
        """The connection is gone and the dot was not sent: everybody is as before."""
        cause = causes.classify_error(phase, error)
        self._settle("not_tried" if self._is_idle_loss(phase) else "deferred", phase, None, cause)
        raise _Stopped

    def _close_by(self, reply: Reply, phase: Phase) -> NoReturn:
        """421: the server takes nothing more on this connection, whatever it accepted before."""
        if self._is_idle_loss(phase):
            self._settle("not_tried", phase, reply, causes.classify_reply(phase, reply))
        self._settle_by(reply, phase)
        raise _Stopped

    def _is_idle_loss(self, phase: Phase) -> bool:
        # A kept connection that ends when it is used again says nothing about this message.
        return phase == "mail" and not self.fresh

    def _conclude(self) -> Transaction:
        assert all(self.verdicts)
        return Transaction(tuple(verdict for verdict in self.verdicts if verdict))

    def _report(
        self,
        step: str,
        ok: bool,
        started: float,
        reply: Reply | None = None,
        detail: str | None = None,
    ) -> None:
        report(step, ok, started, Outcome(reply, detail), self.observe)


def stuff_dots(body: bytes) -> bytes:
    """Double the dot at the start of every line (RFC 5321 §4.5.2); the body itself where none."""
    if not body.startswith(b".") and b"\n." not in body:
        return body
    stuffed = body.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if body.startswith(b".") else stuffed


def _judge(reply: Reply, phase: Phase) -> Verdict:
    """Turn a reply that is not the wished one into a verdict."""
    step = phase if phase in ("mail", "rcpt") else "data"
    cause = causes.classify_reply(step, reply)
    for_good = reply.is_permanent and not causes.is_account_trouble(cause)
    return Verdict("refused" if for_good else "deferred", phase, reply, cause)
