"""A socket to a mailbox's server, read in bounded pieces; blocking, for a thread of its own.

The addresses are those the address policy allowed: nothing is resolved here. Every wait ends after
``timeout_s``; what one command may be answered is limited by ``allow``. ``abort`` may be called from
any thread and ends whatever waits.
"""

import re
import socket
import time
from collections.abc import Sequence

from app.wire.address_policy import Address
from app.wire.target import Target
from app.wire.tls import make_context

_PIECE_BYTES = 64 * 1024
_DOT = re.compile(rb"(?:^|(?<=\n))\.\r?\n")
REPLY_BYTES = 4 * 1024 * 1024  # of one command that fetches no message: a long list of folders


class TooLong(Exception):
    """The server answers more than it was asked for; it is not read on."""


class Line:
    """One connection. pending: what has come and was not read yet."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.is_encrypted = False
        self._socket: socket.socket | None = None
        self._aborted = False
        self._buffer = bytearray()
        self._budget_bytes = REPLY_BYTES

    @property
    def socket(self) -> socket.socket:
        """The connected socket."""
        if self._socket is None or self._aborted:
            raise ConnectionAbortedError("the connection was given up")
        return self._socket

    @property
    def pending(self) -> bool:
        """Whether something has come that was not asked for yet."""
        return bool(self._buffer)

    def dial(self, addresses: Sequence[Address], port: int) -> None:
        """Connect to the first address that answers; each gets a fair part of the time."""
        deadline = time.monotonic() + self.timeout_s
        failure: OSError | None = None
        for position, address in enumerate(addresses):
            share_s = (deadline - time.monotonic()) / (len(addresses) - position)
            try:
                found = socket.create_connection((str(address), port), max(share_s, 0.01))
            except OSError as error:
                # A refusal says more than the silence of another address.
                if failure is None or isinstance(failure, TimeoutError):
                    failure = error
                continue
            found.settimeout(self.timeout_s)
            self._socket = found
            if self._aborted:
                self.abort()
            return
        raise failure or OSError("no address")

    def start_tls(self, target: Target) -> None:
        """Encrypt from here on; what the server sent in clear before is not believed."""
        if self._buffer:
            raise TooLong("the server sent something before the encryption began")
        context = make_context(target.tls_verify, target.ca_pem)
        self._socket = context.wrap_socket(self.socket, server_hostname=target.tls_name)
        self.is_encrypted = True

    def allow(self, budget_bytes: int = REPLY_BYTES) -> None:
        """Let the next command be answered with so many bytes."""
        self._budget_bytes = budget_bytes

    def set_timeout(self, timeout_s: float | None = None) -> None:
        """Wait so long for the next bytes; None: as usual."""
        self.socket.settimeout(self.timeout_s if timeout_s is None else timeout_s)

    def readline(self, limit: int = REPLY_BYTES) -> bytes:
        """Return the next line with its end, at most ``limit`` bytes of it; b"" where it is over."""
        begin = 0
        while (end := self._buffer.find(b"\n", begin)) < 0 and len(self._buffer) < limit:
            begin = len(self._buffer)
            if not self._receive():
                break
        return self._take(min(limit, len(self._buffer) if end < 0 else end + 1))

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer where it is over."""
        if size - len(self._buffer) > self._budget_bytes:
            raise TooLong(f"the server announces {size} bytes")
        while len(self._buffer) < size and self._receive():
            pass
        return self._take(size)

    def read_dotted(self) -> bytes:
        """Return what comes before a line that is a dot alone (RFC 1939 §3), its dots unstuffed.

        Not line by line: of a mail of empty lines each would be an object.
        """
        begin = 0
        while not (dot := _DOT.search(self._buffer, begin)):
            begin = max(len(self._buffer) - 3, 0)
            if not self._receive():
                raise ConnectionResetError("the server closed the connection")
        start, end = dot.span()
        found = self._take(start)
        self._take(end - start)
        found = found.replace(b"\n..", b"\n.")
        return found[1:] if found.startswith(b"..") else found

    def send(self, data: bytes) -> None:
        """Send all; each piece has its own time."""
        view = memoryview(data)
        for start in range(0, len(view), _PIECE_BYTES):
            self.socket.sendall(view[start : start + _PIECE_BYTES])

    def close(self) -> None:
        """Close at once."""
        if self._socket is not None:
            self._socket.close()

    def abort(self) -> None:
        """End it from any thread: whoever waits is told that the connection is over."""
        self._aborted = True
        found = self._socket
        if found is not None:
            try:  # not SSLSocket's, which takes the encryption away under the reader
                socket.socket.shutdown(found, socket.SHUT_RDWR)
            except OSError:
                found.close()

    def _receive(self) -> bool:
        piece = self.socket.recv(_PIECE_BYTES)
        self._budget_bytes -= len(piece)
        if self._budget_bytes < 0:
            raise TooLong("the server answers more than it was asked for")
        self._buffer += piece
        return bool(piece)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken
