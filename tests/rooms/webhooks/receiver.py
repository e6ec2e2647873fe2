"""A program that webhooks are sent to: a real HTTP server on a socket, which answers as told."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """Return an HTTP answer."""
    lines = [f"HTTP/1.1 {status} x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass(frozen=True)
class Heard:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        """What the body says."""
        return json.loads(self.body)

    @property
    def id(self) -> str:
        """Its webhook-id."""
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """answers: what is sent back, the last one from then on; None says nothing and holds the line.
    wait_s: before each."""

    port: int = 0
    host: str = "127.0.0.1"
    scheme: str = "http"
    answers: list[bytes | None] = field(default_factory=lambda: [OK])
    heard: list[Heard] = field(default_factory=list)
    dialled: int = 0
    wait_s: float = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/hook?a=%20b"

    @property
    def types(self) -> list[str]:
        """The types that came, in their order."""
        return [each.said["type"] for each in self.heard]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request and answer it."""
        self.dialled += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            named = (line.partition(": ") for line in head[1:] if line)
            headers = {name.lower(): value for name, _, value in named}
            body = await reader.readexactly(int(headers["content-length"]))
            self.heard.append(Heard(head[0], headers, body))
            await asyncio.sleep(self.wait_s)
            said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if said is None:
                await reader.read()  # until the caller hangs up
            else:
                writer.write(said)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the caller went away
        finally:
            writer.close()


@asynccontextmanager
async def receive(
    host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Listen on a free port of ``host``."""
    receiver = Receiver(host=host, scheme="https" if tls else "http")
    server = await asyncio.start_server(receiver.serve, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
