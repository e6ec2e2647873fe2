"""Bytes to and from one SMTP server, bounded whatever it sends.

`Channel` is aiosmtplib's protocol with a reply reader of our own: a reply is at most 64 KiB and
512 lines, strictly three digits each, complete within its time; a flood closes the connection.
Bytes that nobody asked for are never paired with the next command (response injection,
RFC 3207 §5): a command is not written while unread bytes wait, and bytes that follow a reply
make the channel `tainted`. What is written while `confidential` is masked in all replies.
Commands may also go out as a group (RFC 2920); then as many replies may wait as are owed for it.
"""

import asyncio
import math
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
CHUNK_BYTES = 131_072  # of a body written between two looks at the flow
SERVICE_CLOSING = 421  # RFC 5321 §3.8: may come at any time

_CODES = {b"%d" % code: code for code in range(200, 600)}
# A reply, and behind it those to a whole group, every one as wished.
_RIDE = re.compile(rb"([2-5]\d\d) ([^\r\n]*)\r\n((?:2\d\d [^\r\n]*\r\n)+354 [^\r\n]*\r\n)")
_MASK = "[secret]"


class ProtocolViolation(Exception):
    """The peer does not speak SMTP, or not in turn; the text says what it said."""


class Channel(SMTPProtocol):
    """One connection. Only one task may use it."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self._group = b""  # replies to a group, all as wished, not split yet
        self._rest = b""  # of a line that has not come to its end
        self._code = 0
        self._lines: list[bytes] = []  # of a reply that has not come to its end
        self._reply_bytes = 0
        self._replies: deque[tuple[int, bytes]] = deque()
        self._held: bytes | None = None  # a body that is written at the end of this turn
        self._owed = 0  # replies to a group that have not been read
        self._violation: ProtocolViolation | None = None
        self._wake: asyncio.Future[None] | None = None
        self._flow: asyncio.Future[None] | None = None
        self._hidden: set[str] = set()
        self._confidential = False
        self._lost = self._loop.create_future()
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, also the one under TLS."""
        super().connection_made(transport)
        cast(asyncio.WriteTransport, transport).set_write_buffer_limits(high=CHUNK_BYTES)

    # What the server sends

    def data_received(self, data: bytes) -> None:
        """Split what came into replies; stop the connection at the first violation."""
        if self._violation:
            return
        if self._owed < 2 or not self._take_ride(data):
            self._take_lines(data)
        self._awake()

    def _take_ride(self, data: bytes) -> bool:
        """Take what mostly comes: a final reply and those to the group that rode behind the dot."""
        found = _RIDE.fullmatch(data)
        if not found or data.count(b"\n") != self._owed or self.is_tainted:
            return False
        code, text, self._group = found.groups()
        self._replies.append((int(code), text))
        return True

    def _take_lines(self, data: bytes) -> None:
        *lines, self._rest = (self._group + self._rest + data).split(b"\n")
        self._group = b""
        try:
            for line in lines:
                self._take_line(line)
            if self._reply_bytes + len(self._rest) > MAX_REPLY_BYTES:
                raise ProtocolViolation("a reply longer than 64 KiB")
        except ProtocolViolation as exc:
            self._violation = exc
            self._rest = b""
            self.abort()

    def _take_line(self, line: bytes) -> None:
        if line.endswith(b"\r"):
            line = line[:-1]
        code, separator = _CODES.get(line[:3]), line[3:4]
        if code is None or separator not in (b" ", b"-", b"") or code != (self._code or code):
            raise ProtocolViolation(f"not an SMTP reply: {self.decode(line[:200])}")
        self._reply_bytes += len(line)
        if self._reply_bytes > MAX_REPLY_BYTES or len(self._lines) >= MAX_REPLY_LINES:
            raise ProtocolViolation("a reply longer than 64 KiB or 512 lines")
        if separator == b"-":
            self._code = code
            self._lines.append(line[4:])
            return
        # One reply more than was asked for is told to the reader; the rest of a flood is refused.
        if len(self._replies) > max(1, self._owed):
            raise ProtocolViolation("replies that nobody asked for")
        text = b"\n".join((*self._lines, line[4:])) if self._lines else line[4:]
        self._replies.append((code, text))
        if self._lines:
            self._lines = []
        self._code = self._reply_bytes = 0

    def decode(self, data: bytes) -> str:
        """Read the text of a reply, without the secrets that were written."""
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
        if self._timer:
            self._timer.cancel()
        self._awake()
        self.resume_writing()

    def _awake(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)

    # What we read

    @property
    def is_open(self) -> bool:
        """The connection stands, as far as we have been told."""
        transport = self.transport
        return transport is not None and not transport.is_closing() and self._violation is None

    @property
    def is_tainted(self) -> bool:
        """Bytes wait that belong to no command of ours."""
        return bool(self._replies or self._group or self._lines or self._rest or self._violation)

    def take_early(self) -> SMTPResponse | None:
        """Return a complete reply that came unasked, such as 421 before the connection closed."""
        return self._show(*self._replies.popleft()) if self._replies else None

    def _show(self, code: int, text: bytes) -> SMTPResponse:
        return SMTPResponse(code, self.decode(text))

    async def read_reply(self, timeout_s: float | None) -> SMTPResponse:
        """Return the next complete reply, whatever follows it; timeout_s holds for all of it.

        Raises ProtocolViolation, SMTPServerDisconnected, SMTPReadTimeoutError.
        """
        return self._show(*await self.read_raw(timeout_s))

    async def read_raw(self, timeout_s: float | None) -> tuple[int, bytes]:
        """Return code and text of the next reply, its lines joined with LF; as `read_reply`."""
        if self._group and not self._replies:
            self._take_lines(b"")
        if not self._replies:
            await self._wait_for_reply(timeout_s)
        if self._owed:
            self._owed -= 1
        return self._replies.popleft()

    def take_group(self, count: int) -> bool:
        """Take the replies to a group at once where all came, each as wished: 2yz, at last 354.

        Else nothing is taken, and `read_raw` gives them one by one.
        """
        if not self._group or self._replies:
            return False
        self._group = b""
        self._owed -= count
        return True

    async def _wait_for_reply(self, timeout_s: float | None) -> None:
        self._set_deadline(timeout_s)
        try:
            while not self._replies:
                if self._violation:
                    raise self._violation
                if self._lost.done():
                    raise SMTPServerDisconnected("the server closed the connection")
                if self._loop.time() >= self._deadline:
                    raise SMTPReadTimeoutError("no complete reply in time")
                self._wake = self._loop.create_future()
                await self._wake
        finally:
            self._deadline = math.inf

    def _set_deadline(self, timeout_s: float | None) -> None:
        """Have the reader woken at its time; one timer serves many waits, which costs next to
        nothing: it is only looked at when it rings, and then set anew."""
        if timeout_s is not None:
            self._deadline = self._loop.time() + timeout_s
            if self._timer is None or self._timer.when() > self._deadline:
                if self._timer:
                    self._timer.cancel()
                self._timer = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._loop.time() >= self._deadline:
            self._awake()
        elif self._deadline < math.inf:
            self._timer = self._loop.call_at(self._deadline, self._ring)

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

    def write_group(self, data: bytes, replies: int) -> None:
        """Write commands to which so many replies are owed. Raises SMTPServerDisconnected."""
        self._owed += replies
        self._pass_on(data)

    def _pass_on(self, data: bytes | memoryview) -> None:
        transport = cast(asyncio.WriteTransport | None, self.transport)
        if transport is None or transport.is_closing():
            raise SMTPServerDisconnected("the server closed the connection")
        if self._held:
            held, self._held = self._held, None
            transport.writelines((held, data) if data else (held,))
        else:
            transport.write(data)

    def _release(self) -> None:
        if self._held and self.is_open:
            self._pass_on(b"")

    @property
    def is_full(self) -> bool:
        """What was written waits for the peer to take it."""
        return self._flow is not None

    def hold_body(self, body: bytes) -> None:
        """Write a body with what follows in this turn of the loop, in one segment, or at its end.

        At most CHUNK_BYTES, and only where nothing else is under way.
        """
        self._held = body
        self._loop.call_soon(self._release)

    async def write_body(self, body: bytes, timeout_s: float) -> None:
        """Write a body as the peer takes it, the last chunk without waiting.

        timeout_s bounds the wait without progress. Raises TimeoutError, SMTPServerDisconnected.
        """
        view = memoryview(body)
        for start in range(0, len(view), CHUNK_BYTES):
            await self.drain(timeout_s)
            if self._replies:  # the server has already made up its mind
                return
            self._pass_on(view[start : start + CHUNK_BYTES])

    async def drain(self, timeout_s: float) -> None:
        """Wait until most of what was written is on its way. Raises TimeoutError."""
        if self._flow:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._flow)  # a wait that is cut off leaves it to others

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
