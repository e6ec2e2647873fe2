"""A mail server without a socket: it answers as it is told, in any pieces, and may be cut anywhere.

It knows the truth that verdicts are held against: which bodies ended with a dot, what was accepted,
and which of its replies arrived whole.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from app.wire.capabilities import Capabilities
from app.wire.channel import Channel
from app.wire.session import Session

Answer = Callable[[str], int]


@dataclass(slots=True)
class Received:
    """One transaction as the server saw it. final: the reply to the dot, heard: it arrived."""

    accepted: list[str] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    final: int = 0
    heard: bool = False


class Server(asyncio.Transport):
    """answer: the code for a command (``MAIL``, ``RCPT address``, ``DATA``, ``.``, ``RSET``).

    said_limit, heard_limit: bytes after which the connection breaks. pieces: sizes in which replies
    are handed over.
    """

    def __init__(
        self,
        channel: Channel,
        answer: Answer,
        *,
        said_limit: int = 1 << 30,
        heard_limit: int = 1 << 30,
        pieces: Iterator[int] | None = None,
    ) -> None:
        super().__init__()
        self.transactions: list[Received] = []
        self.said = b""
        self.heard = b""
        self.offered = b""  # what the client wrote, come in or not
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._answer = answer
        self._said_limit = said_limit
        self._heard_limit = heard_limit
        self._pieces = pieces
        self._unread = b""
        self._in_data = False
        self._finals: list[tuple[int, Received]] = []  # (offset at which a final reply is whole, …)
        self._turn_is_set = False
        self._arrived = 0

    # What the client does

    def write(self, data: Any) -> None:
        """Hear, up to the limit."""
        if self.closed:
            return
        self.offered += bytes(data)
        data = bytes(data)[: self._heard_limit - len(self.heard)]
        self.heard += data
        self._unread += data
        while self._step():
            pass
        if not self._turn_is_set:
            self._turn_is_set = True
            self._loop.call_soon(self._take_turn)

    def writelines(self, list_of_data: Any) -> None:
        """Hear all of it."""
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        """Tell whether it is over."""
        return self.closed

    def abort(self) -> None:
        """Be closed by the client."""
        self._break()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """There is no socket."""
        return default

    # What the server does

    def _step(self) -> bool:
        if self._in_data:
            now = self.transactions[-1]
            if self._unread.startswith(b".\r\n"):
                rest = self._unread[3:]
            elif (end := self._unread.find(b"\r\n.\r\n")) >= 0:
                now.body, rest = self._unread[: end + 2], self._unread[end + 5 :]
            else:
                return False
            self._unread, self._in_data, now.ended = rest, False, True
            now.final = self._say(".")
            self._finals.append((len(self.said), now))
            return True
        line, found, rest = self._unread.partition(b"\r\n")
        if not found:
            return False
        self._unread = rest
        self._hear_command(line.decode())
        return True

    def _hear_command(self, line: str) -> None:
        verb = line[:4]
        if verb == "RCPT":
            address = line[line.index("<") + 1 : line.index(">")]
            if 200 <= self._say(f"RCPT {address}") < 300:
                self.transactions[-1].accepted.append(address)
            return
        if verb == "MAIL":
            self.transactions.append(Received())
        code = self._say(verb)
        self._in_data = verb == "DATA" and code == 354

    def _say(self, command: str) -> int:
        code = self._answer(command)
        text = "4.5.3 too many recipients" if code == 452 else command
        self.said += f"{code} {text}\r\n".encode()
        return code

    def _take_turn(self) -> None:
        """Hand over what was said, in pieces, and break where it is time."""
        self._turn_is_set = False
        whole = min(len(self.said), self._said_limit)
        while not self.closed and self._arrived < whole:
            size = next(self._pieces, whole) if self._pieces else whole
            piece = self.said[self._arrived : min(whole, self._arrived + size)]
            self._arrived += len(piece)
            self._note_heard()
            self._channel.data_received(piece)
            if self._pieces and self._arrived < whole:
                self._turn_is_set = True
                self._loop.call_soon(self._take_turn)
                return
        if self._arrived >= self._said_limit or len(self.heard) >= self._heard_limit:
            self._break()

    def _note_heard(self) -> None:
        for whole_at, transaction in self._finals:
            # Without its LF a reply is none.
            transaction.heard = transaction.heard or self._arrived >= whole_at

    def _break(self) -> None:
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self._channel.connection_lost, None)


def open_session(
    answer: Answer,
    capabilities: Capabilities | None = None,
    *,
    kind: type[Server] = Server,
    **limits: Any,
) -> tuple[Session, Server]:
    """Return a session that is ready for MAIL, and its server."""
    channel = Channel()
    server = kind(channel, answer, **limits)
    channel.connection_made(server)
    opening: Any = SimpleNamespace(
        target=None,
        channel=channel,
        capabilities=capabilities or Capabilities(pipelining=True),
        tls_facts=None,
        starttls_offered=False,
        mechanism=None,
        timeout_s=2.0,
    )
    return Session(opening, True), server


def agree(command: str) -> int:
    """Say yes to everything."""
    return 354 if command == "DATA" else 250
