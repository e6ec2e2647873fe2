"""Read a finished message as other people's programs do: the standard library's parser.

Also the rules that every finished message keeps on the wire, and strategies shared by the tests.
"""

from email import message_from_bytes, policy
from email.message import EmailMessage

from hypothesis import strategies as st


def parse(raw: bytes) -> EmailMessage:
    """Parse bytes with the policy that decodes everything."""
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def assert_wire_form(raw: bytes, *, is_ascii: bool = True) -> None:
    """CRLF only and at the end, 7-bit, no NUL, no line over 998 octets or with a dot in front."""
    assert raw.endswith(b"\r\n")
    lines = raw.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    assert max(map(len, lines)) <= 998
    assert not any(line.startswith(b".") for line in lines)
    assert raw.isascii() or not is_ascii
    head, _, _ = raw.partition(b"\r\n\r\n")
    assert all(line[:1] in b" " or b": " in line for line in head.split(b"\r\n"))


def read_recipients(message: EmailMessage, field: str) -> list[tuple[str, str]]:
    """Return (name, address) of every mailbox of a field."""
    return [(each.display_name, each.addr_spec) for each in message[field].addresses]


ANY_TEXT = st.text(st.characters(), max_size=200)
"""Everything, control characters and lone surrogates too."""

# fmt: off
_TRAPS = (
    "\r", "\n", "\r\n", "\0", "\t", " ", "  ", ".", "\r\n.", "From ", "\nFrom ", "=", "=?", "?=",
    "=?utf-8?q?x=0D=0ABcc:_e@x?=", "Bcc: e@x", '"', "\\", "<", ">", ",", ";", ":", "(", "@",
    "x" * 80, "x" * 1000, "--=_m_b0", "ż", "漢", "😀", "e\u0301", "\u2028", "\x85", "\ufeff", "\ud800",
)
# fmt: on
HOSTILE_TEXT = st.lists(st.sampled_from(_TRAPS) | st.text(max_size=5), max_size=40).map("".join)
"""What breaks composers, in any order."""
