"""A finished message taken apart for the eye: headers, HTML, text, and its files as they are sent."""

import base64
import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from app.errors import Missing
from app.mime.headers import clean_filename

_CONTENT_ID = re.compile(r"cid:([^\"'\s)>]+)", re.IGNORECASE)
_MOST_IMAGE_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class File:
    """An attachment as it is sent."""

    name: str
    media_type: str
    content: bytes


def read_headers(raw: bytes) -> list[tuple[str, str]]:
    """Return the headers in their order, decoded."""
    head, _, _ = raw.partition(b"\r\n\r\n")
    mail = message_from_bytes(head + b"\r\n\r\n", policy=default)
    return [(name, str(value)) for name, value in mail.items()]


def read_html(raw: bytes) -> str | None:
    """Return the HTML with its inline images in it; None where the message is text alone."""
    mail = _parse(raw)
    body = mail.get_body(("html",))
    if body is None:
        return None
    images = {
        part["Content-ID"].strip("<>"): part
        for part in mail.walk()
        if part["Content-ID"] and part.get_content_maintype() == "image"
    }

    def place(match: re.Match[str]) -> str:
        part = images.get(match[1])
        content = part.get_payload(decode=True) if part is not None else None
        if part is None or not isinstance(content, bytes) or len(content) > _MOST_IMAGE_BYTES:
            return match[0]
        return f"data:{part.get_content_type()};base64,{base64.b64encode(content).decode()}"

    return _CONTENT_ID.sub(place, str(body.get_content()))


def read_text(raw: bytes) -> str:
    """Return the text part; "" where there is none."""
    body = _parse(raw).get_body(("plain",))
    return "" if body is None else str(body.get_content())


def read_file(raw: bytes, names: list[str], number: int) -> File:
    """Return the file ``number`` (from 0) of those that are called ``names``; raise ``Missing``."""
    if not 0 <= number < len(names):
        raise Missing("There is no such attachment.")
    # The parts stand in another order where images are inline: found by name, then by place.
    written = [clean_filename(name) for name in names]
    earlier = written[:number].count(written[number])
    named = [part for part in _parse(raw).walk() if part.get_filename() == written[number]]
    if len(named) <= earlier:
        raise Missing("There is no such attachment.")
    part = named[earlier]
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        raise Missing("There is no such attachment.")
    return File(names[number], part.get_content_type(), content)


def _parse(raw: bytes) -> EmailMessage:
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail
