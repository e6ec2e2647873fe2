"""Turns a subject and a body into a ``CompiledTemplate``: parsed once, filled many times.

A body that starts (after BOM, blanks, comments, doctype, any case) with ``<html`` is HTML, else
plain text; correctness of HTML is not checked. The text alternative of HTML is derived here, once.
A compiled template is immutable and may be shared between threads and kept for as long as its
source is the same.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from app.errors import Fault, Notice, Refused
from app.templates_engine.escape import clean_subject, escape_html
from app.templates_engine.scan import Mark, Piece, Place, Slot, Url, scan_plain
from app.templates_engine.scan_html import Event, Raw, Tag, Text, Visibility, scan_html
from app.templates_engine.text import derive_text
from app.templates_engine.values import is_unicode

MAX_TEMPLATE_BYTES = 32_768

_PROLOGUE = re.compile(r"\ufeff|\s+|<!--[\s\S]*?-->|<!doctype[^>]*>|<\?xml[^>]*>", re.I)
_HTML_START = re.compile(r"<html(?=[\s/>]|\Z)", re.I)
_HTML_END = re.compile(r"</html\s*>", re.I)


@dataclass(frozen=True, slots=True)
class Part:
    """An optional part: pieces start..end stay only if the macro's having a value is wanted."""

    start: int
    end: int
    name: str
    wanted: bool


@dataclass(frozen=True, slots=True)
class Program:
    """Text with holes, made for filling fast.

    pieces: the text, holding in each hole the macro as it was spelled. holes: (index of the piece,
    index of its fill). fills: each distinct way of filling once. parts: by their start.
    size_chars: of all pieces as they are.
    """

    pieces: tuple[str, ...]
    holes: tuple[tuple[int, int], ...]
    fills: tuple[Slot | Url, ...]
    parts: tuple[Part, ...]
    stray_marks: tuple[str, ...]
    size_chars: int


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A parsed template. text: the text alternative of an HTML body."""

    subject_source: str
    body_source: str
    kind: Literal["html", "text"]
    subject: Program
    body: Program
    text: Program | None
    notices: tuple[Notice, ...]


def compile_template(subject: str, body: str) -> CompiledTemplate:
    """Parse a template.

    Raises Refused: ``template_too_large`` (subject and body over 32 768 bytes of UTF-8 together),
    ``invalid_text`` (lone surrogates).
    """
    _check_source(subject, body)
    notices: list[Notice] = []
    text = None
    if is_html(body):
        kind: Literal["html", "text"] = "html"
        events = scan_html(body)
        program = _build(_list_pieces(events))
        text = _build(derive_text(events))
        if not _HTML_END.search(body):
            notices.append(
                Notice(
                    "html_end_missing",
                    "The body starts with <html> and has no </html>; it is sent as it is.",
                    "/body",
                )
            )
    else:
        kind = "text"
        program = _build(scan_plain(body, Place.PLAIN))
    one_line = clean_subject(subject)
    heading = _build(scan_plain(one_line, Place.LINE))
    notices += [*_warn_stray(heading, "/subject"), *_warn_stray(program, "/body")]
    return CompiledTemplate(subject, body, kind, heading, program, text, tuple(notices))


def compile_piece(html: str, text: str) -> CompiledTemplate:
    """Parse what stands below other texts, such as a signature: HTML, plain text or both.

    What is not given is made of the other. Of HTML that is a whole document the tags that make it
    one are dropped, so that it can stand inside another.
    """
    text = text.replace("\r\n", "\n")
    source = html or escape_html(text).replace("\n", "<br>\n")
    events = [each for each in scan_html(source) if not _is_frame(each)]
    body = _build(_list_pieces(events))
    plain = _build(scan_plain(text, Place.PLAIN) if text else derive_text(events))
    kind: Literal["html", "text"] = "html" if html else "text"
    return CompiledTemplate(
        "", html or text, kind, _build(()), body, plain, tuple(_warn_stray(body, "/body"))
    )


def is_html(body: str) -> bool:
    """Tell whether a body is HTML: ``<html`` is the first thing but blanks and declarations."""
    pos = 0
    while match := _PROLOGUE.match(body, pos):
        pos = match.end()
    return _HTML_START.match(body, pos) is not None


def _check_source(subject: str, body: str) -> None:
    faults = [
        Fault(pointer, "invalid_text", "The text holds half a surrogate pair, which no mail can.")
        for pointer, source in (("/subject", subject), ("/body", body))
        if not is_unicode(source)
    ]
    if not faults:
        size_bytes = len(subject.encode()) + len(body.encode())
        if size_bytes <= MAX_TEMPLATE_BYTES:
            return
        faults = [
            Fault(
                "/body",
                "template_too_large",
                f"Subject and body are {size_bytes} bytes of UTF-8; "
                f"{MAX_TEMPLATE_BYTES} are allowed.",
            )
        ]
    raise Refused(faults[0].detail, faults=faults)


def _build(pieces: Iterable[Piece]) -> Program:
    """Join neighbouring text, number the holes and pair the marks of optional parts."""
    collected = [piece for piece in pieces if piece != ""]
    partners = _pair_marks(collected)
    texts: list[str] = []
    holes: list[tuple[int, int]] = []
    fills: dict[Slot | Url, int] = {}
    parts: list[Part] = []
    starts: dict[int, int] = {}
    stray: list[str] = []
    joined: list[str] = []

    def flush() -> None:
        if joined:
            texts.append("".join(joined))
            joined.clear()

    for i, piece in enumerate(collected):
        if isinstance(piece, str):
            joined.append(piece)
        elif isinstance(piece, Mark):
            if i not in partners:
                joined.append(piece.source)
                stray.append(piece.source)
                continue
            flush()
            if piece.sign == "/":
                opening = collected[partners[i]]
                assert isinstance(opening, Mark)
                start = starts[partners[i]]
                parts.append(Part(start, len(texts), opening.name, opening.sign == "?"))
            else:
                starts[i] = len(texts)
        else:
            flush()
            # The same value in the same place is escaped once, however often it stands there.
            key = (
                Slot(piece.name, "", piece.place, piece.hidden)
                if isinstance(piece, Slot)
                else piece
            )
            holes.append((len(texts), fills.setdefault(key, len(fills))))
            texts.append(piece.source if isinstance(piece, Slot) else _url_source(piece))
    flush()
    parts.sort(key=lambda part: (part.start, -part.end))
    return Program(
        tuple(texts),
        tuple(holes),
        tuple(fills),
        tuple(parts),
        tuple(stray),
        sum(map(len, texts)),
    )


def _list_pieces(events: Iterable[Event]) -> Iterator[Piece]:
    for event in events:
        if isinstance(event, Tag):
            yield from event.pieces
        elif isinstance(event, Text | Raw):
            yield event.source
        elif not isinstance(event, Visibility):
            yield event


def _is_frame(event: Event) -> bool:
    return isinstance(event, Tag) and event.name in ("html", "head", "body")


def _warn_stray(program: Program, pointer: str) -> Iterator[Notice]:
    if program.stray_marks:
        detail = f"{program.stray_marks[0].strip()} has no partner and stays as it is written."
        yield Notice("optional_part_unbalanced", detail, pointer)


def _url_source(url: Url) -> str:
    return "".join(part if isinstance(part, str) else part.source for part in url.parts)


def _pair_marks(pieces: list[Piece]) -> dict[int, int]:
    """Return each paired mark's partner; a closing mark ends the nearest open one of its name."""
    partners: dict[int, int] = {}
    open_marks: list[tuple[int, str]] = []
    waiting: dict[str, int] = {}
    for i, piece in enumerate(pieces):
        if not isinstance(piece, Mark):
            continue
        if piece.sign != "/":
            open_marks.append((i, piece.name))
            waiting[piece.name] = waiting.get(piece.name, 0) + 1
        elif waiting.get(piece.name):
            # Counting first keeps this linear: nothing is popped in vain.
            while True:
                start, name = open_marks.pop()
                waiting[name] -= 1
                if name == piece.name:
                    break
            partners[start], partners[i] = i, start
    return partners
