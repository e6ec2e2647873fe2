"""Fills a compiled template: text and values in, subject, HTML and text out.

Every value is escaped for its place once and never rendered again. All that is missing is refused
at once; what a message adds to its template is bounded before it is built. The rules that depend
on who sends are ``fill_defaults``; the caller applies them before ``render``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.errors import Fault, Notice, refuse
from app.templates_engine.catalogue import BY_NAME, resolve
from app.templates_engine.closing import ClosingText, add_closing
from app.templates_engine.documents import Document
from app.templates_engine.filler import Filler, close_gaps, list_names, point_at, refuse_size
from app.templates_engine.parse import CompiledTemplate
from app.templates_engine.values import MacroValue, TextValue, pick_language

_MAX_NOTICES = 50


@dataclass(frozen=True, slots=True)
class Rendered:
    """A filled template. bytes: UTF-8 size of subject, html and text together.

    closing: the signatures and footers that stand below the text, in their order.
    """

    subject: str
    html: str | None
    text: str
    bytes: int
    warnings: tuple[Notice, ...]
    closing: tuple[ClosingText, ...] = ()


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
    closing: Sequence[ClosingText] = (),
) -> Rendered:
    """Fill a template, and put signatures and footers below it.

    macros: keyed as ``parse_macros`` returns them; they win over what documents give. requires:
    names that must have a value. strict: a name without a value is refused, not left as it is.
    Raises Refused: ``macro_missing``, ``unknown_macro`` (all of them), ``rendered_too_large``.
    """
    filler = Filler(macros, documents, pick_language(language), max_rendered_bytes)
    programs = [template.subject, template.body]
    cuts = [filler.find_cuts(program) for program in programs]
    used = dict.fromkeys(
        name
        for program, cut in zip(programs, cuts, strict=True)
        for name in list_names(program, cut)
    )
    unknown = [name for name in used if name not in filler.values and name not in BY_NAME]
    refuse(_find_faults(used, unknown if strict else (), requires, filler.values))

    subject = filler.fill(template.subject, cuts[0]).strip()
    body = filler.fill(template.body, cuts[1])
    text = body
    if template.text is not None:
        text = filler.fill(template.text, filler.find_cuts(template.text))
        text = close_gaps(text) if template.text.parts else text
    html = body if template.kind == "html" else None
    html, text, closing = add_closing(filler, closing, html, text)
    size_bytes = sum(len(part.encode()) for part in (subject, html or "", text))
    if size_bytes > max_rendered_bytes:
        refuse_size(str(size_bytes), max_rendered_bytes)
    warnings = (*template.notices, *_warn_unknown(unknown), *filler.warnings.values())
    once = tuple(dict.fromkeys(warnings))
    return Rendered(subject, html, text, size_bytes, once, tuple(closing))


def _find_faults(
    used: Iterable[str],
    refused: Iterable[str],
    requires: Sequence[str],
    values: Mapping[str, str],
) -> list[Fault]:
    needed = dict.fromkeys(name for name in used if name in BY_NAME)
    needed |= dict.fromkeys(resolve(name) for name in requires)
    faults = [
        Fault(point_at(name), "macro_missing", f"{{{name}}} has no value.")
        for name in needed
        if name not in values
    ]
    faults += [
        Fault(point_at(name), "unknown_macro", f"{{{name}}} is not in the catalogue nor in macros.")
        for name in refused
        if name not in needed
    ]
    return faults


def _warn_unknown(names: Sequence[str]) -> Iterator[Notice]:
    for name in names[:_MAX_NOTICES]:
        yield Notice(
            "unknown_macro",
            f"{{{name}}} is not in the catalogue nor in macros; it stays as it is written.",
            point_at(name),
        )
    if len(names) > _MAX_NOTICES:
        yield Notice("unknown_macro", f"And {len(names) - _MAX_NOTICES} more of them.")
