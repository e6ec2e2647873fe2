"""A recording mail server on a loopback port that misbehaves as it is told.

``async with serve() as peer``; ``peer.taken`` are the messages that it answered for or may have
taken, ``peer.heard`` the commands. Steps are ``connect ehlo auth mail rcpt data body dot quit``;
for each, ``peer.will(step, *actions)`` plans the next occurrences and ``peer.always(step, action)``
the rest; ``rcpt`` steps may name an address (``"rcpt a@b.example"``). An action is a reply,
``DROP`` (cut the connection; at ``body`` in the middle of it, at ``dot`` after the dot is heard),
``SILENT`` (never answer), or ``Late(seconds, reply)``.
"""

import asyncio
import base64
import contextlib
import re
import ssl
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

DROP = "<drop>"
SILENT = "<silent>"
_DEFAULTS = {
    "connect": "220 mx.example ESMTP",
    "auth": "235 2.7.0 welcome",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go on",
    "body": "",
    "dot": "250 2.0.0 taken",
    "quit": "221 2.0.0 bye",
    "rset": "250 2.0.0 ok",
}
_PATH = re.compile(r"<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Late:
    """Answer, but only after a while."""

    wait_s: float
    reply: str


Action = str | Late


@dataclass(frozen=True, slots=True)
class Taken:
    """One message whose final dot was heard. answered: what the server said, if anything."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    session: int
    mail_at: float  # time.monotonic() when MAIL was heard
    answered_at: float
    answered: str | None

    @property
    def message_id(self) -> str:
        """The Message-ID, angle brackets included."""
        found = re.search(rb"^Message-ID:\s*(<[^>]+>)", self.content, re.MULTILINE | re.IGNORECASE)
        assert found, "every message carries a Message-ID"
        return found[1].decode()


@dataclass(slots=True)
class Peer:
    """The server and what it remembers."""

    port: int = 0
    extensions: list[str] = field(default_factory=lambda: ["PIPELINING", "8BITMIME"])
    password: str | None = None  # that AUTH PLAIN must carry; None: any
    context: ssl.SSLContext | None = None  # offers STARTTLS
    taken: list[Taken] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    sessions: int = 0
    open_sessions: int = 0
    most_open: int = 0
    _planned: dict[str, deque[Action]] = field(default_factory=lambda: defaultdict(deque))
    _always: dict[str, Action] = field(default_factory=dict)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def will(self, step: str, *actions: Action) -> None:
        """Do these at the next occurrences of a step, then as always."""
        self._planned[step].extend(actions)

    def always(self, step: str, action: Action | None) -> None:
        """Do this at every occurrence that nothing is planned for; None: as usual again."""
        if action is None:
            self._always.pop(step, None)
        else:
            self._always[step] = action

    def delivered(self) -> list[Taken]:
        """The messages that were answered with a 250."""
        return [each for each in self.taken if each.answered and each.answered.startswith("250")]

    def choose(self, *steps: str) -> Action:
        """Return what to do now: the first of ``steps`` that has a plan."""
        for step in steps:
            if self._planned[step]:
                return self._planned[step].popleft()
            if step in self._always:
                return self._always[step]
        return _DEFAULTS[steps[-1]]


@contextlib.asynccontextmanager
async def serve(port: int = 0, **options: object) -> AsyncIterator[Peer]:
    """Serve on a loopback port until the block ends."""
    peer = Peer(**options)  # type: ignore[arg-type]

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.sessions += 1
        peer.open_sessions += 1
        peer.most_open = max(peer.most_open, peer.open_sessions)
        task = asyncio.current_task()
        assert task
        peer._tasks.add(task)
        try:
            await _Talk(peer, reader, writer, peer.sessions).run()
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            peer.heard.append("<cut>")
        finally:
            peer.open_sessions -= 1
            peer._tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(meet, "127.0.0.1", port, limit=1 << 24)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in tuple(peer._tasks):
            task.cancel()
        await asyncio.gather(*peer._tasks, return_exceptions=True)


class _Cut(ConnectionError):
    """The plan says: cut the connection."""


class _Talk:
    """One connection."""

    def __init__(
        self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.peer, self.reader, self.writer, self.number = peer, reader, writer, number
        self.sender = ""
        self.recipients: list[str] = []
        self.mail_at = 0.0

    async def run(self) -> None:
        await self.act("connect")
        while line := (await self.reader.readline()).decode("utf-8", "replace").rstrip("\r\n"):
            self.peer.heard.append(line)
            verb = line.split(" ", 1)[0].upper()
            if verb == "QUIT":
                await self.act("quit")
                return
            await self.answer(verb, line)

    async def answer(self, verb: str, line: str) -> None:
        match verb:
            case "EHLO":
                offered = list(self.peer.extensions)
                if self.peer.context and not self.writer.get_extra_info("ssl_object"):
                    offered.append("STARTTLS")
                lines = ["mx.example", *offered]
                await self.say(*(f"250-{each}" for each in lines[:-1]), f"250 {lines[-1]}")
            case "STARTTLS":
                await self.say("220 go ahead")
                await self.writer.start_tls(self.peer.context)
            case "AUTH":
                await self.log_in(line)
            case "MAIL":
                self.sender, self.recipients = _PATH.search(line)[1], []  # type: ignore[index]
                self.mail_at = time.monotonic()
                await self.act("mail")
            case "RCPT":
                address = _PATH.search(line)[1]  # type: ignore[index]
                if (await self.act(f"rcpt {address}", "rcpt") or "").startswith("2"):
                    self.recipients.append(address)
            case "DATA":
                if not self.recipients:
                    await self.say("554 5.5.1 no valid recipients")
                elif (await self.act("data") or "").startswith("354"):
                    await self.take()
            case "RSET":
                self.recipients = []
                await self.act("rset")
            case _:
                await self.say("502 5.5.1 unknown")

    async def log_in(self, line: str) -> None:
        given = base64.b64decode(line.split()[2]).decode().split("\0")[-1]
        if self.peer.password is not None and given != self.peer.password:
            await self.say("535 5.7.8 wrong password")
        else:
            await self.act("auth")

    async def take(self) -> None:
        action = self.peer.choose("body")
        if action == DROP:
            await self.reader.readline()
            raise _Cut
        content = b""
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                raise _Cut
            content += line.removeprefix(b".") if line.startswith(b"..") else line
        self.peer.heard.append(".")
        answered = None
        action = self.peer.choose("dot")
        try:
            answered = await self.perform(action)
        finally:  # also where it was cut off: it has been heard
            self.peer.taken.append(
                Taken(
                    self.sender,
                    tuple(self.recipients),
                    content,
                    self.number,
                    self.mail_at,
                    time.monotonic(),
                    answered,
                )
            )

    async def act(self, *steps: str) -> str | None:
        return await self.perform(self.peer.choose(*steps))

    async def perform(self, action: Action) -> str | None:
        if action == DROP:
            raise _Cut
        if action == SILENT:
            await self.reader.read()
            raise _Cut
        if isinstance(action, Late):
            await asyncio.sleep(action.wait_s)
            action = action.reply
        await self.say(action)
        if action.startswith("421"):
            raise _Cut
        return action

    async def say(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.writer.drain()
