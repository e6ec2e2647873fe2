"""Content transfer encodings: any text and any file as 7-bit lines of at most 76 columns.

Lines end with CRLF, the last one without. None starts with a dot, so SMTP's dot stuffing finds
nothing to do, nor with ``From `` (mailbox files), and none contains ``=_``, which every boundary of
``compose`` does. What comes out decodes to what came in, but for line breaks of text: all CRLF.
"""

from binascii import b2a_base64, b2a_qp
from collections.abc import Iterator
from struct import Struct

LINE_COLUMNS = 76  # RFC 2045 §6.7 and §6.8

# 256 lines at once keep the working set in the cache.
_LINES_AT_ONCE = 256
_CHUNK_OCTETS = LINE_COLUMNS // 4 * 3 * _LINES_AT_ONCE
_LINES = Struct(f"{LINE_COLUMNS}s" * _LINES_AT_ONCE)

# Quoted-printable is for people who read the source of a message; base64 is 4 times faster.
_MAX_READABLE_OCTETS = 8192
_NON_ASCII = bytes(range(0x80, 0x100))
# b2a_qp leaves dots and From at line starts, and lets a line with an encoded blank at its end grow
# beyond 76 columns.
_MARKS_OF_MENDING = (b"\r\n.", b"\r\nFrom ", b"=20\r\n", b"=09\r\n")


def encode_base64(content: bytes) -> bytes:
    """Return base64 in lines of 76 columns."""
    return b"".join(iterate_base64(content))


def iterate_base64(content: bytes) -> Iterator[bytes]:
    """Yield the same in pieces: one great block less to allocate is a third of the time."""
    last = max(0, len(content) - 1) // _CHUNK_OCTETS * _CHUNK_OCTETS
    for start in range(0, last, _CHUNK_OCTETS):
        chunk = b2a_base64(content[start : start + _CHUNK_OCTETS], newline=False)
        yield b"\r\n".join(_LINES.unpack(chunk))
        yield b"\r\n"
    rest = b2a_base64(content[last:], newline=False)
    yield b"\r\n".join([rest[at : at + LINE_COLUMNS] for at in range(0, len(rest), LINE_COLUMNS)])


def encode_text(text: str) -> tuple[str, bytes]:
    """Return the name of the transfer encoding chosen for a text and its octets in it."""
    octets = text.encode("utf-8", "replace")  # a lone surrogate has no UTF-8
    if not octets.count(b"\n") == octets.count(b"\r") == octets.count(b"\r\n"):
        # bytes know no other line ends than CRLF, CR and LF; the dot keeps one at the very end.
        octets = b"\r\n".join((octets + b".").splitlines())[:-1]
    if len(octets) > _MAX_READABLE_OCTETS or _is_mostly_foreign(octets):
        return "base64", encode_base64(octets)
    quoted = _encode_quoted_printable(octets)
    return ("7bit" if quoted == octets else "quoted-printable"), quoted


def _is_mostly_foreign(octets: bytes) -> bool:
    """Say whether base64 is shorter, where every octet costs 1/3 more."""
    non_ascii = len(octets) - len(octets.translate(None, _NON_ASCII))
    return non_ascii * 2 > len(octets) / 3


def _encode_quoted_printable(octets: bytes) -> bytes:
    # The line break makes b2a_qp use CRLF everywhere and encode a blank at the end.
    quoted = b2a_qp(octets + b"\r\n")[:-2]
    framed = b"\r\n%b\r\n" % quoted
    if any(mark in framed for mark in _MARKS_OF_MENDING):
        return b"\r\n".join([_mend_line(line) for line in quoted.split(b"\r\n")])
    return quoted


def _mend_line(line: bytes) -> bytes:
    if line.startswith((b".", b"From ")):
        line = b"=%02X%b" % (line[0], line[1:])
    if len(line) <= LINE_COLUMNS:
        return line
    cut = LINE_COLUMNS - 1
    while b"=" in line[cut - 2 : cut]:
        cut -= 1
    return line[:cut] + b"=\r\n" + _mend_line(line[cut:])
