"""Which addresses may be connected to, in every notation."""

from ipaddress import ip_address, ip_network

import pytest

from app.wire.address_policy import AddressDenied, AddressPolicy, NameNotFound, read_networks

DEFAULT = AddressPolicy()


@pytest.mark.parametrize(
    "literal",
    [
        "169.254.169.254",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "::ffff:169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::168.63.129.16",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:1234::5601:5601",  # Teredo: the client's address is written inverted
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "0251.0376.43518",
        "169.254.43518",
        "0xA9.0xFE.0xA9.0xFE",
        "169.254.169.254.",
        "fe80::1",
        "fe80::1%eth0",
        "169.254.1.1",
        "224.0.0.1",
        "ff02::1",
        "0.0.0.0",
        "0",
        "0.1.2.3",
        "::",
        "[::]",
        "255.255.255.255",
        "::ffff:0.0.0.0",
    ],
)
def test_these_are_denied_in_every_notation_and_nothing_undoes_it(literal: str) -> None:
    assert DEFAULT.check_literal(literal)
    generous = AddressPolicy(allow=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    assert generous.check_literal(literal)


@pytest.mark.parametrize(
    "literal",
    [
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "192.168.1.1",
        "fd12::5",
        "192.0.2.7",
        "2130706433",
        "0x7f.1",
        "64:ff9b::c000:207",
        "2001:db8::1",
    ],
)
def test_loopback_private_and_public_addresses_are_allowed_by_default(literal: str) -> None:
    assert DEFAULT.check_literal(literal) is None


@pytest.mark.parametrize(
    "name", ["mail.example", "localhost", "", "a" * 300, "cafe", "999.1.1.1", "1.2.3.4.5", "x\0y"]
)
def test_a_name_is_not_judged_before_it_is_resolved(name: str) -> None:
    assert DEFAULT.check_literal(name) is None


@pytest.mark.parametrize(
    ("deny", "allow", "address", "denied"),
    [
        ("10.0.0.0/8", "", "10.1.2.3", True),
        ("10.0.0.0/8", "", "11.1.2.3", False),
        ("10.0.0.0/8", "10.1.2.3/32", "10.1.2.3", False),
        ("10.0.0.0/8", "10.1.2.3/32", "10.1.2.4", True),
        ("0.0.0.0/0,::/0", "192.0.2.0/24", "192.0.2.9", False),
        ("0.0.0.0/0,::/0", "192.0.2.0/24", "127.0.0.1", True),
        ("127.0.0.0/8", "", "::ffff:127.0.0.1", True),
        ("127.0.0.0/8", "", "2130706433", True),
        ("10.0.0.0/8", "::/0", "64:ff9b::10.0.0.1", True),
        ("10.0.0.0/8", "::/0", "2002:a00:1::", True),
        ("::1", "", "::1", True),
    ],
)
def test_allow_is_an_exception_from_deny(deny: str, allow: str, address: str, denied: bool) -> None:
    policy = AddressPolicy(read_networks(deny), read_networks(allow))
    assert (policy.check_literal(address) is not None) is denied


def test_the_reason_names_the_address() -> None:
    assert DEFAULT.refusal("169.254.169.254") == "169.254.169.254 is a cloud metadata address"


def test_a_network_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0/8"):
        read_networks("127.0.0.0/8, 10.0.0/8")


@pytest.mark.anyio
async def test_resolving_gives_only_allowed_addresses() -> None:
    assert await DEFAULT.resolve("127.0.0.1", 25) == [ip_address("127.0.0.1")]
    assert ip_address("127.0.0.1") in await DEFAULT.resolve("localhost", 25)
    assert await DEFAULT.resolve("2130706433", 25) == [ip_address("127.0.0.1")]


@pytest.mark.anyio
async def test_resolving_a_name_with_only_denied_addresses_is_denied() -> None:
    policy = AddressPolicy(deny=read_networks("127.0.0.0/8,::1/128"))
    with pytest.raises(AddressDenied, match="deny"):
        await policy.resolve("localhost", 25)


@pytest.mark.anyio
async def test_only_the_permitted_ports_are_reached() -> None:
    policy = AddressPolicy(ports=frozenset((25, 465, 587, 2525)))
    assert await policy.resolve("127.0.0.1", 587)
    with pytest.raises(AddressDenied, match="port 6379 is not one of 25, 465, 587, 2525"):
        await policy.resolve("127.0.0.1", 6379)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "name", ["", "no-such-name.invalid", "a..b", "x" * 64 + ".pl", "a\0b", "é" * 70]
)
async def test_a_name_without_an_address_is_not_found(name: str) -> None:
    with pytest.raises(NameNotFound):
        await DEFAULT.resolve(name, 25)
