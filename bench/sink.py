"""A mail server that takes everything and keeps nothing: PIPELINING and CHUNKING, no checks.

It answers all that came in one segment in one segment, so that the client, not this process, is
what is measured. Run: python -m bench.sink PORT
"""

import asyncio
import sys
from typing import cast

import uvloop

_EHLO = b"250-sink\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 DSN\r\n"
_REPLIES = {b"MAIL": b"250 2.1.0 Ok\r\n", b"RCPT": b"250 2.1.5 Ok\r\n", b"EHLO": _EHLO}
_TAKEN = b"250 2.0.0 Ok: queued\r\n"


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._in_data = False
        self._chunk_bytes = 0  # still to come
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer whatever is complete."""
        said: list[bytes] = []
        self._unread += data
        while self._unread and self._step(said, len(data)):
            pass
        if said:
            self._transport.write(b"".join(said))

    def _step(self, said: list[bytes], fresh_bytes: int) -> bool:
        unread = self._unread
        if self._chunk_bytes:
            taken = min(self._chunk_bytes, len(unread))
            del unread[:taken]
            self._chunk_bytes -= taken
            if not self._chunk_bytes:
                said.append(_TAKEN)
            return True
        if self._in_data:
            end = unread.find(b"\r\n.\r\n", max(0, len(unread) - fresh_bytes - 4))
            if end < 0:
                return False
            del unread[: end + 5]
            self._in_data = False
            said.append(_TAKEN)
            return True
        end = unread.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(unread[:end])
        del unread[: end + 2]
        verb = line[:4].upper()
        if verb == b"DATA":
            self._in_data = True
            said.append(b"354 End data with <CR><LF>.<CR><LF>\r\n")
        elif verb == b"BDAT":
            self._chunk_bytes = int(line.split()[1])
        elif verb == b"QUIT":
            said.append(b"221 2.0.0 Bye\r\n")
        else:
            said.append(_REPLIES.get(verb, b"250 2.0.0 Ok\r\n"))
        return True


async def serve(port: int) -> None:
    """Serve for ever."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
