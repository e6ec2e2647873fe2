"""What a message is to say, before it is a message; and what may be wrong with it.

``find_faults`` checks whatever reaches the wire as it is written here: addresses, identifiers,
media types, URLs, field names. Plain text (subject, names, bodies, file names) is never wrong:
``headers`` and ``transfer`` make it harmless. Pointers are those of the request to send where it
has the member.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from app.errors import Fault
from app.mime.address import Mailbox, is_canonical
from app.mime.headers import LONGEST_WORD

IMPORTANCES = ("very_low", "low", "normal", "high", "very_high")

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+"  # RFC 2045 §5.1
_MEDIA_TYPE = re.compile(rf" *({_WORD}/{_WORD}) *")
_PARAMETER = re.compile(rf'; *({_WORD})=({_WORD}|"(?:[ !#-\[\]-~]|\\[ -~])*+") *')
_MESSAGE_ID = re.compile(rf"<(?=[!-~]{{1,{LONGEST_WORD}}}\Z)[!-;=?-~]+@[!-;=?-~]+>")
_REFERENCE = re.compile(rf"<[!-;=?-~]{{1,{LONGEST_WORD}}}>")  # other people's, often without @
_CONTENT_ID = re.compile(rf"[!-;=?-~]{{1,{LONGEST_WORD}}}")
_URL = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:[!-;=?-~]{{1,{LONGEST_WORD}}}")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,8}")  # RFC 5646
_AUTO_SUBMITTED = re.compile("no|auto-(?:generated|replied|notified)")  # RFC 3834 §5
_FIELD_NAME = re.compile("[A-Za-z][A-Za-z0-9-]{0,39}")
# Written by the composer, or by servers only.
_RESERVED_FIELDS = {
    *("auto-submitted", "bcc", "cc", "date", "disposition-notification-to", "from", "importance"),
    *("in-reply-to", "list-unsubscribe", "message-id", "mime-version", "priority", "received"),
    *("references", "reply-to", "return-path", "sender", "subject", "to", "x-priority", "x-unsent"),
}


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file of a message.

    media_type: RFC 2045, parameters allowed (``text/calendar; method=REQUEST``).
    content_id: without angle brackets; makes it an inline part of the HTML (``cid:``).
    encoded: ``transfer.encode_base64(content)``, made once where many messages carry the file.
    """

    filename: str
    media_type: str
    content: bytes
    content_id: str | None = None
    encoded: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Everything that a message says.

    message_id: with angle brackets. date: aware.
    list_unsubscribe: URLs (RFC 2369). extra_headers: names and values of further fields.
    unsent: a draft to be opened, edited and sent by a mail program: it shows Bcc and has no
    Message-ID.
    """

    sender: Mailbox
    to: tuple[Mailbox, ...]
    subject: str
    text: str
    date: datetime
    html: str | None = None
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    message_id: str | None = None
    importance: str = "normal"
    read_receipt_to: Mailbox | None = None
    unsent: bool = False
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    list_unsubscribe: tuple[str, ...] = ()
    language: str | None = None
    auto_submitted: str | None = None
    extra_headers: tuple[tuple[str, str], ...] = ()

    @property
    def mailboxes(self) -> tuple[Mailbox, ...]:
        """Return every mailbox of the message, the hidden ones too."""
        receipt = () if self.read_receipt_to is None else (self.read_receipt_to,)
        return (self.sender, *self.to, *self.cc, *self.bcc, *self.reply_to, *receipt)


def parse_media_type(text: str) -> tuple[str, dict[str, str]] | None:
    """Return ``type/subtype`` and the parameters as they stand, names in lower case; None if wrong."""
    match = _MEDIA_TYPE.match(text) if len(text) <= LONGEST_WORD else None
    if match is None:
        return None
    media_type, parameters = match[1].lower(), {}
    while match.end() < len(text):
        match = _PARAMETER.match(text, match.end())
        if match is None:
            return None
        parameters[match[1].lower()] = match[2]
    return media_type, parameters


def keep_references(identifiers: Iterable[str]) -> tuple[str, ...]:
    """Return those foreign identifiers that may stand in a message of ours."""
    return tuple(each for each in identifiers if _REFERENCE.fullmatch(each))


def find_faults(outgoing: Outgoing) -> Iterator[Fault]:
    """Yield everything that keeps ``outgoing`` from becoming a message."""
    yield from _find_wrong_addresses(outgoing)
    if outgoing.importance not in IMPORTANCES:
        detail = f"Importance is one of {', '.join(IMPORTANCES)}."
        yield Fault("/importance", "invalid_importance", detail)
    for pointer, value, pattern, code in _list_identifiers(outgoing):
        if value is not None and not pattern.fullmatch(value):
            yield Fault(pointer, code, f"{value[:60]!a} cannot stand in this field of a message.")
    for index, attachment in enumerate(outgoing.attachments):
        if parse_media_type(attachment.media_type) is None:
            detail = f"{attachment.media_type[:60]!a} is no media type such as application/pdf."
            yield Fault(f"/attachments/{index}/content_type", "invalid_content_type", detail)
    for index, (name, _) in enumerate(outgoing.extra_headers):
        reserved = name.lower() in _RESERVED_FIELDS or name.lower().startswith("content-")
        if reserved or not _FIELD_NAME.fullmatch(name):
            detail = f"{name[:60]!a} is no name for a field of one's own."
            yield Fault(f"/extra_headers/{index}", "invalid_header", detail)


def _find_wrong_addresses(outgoing: Outgoing) -> Iterator[Fault]:
    places = [("/sender", outgoing.sender)]
    for name in ("to", "cc", "bcc", "reply_to"):
        places += [(f"/{name}/{at}", each) for at, each in enumerate(getattr(outgoing, name))]
    if outgoing.read_receipt_to:
        places.append(("/read_receipt_to", outgoing.read_receipt_to))
    for pointer, mailbox in places:
        if not is_canonical(mailbox.address):
            detail = f"{mailbox.address[:60]!a} is no address in canonical form."
            yield Fault(pointer, "invalid_address", detail)


def _list_identifiers(
    outgoing: Outgoing,
) -> Iterator[tuple[str, str | None, re.Pattern[str], str]]:
    yield "/message_id", outgoing.message_id, _MESSAGE_ID, "invalid_message_id"
    yield "/in_reply_to", outgoing.in_reply_to, _REFERENCE, "invalid_message_id"
    for index, reference in enumerate(outgoing.references):
        yield f"/references/{index}", reference, _REFERENCE, "invalid_message_id"
    for index, url in enumerate(outgoing.list_unsubscribe):
        yield f"/list_unsubscribe/{index}", url, _URL, "invalid_url"
    yield "/language", outgoing.language, _LANGUAGE, "invalid_language"
    yield "/auto_submitted", outgoing.auto_submitted, _AUTO_SUBMITTED, "invalid_auto_submitted"
    for index, attachment in enumerate(outgoing.attachments):
        pointer = f"/attachments/{index}/content_id"
        yield pointer, attachment.content_id, _CONTENT_ID, "invalid_content_id"
