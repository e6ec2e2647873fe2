"""Shorthand for the tests of templates: fill one template with plain values."""

from collections.abc import Mapping, Sequence

import pytest

from app.errors import Refused
from app.templates_engine.documents import Document
from app.templates_engine.parse import compile_template
from app.templates_engine.render import Rendered, render
from app.templates_engine.values import parse_macros


def fill(
    subject: str = "",
    body: str = "",
    macros: Mapping[str, object] | None = None,
    *,
    documents: Sequence[Document] = (),
    language: str = "pl",
    requires: Sequence[str] = (),
    strict: bool = False,
    max_rendered_bytes: int = 262_144,
) -> Rendered:
    values, faults = parse_macros(macros or {}, "/macros")
    assert faults == []
    return render(
        compile_template(subject, body),
        macros=values,
        documents=documents,
        language=language,
        requires=requires,
        strict=strict,
        max_rendered_bytes=max_rendered_bytes,
    )


def fill_html(body: str, macros: Mapping[str, object] | None = None) -> str:
    """Fill HTML that stands between <html> and </html>; return what stands there afterwards."""
    html = fill("", f"<html>{body}</html>", macros).html
    assert html is not None
    return html.removeprefix("<html>").removesuffix("</html>")


def list_faults(error: pytest.ExceptionInfo[Refused]) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.code) for fault in error.value.faults]
