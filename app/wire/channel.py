"""Bytes to and from one SMTP server, bounded whatever it sends.

`Channel` is aiosmtplib's protocol with a reply reader of our own: a reply is at most 64 KiB and
512 lines, strictly three digits each, complete within its time; a flood closes the connection.
Bytes that nobody asked for are never paired with the next command (response injection,
RFC 3207 §5): a command is not written while unread bytes wait, and bytes that follow a reply
make the channel `tainted`. What is written while `confidential` is masked in all replies.
"""

import asyncio
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from aiosmtplib import SMTPResponse, SMTPServerDisconnected
from aiosmtplib.errors import SMTPReadTimeoutError
from aiosmtplib.protocol import SMTPProtocol

MAX_REPLY_BYTES = 65_536
MAX_REPLY_LINES = 512
CHUNK_BYTES = 262_144  # of a body written between two looks at the flow
SERVICE_CLOSING = 421  # RFC 5321 §3.8: may come at any time

_REPLY_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_MASK = "[secret]"


class ProtocolViolation(Exception):
    """The peer does not speak SMTP, or not in turn; the text says what it said."""


class Channel(SMTPProtocol):
    """One connection. Only one task may use it."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self._unread = bytearray()
        self._lines: list[bytes] = []
        self._code = b""
        self._reply_bytes = 0
        self._replies: deque[SMTPResponse] = deque()
        self._violation: ProtocolViolation | None = None
        self._wake: asyncio.Future[None] | None = None
        self._flow: asyncio.Future[None] | None = None
        self._hidden: set[str] = set()
        self._confidential = False
        self._lost = self._loop.create_future()

    # What the server sends

    def data_received(self, data: bytes) -> None:
        """Split what came into replies; stop the connection at the first violation."""
        if self._violation:
            return
        self._unread += data
        try:
            self._split()
        except ProtocolViolation as exc:
            self._violation = exc
            self._unread.clear()
            self.abort()
        self._awake()

    def _split(self) -> None:
        while (end := self._unread.find(b"\n")) >= 0:
            self._take_line(bytes(self._unread[:end].removesuffix(b"\r")), end + 1)
            del self._unread[: end + 1]
        if self._reply_bytes + len(self._unread) > MAX_REPLY_BYTES:
            raise ProtocolViolation("a reply longer than 64 KiB")

    def _take_line(self, line: bytes, size_bytes: int) -> None:
        found = _REPLY_LINE.fullmatch(line)
        if not found or (self._lines and found[1] != self._code):
            raise ProtocolViolation(f"not an SMTP reply: {self._decode(line[:200])}")
        self._code = found[1]
        self._lines.append(found[3] or b"")
        self._reply_bytes += size_bytes
        if self._reply_bytes > MAX_REPLY_BYTES or len(self._lines) > MAX_REPLY_LINES:
            raise ProtocolViolation("a reply longer than 64 KiB or 512 lines")
        if found[2] != b"-":
            # Two replies nobody read are one too many already; the rest of a flood is refused.
            if len(self._replies) > 1:
                raise ProtocolViolation("replies that nobody asked for")
            text = self._decode(b"\n".join(self._lines))
            self._replies.append(SMTPResponse(int(self._code), text))
            self._lines, self._reply_bytes = [], 0

    def _decode(self, data: bytes) -> str:
        text = data.decode("utf-8", "backslashreplace")
        for secret in self._hidden:
            text = text.replace(secret, _MASK)
        return text

    def eof_received(self) -> bool:
        """Let the transport close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits."""
        super().connection_lost(None)
        if not self._lost.done():
            self._lost.set_result(None)
        self._awake()
        self.resume_writing()

    def _awake(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)

    # What we read

    @property
    def is_open(self) -> bool:
        """The connection stands, as far as we have been told."""
        return self.is_connected and not self._lost.done() and self._violation is None

    @property
    def is_tainted(self) -> bool:
        """Bytes wait that belong to no command of ours."""
        return bool(self._replies or self._lines or self._unread or self._violation)

    def take_early(self) -> SMTPResponse | None:
        """Return a complete reply that came unasked, such as 421 before the connection closed."""
        return self._replies.popleft() if self._replies else None

    async def read_reply(self, timeout_s: float | None) -> SMTPResponse:
        """Return the next complete reply, whatever follows it; timeout_s holds for all of it.

        Raises ProtocolViolation, SMTPServerDisconnected, SMTPReadTimeoutError.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._replies:
                    if self._violation:
                        raise self._violation
                    if self._lost.done():
                        raise SMTPServerDisconnected("the server closed the connection")
                    self._wake = self._loop.create_future()
                    await self._wake
        except TimeoutError:
            raise SMTPReadTimeoutError("no complete reply in time") from None
        return self._replies.popleft()

    async def read_response(  # the signature is aiosmtplib's
        self,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> SMTPResponse:
        """Return the next reply if it stands alone; every command of aiosmtplib ends here.

        Bytes behind a reply may be the answer to something else, or were injected before
        STARTTLS (RFC 3207 §5): then no reply on this connection can be believed.
        """
        response = await self.read_reply(timeout)
        if self.is_tainted and response.code != SERVICE_CLOSING:
            raise self._violation or ProtocolViolation("more than one reply to one command")
        return response

    async def execute_command(
        self,
        *args: bytes,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> SMTPResponse:
        """Write one command and return its reply.

        A 421 that was already there is the answer, and the command is not written.
        """
        if self.is_tainted:
            early = self.take_early()
            if early and early.code == SERVICE_CLOSING:
                return early
            raise self._violation or ProtocolViolation("a reply that nobody asked for")
        return await super().execute_command(*args, timeout=timeout)

    # What we write

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport; while `confidential`, remember them for masking."""
        if self._confidential:
            words = data.decode("ascii", "replace").split()
            self._hidden |= set(words[2:] if words[:1] == ["AUTH"] else words) - {"*"}
        super().write(data)

    async def write_body(self, body: bytes, timeout_s: float) -> None:
        """Write a body as the peer takes it; timeout_s bounds the wait without progress."""
        view = memoryview(body)
        for start in range(0, len(view), CHUNK_BYTES):
            self.write(cast(bytes, view[start : start + CHUNK_BYTES]))
            if self._flow:
                async with asyncio.timeout(timeout_s):
                    await self._flow
            if self._replies:  # the server has already made up its mind
                return

    @contextmanager
    def keeping_secret(self, *secrets: str) -> Iterator[None]:
        """Mask these words, and all that is written meanwhile, in every reply from now on."""
        self._hidden |= {secret for secret in secrets if len(secret) >= 4}
        self._confidential = True
        try:
            yield
        finally:
            self._confidential = False

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        super().pause_writing()
        self._flow = self._loop.create_future()

    def resume_writing(self) -> None:
        """The transport's buffer has room again, or the connection is gone."""
        super().resume_writing()
        if self._flow and not self._flow.done():
            self._flow.set_result(None)
        self._flow = None

    # The end

    def abort(self) -> None:
        """Drop the connection now; bytes still in the buffer are not sent."""
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()

    async def wait_closed(self, timeout_s: float = 1.0) -> None:
        """Wait until the transport is gone, so that nothing of it outlives the loop."""
        await asyncio.wait([self._lost], timeout=timeout_s)
