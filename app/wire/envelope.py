"""What goes into one SMTP transaction and what came out of it.

An `Envelope` is the message as the servers see it: reverse-path, recipients, DSN wishes.
A `Transaction` holds one `Verdict` per recipient, in the envelope's order. Failure is data:
a verdict says what is known, in which phase, and with whose words.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from app.wire.reply import Reply

Kind = Literal["sent", "deferred", "refused", "uncertain", "not_tried", "accepted"]
Phase = Literal["mail", "rcpt", "data", "body", "dot"]
# Indices of the accepted recipients in; whether the final dot may go out.
BeforeDot = Callable[[tuple[int, ...]], Awaitable[bool]]

# RFC 5321 §4.1.2 Mailbox, loosely: whatever could end the path or the line is out.
_MAILBOX = re.compile(
    r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"|[^\s<>"@\x00-\x1f\x7f]+)@[^\s<>"@\x00-\x1f\x7f]+'
)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One forward-path. notify: words of RFC 3461 §4.1, ``()`` or None for no NOTIFY.

    original: what ORCPT names; the address itself where it is None.
    """

    address: str
    notify: tuple[str, ...] | None = None
    original: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """sender: the reverse-path, ``""`` for none. ret: ``full``, ``headers`` or None.

    smtputf8: the message's own headers need it; addresses are looked at anyway.
    """

    sender: str
    recipients: tuple[Recipient, ...]
    envid: str | None = None
    ret: str | None = None
    smtputf8: bool = False

    @property
    def needs_smtputf8(self) -> bool:
        """An address or a header goes beyond ASCII (RFC 6531)."""
        if self.smtputf8 or not self.sender.isascii():
            return True
        return not all(each.address.isascii() for each in self.recipients)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about one recipient after a transaction.

    kind: ``sent`` the server took it; ``deferred`` try again; ``refused`` for good;
      ``uncertain`` the final dot went out and no reply came back; ``not_tried`` nothing was
      asked of the server for it, another session may take it at once; ``accepted`` the server
      would take it (`Session.try_envelope` only).
    cause: a word of contract §5 where something went wrong. reply: None where none came.
    """

    kind: Kind
    phase: Phase
    reply: Reply | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """verdicts: one per recipient of the envelope, in its order."""

    verdicts: tuple[Verdict, ...]

    @property
    def trouble(self) -> Verdict | None:
        """The first verdict that is not the wished one, or None."""
        return next((v for v in self.verdicts if v.kind not in ("sent", "accepted")), None)


@lru_cache(maxsize=4096)  # senders, and whoever gets mail again
def is_mailbox(address: str) -> bool:
    """Tell whether an address can stand in MAIL or RCPT without changing the command."""
    return _MAILBOX.fullmatch(address) is not None and address.isprintable()
