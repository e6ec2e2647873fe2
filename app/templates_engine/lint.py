"""Advice on a template before it is saved: what will probably not come out as its author thinks.

Nothing here refuses; a notice names the line in its text and points at the subject or the body.
Whether the HTML is correct is not looked at.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from app.errors import Notice
from app.templates_engine.catalogue import BY_NAME, CATALOGUE, resolve
from app.templates_engine.names import MAX_NAME_CHARS, is_name
from app.templates_engine.parse import MAX_TEMPLATE_BYTES, CompiledTemplate
from app.templates_engine.scan import MACRO, Mark, Piece, Place, Slot, Url, scan_plain
from app.templates_engine.scan_html import Raw, Tag, Text, Visibility, scan_html

_MAX_NOTICES = 100
_MAX_SUGGESTIONS = 20
_NEAR_LIMIT = 0.9
_SPELLINGS = [spelling for macro in CATALOGUE for spelling in (macro.name, *macro.aliases)]
_REMOTE_IMAGE = re.compile(r"\bsrc\s*=\s*[\"']?\s*(?:https?:)?//", re.I)
_NOT_SHOWN = frozenset({"script", "form", "iframe", "object", "embed", "video", "audio", "link"})
_BEHIND_END = re.compile(r"</html\s*>\s*[^\s<]", re.I)


def lint(template: CompiledTemplate, known: Iterable[str] = ()) -> tuple[Notice, ...]:
    """Return advice on a template, at most 100 notices.

    known: names of the caller's own macros. Codes: ``unknown_macro``, ``macro_not_filled``,
    ``remote_image``, ``image_without_alt``, ``not_shown_in_mail``, ``text_behind_html``,
    ``template_near_limit``, ``subject_empty`` and those of ``compile_template``.
    """
    names = set(BY_NAME) | {resolve(name) for name in known}
    notices = list(template.notices)
    subject = ((piece, False) for piece in scan_plain(template.subject_source, Place.LINE))
    notices += _Checker("/subject", template.subject_source, names).check(subject)
    body = _Checker("/body", template.body_source, names)
    if template.kind == "html":
        notices += body.check(_cut_html(template.body_source))
        if _BEHIND_END.search(template.body_source):
            notices.append(Notice("text_behind_html", "There is text behind </html>.", "/body"))
    else:
        pieces = scan_plain(template.body_source, Place.PLAIN)
        notices += body.check((piece, False) for piece in pieces)
    if not template.subject_source.strip():
        notices.append(Notice("subject_empty", "The subject is empty.", "/subject"))
    size_bytes = len((template.subject_source + template.body_source).encode())
    if size_bytes > MAX_TEMPLATE_BYTES * _NEAR_LIMIT:
        detail = f"Subject and body are {size_bytes} bytes; {MAX_TEMPLATE_BYTES} are allowed."
        notices.append(Notice("template_near_limit", detail, "/body"))
    return tuple(notices[:_MAX_NOTICES])


def _cut_html(source: str) -> Iterator[tuple[Piece | Tag, bool]]:
    """Yield every piece of the body, and whether it is markup, in which nothing is filled."""
    for event in scan_html(source):
        if isinstance(event, Tag):
            yield event, True
            for piece in event.pieces:
                yield piece, True
        elif isinstance(event, Text | Raw):
            yield event.source, isinstance(event, Raw)
        elif not isinstance(event, Visibility):
            yield event, False


class _Checker:
    def __init__(self, pointer: str, source: str, names: set[str]) -> None:
        self._pointer = pointer
        self._names = names
        self._line_ends = [match.start() for match in re.finditer("\n", source)]
        self._offset = 0
        self._suggested: dict[str, str] = {}

    def check(self, pieces: Iterable[tuple[Piece | Tag, bool]]) -> Iterator[Notice]:
        for piece, in_markup in pieces:
            if isinstance(piece, Tag):
                yield from self._check_tag(piece)
            elif isinstance(piece, str):
                if in_markup:
                    yield from self._check_unfilled(piece)
                self._offset += len(piece)
            elif isinstance(piece, Url):
                yield from self.check((part, False) for part in piece.parts)
            else:
                yield from self._check_name(piece)
                self._offset += len(piece.source)

    def _note(self, code: str, detail: str, offset: int = 0) -> Notice:
        line = bisect_left(self._line_ends, self._offset + offset) + 1
        return Notice(code, f"Line {line}: {detail}", self._pointer)

    def _check_name(self, piece: Slot | Mark) -> Iterator[Notice]:
        if piece.name not in self._names and not isinstance(piece, Mark):
            advice = self._suggest(piece.name) or "; it stays as it is without a value in macros"
            yield self._note("unknown_macro", f"{piece.source} is not in the catalogue{advice}.")

    def _check_unfilled(self, markup: str) -> Iterator[Notice]:
        for match in MACRO.finditer(markup):
            name = resolve(match[1] or match[2] or match[3])
            if name in self._names:
                yield self._note(
                    "macro_not_filled",
                    f"{match[0]} stays as it is; values are not placed in style, script, comments, "
                    "event handlers, and names of tags and attributes.",
                    match.start(),
                )

    def _check_tag(self, tag: Tag) -> Iterator[Notice]:
        if tag.closing:
            return
        source = tag.pieces[0] if isinstance(tag.pieces[0], str) else ""
        if tag.name == "img":
            if _REMOTE_IMAGE.search(source):
                yield self._note(
                    "remote_image",
                    "a remote image is hidden by many mail programs until the reader asks for it.",
                )
            if "alt" not in tag.attributes:
                yield self._note("image_without_alt", "an image without alt text.")
        elif tag.name in _NOT_SHOWN:
            yield self._note("not_shown_in_mail", f"mail programs ignore <{tag.name}>.")
        else:
            name = resolve(source[1:-1])
            advice = self._suggest(name) if is_name(name) else ""
            if advice:
                yield self._note("unknown_macro", f"{source} is not in the catalogue{advice}.")

    def _suggest(self, name: str) -> str:
        """Return what was probably meant; costly, so for a bounded number of names only."""
        if name not in self._suggested and len(self._suggested) < _MAX_SUGGESTIONS:
            near = get_close_matches(name[:MAX_NAME_CHARS], _SPELLINGS, n=1, cutoff=0.8)
            self._suggested[name] = f"; the nearest is {{{near[0]}}}" if near else ""
        return self._suggested.get(name, "")
