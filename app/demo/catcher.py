"""A mail server that only receives: real SMTP on a real socket, for the demo and the README's tour.

It takes every message, keeps it in memory and never passes one on. It speaks what RFC 5321 asks of
every server, with SIZE, 8BITMIME, SMTPUTF8, PIPELINING and DSN; no TLS and no login.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

_EXTENSIONS = ("SIZE 35882577", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN")


@dataclass(frozen=True, slots=True)
class Caught:
    """One message as it arrived. mail, rcpt: the arguments of the commands, parameters included."""

    mail: str
    rcpt: tuple[str, ...]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        return message_from_bytes(self.raw, policy=default)


@asynccontextmanager
async def catch_mail(port: int, take: Callable[[Caught], None]) -> AsyncIterator[int]:
    """Receive mail at 127.0.0.1 while the block runs; yield the port (``port`` 0: a free one).

    Raises OSError where the port is taken.
    """
    talks: set[asyncio.Task[None]] = set()

    def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_talk(reader, writer, take))
        talks.add(task)
        task.add_done_callback(talks.discard)

    server = await asyncio.start_server(welcome, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, take: Callable[[Caught], None]
) -> None:
    """Hold one session."""
    mail: str | None = None
    rcpt: list[str] = []
    try:
        _reply(writer, "220 catcher.example ESMTP receives, and passes nothing on")
        while line := (await reader.readline()).decode("utf-8", "replace").strip():
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            if verb == "EHLO":
                shown = ("catcher.example", *_EXTENSIONS)
                _reply(writer, *(f"250-{each}" for each in shown[:-1]), f"250 {shown[-1]}")
            elif verb == "MAIL":
                mail, rcpt = rest[len("FROM:") :], []
                _reply(writer, "250 2.1.0 Ok")
            elif verb == "RCPT" and mail is not None:
                rcpt.append(rest[len("TO:") :])
                _reply(writer, "250 2.1.5 Ok")
            elif verb == "DATA" and mail is not None and rcpt:
                _reply(writer, "354 End with <CR><LF>.<CR><LF>")
                await writer.drain()
                take(Caught(mail, tuple(rcpt), await _read_body(reader)))
                mail = None
                _reply(writer, "250 2.0.0 Ok: caught")
            elif verb in ("HELO", "NOOP", "RSET"):
                mail = None
                _reply(writer, "250 2.0.0 Ok")
            elif verb == "QUIT":
                _reply(writer, "221 2.0.0 Bye")
                break
            elif verb in ("RCPT", "DATA"):
                _reply(writer, "503 5.5.1 Bad sequence of commands")
            else:
                _reply(writer, "502 5.5.1 Not implemented")
            await writer.drain()
        await writer.drain()
    except (ConnectionError, EOFError, ValueError):
        return  # the other side is gone, or sends no lines: nothing to keep
    finally:
        writer.close()


def _reply(writer: asyncio.StreamWriter, *lines: str) -> None:
    writer.write("".join(f"{line}\r\n" for line in lines).encode())


async def _read_body(reader: asyncio.StreamReader) -> bytes:
    """Return the message, the dots that SMTP doubles made single again (RFC 5321 §4.5.2)."""
    lines: list[bytes] = []
    while (line := await reader.readuntil(b"\n")) != b".\r\n":
        lines.append(line[1:] if line.startswith(b".") else line)
    return b"".join(lines)
