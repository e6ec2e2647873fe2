"""One SMTP session: opened once, carries messages one after another, or only asks (probe).

Failure to open raises `SessionFailed`; from then on failure is data, a `Transaction`. Only one
task may use a session. Nothing of a message is ever ended by a lone dot that was not meant:
a transaction that stops half-way closes the connection.
A pipelined engine may take the place of `transaction.py` behind these same methods.
"""

import time

from aiosmtplib import SMTPException

from app.wire.address_policy import AddressPolicy
from app.wire.capabilities import Capabilities
from app.wire.channel import Channel, ProtocolViolation
from app.wire.envelope import BeforeDot, Envelope, Transaction
from app.wire.opening import Opening
from app.wire.reply import Reply, read_reply
from app.wire.steps import Observe, Outcome, describe, report
from app.wire.target import Auth, Connection, Target
from app.wire.tls import TlsFacts
from app.wire.transaction import Carrying

QUIT_TIMEOUT_S = 2.0  # politeness has a bound; the messages are already safe


class Session:
    """A connection that is ready for MAIL. Build it with `open`."""

    def __init__(self, opening: Opening) -> None:
        self.target: Target = opening.target
        self.channel: Channel = opening.channel
        self.capabilities: Capabilities = opening.capabilities
        self.tls_facts: TlsFacts | None = opening.tls_facts
        self.starttls_offered: bool = opening.starttls_offered
        self.auth: Auth | None = opening.mechanism
        self.timeout_s: float = opening.timeout_s
        self.dsn_refused = False
        self.messages_begun = 0
        self.in_transaction = False

    @classmethod
    async def open(
        cls,
        target: Target,
        *,
        policy: AddressPolicy,
        ehlo_name: str,
        observe: Observe = lambda step: None,
        login: bool = True,
    ) -> "Session":
        """Connect, secure and log in; report each step in the order they happen.

        ehlo_name: our own name, ASCII without blanks. Raises SessionFailed.
        """
        opening = Opening(target, policy, ehlo_name, observe)
        await opening.run(login)
        return cls(opening)

    @property
    def encrypted(self) -> bool:
        """TLS is on, by either way."""
        return self.tls_facts is not None

    @property
    def connection(self) -> Connection:
        """What ``auto`` has come to: ``ssl_tls``, ``starttls`` or ``plaintext``."""
        if self.target.implicit_tls:
            return "ssl_tls"
        return "starttls" if self.encrypted else "plaintext"

    @property
    def offers_dsn(self) -> bool:
        """DSN is offered and was not refused in use."""
        return self.capabilities.dsn and not self.dsn_refused

    @property
    def usable(self) -> bool:
        """It can carry another message now."""
        return self.channel.is_open and not self.channel.is_tainted and not self.in_transaction

    def is_stale(self) -> bool:
        """Tell whether the server has spoken (421) or hung up while the session was idle."""
        return not self.channel.is_open or self.channel.is_tainted

    async def command(self, line: bytes) -> Reply:
        """Send one command and return its reply. Raises as `Channel.read_response` does."""
        response = await self.channel.execute_command(line, timeout=self.timeout_s)
        return read_reply(response.code, response.message)

    async def send(
        self,
        envelope: Envelope,
        body: bytes,
        *,
        before_dot: BeforeDot,
        final_reply_timeout_s: float,
        observe: Observe | None = None,
    ) -> Transaction:
        """Hand one message over and say what became of each recipient.

        before_dot: awaited once, when the body is written and before the final dot, with the
        indices of the accepted recipients; False means that the message must not go: the
        connection is closed and nothing was sent.
        final_reply_timeout_s: the wait for the last reply (RFC 5321 §4.5.3.2.6: 10 minutes).
        """
        work = Carrying(self, envelope, observe)
        try:
            return await work.send(body, before_dot, final_reply_timeout_s)
        finally:
            self._finish()

    async def try_envelope(self, envelope: Envelope, observe: Observe | None = None) -> Transaction:
        """Ask whether the server would take this envelope, then RSET; nothing is delivered."""
        work = Carrying(self, envelope, observe)
        try:
            return await work.try_out()
        finally:
            self._finish()

    def _finish(self) -> None:
        """Close what cannot be trusted any more: an open transaction, unread bytes."""
        if self.in_transaction or self.channel.is_tainted:
            self.abort()

    async def reset(self) -> bool:
        """Forget the envelope on the server (RSET); False where the session is lost by it."""
        try:
            done = (await self.command(b"RSET")).is_positive
        except (OSError, SMTPException, ProtocolViolation):
            done = False
        if done:
            self.in_transaction = False
        else:
            self.abort()
        return done

    async def quit(self, observe: Observe | None = None) -> None:
        """Say QUIT, wait at most 2 s for the answer, and close; it never fails."""
        started = time.monotonic()
        reply, detail = None, None
        try:
            response = await self.channel.execute_command(b"QUIT", timeout=QUIT_TIMEOUT_S)
            reply = read_reply(response.code, response.message)
        except (OSError, SMTPException, ProtocolViolation) as exc:
            detail = describe(exc)
        report("quit", reply is not None, started, Outcome(reply, detail), observe)
        self.abort()
        await self.channel.wait_closed()

    def abort(self) -> None:
        """Drop the connection now, without a word."""
        self.channel.abort()
