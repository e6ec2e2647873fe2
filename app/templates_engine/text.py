"""Derives the plain text alternative from an HTML body, once per template, in one linear pass.

Works on the scanner's events, not on a parsed tree: a tree builder loses ``<numer>``, and a hostile
32 KB template makes one build millions of nodes (HTML standard §13.2.4.3, formatting elements).
Blocks become lines, paragraphs are set apart, list items get "- " or their number, table cells two
blanks; a link shows its address behind its text, an image its alternative text. Left out: hidden
elements, comments, style, script, title.
"""

import re
from collections.abc import Sequence
from html import unescape

from app.templates_engine.scan import Mark, Piece, Place, Slot, Url
from app.templates_engine.scan_html import Event, Tag, Text, Visibility

# How many line ends stand at least before and after an element.
_LINES = (
    "address article aside body caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form header html legend li main nav option section summary table tbody tfoot "
    "thead tr"
)
_PARAGRAPHS = "blockquote h1 h2 h3 h4 h5 h6 hr menu ol p pre ul"
_GAPS = dict.fromkeys(_LINES.split(), 1) | dict.fromkeys(_PARAGRAPHS.split(), 2)
_VOID = frozenset({"br", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
_NOT_TEXT = frozenset({"title", "template"})
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u200b-\u200f\u2060\ufeff]")
_NOT_DISPLAYED = re.compile(r"display\s*:\s*none", re.I)
_SHOWN_SCHEMES = ("http://", "https://", "mailto:", "tel:")
_RULE = "-" * 40
_MAX_INDENT = 10
_MAX_GAP = 2


def derive_text(events: list[Event]) -> list[Piece]:
    """Return the pieces of the text alternative; values are placed in it without escaping."""
    writer = _Writer()
    for event in events:
        writer.take(event)
    return writer.pieces


class _Writer:
    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._gap = 0  # line ends owed before the next text
        self._blank = ""  # blanks owed within the line
        self._bullet = ""
        # What the output ends with whether or not optional parts are kept: line ends (as if many
        # at its start), blanks. Saved when a part opens, the lesser counts when it closes.
        self._ending = (_MAX_GAP, True)
        self._endings: list[tuple[int, bool]] = []
        self._pre = 0
        self._only_outlook = False
        self._skipped = ""  # name of the element that is being left out
        self._skipped_depth = 0
        self._counters: list[int] = []  # one per open list; -1 where items have no number
        self._link: tuple[int, tuple[str | Slot, ...]] | None = None
        self._cells = 0

    def take(self, event: Event) -> None:
        if isinstance(event, Mark):
            self._take_mark(event)
        elif isinstance(event, Visibility):
            self._only_outlook = event.hidden
        elif isinstance(event, Tag):
            if not self._only_outlook:
                self._take_tag(event)
        elif self._only_outlook or self._skipped:
            return
        elif isinstance(event, Text):
            self._write_text(unescape(event.source))
        elif isinstance(event, Slot):
            self._write_slot(event)

    def _take_mark(self, mark: Mark) -> None:
        """Pass a mark on, after what is owed: that must not depend on the optional part."""
        self._settle()
        # Marks pair here as they do in the body; one without a partner is shown where it is.
        unseen = self._only_outlook or self._skipped
        self.pieces.append(Mark(mark.sign, mark.name, "") if unseen else mark)
        if mark.sign != "/":
            self._endings.append(self._ending)
        elif self._endings:
            self._ending = min(self._ending, self._endings.pop())

    def _take_tag(self, tag: Tag) -> None:
        name = tag.name
        if self._skipped:
            if name == self._skipped:
                self._skipped_depth += -1 if tag.closing else 1
                if self._skipped_depth == 0:
                    self._skipped = ""
            return
        if not tag.closing and (tag.attributes or name in _NOT_TEXT) and _is_left_out(tag):
            if name not in _VOID:
                self._skipped, self._skipped_depth = name, 1
            return
        if name == "br":
            self._gap, self._blank = min(self._gap + 1, _MAX_GAP), ""
        elif name in _GAPS:
            self._break(_gap_of(name, len(self._counters) - tag.closing))
        if tag.closing:
            self._close(name)
        else:
            self._open(tag)

    def _open(self, tag: Tag) -> None:
        name = tag.name
        if name == "a":
            self._end_link()
            self._link = (len(self.pieces), tag.attributes.get("href", ()))
        elif name == "img":
            for part in tag.attributes.get("alt", ()):
                self._write_part(part)
        elif name == "hr":
            self._write(_RULE)
            self._break(2)
        elif name == "li":
            self._begin_item()
        elif name in _LISTS:
            self._counters.append(0 if name == "ol" else -1)
        elif name == "tr":
            self._cells = 0
        elif name in ("td", "th"):
            if self._cells and not self._gap:
                self._blank = "  "
            self._cells += 1
        elif name == "pre":
            self._pre += 1

    def _close(self, name: str) -> None:
        if name == "a":
            self._end_link()
        elif name in _LISTS and self._counters:
            self._counters.pop()
        elif name == "li":
            self._bullet = ""
        elif name == "pre":
            self._pre = max(0, self._pre - 1)

    def _begin_item(self) -> None:
        indent = "  " * min(max(0, len(self._counters) - 1), _MAX_INDENT)
        if self._counters and self._counters[-1] >= 0:
            self._counters[-1] += 1
            self._bullet = f"{indent}{self._counters[-1]}. "
        else:
            self._bullet = f"{indent}- "

    def _end_link(self) -> None:
        """Write a link's address behind its text, unless the text is the address."""
        if self._link is None:
            return
        start, parts = self._link
        self._link = None
        href = tuple(unescape(part) if isinstance(part, str) else part for part in parts)
        first = href[0] if href else ""
        if isinstance(first, str) and not first.strip().lower().startswith(_SHOWN_SCHEMES):
            return
        if isinstance(first, str):
            scheme, _, rest = first.strip().partition(":")
            bare = rest if scheme.lower() in ("mailto", "tel") else first.strip()
            href = (bare, *href[1:])
        shown = [piece for piece in self.pieces[start:] if not isinstance(piece, Mark)]
        if _spell(shown) in (_spell(href), _spell(parts)):
            return
        if all(isinstance(part, str) for part in href):
            self._write(f" ({''.join(str(part) for part in href)})" if shown else str(first))
        else:
            self.pieces.append(Url(href, Place.LINK))

    def _break(self, gap: int) -> None:
        if not self._bullet:
            self._gap = max(self._gap, gap)
        self._blank = ""

    def _write_text(self, text: str) -> None:
        if not text.isascii():
            text = _INVISIBLE.sub("", text).replace("\u00a0", " ")
        if not text:
            return
        if self._pre:
            self._write(text.replace("\r\n", "\n"))
            return
        words = " ".join(text.split())
        if text[0].isspace() and not self._blank:
            self._blank = " "
        if words:
            self._write(words)
            if text[-1].isspace():
                self._blank = " "

    def _write_part(self, part: str | Slot) -> None:
        if isinstance(part, str):
            self._write_text(unescape(part))
        else:
            self._write_slot(part)

    def _write_slot(self, slot: Slot) -> None:
        in_text = slot.place in (Place.HTML, Place.AFTER_LESS_THAN)
        a_block = in_text and slot.name == "tabela dokumentów"
        if a_block:
            self._break(2)
        self._write("")
        self.pieces.append(Slot(slot.name, slot.source, Place.PLAIN if in_text else Place.LINE))
        if a_block:
            self._break(2)

    def _write(self, text: str) -> None:
        """Write text, with the line ends and blanks owed before it."""
        self._settle()
        self.pieces.append(self._bullet + text)
        self._bullet, self._ending = "", (0, False)

    def _settle(self) -> None:
        line_ends, blank = self._ending
        if self._gap > line_ends:
            self.pieces.append("\n" * (self._gap - line_ends))
            self._ending = (self._gap, True)
        elif self._blank and not blank and not self._gap:
            self.pieces.append(self._blank)
            self._ending = (0, True)
        self._gap, self._blank = 0, ""


def _gap_of(name: str, list_depth: int) -> int:
    # A list within a list is not set apart from the item it belongs to.
    return 1 if name in _LISTS and list_depth > 0 else _GAPS[name]


def _is_left_out(tag: Tag) -> bool:
    if tag.name in _NOT_TEXT or "hidden" in tag.attributes:
        return True
    style = tag.attributes.get("style", ())
    return any(isinstance(part, str) and _NOT_DISPLAYED.search(part) for part in style)


def _spell(pieces: Sequence[Piece]) -> str:
    return "".join(
        piece if isinstance(piece, str) else f"{{{piece.name}}}"
        for piece in pieces
        if isinstance(piece, str | Slot)
    ).strip()
