"""A server's reply as data: code, enhanced code, text that is safe to show.

`read_reply` turns what a server said into a `Reply`; nothing a server says can make it raise.
The text is one line of at most 512 bytes of UTF-8 with every control character escaped.
A reply that we give ourselves (`speak_locally`) is marked `local`: our words never stand in a
server's mouth.
"""

import re
from dataclasses import dataclass

# What the API shows of a reply (contract §5), in bytes of UTF-8.
MAX_TEXT_BYTES = 512

# RFC 3463 §2: class.subject.detail, at the start of a line of text.
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:[ \t]+|$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete SMTP reply; its lines are joined with a blank, enhanced codes taken out."""

    code: int
    enhanced: str | None
    text: str
    local: bool = False

    @property
    def is_positive(self) -> bool:
        """2yz: done."""
        return 200 <= self.code < 300

    @property
    def is_transient(self) -> bool:
        """4yz: try again later (RFC 5321 §4.2.1)."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5yz: do not repeat it unchanged."""
        return 500 <= self.code < 600

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.code, self.enhanced, self.text) if part)


def read_reply(code: int, message: str) -> Reply:
    """Build a Reply from a code and its text lines, joined with LF and without their codes."""
    enhanced, text = _take_enhanced(code, message)
    if "\n" in message:
        pairs = [_take_enhanced(code, line) for line in message.split("\n")]
        enhanced = next((found for found, _ in pairs if found), None)
        text = " ".join(text for _, text in pairs if text)
    return Reply(code, enhanced, shorten(escape(text)))


def _take_enhanced(code: int, line: str) -> tuple[str | None, str]:
    found = _ENHANCED.match(line)
    # Only a code of the reply's own class is its enhanced code (RFC 2034 §4).
    if found and int(line[0]) == code // 100:
        return found[1], line[found.end() :].strip()
    return None, line.strip()


def speak_locally(code: int, enhanced: str, text: str) -> Reply:
    """Build the reply that we give ourselves instead of asking the server."""
    return Reply(code, enhanced, shorten(escape(text)), local=True)


def escape(text: str) -> str:
    """Write every character that does not print (controls, bidi marks, surrogates) as an escape."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def shorten(text: str, limit_bytes: int = MAX_TEXT_BYTES) -> str:
    """Cut text to at most limit_bytes of UTF-8, between characters, ending in an ellipsis."""
    if 4 * len(text) <= limit_bytes:  # no character takes more than 4
        return text
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit_bytes:
        return text
    return data[: limit_bytes - len("…".encode())].decode("utf-8", "ignore") + "…"
