"""What the service and a PDF worker say to each other over two pipes.

Request: password length, content length, password, content.
Reply:   facts length, content length, facts (JSON), content.
Lengths are big-endian. Both ends read with exact lengths: a stream that ends early is ``EOFError``,
so that a dead worker is never taken for a short document. Nothing here imports pikepdf, asyncio or
pickle: the parent must not load the first, the worker need not load the second, and what comes from
a process that reads hostile files is never unpickled.
"""

import json
import struct
from dataclasses import dataclass
from typing import BinaryIO, Literal, cast, get_args

from app.sandbox_worker import read_exactly

Verdict = Literal["pdf_aes256", "pdf_signed", "pdf_encrypted", "pdf_damaged", "protection_failed"]

LENGTHS = struct.Struct(">IQ")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one PDF.

    content: the encrypted document where verdict is ``pdf_aes256``, else empty.
    notices: slugs of what the sender should know (``pdf_einvoice``).
    """

    verdict: Verdict
    content: bytes = b""
    notices: tuple[str, ...] = ()


def write_request(stream: BinaryIO, content: bytes, password: str) -> None:
    """Send one document with its password (never on a command line, never in the environment)."""
    secret = password.encode()
    stream.write(LENGTHS.pack(len(secret), len(content)) + secret)
    stream.write(content)
    stream.flush()


def read_request(stream: BinaryIO) -> tuple[bytes, str] | None:
    """Read the next document and its password; None where the service has closed the pipe."""
    head = stream.read(LENGTHS.size)
    if not head:
        return None
    if len(head) < LENGTHS.size:
        raise EOFError
    secret_bytes, content_bytes = LENGTHS.unpack(head)
    secret = read_exactly(stream, secret_bytes)
    return read_exactly(stream, content_bytes), secret.decode()


def write_reply(stream: BinaryIO, outcome: Outcome) -> None:
    """Send what became of the document."""
    facts = json.dumps({"verdict": outcome.verdict, "notices": outcome.notices}).encode()
    stream.write(LENGTHS.pack(len(facts), len(outcome.content)) + facts)
    stream.write(outcome.content)
    stream.flush()


def read_reply(stream: BinaryIO, limit_bytes: int) -> Outcome:
    """Read a worker's reply of at most ``limit_bytes``.

    Raises EOFError where the worker died in the middle, ValueError where it talks nonsense.
    """
    facts_bytes, content_bytes = LENGTHS.unpack(read_exactly(stream, LENGTHS.size))
    if facts_bytes + content_bytes > limit_bytes:
        raise ValueError("reply too large")
    facts = json.loads(read_exactly(stream, facts_bytes))
    content = read_exactly(stream, content_bytes)
    if facts["verdict"] not in get_args(Verdict):
        raise ValueError("unknown verdict")
    return Outcome(cast(Verdict, facts["verdict"]), content, tuple(map(str, facts["notices"])))
