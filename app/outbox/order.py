"""What a caller asks to send, as read from the request and not yet resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.mime.address import Mailbox
from app.mime.protect import Plain
from app.templates_engine.documents import Document
from app.templates_engine.values import MacroValue


@dataclass(frozen=True, slots=True)
class Reference:
    """The business document a message is about; compared exactly."""

    type: str | None = None
    number: str | None = None
    customer: str | None = None

    @property
    def is_reminder(self) -> bool:
        """Whether it is an overdue reminder, which follows rules of its own; in any case."""
        return (self.type or "").casefold() == "reminder"


@dataclass(frozen=True, slots=True)
class Order:
    """One message to be sent. None means: as the configuration says.

    account: the id of one to send through instead of the active scope's. sender: who shall stand in
    From. notifications: the contract's words; an empty tuple asks for no NOTIFY.
    closing: signatures and footers, by switch, where the message says something of its own.
    attachment_password: a password of this message's own; never stored.
    in_reply_to, references: identifiers with angle brackets. auto_submitted: no person asked for it,
    ``auto-generated`` or ``auto-replied`` (RFC 3834 §5); 0 answer_within_min: nobody waits. quotes:
    the id of a mail that came in, or of a message, whose words it carries; erased with it.
    """

    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] | None = None
    user: str | None = None
    account: str | None = None
    sender: Mailbox | None = None
    template: str | None = None
    level: int = 1
    language: str | None = None
    subject: str | None = None
    body: str | None = None
    strict_macros: bool | None = None
    closing: Mapping[str, bool] = field(default_factory=dict)
    macros: Mapping[str, MacroValue] = field(default_factory=dict)
    documents: tuple[Document, ...] = ()
    attachments: tuple[Plain, ...] = field(default=(), repr=False)
    attachment_password: str | None = field(default=None, repr=False)
    notifications: tuple[str, ...] | None = None
    read_receipt: bool | None = None
    importance: str | None = None
    send_at: datetime | None = None
    not_after: datetime | None = None
    smtp_password: str | None = field(default=None, repr=False)
    reference: Reference = Reference()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    auto_submitted: str | None = None
    answer_within_min: int | None = None
    quotes: str | None = None

    @property
    def way(self) -> tuple[str | None, str | None, Mailbox | None]:
        """What decides which configuration it uses: user, account, wanted sender."""
        return self.user, self.account, self.sender

    @property
    def text(self) -> tuple[str | None, str | None, str | None, int]:
        """What decides which stored template it uses: user, template, language, level."""
        return self.user, self.template, self.language, self.level
