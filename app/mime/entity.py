"""Takes a foreign message apart into its leaves: MIME (RFC 2045, 2046), bounded and linear.

The whole message stays one buffer; a leaf knows where its content stands in it. Multiparts are
walked without recursion; what is attached as a message (``message/rfc822``) is one leaf, never
opened, so that nobody's forwarded mail is taken for the mail itself. Never raises: a missing
boundary, a missing end or too many parts only mean fewer leaves. Nothing is decoded before it is
asked for. Not the standard library's parser: that recurses with the depth of the message, rescans
nested parts, and copies every part at every level.
"""

import re
from binascii import a2b_qp
from dataclasses import dataclass, field

from app.mime.fields import Fields, decode_base64, decode_octets, read_fields, split_parameters

MAX_MESSAGE_OCTETS = 100 * 1024 * 1024  # what is beyond is not read
MAX_HEADER_OCTETS = 256 * 1024  # of one header; the rest of it is not read
MAX_DEPTH = 12  # of multiparts in multiparts; real mail has 4
MAX_PARTS = 500  # in the whole message
MAX_TEXT_CHARS = 1_000_000  # of one text; the rest is not read

_HEADER_END = re.compile(rb"\n\r?\n")
_DELIMITER_END = re.compile(rb"(--)?+[ \t]*+(?:\r?\n|\Z)")
_LEADING = re.compile(rb"(?:[ \t]*\r?\n)*+")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part that is no multipart.

    media_type: lower case. within: the media type of the multipart around it ("" = none).
    whole, start, end: where its content stands in the message, still in its transfer encoding.
    """

    fields: Fields
    media_type: str
    parameters: dict[str, str]
    within: str
    whole: bytes = field(repr=False)
    start: int
    end: int

    @property
    def is_text(self) -> bool:
        """Say whether it is text or HTML to be read in place, not a file."""
        if self.media_type not in ("text/plain", "text/html"):
            return False
        disposition, parameters = split_parameters(self.fields.get("content-disposition"))
        return disposition != "attachment" and "filename" not in parameters

    @property
    def filename(self) -> str:
        """Return the file's name as the sender wrote it, or "" (RFC 2183 before RFC 2045)."""
        _, parameters = split_parameters(self.fields.get("content-disposition"))
        return parameters.get("filename") or self.parameters.get("name", "")

    def decode_content(self, limit_octets: int = MAX_MESSAGE_OCTETS) -> bytes:
        """Return the content without its transfer encoding, made of at most that many octets."""
        end = min(self.end, self.start + limit_octets)
        encoding = self.fields.get("content-transfer-encoding").lower()
        if "base64" in encoding:
            return decode_base64(self.whole, self.start, end)
        octets = self.whole[self.start : end]
        return a2b_qp(octets) if "quoted-printable" in encoding else octets

    def decode_text(self) -> str:
        """Return the content as text: line ends are LF, control characters are gone."""
        octets = self.decode_content(4 * MAX_TEXT_CHARS)
        text = decode_octets(octets, self.parameters.get("charset", ""))[:MAX_TEXT_CHARS]
        text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        return _CONTROLS.sub("", text)


def split_message(raw: bytes) -> tuple[Fields, list[Leaf]]:
    """Return the header of a message and its leaves, in the order in which they stand."""
    raw = raw[:MAX_MESSAGE_OCTETS]
    first = _LEADING.match(raw)
    fields, body = read_header(raw, first.end() if first else 0, len(raw))
    leaves: list[Leaf] = []
    todo = [(fields, body, len(raw), "", 0)]
    while todo and len(leaves) < MAX_PARTS:
        part, start, end, within, depth = todo.pop()
        default = "message/rfc822" if within == "multipart/digest" else "text/plain"
        media_type, parameters = split_parameters(part.get("content-type"))
        media_type = media_type if media_type.count("/") == 1 else default
        regions = []
        if media_type.startswith("multipart/") and depth < MAX_DEPTH:
            regions = _split_multipart(raw, start, end, parameters.get("boundary", ""))
        for region_start, region_end in reversed(regions):
            inner, inner_start = read_header(raw, region_start, region_end)
            todo.append((inner, inner_start, region_end, media_type, depth + 1))
        if not regions:
            if media_type.startswith("multipart/"):
                media_type = "text/plain"  # its parts cannot be told apart: shown as it stands
            leaves.append(Leaf(part, media_type, parameters, within, raw, start, end))
    return fields, leaves


def read_header(raw: bytes, start: int, end: int) -> tuple[Fields, int]:
    """Return the header that starts there and where its body starts."""
    if raw.startswith((b"\n", b"\r\n"), start, end):
        return Fields(), raw.index(b"\n", start) + 1
    match = _HEADER_END.search(raw, start, end)
    stop, body = (match.start() + 1, match.end()) if match else (end, end)
    return read_fields(raw[start : min(stop, start + MAX_HEADER_OCTETS)]), body


def _split_multipart(raw: bytes, start: int, end: int, boundary: str) -> list[tuple[int, int]]:
    """Return where the parts stand; a multipart cut short ends with its last octet."""
    if not boundary.strip():
        return []
    delimiter = b"\n--" + boundary.rstrip().encode("utf-8", "replace")
    regions: list[tuple[int, int]] = []
    part_start = -1
    at = raw.find(delimiter, max(0, start - 1), end)  # from the line end that ends the header
    while at >= 0:
        match = _DELIMITER_END.match(raw, at + len(delimiter), end)
        if match:
            if part_start >= 0:
                regions.append((part_start, max(part_start, at - (raw[at - 1] == 13))))
            if match[1] or len(regions) == MAX_PARTS:
                return regions
            part_start = min(match.end(), end)
        at = raw.find(delimiter, match.end() - 1 if match else at + 1, end)
    if part_start >= 0:
        regions.append((part_start, end))
    return regions
