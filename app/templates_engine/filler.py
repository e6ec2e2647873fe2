"""One message's values on their way into the programs of its template.

A value is written in the message's language and escaped for each place once. ``Filler`` knows what
is missing, refuses before building what would be too large, and collects what the sender should
know.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from app.errors import Fault, Notice, Refused
from app.templates_engine.catalogue import BY_NAME
from app.templates_engine.documents import Document, TableValue, derive_values
from app.templates_engine.escape import clean_value, escape_value, fill_url
from app.templates_engine.parse import Program
from app.templates_engine.scan import Place, Slot, Url
from app.templates_engine.values import MacroValue, TextValue, escape_pointer

_EMPTY: dict[str, MacroValue] = {
    macro.name: TextValue("") for macro in BY_NAME.values() if macro.empty_without_value
}
_MAX_WARNINGS = 50
_BLANK_LINES = re.compile(r"\n{3,}")
_TABLE_PLACES = (Place.HTML, Place.AFTER_LESS_THAN, Place.PLAIN)


class Filler:
    """One message's values, written and escaped when first asked for.

    values: by name, cleaned and not escaped. language: pl, fr or en. warnings: by what they are about.
    """

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
        self.language = language
        self._limit_bytes = limit_bytes
        self._size_chars = 0

    def leave_empty(self, name: str) -> None:
        """Let a macro without a value be nothing from here on."""
        self.values[name], self._given[name] = "", TextValue("")

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
                refuse_size(f"at least {self._size_chars}", self._limit_bytes)
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
                return given.write_text(self.language)
            return given.write_html(self.language)
        escaped = escape_value(fill, value)
        if escaped is None:
            self.warn("unsafe_style", fill.name, "cannot stand in a style attribute; left out.")
            return escape_value(fill, "")
        return escaped

    def _fill_url(self, url: Url) -> str | None:
        names = [part.name for part in url.parts if isinstance(part, Slot)]
        if not any(name in self.values for name in names):
            return None
        written, good = fill_url(url, self.values)
        if not good:
            self.warn(
                "unsafe_url",
                next(name for name in names if name in self.values),
                "is not an http, https or mailto address; # stands in its place.",
            )
        return written

    def warn(self, code: str, name: str, detail: str) -> None:
        """Keep a warning about a macro, once; 50 at most."""
        pointer = point_at(name)
        if len(self.warnings) < _MAX_WARNINGS:
            self.warnings.setdefault(code + pointer, Notice(code, f"{{{name}}} {detail}", pointer))


def list_names(program: Program, cuts: list[tuple[int, int]]) -> Iterator[str]:
    """Yield the macros that a program uses outside the cuts."""
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


def close_gaps(text: str) -> str:
    """Remove the blank lines that stay around optional parts that were left out."""
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def point_at(name: str) -> str:
    """Return the pointer of a macro in the request."""
    return f"/macros/{escape_pointer(name)}"


def refuse_size(size: str, limit_bytes: int) -> None:
    """Raise ``Refused`` ``rendered_too_large``. size: in bytes, as words."""
    detail = f"The filled message is {size} bytes of UTF-8; {limit_bytes} are allowed."
    raise Refused(detail, faults=[Fault("", "rendered_too_large", detail)])
