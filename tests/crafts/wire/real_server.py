"""aiosmtpd as a real server: TLS both ways, and every AUTH mechanism checked for real."""

import asyncio
import base64
import contextlib
import hmac
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import spnego
from aiosmtpd.smtp import MISSING, SMTP, AuthResult, LoginPassword
from aiosmtpd.smtp import Envelope as Received

USER, PASSWORD = "anna@firma.example", "zażółć-geheim"
DENIED = AuthResult(success=False, handled=False)


@dataclass
class Mailbox:
    """Handler that keeps what it is given. mechanisms: how logins were made."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    mechanisms: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Received) -> str:
        self.received.append(envelope)
        return "250 2.0.0 kept"

    def check(self, server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        """Decide PLAIN and LOGIN."""
        self.mechanisms.append(mechanism)
        assert isinstance(data, LoginPassword)
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    async def auth_CRAM__MD5(self, server: SMTP, args: list[str]) -> AuthResult:
        self.mechanisms.append("CRAM-MD5")
        challenge = b"<17.4711@mx.example>"
        answer = await server.challenge_auth(challenge)
        if answer is MISSING:
            return DENIED
        digest = hmac.new(PASSWORD.encode(), challenge, "md5").hexdigest()
        return AuthResult(success=answer == f"{USER} {digest}".encode(), handled=False)

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        self.mechanisms.append("XOAUTH2")
        given = base64.b64decode(args[1]).decode()
        if given == f"user={USER}\x01auth=Bearer {PASSWORD}\x01\x01":
            return AuthResult(success=True)
        await server.challenge_auth(b'{"status":"401","schemes":"bearer"}')
        return DENIED

    async def auth_NTLM(self, server: SMTP, args: list[str]) -> AuthResult:
        self.mechanisms.append("NTLM")
        context = spnego.server(protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)
        challenge: bytes | None = b""
        while True:
            answer = await server.challenge_auth(challenge or b"")
            if answer is MISSING:
                return DENIED
            try:
                challenge = context.step(answer)
            except spnego.exceptions.SpnegoError:
                return DENIED
            if context.complete:
                return AuthResult(success=True)


@contextlib.asynccontextmanager
async def serve(
    context: ssl.SSLContext | None,
    *,
    implicit_tls: bool = False,
    exclude: tuple[str, ...] = (),
    clear_auth: bool = False,
    **options: Any,
) -> AsyncIterator[Mailbox]:
    """Serve on a loopback port; exclude: mechanisms that are not offered."""
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()

    def build() -> SMTP:
        return SMTP(
            mailbox,
            tls_context=None if implicit_tls else context,
            authenticator=mailbox.check,
            auth_require_tls=not (implicit_tls or clear_auth),
            auth_exclude_mechanism=exclude,
            hostname="mx.example",
            loop=loop,
            **options,
        )

    server = await loop.create_server(build, "127.0.0.1", 0, ssl=context if implicit_tls else None)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()
