"""Header fields of foreign mail, read: octets in, bounded text out.

The counterpart of ``headers``, which writes. Nothing here raises or runs longer than linear,
whatever comes in: what is too long is cut, what cannot be read is left out or comes out as U+FFFD.
Values are unfolded; encoded words (RFC 2047) stay until ``decode_words``, because a decoded comma
or bracket must not be taken for syntax. The standard library is not used for the parts it raises or
backtracks on (encoded words, parameters, charsets by name).
"""

import re
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from encodings import normalize_encoding
from encodings.aliases import aliases
from itertools import islice
from urllib.parse import unquote_to_bytes

from app.mime.address import Mailbox, parse_mailbox
from app.mime.headers import strip_controls
from app.mime.mailbox_list import split_mailboxes

MAX_FIELDS = 1000  # per block; the longest honest ones (Received, ARC, Exchange) stay below 150
MAX_FIELD_CHARS = 32_768  # a To field of about 1000 recipients; beyond it is cut
MAX_MAILBOXES = 500  # per field
MAX_IDENTIFIERS = 200  # of References: the newest of a very long thread

_FIELD = re.compile(r"([!-9;-~]{1,100})[ \t]*:")  # RFC 5322 §2.2; a blank before ":" is obsolete
_FOLD = re.compile(r"\r?\n[ \t]*+")
_LINE = re.compile(rb"[^\n]*+(?:\n[ \t][^\n]*+)*+\n?")
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*+)\?=")
_WORDS = re.compile(rf"{_WORD.pattern}(?:[ \t]*+{_WORD.pattern})*+")
_IDENTIFIER = re.compile(r"<([^<>]{1,998})>")  # RFC 5322 §2.1.1 bounds a line, so also this
_PARAMETER = re.compile(r';\s*+([^\s=;"]{1,100})\s*+=\s*+("(?:[^"\\]|\\.)*+"?|[^;]*+)', re.DOTALL)
_SECTION = re.compile(r"([^*]+)(?:\*(\d{1,3}))?(\*?)")  # RFC 2231: name*0*, name*0, name*
_CHUNK_OCTETS = 1024 * 1024
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)
# Only charsets: Python's names also hold punycode, idna (both quadratic), unicode_escape and utf_7
# (which decodes to lone surrogates).
_CHARSETS = re.compile(
    r"utf_(8|8_sig|16|16_be|16_le|32)|iso8859_\d+|cp\d{3,4}|koi8_[ru]|mac_\w+|gb2312|gbk|gb18030|hz"
    r"|big5(hkscs)?|euc_\w+|iso2022_\w+|shift_jis\w*|johab|tis_620|ptcp154|kz1048"
)
_CODECS = frozenset(aliases.values()) | {"koi8_u", "cp1006", "cp874", "cp856"}


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one header in order: (name in lower case, value unfolded)."""

    items: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """Return the first value of a field, name in lower case; "" where there is none."""
        return next((value for key, value in self.items if key == name), "")

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, in order."""
        return tuple(value for key, value in self.items if key == name)

    def has(self, name: str) -> bool:
        """Say whether the field is there, if only empty."""
        return any(key == name for key, _ in self.items)

    def names_prefixed(self, prefix: str) -> bool:
        """Say whether any field's name starts so."""
        return any(key.startswith(prefix) for key, _ in self.items)


NO_FIELDS = Fields()


def read_fields(block: bytes) -> Fields:
    """Read a header; lines that are no field (``From `` of a mailbox file, garbage) are left out."""
    return Fields(tuple(islice(iterate_fields(block), MAX_FIELDS)))


def iterate_fields(block: bytes) -> Iterator[tuple[str, str]]:
    """Yield (name in lower case, value); ("", "") for a line that is no field."""
    for line in _LINE.finditer(block):
        if not line[0]:
            return
        text = decode_octets(line[0][:MAX_FIELD_CHARS], "")
        if match := _FIELD.match(text):
            yield match[1].lower(), strip_controls(_FOLD.sub(" ", text[match.end() :])).strip()
        elif not text.strip():
            yield "", ""


def decode_octets(octets: bytes, charset: str) -> str:
    """Decode text in a named charset; where that is unknown or wrong, UTF-8, else windows-1252."""
    for name in (_find_codec(charset), "utf-8"):
        try:
            return octets.decode(name)
        except UnicodeError:
            continue
    return octets.decode("cp1252", "replace")


def decode_words(text: str) -> str:
    """Decode the encoded words of a text (RFC 2047), also those in quotes, as Outlook has them."""
    if "=?" not in text:
        return text
    return strip_controls(_WORDS.sub(_decode_run, text))


def decode_base64(octets: bytes, start: int = 0, end: int | None = None) -> bytes:
    """Decode base64 as far as it can be read: no padding, line breaks and rubbish do not matter."""
    pieces: list[bytes] = []
    rest = b""
    stop = len(octets) if end is None else end
    for at in range(start, stop, _CHUNK_OCTETS):  # of a great file no copy of copies
        kept = octets[at : min(stop, at + _CHUNK_OCTETS)].translate(None, _NOT_BASE64)
        rest += kept
        whole = len(rest) // 4 * 4
        pieces.append(a2b_base64(rest[:whole]))
        rest = rest[whole:]
    if len(rest) > 1:  # six bits alone are no octet
        pieces.append(a2b_base64(rest + b"=" * (4 - len(rest))))
    return b"".join(pieces)


def split_parameters(value: str) -> tuple[str, dict[str, str]]:
    """Split ``text/plain; charset=utf-8`` into its word in lower case and its parameters.

    File names come out decoded, whether written by RFC 2231, RFC 2047 or as they are.
    """
    word = value.partition(";")[0].strip().lower()
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for match in islice(_PARAMETER.finditer(value), 100):
        section = _SECTION.fullmatch(match[1].lower())
        text = _unquote(match[2])
        if section is None or (section[2] is None and not section[3]):
            plain.setdefault(match[1].lower(), text)
        else:
            pieces = sections.setdefault(section[1], {})
            pieces.setdefault(int(section[2] or 0), (text, bool(section[3])))
    decoded = {name: decode_words(text) for name, text in plain.items()}
    return word, decoded | {name: _join(pieces) for name, pieces in sections.items()}


def read_mailboxes(values: tuple[str, ...]) -> tuple[Mailbox, ...]:
    """Read address fields; what is no address (``undisclosed-recipients:;``) is left out."""
    written = (each for value in values for each in split_mailboxes(value) if not each.wrong)
    found = []
    for each in islice(written, MAX_MAILBOXES):
        name = decode_words(each.name)[:256]
        mailbox, _ = parse_mailbox({"address": each.address, "name": name}, "")
        if mailbox:
            found.append(mailbox)
    return tuple(found)


def read_identifiers(value: str) -> tuple[str, ...]:
    """Read message identifiers, each with its angle brackets (which some reports leave out)."""
    found = ["".join(match[1].split()) for match in _IDENTIFIER.finditer(value)]
    if not found and "@" in value and " " not in value:
        found = [value.strip("<>")]
    return tuple(f"<{each}>" for each in found[-MAX_IDENTIFIERS:] if each)


def read_date(value: str) -> datetime | None:
    """Read a date (RFC 5322 §3.3) as UTC, or None."""
    try:
        date = parsedate_to_datetime(value[:100])
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        return None


def _find_codec(charset: str) -> str:
    # Not codecs.lookup: it keeps every name that it was ever asked for.
    name = normalize_encoding(charset.strip(" \"'")[:40]).lower()
    name = aliases.get(name, name)
    if name in ("latin_1", "iso8859_1"):
        return "cp1252"  # what is called Latin 1 is windows-1252, as browsers read it
    return name if _CHARSETS.fullmatch(name) and name in _CODECS else "utf-8"


def _decode_run(run: re.Match[str]) -> str:
    """Decode neighbours together: some programs cut characters in two (RFC 2047 §5 forbids it)."""
    pieces: list[tuple[str, bytes]] = []
    for charset, encoding, text in _WORD.findall(run[0]):
        octets = text.encode("utf-8", "replace")
        octets = decode_base64(octets) if encoding in "bB" else a2b_qp(octets, header=True)
        charset = charset.partition("*")[0].lower()  # RFC 2231 §5 adds a language
        if pieces and pieces[-1][0] == charset:
            octets = pieces.pop()[1] + octets
        pieces.append((charset, octets))
    return "".join(decode_octets(octets, charset) for charset, octets in pieces)


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text.strip()
    inner = text[1:-1] if len(text) > 1 and text.endswith('"') else text[1:]
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)


def _join(pieces: dict[int, tuple[str, bool]]) -> str:
    """Put a continued parameter together (RFC 2231 §3, §4)."""
    charset, octets = "utf-8", b""
    for number in sorted(pieces):
        text, is_encoded = pieces[number]
        if is_encoded and number == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        piece = text.encode("utf-8", "replace")
        octets += unquote_to_bytes(piece) if is_encoded else piece
    return strip_controls(decode_octets(octets, charset))
