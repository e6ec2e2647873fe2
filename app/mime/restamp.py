"""The same message under a new Message-ID and Date; every other byte stays."""

import re
from datetime import datetime

from app.mime.headers import write_date, write_words

_STAMP = re.compile(
    rb"^(?:Message-ID|Date):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", re.IGNORECASE | re.MULTILINE
)


def restamp(raw: bytes, *, message_id: str, date: datetime) -> bytes:
    """Return a composed message with ``message_id`` (angle brackets included) and ``date``."""
    head, _, body = raw.partition(b"\r\n\r\n")
    stamp = "\r\n".join((write_date(date), write_words("Message-ID", (message_id,)), ""))
    return stamp.encode() + _STAMP.sub(b"", head + b"\r\n") + b"\r\n" + body
