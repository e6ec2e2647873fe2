"""The public keys of the OIDC issuer: found by discovery, cached, fetched again when one is unknown.

An issuer that cannot be reached is ``Unavailable``: the token may be good, we cannot tell. Keys
that were fetched serve on for an hour meanwhile. However many requests ask, one fetch runs at a
time, and at most one in ``_RETRY_AFTER``, so forged key ids cannot make us flood the issuer.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet
from pydantic_core import from_json

from app.errors import Unavailable

_FRESH = timedelta(minutes=10)
_STALE = timedelta(hours=1)
_RETRY_AFTER = timedelta(seconds=10)
_TIMEOUT_S = 5.0
_MOST_BYTES = 1_048_576  # of a discovery document or a key set; real ones have some kilobytes


class Issuer:
    """One issuer. jwks_url: None finds it by OpenID Connect Discovery."""

    def __init__(self, issuer: str, jwks_url: str | None, clock: Callable[[], datetime]) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = self._tried_at = datetime.min.replace(tzinfo=clock().tzinfo)
        self._lock = asyncio.Lock()
        self._description: Mapping[str, Any] = {}
        self._described_at = self._asked_at = self._fetched_at
        self._describing = asyncio.Lock()

    async def read_keys(self, kid: str | None = None) -> KeySet:
        """Return the issuer's keys; ``kid`` is one that the caller needs and may be new."""
        if self._lacks(kid):
            async with self._lock:  # whoever waited here looks again: it may be there by now
                if self._lacks(kid) and self._clock() - self._tried_at >= _RETRY_AFTER:
                    await self._refresh()
        if self._keys is None or self._clock() - self._fetched_at > _STALE:
            raise _away("has not answered")
        return self._keys

    async def describe(self) -> Mapping[str, Any]:
        """Return the discovery document: where people sign in, where a code is traded."""
        async with self._describing:
            at = self._clock()
            if at - self._described_at > _FRESH:
                if at - self._asked_at < _RETRY_AFTER:
                    raise _away("has not answered")
                self._asked_at = at
                async with open_client() as client:
                    self._description = await self._discover(client)
                self._described_at = at
            return self._description

    def _lacks(self, kid: str | None) -> bool:
        if self._keys is None or self._clock() - self._fetched_at > _FRESH:
            return True
        return kid is not None and kid not in (key.kid for key in self._keys)

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        try:
            async with open_client() as client:
                url = self._jwks_url or str((await self._discover(client))["jwks_uri"])
                _, found = await fetch(client, url)
            keys = _import_keys(found)
        except Unavailable:
            if self._keys is None or self._clock() - self._fetched_at > _STALE:
                raise
            return
        self._keys, self._fetched_at = keys, self._clock()

    async def _discover(self, client: httpx.AsyncClient) -> Mapping[str, Any]:
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        _, found = await fetch(client, url)
        # OpenID Connect Discovery 1.0 §4.3: the document's issuer is exactly the one asked for.
        if found.get("issuer") != self._issuer or not isinstance(found.get("jwks_uri"), str):
            raise _away("does not describe itself as AWIZO_OIDC_ISSUER says")
        return found


def open_client() -> httpx.AsyncClient:
    """Return what speaks to the issuer."""
    return httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False)


async def fetch(
    client: httpx.AsyncClient, url: str, post: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Return status and JSON object of an answer: 200, or a refusal (RFC 6749 §5.2) of ``post``.

    Raise ``Unavailable`` for every other.
    """
    try:
        answering = client.stream("GET" if post is None else "POST", url, data=post)
        async with asyncio.timeout(2 * _TIMEOUT_S), answering as answer:
            if answer.status_code not in ((200,) if post is None else (200, 400, 401)):
                raise _away(f"answered {answer.status_code}")
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise _away("sent too much")
        found = from_json(bytes(body))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
        raise _away("could not be asked") from error
    if not isinstance(found, dict):
        raise _away("sent no JSON object")
    return answer.status_code, found


def _import_keys(found: dict[str, Any]) -> KeySet:
    keys = []
    for data in found["keys"] if isinstance(found.get("keys"), list) else []:
        try:
            keys.append(JWKRegistry.import_key(data))
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # RFC 7517 §5: keys that are not understood are left out
    if not keys:
        raise _away("published no key that can be used")
    return KeySet(keys)


def _away(what: str) -> Unavailable:
    return Unavailable(
        f"The issuer of this token {what}; try again shortly.",
        code="issuer_away",
        retry_after_s=_RETRY_AFTER.total_seconds(),
    )
