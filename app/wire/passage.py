"""One message on its way over one session: what to say, and what every reply means. No I/O here.

A message takes one mail transaction, or more: recipients beyond the server's limit (452), and those
refused for their DSN parameters, are asked for again in the next one. A reply decides by its class:
4yz again, 5yz for good; a 5yz that means the account (530) defers.
`uncertain` comes from `heed_end` and `end_unheard` alone, which are called after a final dot.
"""

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.wire import causes, dsn
from app.wire.admission import admit
from app.wire.body import Body
from app.wire.channel import SERVICE_CLOSING
from app.wire.envelope import Envelope, Kind, Phase, Transaction, Verdict
from app.wire.reply import Reply, read_reply
from app.wire.steps import Observe, Outcome, report

if TYPE_CHECKING:
    from app.wire.session import Session

START_INPUT = 354
# How a server refuses parameters it does not know, although it advertised DSN (RFC 5321 §4.2.4).
_PARAMETERS_REFUSED = frozenset((455, 500, 501, 502, 504, 555))
_LIED = "the server advertises DSN and refuses its parameters"
# Exim and Postfix name it when commands came in a group that they did not want.
_COMPLAINT = re.compile(r"pipelin|synchroni[sz]", re.IGNORECASE)
_DATA = "DATA"
_SENDER = -1  # among the recipients' indices


class Passage:
    """The state of one message.

    waiting: recipients to ask for in a further transaction. Of the present one: asked, accepted;
    lines: its commands, MAIL first, DATA last; mail_taken; data_open: the server waits for a body;
    grouped: the commands went out as one group, which rides behind another message's dot;
    is_odd: a reply that has no place where it came; complaint: a refusal that a command out of
    order would get; blameless: pipelining is to blame for what went wrong.
    """

    __slots__ = (
        "accepted",
        "asked",
        "blameless",
        "body",
        "complaint",
        "data_open",
        "doubted",
        "envelope",
        "fresh",
        "grouped",
        "is_odd",
        "lines",
        "mail_taken",
        "observe",
        "rides",
        "session",
        "started",
        "verdicts",
        "waiting",
    )

    def __init__(
        self, session: "Session", envelope: Envelope, body: Body | None, observe: Observe | None
    ) -> None:
        self.session = session
        self.envelope = envelope
        self.body = body
        self.observe = observe
        self.verdicts = admit(envelope, body, session.capabilities)
        self.waiting = [n for n, verdict in enumerate(self.verdicts) if verdict is None]
        self.fresh = session.messages_begun == 0
        self.grouped = self.rides = self.blameless = False
        self.doubted: set[int] | None = None
        self.started = 0.0
        self.lines: list[str]
        self.asked: list[int] = []
        self.accepted: list[int] = []
        self.mail_taken = self.data_open = self.is_odd = self.complaint = False

    # What we say

    def begin(self) -> None:
        """Begin a transaction for those who wait, as many as the server takes in one."""
        limit = self.session.recipients_limit
        if limit is None:
            self.asked, self.waiting = self.waiting, []
        else:
            self.asked, self.waiting = self.waiting[:limit], self.waiting[limit:]
        self.accepted = []
        self.mail_taken = self.data_open = self.is_odd = self.complaint = False
        with_dsn = self.session.offers_dsn and not (self.doubted and _SENDER in self.doubted)
        self.lines = [
            self._spell_mail(with_dsn),
            *[self._spell_rcpt(index, with_dsn) for index in self.asked],
            _DATA,
        ]

    def _spell_mail(self, with_dsn: bool) -> str:
        envelope, body, capabilities = self.envelope, self.body, self.session.capabilities
        line = f"MAIL FROM:<{envelope.sender}>"
        if body is not None:
            if capabilities.size is not None:
                line += f" SIZE={len(body.octets)}"
            if not body.is_ascii:
                line += " BODY=8BITMIME"
        if capabilities.smtputf8 and envelope.needs_smtputf8:
            line += " SMTPUTF8"
        if with_dsn and (envelope.ret or envelope.envid):
            line = " ".join((line, *dsn.list_mail_parameters(envelope.ret, envelope.envid)))
        return line

    def _spell_rcpt(self, index: int, with_dsn: bool) -> str:
        recipient = self.envelope.recipients[index]
        line = f"RCPT TO:<{recipient.address}>"
        if with_dsn and not (self.doubted and index in self.doubted):
            original = recipient.original or recipient.address
            line = " ".join((line, *dsn.list_rcpt_parameters(recipient.notify, original)))
        return line

    def find_phase(self, position: int) -> Phase:
        """Name what the command at this position asks."""
        if position == 0:
            return "mail"
        return "data" if self.lines[position] == _DATA else "rcpt"

    def may_ask(self, position: int) -> bool:
        """Tell whether a command makes sense after what the server has said (in lock-step)."""
        phase = self.find_phase(position)
        return phase == "mail" or bool(self.accepted if phase == "data" else self.mail_taken)

    def drop_dsn(self, position: int) -> bool:
        """Take the DSN parameters out of a command; False where it has none."""
        line = self.lines[position]
        if position == 0:
            bare = self._spell_mail(False)
        elif line != _DATA and self.mail_taken:
            bare = self._spell_rcpt(self.asked[position - 1], False)
        else:
            return False
        self.lines[position] = bare
        return line != bare

    def start(self) -> None:
        """Note when a step begins that is observed."""
        if self.observe is not None:
            self.started = time.monotonic()

    # What we hear

    def heed_group(self) -> None:
        """Take the replies to a whole group, when every one is as wished."""
        session = self.session
        session.messages_begun += 1
        session.groups_proven = True
        session.rides_proven |= self.rides
        self.mail_taken = self.data_open = True
        self.accepted = self.asked

    def heed(self, position: int, code: int, text: bytes) -> bool:
        """Take a reply to MAIL, RCPT or DATA.

        False where only the DSN parameters may have been refused: they are taken out; ask once
        more, or `postpone` it.
        """
        if code in _PARAMETERS_REFUSED and self.drop_dsn(position):
            self.doubted = (self.doubted or set()) | {self._whose(position)}
            return False
        phase = self.find_phase(position)
        if phase == "mail":
            self._heed_mail(code, text)
        elif phase == "data":
            self._heed_data(code, text)
        elif self.mail_taken:
            self._heed_rcpt(self.asked[position - 1], code, text)
        else:  # an answer to a group; the word at MAIL has decided
            self.is_odd |= code < 400
        return True

    def _whose(self, position: int) -> int:
        return self.asked[position - 1] if position else _SENDER

    def _heed_mail(self, code: int, text: bytes) -> None:
        self.session.messages_begun += 1
        self.mail_taken = 200 <= code < 300
        reply = self._read("mail", _SENDER, code, text)
        if not self.mail_taken:
            self.is_odd = code < 400
            self._settle_by(reply, "mail")
            self.waiting = []

    def _heed_rcpt(self, index: int, code: int, text: bytes) -> None:
        reply = self._read("rcpt", index, code, text)
        if reply.is_positive:
            self.accepted.append(index)
        elif self.accepted and _is_over_limit(reply):
            self.session.recipients_limit = len(self.accepted)
            self.waiting.append(index)
        else:
            self.is_odd |= code < 400
            self.verdicts[index] = _judge(reply, "rcpt")

    def _heed_data(self, code: int, text: bytes) -> None:
        self.data_open = code == START_INPUT
        if self.data_open:
            return
        self.is_odd |= code < 400
        if self.accepted:
            reply = read_reply(code, self.session.channel.decode(text))
            self.complaint |= code == 503 or _complains(reply)
            self.report("data", False, reply)
            self._settle_by(reply, "data", self.accepted)

    def _read(self, phase: Phase, index: int, code: int, text: bytes) -> Reply:
        reply = read_reply(code, self.session.channel.decode(text))
        detail = self.envelope.recipients[index].address if phase == "rcpt" else None
        if not reply.is_positive:
            self.complaint |= (phase == "rcpt" and code == 503) or _complains(reply)
        elif self.doubted and index in self.doubted and self.session.offers_dsn:
            self.session.dsn_refused, detail = True, _LIED
        self.report(phase, reply.is_positive, reply, detail)
        return reply

    def postpone(self, position: int) -> None:
        """Leave a recipient, or with the sender all of them, to a further transaction."""
        if position:
            self.waiting.append(self.asked[position - 1])
        else:
            self.waiting, self.asked = [*self.asked, *self.waiting], []

    def ask_again(self) -> None:
        """Believe nothing that was said in this transaction: all of it once more."""
        for index in self.asked:
            self.verdicts[index] = None
        self.waiting = [*self.asked, *(n for n in self.waiting if n not in self.asked)]
        self.accepted = []

    def heed_end(self, code: int, text: bytes) -> bool:
        """Take the reply to the final dot; False where the connection must end with it."""
        if not self.accepted:  # a lone dot: there was nothing to take
            return code >= 200 and code not in (START_INPUT, SERVICE_CLOSING)
        reply = read_reply(code, self.session.channel.decode(text))
        self.report("data", reply.is_positive, reply)
        if reply.is_positive:
            self._settle_some(self.accepted, Verdict("sent", "dot", reply))
            return True
        if code < 400:  # neither taken nor refused
            verdict = Verdict("uncertain", "dot", reply, "protocol_error")
            self._settle_some(self.accepted, verdict)
            return False
        self._settle_by(reply, "dot", self.accepted)
        return code != SERVICE_CLOSING

    # How it ends otherwise

    def accept(self) -> None:
        """Nothing is to be sent: that the server would take it is all there is to know."""
        self._settle_some(self.accepted, Verdict("accepted", "rcpt"))

    def heed_early(self, reply: Reply) -> None:
        """A reply while the body travels is the server's word on the message."""
        self._settle_by(reply, "body", self.accepted)

    def end_unheard(self, error: BaseException) -> None:
        """The dot went out and no reply came: those whom it decides are uncertain."""
        verdict = Verdict("uncertain", "dot", None, causes.classify_error("data", error))
        self._settle_some(self.accepted, verdict)

    def lose(self, phase: Phase, error: BaseException) -> None:
        """The connection is gone and the dot was not sent: everybody is as before."""
        cause = causes.classify_error(phase, error)
        untried = self.blameless or self._is_idle_loss(phase)
        self.settle("not_tried" if untried else "deferred", phase, None, cause)

    def close(self, phase: Phase, reply: Reply) -> None:
        """421: the server takes nothing more on this connection, whatever it accepted before."""
        if self._is_idle_loss(phase):
            self.settle("not_tried", phase, reply, causes.classify_reply(phase, reply))
        self._settle_by(reply, phase)

    def distrust(self) -> None:
        """The replies do not fit the commands: none of them may be believed."""
        self.ask_again()
        kind: Kind = "not_tried" if self.blameless else "deferred"
        self.settle(kind, "data", None, "protocol_error")

    def conclude(self) -> Transaction:
        """Return what became of everybody; whom nobody asked for is not tried."""
        if None in self.verdicts:
            self.settle("not_tried", "mail", None, "connection_lost")
        return Transaction(tuple(self.verdicts))  # type: ignore[arg-type]

    def settle(
        self, kind: Kind, phase: Phase, reply: Reply | None = None, cause: str | None = None
    ) -> None:
        """Give everybody without a verdict this one."""
        self._settle_some(range(len(self.verdicts)), Verdict(kind, phase, reply, cause))

    def _settle_by(self, reply: Reply, phase: Phase, indices: Sequence[int] | None = None) -> None:
        everybody = range(len(self.verdicts))
        self._settle_some(everybody if indices is None else indices, _judge(reply, phase))

    def _settle_some(self, indices: Sequence[int], verdict: Verdict) -> None:
        for index in indices:
            if self.verdicts[index] is None:
                self.verdicts[index] = verdict

    def _is_idle_loss(self, phase: Phase) -> bool:
        # A kept connection that ends when it is used again says nothing about this message.
        return phase == "mail" and not self.fresh

    def report(
        self, step: str, ok: bool, reply: Reply | None = None, detail: str | None = None
    ) -> None:
        """Tell the observer of a step that began at `started`."""
        if self.observe is not None:
            report(step, ok, self.started, Outcome(reply, detail), self.observe)


def _judge(reply: Reply, phase: Phase) -> Verdict:
    """Turn a reply that is not the wished one into a verdict."""
    step = phase if phase in ("mail", "rcpt") else "data"
    cause = causes.classify_reply(step, reply)
    for_good = reply.is_permanent and not causes.is_account_trouble(cause)
    return Verdict("refused" if for_good else "deferred", phase, reply, cause)


def _is_over_limit(reply: Reply) -> bool:
    """Tell whether only the number of recipients is too great (RFC 5321 §4.5.3.1.10)."""
    return reply.code in (452, 552) and (
        reply.enhanced in ("4.5.3", "5.5.3") or "too many recipients" in reply.text.lower()
    )


def _complains(reply: Reply) -> bool:
    return _COMPLAINT.search(reply.text) is not None
