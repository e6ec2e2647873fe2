"""What a template consists of: plain text, places for values, and marks of optional parts.

Three spellings: ``{numer}``, ``<numer>``, ``&lt;numer&gt;``; the angle forms for catalogue names
only. ``{?numer} … {/numer}`` is kept only where the macro has a non-empty value,
``{!numer} … {/numer}`` only where it has none; a mark that has its line to itself takes the line
with it. All patterns are bounded by the next brace or angle, so that every scan is linear.
HTML is cut into the same pieces by ``scan_html``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from app.templates_engine.catalogue import BY_NAME, resolve
from app.templates_engine.names import is_name


class Place(Enum):
    """Where a value lands; each place has its own way of escaping (see ``escape``)."""

    LINE = auto()  # one line of plain text: the subject, an image's text
    PLAIN = auto()
    HTML = auto()
    AFTER_LESS_THAN = auto()  # HTML text right behind a literal "<"
    TITLE = auto()  # inside <title> or <textarea>: text, but no tag can stand there
    QUOTED = auto()
    BARE = auto()  # an attribute's value without quotes
    STYLE = auto()
    BARE_STYLE = auto()
    LINK = auto()  # " (address)" behind a link's text in the text alternative


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one value. hidden: inside a conditional comment, where only Outlook looks."""

    name: str
    source: str
    place: Place
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Url:
    """A whole URL attribute with values in it: judged in one piece, escaped for its place."""

    parts: tuple["str | Slot", ...]
    place: Place
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Begins (``?``, ``!``) or ends (``/``) an optional part."""

    sign: str
    name: str
    source: str


Piece = str | Slot | Url | Mark

MACRO = re.compile(
    r"\{([^{}<>]{1,256})\}|<(?![/!?])([^<>{}=\"']{1,256})>|&lt;((?:(?!&[lg]t;)[^<>{}]){1,256})&gt;",
    re.I,
)
_ALONE_AFTER = re.compile(r"[ \t]*(?:\r?\n|\Z)")


def read_macro(match: re.Match[str], place: Place, *, hidden: bool = False) -> Slot | None:
    """Return the slot that a match of ``MACRO`` stands for, or None where it is no macro."""
    brace, angle, entity = match.groups()
    name = resolve(brace or angle or entity)
    known = is_name(name) if brace is not None else name in BY_NAME
    return Slot(name, match[0], place, hidden) if known else None


def read_mark(match: re.Match[str]) -> Mark | None:
    """Return the mark of an optional part that a match of ``MACRO`` stands for, or None."""
    brace = match[1]
    if brace is None or brace[0] not in "?!/":
        return None
    name = resolve(brace[1:])
    return Mark(brace[0], name, match[0]) if is_name(name) else None


def split_values(source: str, place: Place, *, hidden: bool = False) -> tuple[str | Slot, ...]:
    """Cut an attribute's value (or a title) at its macros; marks have no meaning there."""
    parts: list[str | Slot] = []
    done = pos = 0
    while match := MACRO.search(source, pos):
        slot = read_macro(match, place, hidden=hidden)
        if slot is None:
            pos = match.start() + 1
            continue
        parts += [source[done : match.start()], slot]
        done = pos = match.end()
    parts.append(source[done:])
    return tuple(part for part in parts if part != "")


def scan_plain(source: str, place: Place) -> Iterator[Piece]:
    """Cut a subject or a plain text body into its pieces."""
    done = pos = 0
    while match := MACRO.search(source, pos):
        piece: Piece | None = read_mark(match) or read_macro(match, place)
        if piece is None:
            pos = match.start() + 1
            continue
        start, end = match.span()
        if isinstance(piece, Mark):
            start, end = widen_mark(source, done, start, end)
            piece = Mark(piece.sign, piece.name, source[start:end])
        yield source[done:start]
        yield piece
        done = pos = end
    yield source[done:]


def widen_mark(source: str, done: int, start: int, end: int) -> tuple[int, int]:
    """Take the whole line for a mark that stands alone on it, not reaching back before done."""
    # Blanks in front of a mark are looked for within a bounded distance, to stay linear.
    before = source[max(done, start - 200) : start]
    after = _ALONE_AFTER.match(source, end)
    indent = len(before) - len(before.rstrip(" \t"))
    at_line_start = start - indent == 0 or source[start - indent - 1] == "\n"
    if after is None or not at_line_start:
        return start, end
    return start - indent, after.end()
