"""The reply reader: whatever comes, in whatever pieces."""

import asyncio
from typing import Any

import pytest
from aiosmtplib import SMTPServerDisconnected
from hypothesis import given
from hypothesis import strategies as st

from app.wire.channel import CHUNK_BYTES, MAX_REPLY_BYTES, Channel, ProtocolViolation


class Wire(asyncio.Transport):
    """The other side: keeps what is written and knows that it was dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.dropped = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        for data in list_of_data:
            self.write(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def is_closing(self) -> bool:
        return self.dropped

    def abort(self) -> None:
        self.dropped = True


def connect() -> tuple[Channel, Wire]:
    channel, wire = Channel(), Wire()
    channel.connection_made(wire)
    return channel, wire


async def read(channel: Channel) -> list[tuple[int, str]]:
    """Return all replies until the violation or the end."""
    found = []
    channel.connection_lost(None)
    try:
        while True:
            found.append(tuple(await channel.read_reply(1)))
    except (ProtocolViolation, SMTPServerDisconnected):
        return found


pieces = st.lists(st.one_of(st.binary(), st.sampled_from([b"250 ok\r\n", b"250-a\r\n", b"\r\n"])))


@given(pieces)
def test_reading_foreign_bytes_never_raises_and_keeps_little(chunks: list[bytes]) -> None:
    async def feed() -> None:
        channel, wire = connect()
        for chunk in chunks:
            channel.data_received(chunk)
        assert len(channel._rest) <= MAX_REPLY_BYTES
        assert len(channel._replies) <= 2
        assert channel.is_open is not wire.dropped
        await read(channel)

    asyncio.run(feed())


@given(st.data())
def test_how_the_bytes_are_cut_up_does_not_matter(data: st.DataObject) -> None:
    said = b"250-first\r\n250-second \xc5\xbc\r\n250 third\n354\r\n"

    async def feed() -> None:
        channel, _ = connect()
        rest = said
        while rest:
            cut = data.draw(st.integers(1, len(rest)))
            channel.data_received(rest[:cut])
            rest = rest[cut:]
        assert await read(channel) == [(250, "first\nsecond ż\nthird"), (354, "")]

    asyncio.run(feed())


@pytest.mark.anyio
@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"25",
        b"2500 x",
        b"250_x",
        b"150 x",
        b"650 x",
        b" 250 x",
        b"+25 x",
        b"\xd9\xa2\xd9\xa5 x",
    ],
)
async def test_what_is_not_a_reply_line_ends_the_connection(line: bytes) -> None:
    channel, wire = connect()
    channel.data_received(line + b"\r\n")
    assert wire.dropped
    with pytest.raises(ProtocolViolation, match="not an SMTP reply"):
        await channel.read_response(1)


@pytest.mark.anyio
async def test_a_code_that_changes_within_a_reply_is_a_violation() -> None:
    channel, _ = connect()
    channel.data_received(b"250-yes\r\n550 no\r\n")
    with pytest.raises(ProtocolViolation):
        await channel.read_response(1)


@pytest.mark.anyio
async def test_no_command_is_written_while_unread_bytes_wait() -> None:
    channel, wire = connect()
    channel.data_received(b"550 for somebody else\r\n")
    with pytest.raises(ProtocolViolation):
        await channel.execute_command(b"MAIL", b"FROM:<a@b.pl>", timeout=1)
    assert wire.written == b""


@pytest.mark.anyio
async def test_a_line_end_in_a_command_is_never_written() -> None:
    channel, wire = connect()
    with pytest.raises(ValueError, match="control character"):
        await channel.execute_command(b"RCPT TO:<a@b.pl>\r\nDATA", timeout=1)
    assert wire.written == b""


@pytest.mark.anyio
async def test_what_is_written_in_confidence_is_masked_from_then_on() -> None:
    channel, _ = connect()
    with channel.keeping_secret("geheim-und-lang"):
        channel.write(b"AUTH PLAIN AGEAYg==\r\n")
        channel.write(b"Z2VoZWlt\r\n")
    channel.data_received(b"535 AUTH PLAIN AGEAYg== Z2VoZWlt geheim-und-lang Subject\r\n")
    response = await channel.read_response(1)
    assert response.message == "AUTH PLAIN [secret] [secret] [secret] Subject"


@pytest.mark.anyio
async def test_a_peer_that_does_not_read_costs_the_timeout() -> None:
    channel, _ = connect()
    channel.pause_writing()
    with pytest.raises(TimeoutError):
        await channel.drain(timeout_s=0.05)
    with pytest.raises(TimeoutError):
        await channel.write_body(b"x" * (CHUNK_BYTES + 1), timeout_s=0.05)
