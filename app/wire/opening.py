"""From a Target to a connection that is ready for MAIL: resolve, connect, TLS, EHLO, AUTH.

We connect the socket ourselves: the address policy decides on the very address that is
connected to, and a probe needs TLS and greeting as two steps with their own errors, which
aiosmtplib's connect() folds into one. EHLO, STARTTLS and AUTH are aiosmtplib's, over `Channel`.
A failed handshake never falls back to clear text; every wait is bounded by `timeout_ms`.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable
from dataclasses import replace

from aiosmtplib import SMTP, SMTPHeloError

from app.wire.address_policy import Address, AddressPolicy
from app.wire.auth import SUCCESS, choose_mechanisms, try_mechanism
from app.wire.capabilities import Capabilities, read_capabilities
from app.wire.causes import permits_next_mechanism
from app.wire.channel import Channel
from app.wire.reply import read_reply
from app.wire.steps import Declined, Halted, Observe, Outcome, run_step
from app.wire.target import Auth, Target
from app.wire.tls import TlsFacts, make_context, read_facts


class Opening:
    """One attempt to open a session; `run` does the steps in order."""

    def __init__(
        self, target: Target, policy: AddressPolicy, ehlo_name: str, observe: Observe
    ) -> None:
        self.target = target
        self.policy = policy
        self.observe = observe
        self.timeout_s = target.timeout_ms / 1000
        self.channel = Channel()
        self.smtp = SMTP(local_hostname=ehlo_name, timeout=self.timeout_s)
        self.capabilities = Capabilities()
        self.tls_facts: TlsFacts | None = None
        self.starttls_offered = False
        self.mechanism: Auth | None = None
        self._addresses: list[Address] = []
        self._socket: socket.socket | None = None

    async def run(self, login: bool) -> None:
        """Do every step; raise SessionFailed at the first that fails, leaving nothing open."""
        try:
            await self._step("resolve", self._resolve())
            await self._step("connect", self._connect())
            if self.target.implicit_tls:
                await self._step("tls", self._attach(with_tls=True))
            await self._step("greeting", self._greet())
            await self._step("ehlo", self._say_hello())
            self.starttls_offered = self.capabilities.starttls
            if self._needs_starttls():
                await self._step("starttls", self._start_tls())
                await self._step("ehlo", self._say_hello())
            if login and self.target.wants_login:
                await self._step("auth", self._log_in())
        except BaseException:
            await self._give_up()
            raise

    async def _step(self, step: str, work: Awaitable[Outcome]) -> None:
        await run_step(step, work, self.observe)

    async def _resolve(self) -> Outcome:
        self._addresses = await self.policy.resolve(
            self.target.host, self.target.port, timeout_s=self.timeout_s
        )
        return Outcome(detail=", ".join(map(str, self._addresses)))

    async def _connect(self) -> Outcome:
        """Try the addresses in turn; each gets a fair part of the time that is left."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        failure: OSError | None = None
        for position, address in enumerate(self._addresses):
            share_s = (deadline - loop.time()) / (len(self._addresses) - position)
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            try:
                sock.setblocking(False)
                async with asyncio.timeout(share_s):
                    await loop.sock_connect(sock, (str(address), self.target.port))
            except OSError as exc:  # TimeoutError is one
                sock.close()
                # A refusal says more than the silence of another address.
                if failure is None or isinstance(failure, TimeoutError):
                    failure = exc
            except BaseException:
                sock.close()
                raise
            else:
                self._socket = sock
                if not self.target.implicit_tls:
                    await self._attach(with_tls=False)
                return Outcome(detail=str(address))
        raise failure or OSError("no address")

    async def _attach(self, *, with_tls: bool) -> Outcome:
        """Put the channel on the socket, with TLS from the first byte where asked for."""
        loop = asyncio.get_running_loop()
        context = self._make_context() if with_tls else None
        async with asyncio.timeout(self.timeout_s):
            await loop.create_connection(
                lambda: self.channel,
                sock=self._socket,
                ssl=context,
                server_hostname=self.target.tls_name if context else None,
            )
        self._socket = None  # the transport's from now on
        self.smtp.protocol = self.channel
        self.smtp.transport = self.channel.transport
        return self._note_tls() if with_tls else Outcome()

    def _make_context(self) -> ssl.SSLContext:
        return make_context(self.target.tls_verify, self.target.ca_pem)

    def _note_tls(self) -> Outcome:
        connection = self.smtp.get_transport_info("ssl_object")
        self.tls_facts = read_facts(connection)
        return Outcome(tls=self.tls_facts)

    async def _greet(self) -> Outcome:
        response = await self.channel.read_response(self.timeout_s)
        outcome = Outcome(read_reply(response.code, response.message))
        if response.code != 220:
            raise Declined(outcome)
        return outcome

    async def _say_hello(self) -> Outcome:
        """EHLO, or HELO for a server that does not know it (RFC 5321 §3.2)."""
        try:
            response = await self.smtp.ehlo()
        except SMTPHeloError as exc:
            if exc.code not in (500, 501, 502, 504):
                raise
            response = await self.smtp.helo()
        self.capabilities = read_capabilities(
            self.smtp.esmtp_extensions, self.smtp.server_auth_methods
        )
        reply = read_reply(response.code, response.message)
        return Outcome(reply, capabilities=self.capabilities)

    def _needs_starttls(self) -> bool:
        connection = self.target.connection
        if self.tls_facts or connection == "plaintext":
            return False
        return connection == "starttls" or self.starttls_offered or self.target.starttls_seen

    async def _start_tls(self) -> Outcome:
        if not self.starttls_offered:
            raise Halted(
                "starttls_not_offered",
                "the server does not offer STARTTLS"
                + (", although it did before" if self.target.starttls_seen else ""),
            )
        response = await self.smtp.starttls(
            tls_context=self._make_context(), server_hostname=self.target.tls_name
        )
        return replace(self._note_tls(), reply=read_reply(response.code, response.message))

    async def _log_in(self) -> Outcome:
        encrypted = self.tls_facts is not None
        for mechanism in choose_mechanisms(self.target, self.capabilities.auth, encrypted):
            reply = await try_mechanism(self.smtp, self.channel, self.target, mechanism)
            self.mechanism, outcome = mechanism, Outcome(reply, detail=mechanism)
            if not permits_next_mechanism(reply):
                break
        if reply.code != SUCCESS:
            raise Declined(outcome)
        return outcome

    async def _give_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self.channel.transport is not None:
            self.channel.abort()
            # A handshake that is cut off half-way never tells us that the connection is gone.
            await self.channel.wait_closed(0.2)
