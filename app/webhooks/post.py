"""One POST to a receiver: the address policy asked, the checked address connected to.

The name is looked up and judged at every try; the connection goes to the very address that was
judged, while Host, SNI and the certificate are those of the name. No redirect is followed, no proxy
of the environment used, and a connection serves one request, so that none is shared by two names.
What goes wrong is an ``Answer`` in plain words, never an exception.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

import httpx

from app.settings import read_version
from app.webhooks.retry import GONE, is_success
from app.webhooks.wishes import is_own_network, read_url
from app.wire.address_policy import (
    Address,
    AddressDenied,
    AddressPolicy,
    NameNotFound,
    read_literal,
)

TIMEOUT_S = 15.0  # for all of it
_MOST_ANSWER_BYTES = 4096
_ANSWER_S = 2.0  # for what follows the status, which alone counts
_CLEAR = "plain http is for addresses of your own network, and {} is none"

# Not those that mail servers are looked up with: a name server that hangs delays no mail.
_resolvers = ThreadPoolExecutor(max_workers=16, thread_name_prefix="resolve-webhook")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try. code: the HTTP status, where there was one. error: None is success."""

    code: int | None
    error: str | None
    ms: int

    @property
    def is_success(self) -> bool:
        """Whether the receiver took it."""
        return self.error is None


async def post(url: str, headers: Mapping[str, str], body: bytes, policy: AddressPolicy) -> Answer:
    """Send ``body`` (JSON) to ``url`` and return what came of it, after ``TIMEOUT_S`` at most."""
    begun = time.monotonic()
    code = None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            code, location = await _exchange(url, headers, body, policy)
        error = _explain(code, location)
    except AddressDenied as denied:
        error = f"This address may not be connected to: {denied}."
    except NameNotFound as unknown:
        error = f"The host's name was not found: {unknown}."
    except (TimeoutError, httpx.TimeoutException):
        error = f"No answer within {TIMEOUT_S:.0f} seconds."
    except httpx.ConnectError as failed:
        error = f"The connection was not made: {_strip(failed)}."
    except (httpx.HTTPError, httpx.InvalidURL) as failed:
        error = f"The connection broke, or this is no HTTP: {_strip(failed)}."
    return Answer(code, error, round((time.monotonic() - begun) * 1000))


async def _exchange(
    url: str, headers: Mapping[str, str], body: bytes, policy: AddressPolicy
) -> tuple[int, str | None]:
    """Return the status and the place of a redirect; the addresses share the time to connect."""
    parsed, host, port = read_url(url)
    policy = replace(policy, resolvers=_resolvers)
    addresses = await policy.resolve(host, port, timeout_s=TIMEOUT_S)
    if parsed.scheme != "https" and (other := _find_foreign(addresses)):
        raise AddressDenied(_CLEAR.format(other))
    connect_s = TIMEOUT_S / len(addresses)
    for address in addresses[:-1]:
        with suppress(httpx.ConnectError, httpx.ConnectTimeout):  # nothing was sent: the next one
            return await _send(parsed, address, headers, body, connect_s)
    return await _send(parsed, addresses[-1], headers, body, connect_s)


def _find_foreign(addresses: list[Address]) -> Address | None:
    return next((each for each in addresses if not is_own_network(each)), None)


async def _send(
    url: httpx.URL, address: Address, headers: Mapping[str, str], body: bytes, connect_s: float
) -> tuple[int, str | None]:
    sent = {
        "Host": url.netloc.decode("ascii"),
        "Content-Type": "application/json",
        "User-Agent": f"Awizo/{read_version()}",
        "Accept-Encoding": "identity",
        **headers,
    }
    # The name that TLS asks for and the certificate must carry; an address names itself.
    host = url.raw_host.decode("ascii")
    extensions = {} if read_literal(host) else {"sni_hostname": host}
    transport = httpx.AsyncHTTPTransport(verify=_context(), trust_env=False)
    timeout = httpx.Timeout(TIMEOUT_S, connect=connect_s)
    async with (
        httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client,
        client.stream(
            "POST",
            url.copy_with(host=str(address)),
            content=body,
            headers=sent,
            extensions=extensions,
        ) as response,
    ):
        with suppress(httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(_ANSWER_S):
                await _read_some(response)
        return response.status_code, response.headers.get("location")


async def _read_some(response: httpx.Response) -> None:
    """Let the receiver finish a short answer; a long one is cut, and none is kept."""
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size >= _MOST_ANSWER_BYTES:
            return


@cache
def _context() -> ssl.SSLContext:
    """Return TLS as for mail servers (``wire.tls``), in a context that httpx may add its ALPN to."""
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


def _explain(code: int, location: str | None) -> str | None:
    if is_success(code):
        return None
    if code == GONE:
        return "410: the receiver wants nothing more."
    if 300 <= code < 400:
        where = f" to {location[:200]!r}" if location else ""
        return f"{code}: a redirect{where}, which is not followed; store the final URL."
    return f"The receiver answered {code}."


def _strip(error: Exception) -> str:
    """Return an exception's words, short and on one line."""
    words = " ".join(str(error).split())[:200].rstrip(".")
    return words or type(error).__name__
