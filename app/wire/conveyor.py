"""The conveyor: messages one after another over one session, one round trip each (RFC 2920).

MAIL, RCPT… and DATA go out as a group. After the 354 the body is written, meanwhile the mark is
committed; then the final dot goes out together with the group of the next message, which rides
along. Without PIPELINING, or where it is found broken, the same in lock-step.
What is guaranteed (DESIGN G6): no dot without the mark; never a dot that would end an empty message
for an accepted recipient; a connection that breaks before the dot leaves everybody as before, one
that breaks after it leaves them `uncertain`; a message that rides behind one that breaks is
`not_tried`. Every message that was taken is settled once, whatever happens.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, NoReturn

from aiosmtplib import SMTPException

from app.wire.body import Body, prepare_body
from app.wire.channel import CHUNK_BYTES, SERVICE_CLOSING, ProtocolViolation
from app.wire.envelope import Envelope, Phase, Transaction
from app.wire.job import J
from app.wire.passage import Passage
from app.wire.reply import Reply, read_reply
from app.wire.steps import CUT_OFF, Observe, describe

if TYPE_CHECKING:
    from app.wire.session import Session

_FAILURES = (OSError, SMTPException, ProtocolViolation)
_DOT, _RESET = b".\r\n", b"RSET\r\n"


class _Ended(Exception):
    """The session ends here; whoever was asked for has a verdict."""


class Conveyor(Generic[J]):
    """Carries messages over one session; only one at a time may use it."""

    def __init__(
        self,
        session: "Session",
        *,
        final_reply_timeout_s: float,
        observe: Observe | None = None,
        lock_step: bool = False,
    ) -> None:
        """final_reply_timeout_s: the wait after the dot (RFC 5321 §4.5.3.2.6: 10 minutes)."""
        self._session = session
        self._channel = session.channel
        self._final_reply_timeout_s = final_reply_timeout_s
        self._observe = observe
        self._lock_step = lock_step
        self._aboard: dict[Passage, J] = {}
        self._at_the_dot: Passage | None = None
        self._take: Callable[[], J | None]
        self._settle: Callable[[J, Transaction], None]

    async def carry(
        self, take: Callable[[], J | None], settle: Callable[[J, Transaction], None]
    ) -> None:
        """Carry messages until `take` has none or the session ends (see `Session.usable`).

        take: the next message, at once; None where none is ready or the next one must not ride
        along (the end of a lot). Asked at the start and whenever a transaction is about to end.
        settle: told once what became of each message; neither may block.
        What these or a mark raise comes out of here: the session is closed, everybody is settled.
        """
        self._take, self._settle = take, settle
        done = False
        try:
            passage = self._board()
            while passage is not None:
                following = await self._transact(passage)
                if following is None and self._session.usable:
                    following = self._board()
                passage = following
            done = True
        except _Ended:
            pass
        finally:
            self._leave(done)

    async def try_out(self, envelope: Envelope) -> Transaction:
        """Ask MAIL and RCPT, then RSET."""
        passage = Passage(self._session, envelope, None, self._observe)
        going, done = bool(passage.waiting), False
        try:
            while going:
                passage.begin()
                del passage.lines[-1]  # no DATA
                await self._ask(passage)
                passage.accept()
                if passage.mail_taken:
                    await self._end(passage, _RESET)
                self._session.in_transaction = False
                going = bool(passage.waiting)
            done = True
        except _Ended:
            pass
        finally:
            self._leave(done)
        return passage.conclude()

    # Who is aboard

    def _board(self) -> Passage | None:
        """Take the next message that the server is to be asked about."""
        while (job := self._take()) is not None:
            body = job.body
            passage = Passage(
                self._session,
                job.envelope,
                body if isinstance(body, Body) else prepare_body(body),
                self._observe,
            )
            self._aboard[passage] = job
            if not job.is_wanted():
                passage.settle("not_tried", "mail")
            elif passage.waiting:
                return passage
            self._discharge(passage)
        return None

    def _discharge(self, passage: Passage) -> None:
        self._settle(self._aboard.pop(passage), passage.conclude())

    def _leave(self, done: bool) -> None:
        """Close what cannot be trusted any more, and settle whoever is left."""
        if not done or self._session.in_transaction or self._channel.is_tainted:
            self._session.abort()
        if self._at_the_dot is not None:
            self._at_the_dot.end_unheard(ConnectionAbortedError())
        for passage in list(self._aboard):
            self._discharge(passage)

    # One transaction

    async def _transact(self, passage: Passage) -> Passage | None:
        """Do one transaction; return the message that is already on its way to the next one."""
        session = self._session
        if not passage.rides:
            passage.begin()
            passage.grouped = session.pipelining and not self._lock_step
            if passage.grouped:
                self._write(passage, "mail", passage.lines)
        if (
            passage.grouped
            and self._observe is None
            and self._channel.take_group(len(passage.lines))
        ):
            passage.heed_group()
        else:
            await self._ask(passage)
        passage.rides = False
        rider = None
        if passage.data_open:
            if passage.accepted:
                await self._write_body(passage)
            elif passage.is_odd:  # a dot might end an empty message for somebody after all
                passage.settle("deferred", "data", None, "protocol_error")
                raise _Ended
            rider = await self._end(passage, _DOT)
        elif passage.mail_taken:
            rider = await self._end(passage, _RESET)
        else:
            session.in_transaction = False
        if passage.waiting:
            return passage
        self._discharge(passage)
        return rider

    async def _ask(self, passage: Passage) -> None:
        """Get the replies to the envelope and heed them; in lock-step write each command first."""
        for position in range(len(passage.lines)):
            if not passage.grouped:
                if not passage.may_ask(position):
                    return
                if not self._session.offers_dsn:  # it may have been refused since
                    passage.drop_dsn(position)
            if passage.heed(position, *await self._hear(passage, position)):
                continue
            if passage.grouped:
                passage.postpone(position)
            else:
                passage.heed(position, *await self._hear(passage, position))
        if passage.grouped:
            self._check_group(passage)

    async def _hear(self, passage: Passage, position: int) -> tuple[int, bytes]:
        phase = passage.find_phase(position)
        if not passage.grouped:
            self._write(passage, phase, [passage.lines[position]])
        try:
            code, text = await self._channel.read_raw(self._session.timeout_s)
            if not passage.grouped and self._channel.is_tainted and code != SERVICE_CLOSING:
                # The second may be the reply to something else: none can be believed.
                raise ProtocolViolation("more than one reply to one command")
        except asyncio.CancelledError:
            passage.report(phase, False, detail=CUT_OFF)
            raise
        except _FAILURES as exc:
            self._lose(passage, phase, exc)
        if code == SERVICE_CLOSING:
            self._close(passage, phase, read_reply(code, self._channel.decode(text)))
        return code, text

    def _check_group(self, passage: Passage) -> None:
        """See whether the replies fit the group, and what that says about pipelining here."""
        session, proven = self._session, self._is_proven(passage)
        if self._channel.is_tainted or (passage.is_odd and passage.mail_taken):
            early = None if passage.is_odd else self._channel.take_early()
            if early and early.code == SERVICE_CLOSING:
                self._close(passage, "data", read_reply(early.code, early.message))
            if not proven:
                self._fall_back(passage)
            passage.distrust()
            raise _Ended
        if passage.complaint and not passage.data_open and not proven:
            self._fall_back(passage)
            return
        session.groups_proven = True
        session.rides_proven |= passage.rides

    def _is_proven(self, passage: Passage) -> bool:
        """Tell whether this session has seen such a group answered before."""
        return self._session.rides_proven if passage.rides else self._session.groups_proven

    def _fall_back(self, passage: Passage) -> None:
        """Groups do not work here: one thing at a time from now on, this message once more."""
        self._session.pipelining_broken = passage.blameless = True
        passage.ask_again()

    async def _write_body(self, passage: Passage) -> None:
        """Write the body and get the mark; go on only where the dot may follow."""
        job, session, channel = self._aboard[passage], self._session, self._channel
        body = passage.body
        if body is None or not job.is_wanted():
            passage.settle("not_tried", "body")
            raise _Ended
        if len(body.stuffed) <= CHUNK_BYTES:
            channel.hold_body(body.stuffed)
        else:
            await self._flow(passage, channel.write_body(body.stuffed, session.timeout_s))
        if not await job.before_dot(tuple(passage.accepted)):
            passage.settle("not_tried", "body")
            raise _Ended
        if channel.is_full:
            await self._flow(passage, channel.drain(session.timeout_s))
        if session.is_stale():
            self._explain_stale(passage)

    async def _flow(self, passage: Passage, writing: Awaitable[None]) -> None:
        """Wait while the body is written; stop where the server does not want the rest."""
        try:
            await writing
        except _FAILURES as exc:
            self._heed_early(passage)
            self._lose(passage, "body", exc)
        if self._session.is_stale():
            self._explain_stale(passage)

    async def _end(self, passage: Passage, ending: bytes) -> Passage | None:
        """Write the dot or RSET, with it the next message's group; heed the reply to the former."""
        session, channel = self._session, self._channel
        if not channel.is_open:
            raise _Ended
        rider = self._board() if passage.grouped and not passage.waiting else None
        group, replies = ending, 1
        if rider is not None:
            rider.begin()
            rider.rides = rider.grouped = True
            group += _encode(rider.lines)
            replies += len(rider.lines)
        dot = ending is _DOT
        passage.start()
        if dot and passage.accepted:
            self._at_the_dot = passage
        try:
            channel.write_group(group, replies)
            code, text = await channel.read_raw(
                self._final_reply_timeout_s if dot else session.timeout_s
            )
        except _FAILURES as exc:
            if self._at_the_dot:
                passage.report("data", False, detail=describe(exc))
                passage.end_unheard(exc)
            raise _Ended from None
        self._at_the_dot = None
        if not (passage.heed_end(code, text) if dot else 200 <= code < 300):
            if not dot and code != SERVICE_CLOSING:
                passage.distrust()  # the replies before were to something else
            raise _Ended
        if rider is None:
            session.in_transaction = False
        else:
            rider.start()
        return rider

    # The connection

    def _write(self, passage: Passage, phase: Phase, lines: list[str]) -> None:
        passage.start()
        channel = self._channel
        if channel.is_tainted:
            early = channel.take_early()
            if early and early.code == SERVICE_CLOSING:
                self._close(passage, phase, read_reply(early.code, early.message))
            self._lose(passage, phase, ProtocolViolation("a reply that nobody asked for"))
        try:
            channel.write_group(_encode(lines), len(lines))
        except _FAILURES as exc:
            self._lose(passage, phase, exc)
        self._session.in_transaction = True

    def _lose(self, passage: Passage, phase: Phase, error: Exception) -> NoReturn:
        """The connection failed. Where groups are new to this session they may be the reason."""
        cut = isinstance(error, ConnectionError)
        # A server that ends the connection after a message has taken no offence at the next.
        suspect = passage.grouped and phase != "body" and not (cut and passage.rides)
        if suspect and not self._is_proven(passage):
            self._session.group_cut = True
            self._fall_back(passage)
        passage.report(phase, False, detail=describe(error))
        if passage.is_odd:
            passage.ask_again()  # what came before was said of something else, too
        passage.lose(phase, error)
        raise _Ended from None

    def _close(self, passage: Passage, phase: Phase, reply: Reply) -> NoReturn:
        passage.report(phase, False, reply)
        passage.close(phase, reply)
        raise _Ended

    def _explain_stale(self, passage: Passage) -> NoReturn:
        """The server has spoken or gone before the dot."""
        self._heed_early(passage)
        passage.settle("deferred", "body", cause="connection_lost")
        raise _Ended

    def _heed_early(self, passage: Passage) -> None:
        if early := self._channel.take_early():
            passage.heed_early(read_reply(early.code, early.message))
            raise _Ended


def _encode(lines: list[str]) -> bytes:
    if not "".join(lines).isprintable():
        raise ValueError("a control character in a command")
    return ("\r\n".join(lines) + "\r\n").encode()
