"""Header fields of a message, by our own serialiser: text in, finished lines out.

Every ``write_`` function answers one field, folded with CRLF, without the CRLF at its end. Whatever
text comes in, a reader gets it back (control characters as blanks) and never another field: text
that could be read as more than text goes out as RFC 2047 encoded words. Lines keep to 76 columns
where the field can be folded, and never reach 998.
The standard library's generator is not used: it turns encoded words of the input into fields, and
encodes URLs. What is no text (addresses, identifiers, media types) is checked in ``outgoing``.
"""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from app.mime.address import UNPRINTABLE, Mailbox

COLUMNS = 76  # RFC 2047 §2 for a line with an encoded word; RFC 5322 §2.1.1 wants at most 78
LONGEST_WORD = 900  # octets that cannot be folded; with the name below 998 (RFC 5322 §2.1.1)
MAX_FILENAME_OCTETS = 255  # no file system takes more, and percent-encoded it still fits a line

_CONTROLS = re.compile(f"{UNPRINTABLE.pattern}+")
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*+")
_ENCODED_WORD = 75  # RFC 2047 §2: its greatest length, of which these are the frame:
_FRAME = len("=?utf-8?b??=")
# Left as they are in Q: what RFC 2047 §5 allows everywhere, so that names and texts need one encoder.
_Q_SAFE = re.compile(rb"[A-Za-z0-9!*+/-]")
_Q = ["_" if o == 32 else chr(o) if _Q_SAFE.match(bytes([o])) else f"={o:02X}" for o in range(256)]
_Q_CONTINUES = ("=8", "=9", "=A", "=B")  # an octet inside a UTF-8 sequence
# Letters of file names that Unicode does not take apart.
_ASCII_LETTERS = str.maketrans("łŁøØđĐıþÞ–—’„”", "lLoOdDitT--'''")
_EXTENDED_SAFE = "!#$&+-.^_`|~"  # RFC 5987 §3.2.1 attr-char beside letters and digits


def write_text(name: str, value: str, *, longest_word: int = COLUMNS) -> str:
    """Write an unstructured field such as Subject.

    longest_word: the longest run without a blank that goes out unencoded, in columns of its line
    (at most ``LONGEST_WORD``); fields that machines read want it high.
    """
    value = strip_controls(value)
    room = COLUMNS - len(name) - 2
    if _is_plain(value) and value == value.strip(" "):
        # Each word takes the blanks before it but one, which the fold or the join puts back.
        first, *others = re.findall(" *[^ ]+", value) or [""]
        words = [first, *(word[1:] for word in others)]
        if max(map(len, words)) < longest_word and len(first) <= room + longest_word - COLUMNS:
            return write_words(name, words)
    return write_words(name, _encode_words(value, room))


def write_mailboxes(name: str, mailboxes: Sequence[Mailbox]) -> str:
    """Write an address list; addresses stand as they are, also in UTF-8 (RFC 6532)."""
    words: list[str] = []
    room = COLUMNS - len(name) - 2
    for mailbox in mailboxes:
        phrase = _write_phrase(mailbox.name, room)
        words += [*phrase, f"<{mailbox.address}>," if phrase else f"{mailbox.address},"]
        room = _ENCODED_WORD
    words[-1] = words[-1][:-1]
    return write_words(name, words)


def write_words(name: str, words: Sequence[str]) -> str:
    """Write a field of words that must not be cut, folded between them."""
    lines = [f"{name}: {words[0]}"]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > COLUMNS:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines)


def write_date(date: datetime) -> str:
    """Write the Date field; a date without a zone goes out as UTC of unknown origin (-0000)."""
    return f"Date: {format_datetime(date)}"


def write_content_type(media_type: str, parameters: Sequence[str], filename: str = "") -> str:
    """Write Content-Type; parameters are ready ``attribute=value``.

    A file name goes out as every mail program reads it: in quotes, encoded as RFC 2047 does it
    (which that RFC forbids and Outlook needs).
    """
    words = [f"{word};" for word in (media_type, *parameters)]
    if not filename:
        words[-1] = words[-1][:-1]
    elif _is_quotable(filename):
        words.append(f'name="{filename}"')
    else:
        encoded = _encode_base64_words(filename, _ENCODED_WORD - len('name="'))
        encoded[0] = f'name="{encoded[0]}'
        encoded[-1] += '"'
        words += encoded
    return write_words("Content-Type", words)


def write_content_disposition(disposition: str, filename: str = "") -> str:
    """Write Content-Disposition, with the file name in ASCII and, where that loses any, in full.

    The full form (RFC 2231, one piece) stands first: of two, simple readers take the first.
    """
    words = [disposition]
    if filename and not _is_quotable(filename):
        words.append(f"filename*=UTF-8''{quote(filename, safe=_EXTENDED_SAFE)}")
    if filename:
        words.append(f'filename="{_reduce_to_ascii(filename)}"')
    return write_words("Content-Disposition", [f"{word};" for word in words[:-1]] + words[-1:])


def strip_controls(text: str) -> str:
    """Return text fit for a line: each run of control characters becomes one blank."""
    return text if text.isprintable() else _CONTROLS.sub(" ", text)


def clean_filename(filename: str) -> str:
    """Return the name as it goes out: NFC, no control, no path, at most 255 octets of UTF-8."""
    name = unicodedata.normalize("NFC", strip_controls(filename)).strip(" ")
    name = name.replace("/", "-").replace("\\", "-")
    if len(name.encode()) <= MAX_FILENAME_OCTETS:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension) > 20:
        stem, dot, extension = name, "", ""
    room = MAX_FILENAME_OCTETS - len((dot + extension).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + extension


def _write_phrase(name: str, room: int) -> list[str]:
    name = strip_controls(name).strip(" ")
    if not name:
        return []
    if _is_plain(name):
        phrase = name
        if not _PHRASE.fullmatch(name):
            escaped = name.replace("\\", "\\\\").replace('"', '\\"')
            phrase = f'"{escaped}"'
        if len(phrase) <= room:
            return [phrase]
    return _encode_words(name, room)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and "=?" not in text


def _is_quotable(filename: str) -> bool:
    return _is_plain(filename) and '"' not in filename and "\\" not in filename


def _reduce_to_ascii(filename: str) -> str:
    letters = unicodedata.normalize("NFKD", filename.translate(_ASCII_LETTERS))
    kept = [c if c.isascii() else "_" for c in letters if not unicodedata.combining(c)]
    return "".join(kept).replace('"', "'").replace("\\", "_").replace("=?", "=_")


def _encode_words(text: str, room: int) -> list[str]:
    """Encode as Q or base64, whichever is shorter; the first word is at most ``room`` wide."""
    octets = text.encode()
    encoded = "".join([_Q[octet] for octet in octets])
    if len(encoded) * 3 > len(octets) * 4:
        return _encode_base64_words(text, room)
    words: list[str] = []
    while len(encoded) > room - _FRAME:
        end = room - _FRAME
        while "=" in encoded[end - 2 : end]:
            end -= 1
        # RFC 2047 §5: a character stays whole.
        while encoded.startswith(_Q_CONTINUES, end):
            end -= 3
        words.append(f"=?utf-8?q?{encoded[:end]}?=")
        encoded = encoded[end:]
        room = _ENCODED_WORD
    return [*words, f"=?utf-8?q?{encoded}?="]


def _encode_base64_words(text: str, room: int) -> list[str]:
    octets = text.encode()
    words: list[str] = []
    while octets or not words:
        end = (room - _FRAME) // 4 * 3
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        words.append(f"=?utf-8?b?{b64encode(octets[:end]).decode()}?=")
        octets = octets[end:]
        room = _ENCODED_WORD
    return words
