"""Content transfer encodings: any text and any file as 7-bit lines of at most 76 columns.

Lines end with CRLF, the last one without. None starts with a dot, so SMTP's dot stuffing finds
nothing to do, nor with ``From `` (mailbox files), and none contains ``=_``, which every boundary of
``compose`` does. What comes out decodes to what came in, but for line breaks of text: all CRLF.
"""

from binascii import b2a_base64, b2a_qp
from struct import Struct

LINE_COLUMNS = 76  # RFC 2045 §6.7 and §6.8

# 256 lines at once keep the working set in the cache.
_LINES_AT_ONCE = 256
_CHUNK_OCTETS = LINE_COLUMNS // 4 * 3 * _LINES_AT_ONCE
_LINES = Struct(f"{LINE_COLUMNS}s" * _LINES_AT_ONCE)

_NON_ASCII = bytes(range(0x80, 0x100))
# b2a_qp leaves dots and From at line starts, and lets a line with an encoded blank at its end grow
# beyond 76 columns.
_MARKS_OF_MENDING = (b"\r\n.", b"\r\nFrom ", b"=20\r\n", b"=09\r\n")


def encode_base64(content: bytes) -> bytes:
    """Return base64 in lines of 76 columns."""
    view = memoryview(content)
    whole = len(content) // _CHUNK_OCTETS * _CHUNK_OCTETS
    lines: list[bytes] = []
    for start in range(0, whole, _CHUNK_OCTETS):
        chunk = b2a_base64(view[start : start + _CHUNK_OCTETS], newline=False)
        lines += _LINES.unpack(chunk)
    rest = b2a_base64(view[whole:], newline=False)
    lines += [rest[at : at + LINE_COLUMNS] for at in range(0, len(rest), LINE_COLUMNS)]
    return b"\r\n".join(lines)


def encode_text(text: str) -> tuple[str, bytes]:
    """Return the name of the transfer encoding chosen for a text and its octets in it."""
    octets = text.encode("utf-8", "replace")  # a lone surrogate has no UTF-8
    octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    non_ascii = len(octets) - len(octets.translate(None, _NON_ASCII))
    # An octet outside ASCII costs 2 more in quoted-printable, each octet 1/3 more in base64.
    if non_ascii * 2 > len(octets) / 3:
        return "base64", encode_base64(octets)
    quoted = _encode_quoted_printable(octets)
    return ("7bit" if quoted == octets else "quoted-printable"), quoted


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
