"""OAuth 2.0 for mail: where to lead a browser, and what a token endpoint answers.

Authorization code with PKCE S256 (RFC 6749 §4.1, RFC 7636), refresh (§6) and client credentials
(§4.4). One POST per question: 15 s, 64 KiB, no redirect, no proxy of the environment. What goes wrong
is a ``Refusal``, never an exception; its kind says who can mend it: ``consent`` (``invalid_grant``:
only a person), ``temporary`` (later), ``misconfigured`` (who keeps the settings). Its words name the
endpoint's error and hold no secret.
"""

import asyncio
import base64
import hashlib
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import httpx
from pydantic_core import from_json

from app.wire.target import Secret

TIMEOUT_S = 15.0  # for all of it
_MOST_BYTES = 64 * 1024  # real answers have a few kilobytes
_USUAL_LIFE_S = 3600  # RFC 6749 §5.1: expires_in is only recommended
_ERROR = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,60}")  # RFC 6749 §5.2, without blanks
_WORDS = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]")
_MOST_WORDS = 300
# RFC 6749 §4.1.2.1 knows these two at the other endpoint; token endpoints say them as well.
_TEMPORARY = frozenset(("temporarily_unavailable", "server_error", "slow_down"))
_CONSENT = frozenset(
    ("invalid_grant", "interaction_required", "consent_required", "login_required")
)

Kind = Literal["consent", "temporary", "misconfigured"]


@dataclass(frozen=True, slots=True)
class Client:
    """Awizo as a provider knows it. secret: None is a public client, by PKCE alone."""

    authorize_url: str
    token_url: str
    client_id: str
    secret: Secret | None
    scopes: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an endpoint gave. refresh: None where it gave no new one. address: whose, if it says."""

    access: Secret
    lasts_s: float
    refresh: Secret | None = None
    scopes: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no token. detail: plain words for people."""

    kind: Kind
    detail: str


@dataclass(frozen=True, slots=True)
class Errand:
    """What an authorization is finished with; both values are secrets (43 to 128 characters)."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)


def make_authorize_url(
    client: Client, state: str, verifier: str, back: str, extra: Mapping[str, str]
) -> str:
    """Return where a browser is led to. back: the redirect URI. extra: the provider's own wishes."""
    digest = hashlib.sha256(verifier.encode()).digest()
    asked = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": back,
        "scope": client.scopes,
        "state": state,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        **extra,
    }
    joint = "&" if "?" in client.authorize_url else "?"
    return f"{client.authorize_url}{joint}{urlencode(asked)}"


def is_issued_by(client: Client, issuer: str) -> bool:
    """Whether an answer's ``iss`` (RFC 9207) is of the place that the browser was led to."""
    try:
        given, led_to = urlsplit(issuer), urlsplit(client.authorize_url)
        return (given.scheme, given.netloc.lower()) == (led_to.scheme, led_to.netloc.lower())
    except ValueError:
        return False


def name_error(error: str) -> str:
    """Return what a browser brought back instead of a code, fit to be shown."""
    if error == "access_denied":
        return "The owner, or an administrator of theirs, declined (access_denied)"
    return f"The provider said {error}" if _ERROR.fullmatch(error) else "The provider sent no code"


async def trade_code(client: Client, code: str, verifier: str, back: str) -> Tokens | Refusal:
    """Trade an authorization code for tokens."""
    return await _ask(
        client,
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": verifier,
        },
    )


async def refresh(client: Client, token: Secret) -> Tokens | Refusal:
    """Trade a refresh token for an access token, and perhaps for the next refresh token."""
    return await _ask(client, {"grant_type": "refresh_token", "refresh_token": token.reveal()})


async def ask_as_application(client: Client) -> Tokens | Refusal:
    """Ask for an access token in the application's own name (client credentials)."""
    return await _ask(client, {"grant_type": "client_credentials", "scope": client.scopes})


async def _ask(client: Client, form: Mapping[str, str]) -> Tokens | Refusal:
    # RFC 6749 §2.3.1: in the body; both Google and Microsoft take it there.
    sent = {**form, "client_id": client.client_id}
    if client.secret is not None:
        sent["client_secret"] = client.secret.reveal()
    host = urlsplit(client.token_url).netloc
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status, body = await _post(client.token_url, sent)
    except TimeoutError:
        return Refusal("temporary", f"{host} did not answer within {TIMEOUT_S:.0f} seconds.")
    except httpx.InvalidURL:
        return Refusal("misconfigured", "The address of the token endpoint is none.")
    except httpx.HTTPError as error:
        return Refusal("temporary", f"{host} could not be asked ({type(error).__name__}).")
    if len(body) > _MOST_BYTES:
        return Refusal("temporary", f"{host} sent more than a token endpoint does.")
    try:
        found = from_json(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        found = {}
    if status == 200:
        return _read_tokens(host, found)
    known = [each.reveal() for each in (client.secret,) if each] + list(form.values())
    return _read_refusal(host, status, found, known)


async def _post(url: str, form: Mapping[str, str]) -> tuple[int, bytes]:
    """Return status and body; of one that is too large a little more than may be."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with (
        httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as http,
        http.stream("POST", url, data=form, headers=headers) as answer,
    ):
        body = bytearray()
        async for part in answer.aiter_raw():
            body += part
            if len(body) > _MOST_BYTES:
                break
        return answer.status_code, bytes(body)


def _read_tokens(host: str, found: Mapping[str, Any]) -> Tokens | Refusal:
    access = found.get("access_token")
    if not _is_token(access):
        return Refusal("temporary", f"{host} answered without an access token.")
    assert isinstance(access, str)
    kind = found.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return Refusal("misconfigured", f"{host} gave a token of a kind that mail does not take.")
    given = found.get("refresh_token")
    scopes = found.get("scope")
    return Tokens(
        Secret(access),
        _read_life(found.get("expires_in")),
        Secret(given) if isinstance(given, str) and _is_token(given) else None,
        scopes[:2000] if isinstance(scopes, str) and scopes.isprintable() else None,
        _read_address(found.get("id_token")),
    )


def _is_token(given: object) -> bool:
    # RFC 6749 appendix A.12: visible characters; it goes into a SASL answer between controls.
    return isinstance(given, str) and re.fullmatch(r"[\x20-\x7e]{1,32768}", given) is not None


def _read_life(given: object) -> float:
    """Return seconds; Microsoft's older endpoint writes them as text."""
    try:
        life_s = float(given) if isinstance(given, int | float | str) else _USUAL_LIFE_S
    except (ValueError, OverflowError):
        return _USUAL_LIFE_S
    return min(life_s, 86_400.0 * 30) if math.isfinite(life_s) and life_s >= 0 else _USUAL_LIFE_S


def _read_address(id_token: object) -> str | None:
    """Return whose token it is, for people to see; nothing is decided by it.

    OpenID Connect Core §3.1.3.7 (6): straight from the token endpoint, TLS vouches for it.
    """
    if not isinstance(id_token, str) or id_token.count(".") != 2:
        return None
    part = id_token.split(".")[1]
    try:
        claims = from_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None
    for name in ("email", "preferred_username", "upn"):
        given = claims.get(name) if isinstance(claims, dict) else None
        if isinstance(given, str) and given.isprintable() and 0 < len(given) <= 320:
            return given
    return None


def _read_refusal(
    host: str, status: int, found: Mapping[str, Any], secrets_sent: list[str]
) -> Refusal:
    error = found.get("error")
    error = error if isinstance(error, str) and _ERROR.fullmatch(error) else None
    given = found.get("error_description")
    words = "".join(_WORDS.findall(given)) if isinstance(given, str) else ""
    for secret in secrets_sent:  # whatever an endpoint repeats
        words = words.replace(secret, "…") if len(secret) > 3 else words
    said = f"{host} answered {status}{f' {error}' if error else ''}"
    detail = f"{said}: {words[:_MOST_WORDS].rstrip('.')}." if words else f"{said}."
    if error in _CONSENT:
        return Refusal("consent", detail)
    if error in _TEMPORARY or status == 429 or status >= 500:
        return Refusal("temporary", detail)
    return Refusal("misconfigured", detail)
