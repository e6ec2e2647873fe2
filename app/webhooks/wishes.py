"""What a webhook is told and where: the patterns of its events, and its URL.

A pattern is a type (``recipient.failed``), an area (``recipient.*``) or ``*``. A URL is read by
httpx alone, when it is saved and when it is used. Plain http is for a company's own network: each
address that is connected to is then a loopback or private one (RFC 1918, RFC 4193, RFC 6598).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

import httpx

from app.errors import Fault, refuse
from app.outbox.event_types import EVENT_TYPES
from app.wire.address_policy import Address, AddressPolicy, read_literal

AREAS = tuple(EVENT_TYPES)
MOST_PATTERNS = 50
MOST_URL_CHARACTERS = 2000
_PATTERNS = frozenset(
    (
        "*",
        *(f"{area}.*" for area in AREAS),
        *(each for types in EVENT_TYPES.values() for each in types),
    )
)
_OWN_NETWORKS = tuple(
    ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
)


@dataclass(frozen=True, slots=True)
class Wish:
    """A webhook as somebody wants it. user: only events of that user; None: of everybody.

    faults: what the door found already, of members that are then left out here.
    """

    url: str
    events: tuple[str, ...]
    name: str = ""
    user: str | None = None
    enabled: bool = True
    faults: tuple[Fault, ...] = ()


def check_wish(wish: Wish, policy: AddressPolicy) -> None:
    """Raise ``Refused`` with everything that is wrong with a wish; names are not looked up."""
    named = {fault.pointer for fault in wish.faults}
    found = [fault for fault in _find_faults(wish, policy) if fault.pointer not in named]
    refuse([*wish.faults, *found])


def _find_faults(wish: Wish, policy: AddressPolicy) -> list[Fault]:
    faults = [Fault("/url", *wrong)] if (wrong := _find_wrong_url(wish.url, policy)) else []
    for index, pattern in enumerate(wish.events):
        if pattern not in _PATTERNS:
            area = pattern.partition(".")[0]
            types = ", ".join(EVENT_TYPES.get(area, ("recipient.failed",)))
            known = ", ".join(f"{each}.*" for each in AREAS)
            detail = f"Give *, an area ({known}) or a type ({types})."
            faults.append(Fault(f"/events/{index}", "unknown_event", detail))
    return faults


def is_wanted(patterns: Iterable[str], type: str) -> bool:
    """Whether one of the patterns fits an event's type."""
    area = type.partition(".")[0] + ".*"
    return any(pattern in ("*", area, type) for pattern in patterns)


def is_own_network(address: Address) -> bool:
    """Whether an address may be reached without TLS."""
    return any(address in network for network in _OWN_NETWORKS)


def read_url(url: str) -> tuple[httpx.URL, str, int]:
    """Return a URL, its host in ASCII and its port; raise ``httpx.InvalidURL`` for what is none."""
    parsed = httpx.URL(url)
    default = 443 if parsed.scheme == "https" else 80
    port = default if parsed.port is None else parsed.port
    return parsed, parsed.raw_host.decode("ascii"), port


def _find_wrong_url(url: str, policy: AddressPolicy) -> tuple[str, str] | None:
    """Return the code and the words of what is wrong with a URL."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "invalid_url", "A URL is ASCII without blanks; write %C5%BC for ż."
    try:
        parsed, host, port = read_url(url)
    except httpx.InvalidURL:
        return "invalid_url", "This is no URL such as https://erp.firma.example/awizo."
    if parsed.scheme not in ("https", "http") or not host or not 0 < port < 65536:
        return "invalid_url", "Give an https:// URL with a host, and a port from 1 to 65535."
    if parsed.userinfo:
        return "credentials_in_url", "A URL has no user name or password; verify the signature."
    if parsed.fragment:
        return "invalid_url", "A fragment (#…) is never sent; leave it out."
    literal = read_literal(host)
    if literal is not None and (refusal := policy.refusal(literal)):
        return "host_not_allowed", f"This address may not be connected to: {refusal}."
    if literal is not None and parsed.scheme == "http" and not is_own_network(literal):
        return "insecure_url", "Plain http is for addresses of your own network; use https."
    return None
