"""A message that came in, as a bounded value: who, when, what, and of which kind.

``read_incoming`` takes whatever a mailbox holds. It never raises, takes time linear in the size and
depth of the message, and runs or renders nothing of what it reads. Everything in the result is a
claim of the sender; that ``html`` is hostile until it is cleaned goes without saying.
Why of which kind: ``machine``. Reports: ``report``, ``bounce``. The words of an answer: ``quoted``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.mime.address import Mailbox
from app.mime.bounce import read_bounce
from app.mime.entity import MAX_TEXT_CHARS, Leaf, split_message
from app.mime.fields import Fields, decode_words, read_date, read_identifiers, read_mailboxes
from app.mime.headers import clean_filename
from app.mime.machine import Kind, is_null_path, judge_kind
from app.mime.report import Report, read_report

MAX_SUBJECT_CHARS = 1000
MAX_ATTACHMENTS = 100


@dataclass(frozen=True, slots=True)
class IncomingPart:
    """An attached or embedded file; filename has no path and may be ""."""

    filename: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Incoming:
    """A foreign message.

    Identifiers have their angle brackets; message_id may be "". date: UTC. return_path: None where
    the server that took it did not note it, "" for the null reverse-path. text, html: "" = none.
    attachments: all that is no text; none in a report.
    """

    message_id: str
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    from_: Mailbox | None
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    subject: str
    date: datetime | None
    return_path: str | None
    text: str
    html: str
    attachments: tuple[IncomingPart, ...]
    headers: Fields
    kind: Kind
    report: Report | None


def read_incoming(raw: bytes) -> Incoming:
    """Read a message as a mailbox holds it (CRLF or LF)."""
    fields, leaves = split_message(raw)
    report = read_report(leaves) or read_bounce(fields, leaves)
    senders = read_mailboxes(fields.get_all("from")[:1])
    identifiers = read_identifiers(fields.get("message-id"))
    return Incoming(
        message_id=identifiers[0] if identifiers else "",
        in_reply_to=read_identifiers(" ".join(fields.get_all("in-reply-to")[:10])),
        references=read_identifiers(" ".join(fields.get_all("references")[:10])),
        from_=senders[0] if senders else None,
        to=read_mailboxes(fields.get_all("to")),
        cc=read_mailboxes(fields.get_all("cc")),
        subject=decode_words(fields.get("subject"))[:MAX_SUBJECT_CHARS],
        date=read_date(fields.get("date")),
        return_path=_read_return_path(fields),
        text=_join_texts(leaves, "text/plain"),
        html=_join_texts(leaves, "text/html"),
        attachments=() if report else tuple(_take_files(leaves)),
        headers=fields,
        kind=judge_kind(fields, report),
        report=report,
    )


def _read_return_path(fields: Fields) -> str | None:
    if is_null_path(fields):
        return ""
    paths = read_mailboxes(fields.get_all("return-path")[:1])
    return paths[0].address if paths else None


def _join_texts(leaves: Sequence[Leaf], media_type: str) -> str:
    """Apple Mail writes text, picture, text: all of it is the message."""
    texts: list[str] = []
    room = MAX_TEXT_CHARS
    for leaf in leaves:
        if leaf.media_type == media_type and leaf.is_text and room > 0:
            texts.append(leaf.decode_text()[:room])
            room -= len(texts[-1]) + 1
    return "\n".join(texts)


def _take_files(leaves: Sequence[Leaf]) -> list[IncomingPart]:
    files = [leaf for leaf in leaves if not leaf.is_text]
    return [
        IncomingPart(clean_filename(leaf.filename), leaf.media_type[:100], leaf.decode_content())
        for leaf in files[:MAX_ATTACHMENTS]
    ]
