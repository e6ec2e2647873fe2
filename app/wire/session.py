"""One SMTP session: opened once, carries messages one after another, or only asks (probe).

Failure to open raises `SessionFailed`; from then on failure is data, a `Transaction`. Only one
task may use a session. Nothing of a message is ever ended by a lone dot that was not meant:
a transaction that stops half-way closes the connection.
`conveyor` carries messages with one round trip each, `window` several in one; `send` and
`try_envelope` ask one thing at a time, so that each step has its own answer and its own time.
"""

import time
from dataclasses import dataclass

from aiosmtplib import SMTPException

from app.wire.address_policy import AddressPolicy
from app.wire.body import Body
from app.wire.capabilities import Capabilities
from app.wire.channel import Channel, ProtocolViolation
from app.wire.conveyor import Conveyor
from app.wire.envelope import BeforeDot, Envelope, Transaction
from app.wire.opening import Opening
from app.wire.reply import read_reply
from app.wire.steps import Observe, Outcome, describe, report
from app.wire.target import Auth, Connection, Target
from app.wire.tls import TlsFacts

QUIT_TIMEOUT_S = 2.0  # politeness has a bound; the messages are already safe


@dataclass(frozen=True, slots=True)
class _Single:
    """The one message of `Session.send`."""

    envelope: Envelope
    body: Body | bytes
    before_dot: BeforeDot

    def is_wanted(self) -> bool:
        return True


class Session:
    """A connection that is ready for MAIL. Build it with `open`."""

    def __init__(self, opening: Opening, pipelining: bool) -> None:
        self.target: Target = opening.target
        self.channel: Channel = opening.channel
        self.capabilities: Capabilities = opening.capabilities
        self.tls_facts: TlsFacts | None = opening.tls_facts
        self.starttls_offered: bool = opening.starttls_offered
        self.auth: Auth | None = opening.mechanism
        self.timeout_s: float = opening.timeout_s
        self.dsn_refused = False
        self.pipelining_broken = not pipelining
        self.groups_proven = self.rides_proven = False
        self.chunking_proven = self.chunking_broken = False
        self.group_cut = False  # the connection failed at the first group: by chance, or by that
        self.recipients_limit: int | None = None
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
        pipelining: bool = True,
    ) -> "Session":
        """Connect, secure and log in; report each step in the order they happen.

        ehlo_name: our own name, ASCII without blanks. pipelining: False where this server was
        found to break it (`pipelining_broken`). Raises SessionFailed.
        """
        opening = Opening(target, policy, ehlo_name, observe)
        await opening.run(login)
        return cls(opening, pipelining)

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
    def pipelining(self) -> bool:
        """PIPELINING is offered and was not found broken."""
        return self.capabilities.pipelining and not self.pipelining_broken

    @property
    def chunking(self) -> bool:
        """CHUNKING is offered and was not found broken; pipelining is part of its use."""
        return self.capabilities.chunking and self.pipelining and not self.chunking_broken

    @property
    def usable(self) -> bool:
        """It can carry another message now."""
        return self.channel.is_open and not self.channel.is_tainted and not self.in_transaction

    def is_stale(self) -> bool:
        """Tell whether the server has spoken (421) or hung up while the session was idle."""
        return not self.channel.is_open or self.channel.is_tainted

    async def send(
        self,
        envelope: Envelope,
        body: Body | bytes,
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
        jobs = [_Single(envelope, body, before_dot)]
        came: list[Transaction] = []
        conveyor = Conveyor[_Single](
            self,
            final_reply_timeout_s=final_reply_timeout_s,
            observe=observe,
            lock_step=True,
        )
        await conveyor.carry(
            lambda: jobs.pop() if jobs else None, lambda job, transaction: came.append(transaction)
        )
        return came[0]

    async def try_envelope(self, envelope: Envelope, observe: Observe | None = None) -> Transaction:
        """Ask whether the server would take this envelope, then RSET; nothing is delivered."""
        conveyor = Conveyor[_Single](
            self, final_reply_timeout_s=self.timeout_s, observe=observe, lock_step=True
        )
        return await conveyor.try_out(envelope)

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
