"""Fill a template for one send: the code behind ``/send`` and ``/templates/render`` alike."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from app.accounts.people import Person
from app.configuration.closing import list_closing
from app.configuration.resolve import Resolved
from app.configuration.templates import FoundTemplate
from app.templates_engine.closing import choose_closing
from app.templates_engine.documents import Document
from app.templates_engine.parse import CompiledTemplate, compile_template
from app.templates_engine.render import Rendered, fill_defaults, render
from app.templates_engine.values import MacroValue, parse_macros


def fill(
    found: FoundTemplate,
    resolved: Resolved | None,
    *,
    macros: Mapping[str, MacroValue],
    documents: Sequence[Document],
    strict: bool | None = None,
    max_rendered_bytes: int,
    person: Person | None = None,
    closing: Mapping[str, bool] | None = None,
) -> Rendered:
    """Return the finished subject and body, signatures and footers included.

    macros: as ``parse_macros`` reads them. strict: whether unknown names are refused; None: as the
    template says. person: who sends, where nothing is resolved. closing: what the message says of
    its own about them, by switch.
    Raises ``Refused``: ``template_too_large``, ``macro_missing``, ``unknown_macro``,
    ``rendered_too_large``; pointers start at the request's ``/macros`` or ``/body``.
    """
    sender = resolved.sender if resolved else None
    person = resolved.person if resolved else person
    # Checked when it was saved: what the scope says cannot be at fault here.
    scope_macros, _ = parse_macros(resolved.macros if resolved else {}, "/macros")
    return render(
        _compile(found.subject, found.body),
        macros=fill_defaults(
            macros,
            user_name=person.name if person else None,
            sender_name=sender.name if sender else None,
            sender_address=sender.address if sender else None,
            scope_macros=scope_macros,
        ),
        documents=documents,
        language=found.language,
        requires=found.requires,
        strict=found.strict_macros if strict is None else strict,
        max_rendered_bytes=max_rendered_bytes,
        closing=choose_closing(
            resolved.closing if resolved else list_closing(person), closing or {}, found.language
        ),
    )


@lru_cache(maxsize=64)  # a batch fills one template a thousand times
def _compile(subject: str, body: str) -> CompiledTemplate:
    return compile_template(subject, body)
