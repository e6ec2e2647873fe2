"""One message on its way over one session: what to say, and what every reply means. No I/O here.

A message takes one mail transaction, or more: recipients beyond the server's limit (452), and those
refused for their DSN parameters, are asked for again in the next one. A reply decides by its class:
4yz again, 5yz for good; a 5yz that means the account (530) defers. What the server lacks for this
message is refused here, in our own words, and never sent.
`uncertain` comes from `end_unheard` alone, which is called after a final dot and never before.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.wire import causes, dsn
from app.wire.body import Body
from app.wire.channel import SERVICE_CLOSING
from app.wire.envelope import Envelope, Kind, Phase, Transaction, Verdict, is_mailbox
from app.wire.reply import Reply, read_reply, speak_locally
from app.wire.steps import Observe, Outcome, report

if TYPE_CHECKING:
    from app.wire.session import Session

START_INPUT = 354
# How a server refuses parameters it does not know, although it advertised DSN (RFC 5321 §4.2.4).
_PARAMETERS_REFUSED = frozenset((455, 500, 501, 502, 504, 555))
_LIED = "the server advertises DSN and refuses its parameters"
# Exim and Postfix name it when commands came in a group that they did not want.
_COMPLAINT = re.compile(r"pipelin|synchroni[sz]", re.IGNORECASE)
_SENDER = -1  # where indices of recipients stand


@dataclass(slots=True)
class Command:
    """A line and whose it is. bare: the same without DSN parameters, None where it has none."""

    phase: Phase
    index: int
    line: str
    bare: str | None = None


class Passage:
    """The state of one message.

    waiting: recipients to ask for in a further transaction. Of the present one: asked, accepted;
    mail_taken; data_open: the server waits for a body; grouped: its commands went out as one group,
    which rides behind another message's dot; is_odd: a reply that has no place where it came;
    complaint: a refusal that a command out of order would get; blameless: see `Conveyor`.
    """

    __slots__ = (
        "accepted",
        "asked",
        "blameless",
        "body",
        "commands",
        "complaint",
        "data_open",
        "doubted",
        "envelope",
        "fresh",
        "grouped",
        "is_odd",
        "mail_taken",
        "observe",
        "rides",
        "session",
        "started",
        "utf8",
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
        self.verdicts: list[Verdict | None] = [None] * len(envelope.recipients)
        self.fresh = session.messages_begun == 0
        self.grouped = self.rides = False
        self.blameless = False
        self.utf8 = False
        self.started = 0.0
        self.waiting: Sequence[int] = range(len(envelope.recipients))
        self.asked: Sequence[int] = ()
        self.accepted: list[int] = []
        self.doubted: set[int] = set()
        self.commands: list[Command] = []
        self.mail_taken = self.data_open = self.is_odd = self.complaint = False

    # What we refuse ourselves

    def check(self) -> bool:
        """Refuse what needs no server to be refused; tell whether anybody is left to ask."""
        self._check_body()
        self._check_addresses()
        if any(self.verdicts):
            self.waiting = [index for index in self.waiting if self.verdicts[index] is None]
        return bool(self.waiting)

    def _check_body(self) -> None:
        body, capabilities = self.body, self.session.capabilities
        if body is None:
            return
        size_bytes = len(body.octets)
        if not body.is_sound:
            text = "the message holds a lone CR, LF or a NUL"
            self._refuse(554, "5.6.0", text, "content_refused")
        elif capabilities.size and size_bytes > capabilities.size:
            text = f"the message has {size_bytes} bytes, the server takes {capabilities.size}"
            self._refuse(552, "5.3.4", text, "too_large")
        elif not body.is_ascii and not capabilities.eightbitmime:
            text = "the message is 8-bit and the server does not offer 8BITMIME"
            self._refuse(554, "5.6.3", text, "content_refused")

    def _check_addresses(self) -> None:
        sender, recipients = self.envelope.sender, self.envelope.recipients
        if sender and not is_mailbox(sender):
            self._refuse(553, "5.1.7", "the sender's address is not valid", "sender_refused")
        utf8 = self.session.capabilities.smtputf8
        text = "this needs SMTPUTF8, which the server does not offer"
        if not utf8 and (self.envelope.smtputf8 or not sender.isascii()):
            self._refuse(553, "5.6.7", text, "sender_refused")
        self.utf8 = self.envelope.smtputf8 or not sender.isascii()
        for index, recipient in enumerate(recipients):
            if not is_mailbox(recipient.address):
                reply = speak_locally(553, "5.1.3", "the recipient's address is not valid")
            elif recipient.address.isascii():
                continue
            elif utf8:
                self.utf8 = True
                continue
            else:
                reply = speak_locally(553, "5.6.7", text)
            if self.verdicts[index] is None:
                self.verdicts[index] = Verdict("refused", "rcpt", reply, "recipient_refused")

    def _refuse(self, code: int, enhanced: str, text: str, cause: str) -> None:
        self.settle("refused", "mail", speak_locally(code, enhanced, text), cause)

    # What we say

    def begin(self) -> None:
        """Begin a transaction for those who wait, as many as the server takes in one."""
        limit = self.session.recipients_limit
        self.asked, self.waiting = self.waiting[:limit], self.waiting[limit:] if limit else ()
        self.accepted = []
        self.mail_taken = self.data_open = self.is_odd = self.complaint = False
        self.commands = [
            self._spell_mail(),
            *map(self._spell_rcpt, self.asked),
            Command("data", 0, "DATA"),
        ]

    def _spell_mail(self) -> Command:
        envelope, body = self.envelope, self.body
        line = f"MAIL FROM:<{envelope.sender}>"
        if body is not None and self.session.capabilities.size is not None:
            line += f" SIZE={len(body.octets)}"
        if body is not None and not body.is_ascii:
            line += " BODY=8BITMIME"
        if self.utf8:
            line += " SMTPUTF8"
        return self._spell(
            "mail", _SENDER, line, dsn.list_mail_parameters(envelope.ret, envelope.envid)
        )

    def _spell_rcpt(self, index: int) -> Command:
        recipient = self.envelope.recipients[index]
        line = f"RCPT TO:<{recipient.address}>"
        if not self.session.offers_dsn:
            return Command("rcpt", index, line)
        original = recipient.original or recipient.address
        return self._spell(
            "rcpt", index, line, dsn.list_rcpt_parameters(recipient.notify, original)
        )

    def _spell(self, phase: Phase, index: int, bare: str, parameters: list[str]) -> Command:
        doubtful = self.doubted & {index, _SENDER} or not self.session.offers_dsn
        if doubtful or not parameters:
            return Command(phase, index, bare)
        return Command(phase, index, " ".join((bare, *parameters)), bare)

    def may_ask(self, command: Command) -> bool:
        """Tell whether a command makes sense after what the server has said (in lock-step)."""
        if command.phase == "data":
            return bool(self.accepted)
        return command.phase == "mail" or self.mail_taken

    def spare(self, command: Command) -> Command:
        """Leave out parameters that the server was found to refuse since the command was made."""
        if command.bare is None or self.session.offers_dsn:
            return command
        return Command(command.phase, command.index, command.bare)

    def start(self) -> None:
        """Note when a step begins that is observed."""
        if self.observe is not None:
            self.started = time.monotonic()

    # What we hear

    def heed(self, command: Command, code: int, text: bytes) -> Command | None:
        """Take a reply to MAIL, RCPT or DATA.

        Return the command without its DSN parameters where only they may have been refused: ask
        it instead, or `postpone` it.
        """
        if code in _PARAMETERS_REFUSED and command.bare is not None:
            self.doubted.add(command.index)
            return Command(command.phase, command.index, command.bare)
        if command.phase == "mail":
            self._heed_mail(command, code, text)
        elif command.phase == "rcpt":
            self._heed_rcpt(command, code, text)
        else:
            self._heed_data(code, text)
        return None

    def _heed_mail(self, command: Command, code: int, text: bytes) -> None:
        self.session.messages_begun += 1
        self.mail_taken = 200 <= code < 300
        reply = self._read(command, code, text)
        if not self.mail_taken and reply is not None:
            self.is_odd = code < 400
            self._settle_by(reply, "mail")

    def _heed_rcpt(self, command: Command, code: int, text: bytes) -> None:
        if not self.mail_taken:  # an answer to a group; the word at MAIL has decided
            self.is_odd |= code < 400
            return
        reply = self._read(command, code, text)
        if 200 <= code < 300:
            self.accepted.append(command.index)
        elif reply is not None:
            if self.accepted and _is_over_limit(reply):
                self.session.recipients_limit = len(self.accepted)
                self.postpone(command)
                return
            self.is_odd |= code < 400
            self.verdicts[command.index] = _judge(reply, "rcpt")

    def _heed_data(self, code: int, text: bytes) -> None:
        if code == START_INPUT:
            self.data_open = True
            return
        self.is_odd |= code < 400
        reply = read_reply(code, self.session.channel.decode(text))
        if self.accepted:
            self.complaint |= code == 503 or _COMPLAINT.search(reply.text) is not None
            self.report("data", False, reply)
            self._settle_by(reply, "data", self.accepted)

    def _read(self, command: Command, code: int, text: bytes) -> Reply | None:
        """Read a reply where it is of interest: a refusal, or somebody observes."""
        positive = 200 <= code < 300
        lied = positive and command.index in self.doubted and self.session.offers_dsn
        if lied:
            self.session.dsn_refused = True
        if positive and self.observe is None:
            return None
        reply = read_reply(code, self.session.channel.decode(text))
        address = None
        if command.phase == "rcpt":
            address = self.envelope.recipients[command.index].address
        if not positive:
            out_of_order = command.phase == "rcpt" and code == 503
            self.complaint |= out_of_order or _COMPLAINT.search(reply.text) is not None
        self.report(command.phase, positive, reply, _LIED if lied else address)
        return reply

    def postpone(self, command: Command) -> None:
        """Leave a recipient, or all of them, to a further transaction."""
        if command.index == _SENDER:
            self.waiting = [*self.asked, *self.waiting]
            self.asked = ()
        else:
            self.waiting = [*self.waiting, command.index]

    def ask_again(self) -> None:
        """Believe nothing that was said in this transaction: all of it once more."""
        for index in self.asked:
            self.verdicts[index] = None
        self.waiting = [*self.asked, *(index for index in self.waiting if index not in self.asked)]
        self.accepted = []

    def heed_end(self, code: int, text: bytes) -> bool:
        """Take the reply to the final dot; False where the connection must end with it."""
        reply = read_reply(code, self.session.channel.decode(text))
        if self.accepted:
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

    def heed_early(self, reply: Reply) -> None:
        """A reply while the body travels is the server's word on the message."""
        self._settle_by(reply, "body", self.accepted)

    def conclude(self) -> Transaction:
        """Return what became of everybody; whom nobody asked for is not tried."""
        self.settle("not_tried", "mail", None, "connection_lost")
        return Transaction(tuple(verdict for verdict in self.verdicts if verdict))

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
