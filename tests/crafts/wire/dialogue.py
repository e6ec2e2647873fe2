"""A scripted SMTP server that plays a dialogue file and records what it heard.

Above ``---`` stand the lesson, what is sent and what must come of it; below, the dialogue:

``S: text``    say a line; lines that follow each other go out in one segment
``R: text``    say these bytes as they are (Python escapes), without a line end
``C: line``    hear exactly this line; ``C: *`` any line, ``C: AUTH *`` any that begins so
``TLS``        go on under TLS                 ``PAUSE``   wait until the test says go on
``WAIT s``     wait so many seconds             ``HEAR``    hear anything, once
``DROP``       cut the connection              ``END``     hear nothing more than the end
``SILENCE``    say nothing until the client has gone
``FLOOD text`` say this (Python escapes) without end   ``DRIP text``  one byte every 5 ms
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

STEP_S = 10.0  # a dialogue that stands still is broken


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A parsed file: header members and (directive, text) pairs."""

    header: dict[str, str]
    script: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Peer:
    """The server while it plays."""

    port: int = 0
    heard: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    said_bytes: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)


def read_dialogue(path: Path) -> Dialogue:
    """Parse a dialogue file."""
    head, _, body = path.read_text(encoding="utf-8").partition("\n---\n")
    header = dict(line.split(": ", 1) for line in head.splitlines() if line.strip())
    script = []
    for line in body.splitlines():
        if line.strip() and not line.startswith("#"):
            directive, _, text = line.partition(" ")
            script.append((directive.rstrip(":"), text))
    return Dialogue(header, tuple(script))


@contextlib.asynccontextmanager
async def play(
    dialogue: Dialogue, context: ssl.SSLContext | None = None, *, implicit_tls: bool = False
) -> AsyncIterator[Peer]:
    """Serve one connection on a loopback port with this dialogue."""
    peer = Peer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(STEP_S):
                await _follow(peer, dialogue, reader, writer, context)
        except TimeoutError:
            peer.faults.append(f"stood still after {peer.heard[-1:]}")
        except (ConnectionError, ssl.SSLError) as exc:
            peer.heard.append(f"<{type(exc).__name__}>")
        finally:
            writer.transport.abort()
            peer.done.set()

    server = await asyncio.start_server(
        serve, "127.0.0.1", 0, ssl=context if implicit_tls else None, limit=1 << 20
    )
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        await server.wait_closed()


async def _follow(
    peer: Peer,
    dialogue: Dialogue,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    context: ssl.SSLContext | None,
) -> None:
    pending = b""

    async def say(data: bytes) -> None:
        if writer.is_closing():
            raise ConnectionResetError
        peer.said_bytes += len(data)
        writer.write(data)
        await writer.drain()

    for directive, text in (*dialogue.script, ("END", "")):
        if directive == "S":
            pending += text.encode() + b"\r\n"
            continue
        if directive == "R":
            pending += _unescape(text)
            continue
        if pending:
            await say(pending)
            pending = b""
        match directive:
            case "C":
                if not await _hear(peer, reader, text):
                    return
            case "TLS":
                await writer.start_tls(context)
            case "PAUSE":
                await peer.go_on.wait()
            case "WAIT":
                await asyncio.sleep(float(text))
            case "HEAR":
                await reader.read(65_536)
            case "DROP":
                return
            case "SILENCE" | "END":
                rest = await reader.read()
                if rest and directive == "END":
                    peer.faults.append(f"heard more than the dialogue: {rest!r}")
                return
            case "FLOOD":
                while True:
                    await say(_unescape(text))
            case "DRIP":
                for octet in _unescape(text) * 100_000:
                    await say(bytes([octet]))
                    await asyncio.sleep(0.005)
            case _:
                raise AssertionError(f"unknown directive {directive}")


async def _hear(peer: Peer, reader: asyncio.StreamReader, wanted: str) -> bool:
    line = (await reader.readline()).decode("utf-8", "replace")
    if not line.endswith("\r\n"):
        peer.faults.append(f"wanted {wanted!r}, the connection ended with {line!r}")
        return False
    line = line.removesuffix("\r\n")
    peer.heard.append(line)
    if line == wanted or (wanted.endswith("*") and line.startswith(wanted[:-1])):
        return True
    peer.faults.append(f"wanted {wanted!r}, heard {line!r}")
    return False


def _unescape(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")
