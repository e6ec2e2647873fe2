"""Cuts an HTML body into text, tags, raw parts and places for values, byte for byte.

Follows the tokenizer of the HTML standard (§13.2.5) closely enough that a mail client sees values
exactly where this scanner saw their places. Values are placed in text and in the values of
attributes, nowhere else: what stands in style, script, comments, tag and attribute names, event
handlers and other attributes that carry code stays as written. The content of a conditional
comment (``<!--[if mso]>``) is scanned like the rest, and marked hidden. Linear, never raises.
"""

import re
from dataclasses import dataclass, field
from html import unescape

from app.templates_engine.scan import (
    MACRO,
    Mark,
    Piece,
    Place,
    Slot,
    Url,
    read_macro,
    read_mark,
    split_values,
    widen_mark,
)


@dataclass(frozen=True, slots=True)
class Text:
    """Characters between tags, character references not decoded."""

    source: str


@dataclass(frozen=True, slots=True)
class Raw:
    """What is neither shown nor searched for macros: comments, doctype, style, script."""

    source: str


@dataclass(frozen=True, slots=True)
class Tag:
    """A start or end tag; attributes: those that the text alternative is interested in."""

    name: str
    closing: bool
    pieces: tuple[Piece, ...]
    attributes: dict[str, tuple[str | Slot, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Visibility:
    """From here on only Outlook looks (hidden), or everyone does."""

    hidden: bool


Event = Text | Raw | Tag | Visibility | Slot | Mark

_TOKEN = re.compile(MACRO.pattern + "|<", re.I)
_TAG_OPEN = re.compile(r"</?([a-zA-Z][^\t\n\f\r />]*)")
_BOGUS = re.compile(r"</>|<(?:[!?]|/[^a-zA-Z])[^>]*>?")
_COMMENT = re.compile(r"<!--(?:-?>|[\s\S]*?--!?>)")
_CONDITIONAL = re.compile(r"<!--\[if[^\]>]*\]>", re.I)
# A tag without a macro in it, all attributes well-formed: taken in one step.
_PLAIN_TAG = re.compile(
    r"</?[a-zA-Z][^\t\n\f\r />\"'<{&=]*+"
    r"(?:[\t\n\f\r /]++[^\t\n\f\r />\"'<{&=]++"
    r"(?:=(?:\"[^\"<{&]*+\"|'[^'<{&]*+'|[^\t\n\f\r >\"'<{&=`]++))?+)*+"
    r"[\t\n\f\r /]*+>"
)
_OF_INTEREST = re.compile(r"<(?:a|img)[\t\n\f\r /]|none|hidden", re.I)
_SKIP = re.compile(r"[\t\n\f\r /]*")
_ATTRIBUTE = re.compile(r"(=?[^\t\n\f\r />=]*)(?:[\t\n\f\r ]*=[\t\n\f\r ]*)?")
_BARE_RUN = re.compile(r"[^\t\n\f\r >{<&]+")
_OPAQUE = frozenset({"style", "script", "xmp", "iframe", "noembed", "noframes", "plaintext"})
_TEXT_ONLY = _OPAQUE | {"title", "textarea"}
_URL_ATTRIBUTES = (
    "href src action formaction background poster cite longdesc usemap data codebase classid "
    "archive manifest profile icon lowsrc dynsrc ping base srcset imagesrcset"
)
_URLS = frozenset(_URL_ATTRIBUTES.split())
# srcdoc is HTML, the others drive animations that can set an href; content may be a refresh.
_CODE = frozenset({"srcdoc", "to", "from", "by", "values"})
_CODE_SCHEMES = ("javascript:", "vbscript:", "livescript:", "mocha:", "data:")
_KEPT = frozenset({"href", "alt", "style", "hidden"})


def scan_html(source: str) -> list[Event]:
    """Return the events of an HTML body in order; their sources joined are the body again."""
    return _Scanner(source).scan()


class _Scanner:
    def __init__(self, source: str) -> None:
        self._source = source
        self._events: list[Event] = []
        self._done = 0  # everything before is in events
        self._hidden_end = 0
        self._foreign = False  # <svg> or <math> was seen: text-only elements may be none there

    def scan(self) -> list[Event]:
        source, pos = self._source, 0
        while match := _TOKEN.search(source, pos):
            start = match.start()
            after_less_than = start > 0 and source[start - 1] == "<"
            event = self._read_value(match, after_less_than)
            if isinstance(event, Mark):
                self._add_mark(event, match)
            elif event is not None:
                self._add(start, match.end(), event)
            elif source[start] != "<" or not self._scan_markup(start):
                pos = start + 1
                continue
            pos = self._done
        self._add_text(len(source))
        return self._events

    def _read_value(self, match: re.Match[str], after_less_than: bool) -> Slot | Mark | None:
        if match.lastindex is None:
            return None
        place = Place.AFTER_LESS_THAN if after_less_than else Place.HTML
        # A mark disappears; behind "<" that would make a tag of what follows.
        mark = None if after_less_than else read_mark(match)
        return mark or read_macro(match, place, hidden=match.start() < self._hidden_end)

    def _add_mark(self, mark: Mark, match: re.Match[str]) -> None:
        start, end = widen_mark(self._source, self._done, match.start(), match.end())
        self._add(start, end, Mark(mark.sign, mark.name, self._source[start:end]))

    def _add_text(self, end: int) -> None:
        start = self._done
        if start < self._hidden_end <= end:
            self._events += [Text(self._source[start : self._hidden_end]), Visibility(False)]
            start = self._hidden_end
        if start < end:
            self._events.append(Text(self._source[start:end]))
        self._done = end

    def _add(self, start: int, end: int, event: Event) -> None:
        if start < self._hidden_end < end <= len(self._source):
            # For Outlook a tag, for all others the comment ends within it: no place is certain.
            self._hidden_end, end = 0, len(self._source)
            event = Raw(self._source[start:])
        self._add_text(start)
        self._events.append(event)
        if start < self._hidden_end <= end:
            self._events.append(Visibility(False))
        self._done = end

    def _scan_markup(self, start: int) -> bool:
        """Take the tag, comment or declaration at start; False where "<" is a character."""
        source = self._source
        if source.startswith("<!--", start):
            conditional = _CONDITIONAL.match(source, start)
            if conditional and start >= self._hidden_end:
                self._open_conditional(start, conditional.end())
                return True
            comment = conditional or _COMMENT.match(source, start)
            self._add_raw(start, comment.end() if comment else len(source))
            return True
        tag = _TAG_OPEN.match(source, start)
        if tag is not None:
            name = tag[1].lower()
            self._foreign = self._foreign or name in ("svg", "math")
            plain = _PLAIN_TAG.match(source, start)
            if plain and not _OF_INTEREST.search(plain[0]):
                closing = source[start + 1] == "/"
                self._add(start, plain.end(), Tag(name, closing, (plain[0],)))
                if name in _TEXT_ONLY and not closing:
                    self._scan_element_text(name, plain.end())
            else:
                self._scan_tag(start, tag.end(), name)
            return True
        bogus = _BOGUS.match(source, start)
        if bogus is None:
            return False
        character_data = self._foreign and source.startswith("<![CDATA[", start)
        uncertain = character_data and not bogus[0].endswith("]]>")
        self._add_raw(start, len(source) if uncertain else bogus.end())
        return True

    def _add_raw(self, start: int, end: int) -> None:
        self._add(start, end, Raw(self._source[start:end]))

    def _open_conditional(self, start: int, end: int) -> None:
        self._add_raw(start, end)
        self._events.append(Visibility(True))
        closing = self._source.find("-->", start + 4)
        self._hidden_end = closing + 3 if closing >= 0 else len(self._source) + 1

    def _scan_tag(self, start: int, pos: int, name: str) -> None:
        source, end_of_source = self._source, len(self._source)
        closing = source[start + 1] == "/"
        pieces: list[Piece] = []
        attributes: dict[str, tuple[str | Slot, ...]] = {}
        written = start
        while True:
            pos = _SKIP.match(source, pos).end()  # type: ignore[union-attr]
            if pos >= end_of_source:
                # A tag that never ends is no tag: the rest is not shown by anyone.
                self._add_raw(start, end_of_source)
                return
            if source[pos] == ">":
                break
            matched = _ATTRIBUTE.match(source, pos)
            assert matched is not None
            attribute = matched[1].lower()
            pos = matched.end()
            if pos == matched.end(1) or pos >= end_of_source or source[pos] == ">":
                attributes.setdefault(attribute, ())
                continue
            value_start, value_end, pos = self._find_value(pos)
            if pos > end_of_source:
                self._add_raw(start, end_of_source)
                return
            place = _find_place(name, attribute, quoted=pos > value_end)
            parts = self._read_attribute(attribute, place, value_start, value_end)
            if attribute in _KEPT:
                attributes.setdefault(attribute, _only_slots(parts))
            if any(not isinstance(part, str) for part in parts):
                pieces += [source[written:value_start], *parts]
                written = value_end
        pos += 1
        pieces.append(source[written:pos])
        self._add(start, pos, Tag(name, closing, tuple(pieces), attributes))
        if name in _TEXT_ONLY and not closing:
            self._scan_element_text(name, pos)

    def _find_value(self, pos: int) -> tuple[int, int, int]:
        """Return the start and end of an attribute's value, and where to go on behind it."""
        source = self._source
        quote = source[pos]
        if quote in "\"'":
            end = source.find(quote, pos + 1)
            return (pos + 1, end, end + 1) if end >= 0 else (pos, pos, len(source) + 1)
        start = pos
        while pos < len(source) and source[pos] not in "\t\n\f\r >":
            # A macro may hold blanks and angles that would end a value without quotes.
            macro = MACRO.match(source, pos)
            if macro and not read_macro(macro, Place.BARE):
                macro = None
            run = macro or _BARE_RUN.match(source, pos)
            pos = run.end() if run else pos + 1
        return start, pos, pos

    def _read_attribute(
        self, attribute: str, place: Place | None, start: int, end: int
    ) -> tuple[str | Slot | Url, ...]:
        value = self._source[start:end]
        if place is None or not value:
            return (value,)
        hidden = start < self._hidden_end
        parts = split_values(value, place, hidden=hidden)
        if attribute.rpartition(":")[2] not in _URLS or parts == (value,):
            return parts
        head = clean_url(unescape(parts[0])) if isinstance(parts[0], str) else ""
        if head.lower().startswith(_CODE_SCHEMES):
            return (value,)
        return (Url(parts, place, hidden),)

    def _scan_element_text(self, name: str, pos: int) -> None:
        """Take the content of elements in which no tag can stand."""
        if self._done != pos:  # the tag itself was uncertain
            return
        source = self._source
        ending = None
        if name != "plaintext":
            ending = re.compile(rf"</{name}(?=[\t\n\f\r />])", re.I).search(source, pos)
        end = ending.start() if ending else len(source)
        if self._foreign and source.find("<", pos, end) >= 0:
            # Within <svg> those are tags, elsewhere text: no place behind them is certain.
            end = len(source)
        hidden = pos < self._hidden_end
        parts = split_values(source[pos:end], Place.TITLE, hidden=hidden)
        # Inside <svg> a title may hold tags: with any "<" left nothing is filled there.
        if name in _OPAQUE or any(isinstance(part, str) and "<" in part for part in parts):
            if pos < end:
                self._add_raw(pos, end)
            return
        for part in parts:
            length = len(part if isinstance(part, str) else part.source)
            if isinstance(part, Slot):
                self._add(pos, pos + length, part)
            else:
                self._add_text(pos + length)
            pos += length


def _find_place(tag: str, attribute: str, *, quoted: bool) -> Place | None:
    """Say how a value must be escaped in an attribute; None: values are not placed there."""
    local = attribute.rpartition(":")[2]
    if local.startswith("on") or local in _CODE or (tag == "meta" and local == "content"):
        return None
    if local == "style":
        return Place.STYLE if quoted else Place.BARE_STYLE
    return Place.QUOTED if quoted else Place.BARE


def _only_slots(parts: tuple[str | Slot | Url, ...]) -> tuple[str | Slot, ...]:
    if len(parts) == 1 and isinstance(parts[0], Url):
        return parts[0].parts
    return tuple(part for part in parts if not isinstance(part, Url))


def clean_url(url: str) -> str:
    """Remove what clients ignore in a URL: leading blanks and controls, tabs and line ends."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", url).lstrip()
