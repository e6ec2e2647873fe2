"""What a mail domain's DNS says about its servers: SRV (RFC 6186, RFC 8314) and MX.

Names only are taken from it, never an address, and only such as may be host names: what is then
connected to is judged by the address policy at each connect. Every question together is bounded in
time, every answer in records.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from app.wire.address_policy import read_literal

Service = Literal["submissions", "submission", "imaps", "imap", "pop3s"]
SERVICES: Sequence[Service] = ("submissions", "submission", "imaps", "imap", "pop3s")
_MOST_RECORDS = 20
_NONE = "the domain publishes none"
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)+{_LABEL}")  # two labels at least
_Record = tuple[int, int, int, str]  # priority, weight, port (an MX has 0 and 0), target
_Answer = tuple[list[_Record], str | None]  # and why there are none
_NO_ANSWER: _Answer = ([], "the name server did not answer in time")


@dataclass(frozen=True, slots=True)
class ServiceHost:
    """One server of a service."""

    service: Service
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Records:
    """What was found. srv: the best server of each service; "no" ones (RFC 6186 §3.4) are left out.

    mx: hosts in lower case, the best first. srv_trouble, mx_trouble: why there are none.
    """

    srv: tuple[ServiceHost, ...] = ()
    mx: tuple[str, ...] = ()
    srv_trouble: str | None = None
    mx_trouble: str | None = None


@dataclass(frozen=True, slots=True)
class NameServer:
    """The name server that is asked; an IP address and its port."""

    address: str
    port: int = 53


async def look_up_services(
    domain: str, server: NameServer | None = None, *, timeout_s: float = 3.0
) -> Records:
    """Return what DNS says of ``domain`` (A-labels). server: None is the machine's own.

    Never raises; each part that was not found says why.
    """
    try:
        resolver = _make_resolver(server, timeout_s)
    except dns.resolver.NoResolverConfiguration:
        detail = "this machine has no name server configured"
        return Records(srv_trouble=detail, mx_trouble=detail)
    names = [(f"_{each}._tcp.{domain}", dns.rdatatype.SRV) for each in SERVICES]
    asked = [
        asyncio.create_task(_ask(resolver, name, kind))
        for name, kind in (*names, (domain, dns.rdatatype.MX))
    ]
    try:
        await asyncio.wait(asked, timeout=timeout_s)
        *services, (mx, why) = (each.result() if each.done() else _NO_ANSWER for each in asked)
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    found = [_choose(service, each) for service, (each, _) in zip(SERVICES, services, strict=True)]
    srv = tuple(each for each in found if each is not None)
    hosts = tuple(host for *_, host in sorted(mx) if is_host_name(host))
    return Records(
        srv, hosts, None if srv else _say_why(*services), None if hosts else _say_why((mx, why))
    )


def is_host_name(host: str) -> bool:
    """Whether ``host`` (lower case, without a final dot) is a name, and no address in any notation."""
    return _HOST.fullmatch(host) is not None and read_literal(host) is None


def _make_resolver(server: NameServer | None, timeout_s: float) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=server is None)
    if server is not None:
        resolver.nameservers = [server.address]
        resolver.port = server.port
    resolver.lifetime = 0.9 * timeout_s  # one question that hangs must not take the others along
    resolver.timeout = 0.45 * timeout_s
    resolver.search = []
    return resolver


async def _ask(
    resolver: dns.asyncresolver.Resolver, name: str, kind: dns.rdatatype.RdataType
) -> _Answer:
    """Return the records under a name; where there are none, why."""
    try:
        answer = await resolver.resolve(dns.name.from_text(name), kind, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return [], _NONE
    except dns.exception.Timeout:
        return _NO_ANSWER
    except (dns.exception.DNSException, OSError):
        return [], "the name server gave no usable answer"
    records = []
    for record in list(answer)[:_MOST_RECORDS]:
        if kind == dns.rdatatype.SRV:
            place = record.priority, record.weight, record.port
            records.append((*place, record.target.to_text(True).lower()))
        else:
            records.append((record.preference, 0, 0, record.exchange.to_text(True).lower()))
    return records, None


def _choose(service: Service, records: Sequence[_Record]) -> ServiceHost | None:
    """Return the server of the best priority, of the greatest weight among those (RFC 2782)."""
    usable = [each for each in records if is_host_name(each[3]) and each[2] > 0]
    if not usable:
        return None
    _, _, port, host = min(usable, key=lambda each: (each[0], -each[1], each[3]))
    return ServiceHost(service, host, port)


def _say_why(*answers: _Answer) -> str:
    """Return why nothing of the answers can be used: what failed says more than what is not there."""
    if any(records for records, _ in answers):
        return "none is usable"
    return next((why for _, why in answers if why and why != _NONE), _NONE)
