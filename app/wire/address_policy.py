"""Which network addresses a session may connect to (contract §2, address policy).

Decided at each connect on the very address that is then connected to, so that a name that
changes between check and use (DNS rebinding) wins nothing. An address that wraps another one
(IPv4-mapped, NAT64, 6to4, Teredo) is judged by each of its faces, and every face must pass.
Order: always denied (nothing undoes it) > allow > deny > all else is allowed. So
``deny=0.0.0.0/0,::/0`` with ``allow=10.0.0.5/32`` is a list of the only hosts permitted.
`check_literal` serves a configuration that is being saved: literal addresses only, never DNS.
"""

import asyncio
import re
import socket
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from app.wire.target import bare_host

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_ALWAYS_DENIED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), what)
    for network, what in (
        # Metadata first: the more telling word, also where it lies in a link-local range.
        ("169.254.169.254/32", "a cloud metadata address"),
        ("100.100.100.200/32", "a cloud metadata address"),
        ("192.0.0.192/32", "a cloud metadata address"),
        ("168.63.129.16/32", "a cloud metadata address"),
        ("fd00:ec2::254/128", "a cloud metadata address"),
        ("fd20:ce::254/128", "a cloud metadata address"),
        ("169.254.0.0/16", "a link-local address"),
        ("fe80::/10", "a link-local address"),
        ("224.0.0.0/4", "a multicast address"),
        ("ff00::/8", "a multicast address"),
        ("0.0.0.0/8", "an unspecified address"),  # Linux connects 0.x.y.z to itself
        ("::/128", "an unspecified address"),
        ("255.255.255.255/32", "the broadcast address"),
    )
)
# RFC 6052 §2.1 well-known prefix, RFC 8215 local-use prefix (as /96), RFC 4291 §2.5.5.1.
_EMBEDDING = (
    IPv6Network("64:ff9b::/96"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("::/96"),
)
_INET_ATON = re.compile(r"[0-9a-fx.]+", re.IGNORECASE)
_MAX_ADDRESSES = 8

# A pool of its own: a name server that hangs must not take the threads that others need.
_resolvers = ThreadPoolExecutor(max_workers=16, thread_name_prefix="resolve")


class AddressDenied(Exception):
    """The policy forbids this host or port; the text says why."""


class NameNotFound(Exception):
    """The name has no address; the text is the resolver's."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What may be connected to. ports: None means any. resolvers: the threads that ask for names."""

    deny: tuple[Network, ...] = ()
    allow: tuple[Network, ...] = ()
    ports: frozenset[int] | None = None
    resolvers: Executor = field(default=_resolvers, repr=False, compare=False)

    def refusal(self, ip: Address | str) -> str | None:
        """Say why this address is denied, or None where it is allowed."""
        address = ip_address(ip) if isinstance(ip, str) else ip
        for face in _faces(address):
            for network, what in _ALWAYS_DENIED:
                if face in network:
                    return f"{address} is {what}"
            if _is_in(face, self.deny) and not _is_in(face, self.allow):
                return f"{address} is in a network that the settings deny"
        return None

    def refuse_port(self, port: int) -> str | None:
        """Say why this port is denied, or None."""
        if self.ports is None or port in self.ports:
            return None
        return f"port {port} is not one of {', '.join(map(str, sorted(self.ports)))}"

    def check_literal(self, host: str) -> str | None:
        """Say why a host given as a literal address is denied; a name gives None, without DNS."""
        address = read_literal(host)
        return None if address is None else self.refusal(address)

    async def resolve(self, host: str, port: int, *, timeout_s: float = 30.0) -> list[Address]:
        """Return the allowed addresses of host, in the order to try them, at most 8.

        Raises AddressDenied, NameNotFound, TimeoutError.
        """
        if reason := self.refuse_port(port):
            raise AddressDenied(reason)
        literal = read_literal(host)
        found = [literal] if literal else await self._look_up(bare_host(host), port, timeout_s)
        reasons = {address: self.refusal(address) for address in found}
        allowed = [address for address, reason in reasons.items() if reason is None]
        if not allowed:
            raise AddressDenied("; ".join(filter(None, reasons.values())))
        return allowed[:_MAX_ADDRESSES]

    async def _look_up(self, host: str, port: int, timeout_s: float) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                rows = await loop.run_in_executor(
                    self.resolvers,
                    lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
                )
        except socket.gaierror as exc:
            raise NameNotFound(exc.strerror or "the name has no address") from exc
        except ValueError as exc:  # the idna codec (an empty or overlong label), a NUL
            raise NameNotFound("this is not a host name") from exc
        # A scoped address (fe80::1%eth0) keeps its scope; such addresses are denied anyway.
        found = dict.fromkeys(ip_address(row[4][0]) for row in rows)
        if not found:
            raise NameNotFound("the name has no address")
        return list(found)


def read_literal(host: str) -> Address | None:
    """Read an address in any notation that a resolver would take for one; None for a name.

    ``127.0.0.1``, ``[::1]``, ``fe80::1%eth0``, ``2130706433``, ``0x7f.1``, ``0251.0376.1.1``.
    """
    bare = bare_host(host)
    try:
        return ip_address(bare)
    except ValueError:
        pass
    if _INET_ATON.fullmatch(bare):
        try:
            return IPv4Address(socket.inet_aton(bare))
        except OSError:
            return None
    return None


def read_networks(text: str) -> tuple[Network, ...]:
    """Read comma-separated networks; ValueError names the one that is wrong."""
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def _faces(address: Address) -> list[Address]:
    """Return the address and every address that it stands for."""
    if isinstance(address, IPv4Address):
        return [address]
    inner: list[IPv4Address | None] = [address.ipv4_mapped, address.sixtofour]
    inner += address.teredo or ()
    if any(address in network for network in _EMBEDDING) and int(address) > 1:
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *(face for face in inner if face is not None)]


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
