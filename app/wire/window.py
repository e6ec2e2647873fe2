"""The window: several small messages on their way at once, by CHUNKING (RFC 3030) and PIPELINING.

RSET, MAIL, RCPT…, BDAT n LAST and the body of each go out without waiting for a reply, so that a long
way to the server costs next to nothing. The price: the mark of a message stands before its first
byte and for every recipient, and a connection that breaks leaves all that are on their way
`uncertain`, not one. Only for accounts that accept that.
As with the conveyor every message that was taken is settled once, whatever happens. A server that
does not know BDAT after all has refused nothing: such a message is `not_tried`, and the session goes
on without (`Session.chunking_broken`).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Generic

from aiosmtplib import SMTPException

from app.wire import causes
from app.wire.body import Body, prepare_body
from app.wire.channel import SERVICE_CLOSING, ProtocolViolation
from app.wire.envelope import Transaction
from app.wire.job import J
from app.wire.passage import Passage
from app.wire.reply import read_reply

if TYPE_CHECKING:
    from app.wire.session import Session

_FAILURES = (OSError, SMTPException, ProtocolViolation)
_UNKNOWN = frozenset((500, 501, 502, 503, 504))  # said of the command rather than of the message


class _Ended(Exception):
    """The session takes no more; what is still on its way is to be settled."""


class Window(Generic[J]):
    """Carries messages over one session; only one at a time may use it."""

    def __init__(self, session: "Session", *, size: int, final_reply_timeout_s: float) -> None:
        """size: messages on their way at once."""
        self._session = session
        self._channel = session.channel
        self._size = size
        self._final_reply_timeout_s = final_reply_timeout_s
        self._aboard: dict[Passage, J] = {}
        self._under_way: deque[Passage] = deque()
        self._again: deque[Passage] = deque()
        self._take: Callable[[], J | None]
        self._settle: Callable[[J, Transaction], None]

    async def carry(
        self, take: Callable[[], J | None], settle: Callable[[J, Transaction], None]
    ) -> None:
        """Carry messages until `take` has none or the session ends; as `Conveyor.carry` says."""
        self._take, self._settle = take, settle
        done = False
        try:
            await self._fill()
            while self._under_way:
                passage = self._under_way[0]
                await self._hear(passage)
                self._under_way.popleft()
                if passage.waiting and not self._session.chunking_broken:
                    self._again.append(passage)
                else:
                    self._discharge(passage)
                if len(self._under_way) <= self._size // 2:
                    await self._fill()
            done = True
        except _Ended:
            pass
        finally:
            self._leave(done)

    # What goes out

    async def _fill(self) -> None:
        """Put as many on their way as the window has room for."""
        boarded: list[Passage] = []
        while len(self._under_way) + len(boarded) < self._size:
            passage = self._board()
            if passage is None:
                break
            boarded.append(passage)
        if not boarded:
            return
        for passage in boarded:
            passage.begin()
        marked = await asyncio.gather(
            *(self._aboard[each].before_dot(tuple(each.asked)) for each in boarded)
        )
        for passage, is_marked in zip(boarded, marked, strict=True):
            if is_marked:
                self._write(passage)
            else:
                passage.settle("not_tried", "mail")
                self._discharge(passage)
        # What is wrong with the connection is found where its replies are read.
        with suppress(*_FAILURES):
            await self._channel.drain(self._session.timeout_s)

    def _board(self) -> Passage | None:
        if not (self._channel.is_open and self._session.chunking):
            return None
        if self._again:
            return self._again.popleft()
        while (job := self._take()) is not None:
            body = job.body if isinstance(job.body, Body) else prepare_body(job.body)
            passage = Passage(self._session, job.envelope, body, None)
            self._aboard[passage] = job
            if not job.is_wanted():
                passage.settle("not_tried", "mail")
            elif passage.waiting:
                return passage
            self._discharge(passage)
        return None

    def _write(self, passage: Passage) -> None:
        body = passage.body
        if body is None:
            raise AssertionError("a window carries messages, not questions")
        lines = ["RSET", *passage.lines[:-1], f"BDAT {len(body.octets)} LAST"]
        if not "".join(lines).isprintable():
            raise ValueError("a control character in a command")
        head = "\r\n".join([*lines, ""]).encode()
        try:
            self._channel.write_group(head + body.octets, len(lines))
        except _FAILURES as error:
            passage.settle("not_tried", "mail", None, causes.classify_error("mail", error))
            self._discharge(passage)
            return
        self._under_way.append(passage)
        self._session.in_transaction = True

    # What comes back

    async def _hear(self, passage: Passage) -> None:
        """Heed every reply to one message."""
        code, _ = await self._read(self._session.timeout_s)
        if not 200 <= code < 300:  # to RSET
            raise _Ended
        for position in range(len(passage.lines) - 1):
            code, text = await self._read(self._session.timeout_s)
            if code == SERVICE_CLOSING:
                self._close(passage, position, text)
            if not passage.heed(position, code, text):
                passage.postpone(position)
        code, text = await self._read(self._final_reply_timeout_s)
        if passage.is_odd and 200 <= code < 300:  # taken, for whom nobody can say
            _leave_open(passage, "protocol_error")
            raise _Ended
        if not passage.accepted:
            return  # there was nobody to take it for
        if code in _UNKNOWN and not self._session.chunking_proven:
            self._session.chunking_broken = True
            passage.settle("not_tried", "data")
            return
        self._session.chunking_proven |= 200 <= code < 300
        if not passage.heed_end(code, text):
            if code == SERVICE_CLOSING:
                self._return_others(passage)
            raise _Ended

    async def _read(self, timeout_s: float) -> tuple[int, bytes]:
        try:
            return await self._channel.read_raw(timeout_s)
        except _FAILURES as error:
            cause = causes.classify_error("data", error)
            for passage in self._under_way:
                _leave_open(passage, cause)
            raise _Ended from None

    def _close(self, passage: Passage, position: int, text: bytes) -> None:
        """421: the server takes nothing more on this connection (RFC 5321 §3.8)."""
        reply = read_reply(SERVICE_CLOSING, self._channel.decode(text))
        passage.close(passage.find_phase(position), reply)
        self._return_others(passage)
        raise _Ended

    def _return_others(self, passage: Passage) -> None:
        for other in self._under_way:
            if other is not passage:
                other.settle("not_tried", "mail")

    # The end

    def _discharge(self, passage: Passage) -> None:
        self._settle(self._aboard.pop(passage), passage.conclude())

    def _leave(self, done: bool) -> None:
        """Close what cannot be trusted any more, and settle whoever is left."""
        if done and not self._channel.is_tainted:
            self._session.in_transaction = False
        else:
            self._session.abort()
        for passage in self._under_way:
            _leave_open(passage, "connection_lost")
        for passage in list(self._aboard):
            self._discharge(passage)


def _leave_open(passage: Passage, cause: str) -> None:
    """Whether it was taken nobody knows; a reply out of place says nothing either."""
    if passage.is_odd:
        passage.ask_again()
    passage.settle("uncertain", "dot", None, cause)
