"""Write a finished message: RFC 5322 bytes, fixed once, as they are stored and sent.

The bytes are the wire form of SMTP's DATA without its final dot: CRLF only and at the end, 7-bit
clean, no line over 998 octets, no line that starts with a dot. The one exception is RFC 6532: an
address with a local part outside ASCII stands in UTF-8 (``needs_smtputf8``).
Same arguments, same bytes. What cannot be written raises ``Refused`` with every fault.

multipart/mixed
├─ multipart/related            only with inline images
│  ├─ multipart/alternative     only with several forms of the text
│  │  ├─ text/plain · text/html · text/calendar; method=…
│  └─ image/… (Content-ID)
└─ attachments
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import refuse
from app.mime.headers import (
    LONGEST_WORD,
    clean_filename,
    write_content_disposition,
    write_content_type,
    write_date,
    write_mailboxes,
    write_text,
    write_words,
)
from app.mime.outgoing import IMPORTANCES, Attachment, Outgoing, find_faults, parse_media_type
from app.mime.transfer import encode_base64, encode_text, iterate_base64

__all__ = ["Attachment", "Composed", "Outgoing", "compose", "encode_base64"]

_BOUNDARY_SEED = re.compile("[A-Za-z0-9]{1,48}")
_URGENCY = {  # Importance (RFC 2156), Priority (RFC 2156)
    "very_low": ("low", "non-urgent"),
    "low": ("low", "non-urgent"),
    "high": ("high", "urgent"),
    "very_high": ("high", "urgent"),
}


@dataclass(frozen=True, slots=True)
class Composed:
    """A message as it is stored and sent.

    needs_smtputf8: one of its addresses, the hidden ones included, is not ASCII before the @.
    """

    raw: bytes
    needs_smtputf8: bool


@dataclass(frozen=True, slots=True)
class _Part:
    headers: tuple[str, ...]
    body: tuple[bytes, ...]  # pieces, joined once: copying them costs as much as encoding


def compose(outgoing: Outgoing, *, boundary_seed: str) -> Composed:
    """Write the message.

    boundary_seed: 1-48 letters and digits, different for each message; what the boundaries are
    made of. Raises ``Refused`` for what ``outgoing.find_faults`` finds.
    """
    refuse(find_faults(outgoing))
    if not _BOUNDARY_SEED.fullmatch(boundary_seed):
        raise ValueError("A boundary seed is 1 to 48 letters and digits.")
    content = _write_content(outgoing, boundary_seed)
    head = "\r\n".join((*_write_top(outgoing), *content.headers, "", "")).encode()
    end = b"" if content.body[-1][-2:] in (b"", b"\r\n") else b"\r\n"
    needs_smtputf8 = any(mailbox.needs_smtputf8 for mailbox in outgoing.mailboxes)
    return Composed(b"".join((head, *content.body, end)), needs_smtputf8)


def _write_top(outgoing: Outgoing) -> list[str]:
    fields = [
        write_date(outgoing.date),
        write_mailboxes("From", (outgoing.sender,)),
        *_write_receivers(outgoing),
        write_text("Subject", outgoing.subject),
    ]
    if outgoing.message_id and not outgoing.unsent:
        fields.append(write_words("Message-ID", (outgoing.message_id,)))
    if outgoing.in_reply_to:
        fields.append(write_words("In-Reply-To", (outgoing.in_reply_to,)))
    if outgoing.references:
        fields.append(write_words("References", outgoing.references))
    if outgoing.importance in _URGENCY:
        importance, priority = _URGENCY[outgoing.importance]
        fields.append(f"X-Priority: {5 - IMPORTANCES.index(outgoing.importance)}")
        fields.append(f"Importance: {importance}")
        fields.append(f"Priority: {priority}")
    if outgoing.read_receipt_to:
        fields.append(write_mailboxes("Disposition-Notification-To", (outgoing.read_receipt_to,)))
    if outgoing.auto_submitted:
        fields.append(f"Auto-Submitted: {outgoing.auto_submitted}")
    if outgoing.list_unsubscribe:
        urls = [f"<{url}>," for url in outgoing.list_unsubscribe]
        fields.append(write_words("List-Unsubscribe", (*urls[:-1], urls[-1][:-1])))
    for name, value in outgoing.extra_headers:
        fields.append(write_text(name, value, longest_word=LONGEST_WORD))
    if outgoing.unsent:
        fields.append("X-Unsent: 1")
    if outgoing.language:
        fields.append(f"Content-Language: {outgoing.language}")
    fields.append("MIME-Version: 1.0")
    return fields


def _write_receivers(outgoing: Outgoing) -> list[str]:
    receivers = {"Reply-To": outgoing.reply_to, "To": outgoing.to, "Cc": outgoing.cc}
    if outgoing.unsent:
        receivers["Bcc"] = outgoing.bcc
    fields = [
        write_mailboxes(name, mailboxes) for name, mailboxes in receivers.items() if mailboxes
    ]
    if not (outgoing.to or outgoing.cc or outgoing.unsent):
        # RFC 5322 App. A.1.3; without any receiver field some servers add one with the Bcc in it.
        fields.append("To: undisclosed-recipients:;")
    return fields


def _write_content(outgoing: Outgoing, seed: str) -> _Part:
    bodies: list[_Part] = []
    images: list[_Part] = []
    files: list[_Part] = []
    if outgoing.text or outgoing.html is None:
        bodies.append(_write_text_part("text/plain", outgoing.text))
    if outgoing.html is not None:
        bodies.append(_write_text_part("text/html", outgoing.html))
    for attachment in outgoing.attachments:
        media_type, parameters = parse_media_type(attachment.media_type) or ("", {})
        if media_type == "text/calendar" and "method" in parameters:
            # RFC 6047 §2.4: an invitation is one more form of the text, or nobody can answer it.
            bodies.append(_write_file_part(attachment, media_type, parameters, ""))
        elif attachment.content_id and outgoing.html is not None:
            images.append(_write_file_part(attachment, media_type, parameters, "inline"))
        else:
            files.append(_write_file_part(attachment, media_type, parameters, "attachment"))
    alternative = _wrap("alternative", seed, bodies)
    related = _wrap("related", seed, [alternative, *images])
    return _wrap("mixed", seed, [related, *files])


def _write_text_part(media_type: str, text: str) -> _Part:
    encoding, body = encode_text(text)
    headers = (
        write_content_type(media_type, ("charset=utf-8",)),
        f"Content-Transfer-Encoding: {encoding}",
    )
    return _Part(headers, (body,))


def _write_file_part(
    attachment: Attachment, media_type: str, parameters: dict[str, str], disposition: str
) -> _Part:
    """Write one file; without a disposition it is a form of the text."""
    filename = clean_filename(attachment.filename)
    if media_type.startswith(("message/", "multipart/")):
        # RFC 2045 §6.4 forbids base64 for these; as a plain file they arrive octet for octet.
        media_type, parameters = "application/octet-stream", {}
    parameters = {name: value for name, value in parameters.items() if name != "name"}
    if media_type.startswith("text/") and "charset" not in parameters and _is_utf8(attachment):
        parameters["charset"] = "utf-8"
    written = [f"{name}={value}" for name, value in parameters.items()]
    headers = [write_content_type(media_type, written, filename)]
    if disposition:
        headers.append(write_content_disposition(disposition, filename))
    if attachment.content_id:
        headers.append(f"Content-ID: <{attachment.content_id}>")
    headers.append("Content-Transfer-Encoding: base64")
    ready = attachment.encoded
    return _Part(tuple(headers), (ready,) if ready else tuple(iterate_base64(attachment.content)))


def _is_utf8(attachment: Attachment) -> bool:
    try:
        attachment.content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _wrap(subtype: str, seed: str, parts: Sequence[_Part]) -> _Part:
    """Put parts into a multipart, or answer the only one as it is."""
    if len(parts) == 1:
        return parts[0]
    # "=_" appears in no encoded body (RFC 2045 §6.7), the first letter keeps the levels apart.
    boundary = f"=_{subtype[0]}_{seed}"
    parameters = [f'boundary="{boundary}"']
    if subtype == "related":
        # RFC 2387 §3.1: the type of the root part
        root = parts[0].headers[0].partition(" ")[2].partition(";")[0]
        parameters.insert(0, f'type="{root}"')
    pieces: list[bytes] = []
    for part in parts:
        head = "\r\n".join((f"--{boundary}", *part.headers, "", ""))
        pieces += (head.encode(), *part.body, b"\r\n")
    pieces.append(f"--{boundary}--".encode())
    return _Part((write_content_type(f"multipart/{subtype}", parameters),), tuple(pieces))
