"""A mail provider with OAuth2 on real sockets: authorization, tokens, and SMTP that takes them.

``Provider`` holds clients to the protocol: the redirect URI, PKCE (S256), the client's secret, each
code once, and refresh tokens that are good once, as Microsoft's may be. ``serve_smtp`` takes a login
only by an access token that it gave and that is still good.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aiosmtpd.smtp import SMTP, AuthResult
from aiosmtpd.smtp import Envelope as Received
from pydantic import SecretStr

CLIENT, SECRET, BACK = "awizo-client", "klucz +%/ tajny", "http://awizo.example/oauth/callback"
OWNER = "faktury@firma.example"
REFUSED = AuthResult(success=False, handled=False)


class Provider:
    """Open until ``close``. asked: the grant types, in order; valid: access tokens that are good.

    lasts_s: what the access tokens it gives are good for. answer: (status, text) instead of its own.
    delay_s: how long it thinks. rotates: a refresh token is good once.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.valid: set[str] = set()
        self.good: set[str] = set()  # refresh tokens
        self.lasts_s: Any = 3600
        self.answer: tuple[int, str] | None = None
        self.delay_s = 0.0
        self.rotates = True
        self.keeps_refresh = True
        self._codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["content-length"])).decode()
                given = dict(parse_qsl(form))
                is_asked = self.path == "/introspect"
                status, text = (provider.introspect if is_asked else provider.give)(given)
                body = text.encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", provider.url + "/elsewhere")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def settings(self) -> dict[str, Any]:
        """What makes Awizo know it as both providers."""
        return {
            "public_url": "http://awizo.example",
            "oauth_google_client_id": CLIENT,
            "oauth_google_client_secret": SecretStr(SECRET),
            "oauth_google_authorize_url": f"{self.url}/authorize",
            "oauth_google_token_url": f"{self.url}/token",
            "oauth_microsoft_client_id": CLIENT,
            "oauth_microsoft_client_secret": SecretStr(SECRET),
            "oauth_microsoft_tenant": "firma.example",
            "oauth_microsoft_authorize_url": f"{self.url}/{{tenant}}/authorize",
            "oauth_microsoft_token_url": f"{self.url}/{{tenant}}/token",
        }

    @property
    def refreshes(self) -> int:
        return sum(each["grant_type"] == "refresh_token" for each in self.asked)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def authorize(self, url: str) -> dict[str, str]:
        """Consent as the owner whose browser was led to ``url``; return what it brings back."""
        query = dict(parse_qsl(urlsplit(url).query))
        assert url.startswith(self.url)
        assert (query["client_id"], query["redirect_uri"]) == (CLIENT, BACK)
        assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        return {"code": code, "state": query["state"]}

    def revoke(self) -> None:
        """The owner takes the consent back."""
        self.good.clear()
        self.valid.clear()

    def introspect(self, form: dict[str, str]) -> tuple[int, str]:
        """Tell a mail server whether an access token is good (RFC 7662)."""
        active = form["token"] in self.valid
        # Dovecot 2.3 wants the name in any case, else it calls this a temporary failure.
        return 200, json.dumps({"active": active, "username": OWNER})

    def give(self, form: dict[str, str]) -> tuple[int, str]:
        """Answer a question to the token endpoint."""
        self.asked.append(form)
        if self.delay_s:
            time.sleep(self.delay_s)
        if self.answer is not None:
            return self.answer
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return 401, '{"error": "invalid_client"}'
        match form["grant_type"]:
            case "authorization_code":
                asked = self._codes.pop(form["code"], None)
                digest = hashlib.sha256(form["code_verifier"].encode()).digest()
                shown = base64.urlsafe_b64encode(digest).decode().rstrip("=")
                good = asked is not None and asked["code_challenge"] == shown
                good = good and form["redirect_uri"] == BACK
            case "refresh_token":
                good = form["refresh_token"] in self.good
                if good and self.rotates:
                    self.good.discard(form["refresh_token"])
            case "client_credentials":
                good = form["scope"].endswith("/.default")
            case _:
                good = False
        if not good:
            said = f"AADSTS70000: {form.get('refresh_token', 'the code')} is not good any more"
            return 400, json.dumps({"error": "invalid_grant", "error_description": said})
        return 200, json.dumps(self._make(form["grant_type"]))

    def _make(self, grant: str) -> dict[str, Any]:
        access = f"access-{secrets.token_urlsafe(24)}"
        self.valid.add(access)
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": self.lasts_s}
        if grant == "client_credentials":
            return answer
        if self.keeps_refresh and (grant == "authorization_code" or self.rotates):
            answer["refresh_token"] = f"refresh-{secrets.token_urlsafe(24)}"
            self.good.add(answer["refresh_token"])
        claims = base64.urlsafe_b64encode(json.dumps({"email": OWNER}).encode()).decode()
        return answer | {"scope": "mail openid", "id_token": f"e30.{claims.rstrip('=')}.x"}


@dataclass
class MailServer:
    """SMTP that takes XOAUTH2 alone. logins: what was tried, by access token."""

    provider: Provider
    port: int = 0
    received: list[Received] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Received) -> str:
        self.received.append(envelope)
        return "250 2.0.0 kept"

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        user, bearer, *_ = base64.b64decode(args[1]).decode().split("\x01")
        token = bearer.removeprefix("auth=Bearer ")
        self.logins.append(token)
        if user == f"user={OWNER}" and token in self.provider.valid:
            return AuthResult(success=True)
        await server.challenge_auth(b'{"status":"401","schemes":"bearer"}')
        return REFUSED


@contextlib.asynccontextmanager
async def serve_smtp(provider: Provider) -> AsyncIterator[MailServer]:
    """Serve on a loopback port, in clear text."""
    mailbox, loop = MailServer(provider), asyncio.get_running_loop()

    def build() -> SMTP:
        exclude = ("PLAIN", "LOGIN")
        return SMTP(
            mailbox, auth_require_tls=False, auth_exclude_mechanism=exclude, hostname="mx.example",
            loop=loop,
        )  # fmt: skip

    server = await loop.create_server(build, "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()
