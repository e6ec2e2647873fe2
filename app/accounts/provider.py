"""Sign-in of people at the OIDC issuer: authorization code with PKCE, state and nonce.

``begin`` gives the address to lead a browser to, and an ``Errand`` that the browser alone keeps;
``finish`` takes what it brings back. Only the ID token counts, read as strictly as every other
token; nothing of the issuer is kept. Refusals are ``Unauthenticated`` (``sign_in_foreign``,
``sign_in_late``, ``sign_in_refused``) or ``Denied`` (no role); an issuer away is ``Unavailable``.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, urlencode

from app.accounts.caller import Caller
from app.accounts.errand import ERRAND_S, Errand
from app.accounts.issuer import fetch, open_client
from app.accounts.tokens import TokenReader
from app.errors import Unauthenticated, Unavailable
from app.settings import Settings

_ERROR = re.compile(r"[a-z_]{1,60}")  # RFC 6749 §4.1.2.1, §5.2


class Provider:
    """The issuer in the settings, as the place where people sign in."""

    def __init__(
        self, settings: Settings, tokens: TokenReader, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._clock = clock
        self._client_id = settings.oidc_client_id or ""

    async def begin(self, back: str, next: str) -> tuple[str, Errand]:
        """Return where to sign in, and what to keep until the browser comes to ``back``.

        next: where it goes on then.
        """
        page = await self._find("authorization_endpoint")
        errand = Errand(int(self._clock().timestamp()), next)
        digest = hashlib.sha256(errand.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": back,
            "scope": self._settings.oidc_scopes,
            "state": errand.state,
            "nonce": errand.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        return _add_query(page, asked), errand

    async def finish(
        self, errand: Errand, given: Mapping[str, str], back: str, request_id: str | None
    ) -> Caller:
        """Return who signed in. given: the parameters that the browser brought back."""
        if not hmac.compare_digest(given.get("state", "").encode(), errand.state.encode()):
            raise _refuse("This answer belongs to another sign-in; start again.", "sign_in_foreign")
        # RFC 9207: an answer of another issuer, mixed in, says so.
        if given.get("iss", self._settings.oidc_issuer) != self._settings.oidc_issuer:
            raise _refuse("This answer is another issuer's; start again.", "sign_in_foreign")
        if self._clock().timestamp() - errand.begun_at > ERRAND_S:
            raise _refuse("The sign-in took too long; start again.", "sign_in_late")
        if "code" not in given:
            raise _refuse_by(given)
        token = await self._trade(given["code"], errand, back)
        return await self._tokens.read_id_token(token, errand.nonce, request_id)

    async def find_end(self, back: str) -> str | None:
        """Return where a session at the issuer is ended; None where it names no such place."""
        page = (await self._tokens.issuer.describe()).get("end_session_endpoint")
        asked = {"client_id": self._client_id, "post_logout_redirect_uri": back}
        return _add_query(str(page), asked) if _is_address(page) else None

    async def _trade(self, code: str, errand: Errand, back: str) -> str:
        url = await self._find("token_endpoint")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": errand.verifier,
            "client_id": self._client_id,
        }
        async with open_client() as client:
            secret = self._settings.oidc_client_secret
            if secret is not None and await self._takes_basic():
                # RFC 6749 §2.3.1: both are form-encoded before they become a Basic credential.
                client.auth = (quote_plus(self._client_id), quote_plus(secret.get_secret_value()))
                del form["client_id"]
            elif secret is not None:
                form["client_secret"] = secret.get_secret_value()
            status, answer = await fetch(client, url, form)
        token = answer.get("id_token")
        if status != 200 or not isinstance(token, str):
            raise _refuse_by(answer)
        return token

    async def _takes_basic(self) -> bool:
        # OpenID Connect Discovery §3: Basic where the document says nothing.
        ways = (await self._tokens.issuer.describe()).get("token_endpoint_auth_methods_supported")
        return not isinstance(ways, list) or "client_secret_basic" in ways

    async def _find(self, name: str) -> str:
        found = (await self._tokens.issuer.describe()).get(name)
        if not _is_address(found):
            raise Unavailable(f"The issuer names no {name}.", code="issuer_away")
        return str(found)


def _is_address(found: Any) -> bool:
    return isinstance(found, str) and found.startswith(("https://", "http://"))


def _add_query(page: str, asked: Mapping[str, str]) -> str:
    return f"{page}{'&' if '?' in page else '?'}{urlencode(asked)}"


def _refuse(detail: str, code: str) -> Unauthenticated:
    return Unauthenticated(detail, code=code)


def _refuse_by(answer: Mapping[str, Any]) -> Unauthenticated:
    error = answer.get("error")
    named = f" ({error})" if isinstance(error, str) and _ERROR.fullmatch(error) else ""
    return _refuse(f"The issuer did not sign you in{named}; start again.", "sign_in_refused")
