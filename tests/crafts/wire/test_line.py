"""What a mailbox's server sends, read in pieces that are cut anywhere, within bounds."""

import ipaddress
import socket
import threading
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from app.wire.line import Line, TooLong


@contextmanager
def hear(pieces: Iterable[bytes]) -> Iterator[Line]:
    """Connect to a server that sends these pieces, one by one, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def say() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for each in pieces:
                    connection.sendall(each)

        thread = threading.Thread(target=say)
        thread.start()
        line = Line(5.0)
        line.dial([ipaddress.ip_address("127.0.0.1")], listening.getsockname()[1])
        yield line
        line.close()
        thread.join(5)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b".\r\n", b""),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"a\n.\n", b"a\n"),
        (b"..\r\n...\r\n.a\r\n..\r\n..b.\r\n.\r\n", b".\r\n..\r\n.a\r\n.\r\n.b.\r\n"),
        (b"a.\r\n x.\r\n\r\n.\r\n", b"a.\r\n x.\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_text_ends_at_a_dot_alone_however_it_is_cut(sent: bytes, read: bytes, size: int) -> None:
    whole = sent + b"+OK\r\n"
    with hear(whole[at : at + size] for at in range(0, len(whole), size)) as line:
        line.allow()
        assert line.read_dotted() == read
        assert line.readline() == b"+OK\r\n"


def test_a_mail_of_empty_lines_takes_no_more_memory_than_another() -> None:
    size_bytes = 1024 * 1024
    with hear([b"\r\n" * (size_bytes // 2), b".\r\n"]) as line:
        line.allow(2 * size_bytes)
        tracemalloc.start()
        try:
            assert len(line.read_dotted()) == size_bytes
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 6 * size_bytes


def test_what_does_not_end_is_not_read_on() -> None:
    with hear([b"x" * 3000]) as line:
        line.allow(1000)
        with pytest.raises(TooLong):
            line.read_dotted()
    with hear([b"x\r\n.\r"]) as line:
        line.allow()
        with pytest.raises(ConnectionResetError):
            line.read_dotted()
