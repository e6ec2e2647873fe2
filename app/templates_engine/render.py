"""Fills a compiled template: text and values in, subject, HTML and text out.

Every value is escaped for its place once and never rendered again. All that is missing is refused
at once; what a message adds to its template is bounded before it is built. The rules that depend
on who sends are ``fill_defaults``; the caller applies them before ``render``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.errors import Fault, Notice, Refused, refuse
from app.templates_engine.catalogue import BY_NAME, resolve
from app.templates_engine.documents import Document, TableValue, derive_values
from app.templates_engine.escape import clean_value, escape_value, fill_url
from app.templates_engine.parse import CompiledTemplate, Program
from app.templates_engine.scan import Place, Slot, Url
from app.templates_engine.values import MacroValue, TextValue, escape_pointer, pick_language

_MAX_NOTICES = 50
_BLANK_LINES = re.compile(r"\n{3,}")  # what stays around an optional part
_EMPTY: dict[str, MacroValue] = {
    macro.name: TextValue("") for macro in BY_NAME.values() if macro.empty_without_value
}
_TABLE_PLACES = (Place.HTML, Place.AFTER_LESS_THAN, Place.PLAIN)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A filled template. bytes: UTF-8 size of subject, html and text together."""

    subject: str
    html: str | None
    text: str
    bytes: int
    warnings: tuple[Notice, ...]


def fill_defaults(
    macros: Mapping[str, MacroValue],
    *,
    user_name: str | None,
    sender_name: str | None,
    sender_address: str | None,
    scope_macros: Mapping[str, MacroValue],
) -> dict[str, MacroValue]:
    """Return the request's macros with what the scope and the sender give to the rest.

    Every macro: request, else scope. ``{wysyłający}``: request, user's name, scope, the SMTP
    sender's name, its address; an empty name is none. ``{wystawiający}`` has no such substitute:
    without a person it is nothing, which ``render`` sees to.
    """
    values = {**scope_macros, **macros}
    if "wysyłający" not in macros:
        if user_name:
            values["wysyłający"] = TextValue(user_name)
        elif "wysyłający" not in values and (sender_name or sender_address):
            values["wysyłający"] = TextValue(sender_name or sender_address or "")
    return values


def render(
    template: CompiledTemplate,
    *,
    macros: Mapping[str, MacroValue],
    documents: Sequence[Document],
    language: str,
    requires: Sequence[str] = (),
    strict: bool = False,
    max_rendered_bytes: int = 262_144,
) -> Rendered:
    """Fill a template.

    macros: keyed as ``parse_macros`` returns them; they win over what documents give. requires:
    names that must have a value. strict: a name without a value is refused, not left as it is.
    Raises Refused: ``macro_missing``, ``unknown_macro`` (all of them), ``rendered_too_large``.
    """
    filler = _Filler(macros, documents, pick_language(language), max_rendered_bytes)
    programs = [template.subject, template.body]
    cuts = [filler.find_cuts(program) for program in programs]
    used = dict.fromkeys(
        name
        for program, cut in zip(programs, cuts, strict=True)
        for name in _list_names(program, cut)
    )
    unknown = [name for name in used if name not in filler.values and name not in BY_NAME]
    refuse(_find_faults(used, unknown if strict else (), requires, filler.values))

    subject = filler.fill(template.subject, cuts[0]).strip()
    body = filler.fill(template.body, cuts[1])
    text = body
    if template.text is not None:
        text = filler.fill(template.text, filler.find_cuts(template.text))
        text = _BLANK_LINES.sub("\n\n", text).strip("\n") if template.text.parts else text
    html = body if template.kind == "html" else None
    size_bytes = sum(len(part.encode()) for part in (subject, html or "", text))
    if size_bytes > max_rendered_bytes:
        _refuse_size(str(size_bytes), max_rendered_bytes)
    warnings = (*template.notices, *_warn_unknown(unknown), *filler.warnings.values())
    return Rendered(subject, html, text, size_bytes, warnings)


class _Filler:
    """One message's values, written and escaped when first asked for."""

    def __init__(
        self,
        macros: Mapping[str, MacroValue],
        documents: Sequence[Document],
        language: str,
        limit_bytes: int,
    ) -> None:
        given = {**_EMPTY, **derive_values(documents), **macros}
        if "numer" in given:
            given.setdefault("numery", given["numer"])
        self.values = {name: clean_value(value.write(language)) for name, value in given.items()}
        self.warnings: dict[str, Notice] = {}
        self._given = given
        self._language = language
        self._limit_bytes = limit_bytes
        self._size_chars = 0

    def find_cuts(self, program: Program) -> list[tuple[int, int]]:
        """Return the ranges of pieces that belong to optional parts left out, in order."""
        cuts: list[tuple[int, int]] = []
        for part in program.parts:
            inside_a_cut = bool(cuts) and part.start < cuts[-1][1]
            if not inside_a_cut and bool(self.values.get(part.name)) is not part.wanted:
                cuts.append((part.start, part.end))
        return cuts

    def fill(self, program: Program, cuts: list[tuple[int, int]]) -> str:
        """Return the program's text, refusing before building what would be too large."""
        pieces = list(program.pieces)
        filled = [self._escape(fill) for fill in program.fills]
        for index, number in program.holes:
            if (value := filled[number]) is not None:
                pieces[index] = value
        for start, end in cuts:
            pieces[start:end] = [""] * (end - start)
        # A character is at least a byte: what is too long now would be too large later.
        longest = max(map(len, filter(None, filled)), default=0)
        if program.size_chars + longest * len(program.holes) > self._limit_bytes:
            self._size_chars += sum(map(len, pieces))
            if self._size_chars > self._limit_bytes:
                _refuse_size(f"at least {self._size_chars}", self._limit_bytes)
        return "".join(pieces)

    def _escape(self, fill: Slot | Url) -> str | None:
        """Return the escaped value of a fill; None leaves the macro as it is spelled."""
        if not isinstance(fill, Slot):
            return self._fill_url(fill)
        value = self.values.get(fill.name)
        if value is None:
            return None
        given = self._given[fill.name]
        if isinstance(given, TableValue) and fill.place in _TABLE_PLACES:
            if fill.place is Place.PLAIN:
                return given.write_text(self._language)
            return given.write_html(self._language)
        escaped = escape_value(fill, value)
        if escaped is None:
            self._warn("unsafe_style", fill.name, "cannot stand in a style attribute; left out.")
            return escape_value(fill, "")
        return escaped

    def _fill_url(self, url: Url) -> str | None:
        names = [part.name for part in url.parts if isinstance(part, Slot)]
        if not any(name in self.values for name in names):
            return None
        written, good = fill_url(url, self.values)
        if not good:
            self._warn(
                "unsafe_url",
                next(name for name in names if name in self.values),
                "is not an http, https or mailto address; # stands in its place.",
            )
        return written

    def _warn(self, code: str, name: str, detail: str) -> None:
        pointer = _point(name)
        self.warnings.setdefault(code + pointer, Notice(code, f"{{{name}}} {detail}", pointer))


def _list_names(program: Program, cuts: list[tuple[int, int]]) -> Iterator[str]:
    """Yield the names that a program uses outside the cuts."""
    fills: Iterable[Slot | Url] = program.fills
    if cuts:
        left_out = {index for start, end in cuts for index in range(start, end)}
        numbers = dict.fromkeys(n for index, n in program.holes if index not in left_out)
        fills = (program.fills[number] for number in numbers)
    for fill in fills:
        if isinstance(fill, Slot):
            yield fill.name
        else:
            yield from (part.name for part in fill.parts if isinstance(part, Slot))


def _find_faults(
    used: Iterable[str],
    refused: Iterable[str],
    requires: Sequence[str],
    values: Mapping[str, str],
) -> list[Fault]:
    needed = dict.fromkeys(name for name in used if name in BY_NAME)
    needed |= dict.fromkeys(resolve(name) for name in requires)
    faults = [
        Fault(_point(name), "macro_missing", f"{{{name}}} has no value.")
        for name in needed
        if name not in values
    ]
    faults += [
        Fault(_point(name), "unknown_macro", f"{{{name}}} is not in the catalogue nor in macros.")
        for name in refused
        if name not in needed
    ]
    return faults


def _warn_unknown(names: Sequence[str]) -> Iterator[Notice]:
    for name in names[:_MAX_NOTICES]:
        yield Notice(
            "unknown_macro",
            f"{{{name}}} is not in the catalogue nor in macros; it stays as it is written.",
            _point(name),
        )
    if len(names) > _MAX_NOTICES:
        yield Notice("unknown_macro", f"And {len(names) - _MAX_NOTICES} more of them.")


def _point(name: str) -> str:
    return f"/macros/{escape_pointer(name)}"


def _refuse_size(size: str, limit_bytes: int) -> None:
    detail = f"The filled message is {size} bytes of UTF-8; {limit_bytes} are allowed."
    raise Refused(detail, faults=[Fault("", "rendered_too_large", detail)])
