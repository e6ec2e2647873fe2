"""The built-in texts, byte for byte, in three languages.

The golden files hold what a customer gets. After a deliberate change of a text or the table, write
them anew with AWIZO_TEST_WRITE_GOLDEN=1 and read the difference.
"""

import os
from pathlib import Path

import pytest

from app.templates_engine.builtin import BUILTIN_LANGUAGES, BUILTIN_NAMES, get_builtin
from app.templates_engine.documents import parse_documents
from app.templates_engine.lint import lint
from app.templates_engine.parse import compile_template
from app.templates_engine.render import Rendered, render
from app.templates_engine.values import parse_macros

GOLDEN = Path(__file__).parent / "golden"
TEXTS = [
    *((name, 1) for name in BUILTIN_NAMES if name != "overdue-reminder"),
    *(("overdue-reminder", level) for level in (1, 2, 3)),
]
FULL: dict[str, object] = {
    "kontrahent": "Klient & Syn Sp. z o.o.",
    "firma": "Firma Sp. z o.o.",
    "wysyłający": "Anna Kowalska",
    "wystawiający": "Jan Nowak",
    "umowa": "U/2026/007",
    "data od": {"type": "date", "value": "2026-11-01"},
    "data do": {"type": "date", "value": "2027-10-31"},
}
DOCUMENTS: list[dict[str, object]] = [
    {
        "number": "FV 12/2026",
        "issued_on": "2026-09-30",
        "due_on": "2026-10-14",
        "amount": "1230.00",
        "outstanding": "1230.00",
        "currency": "PLN",
        "days_overdue": 39,
    },
    {
        "number": "FV 15/2026",
        "issued_on": "2026-10-02",
        "due_on": "2026-10-16",
        "amount": "12450.50",
        "outstanding": "450.50",
        "currency": "EUR",
        "days_overdue": 37,
    },
]
EXAMPLE: dict[str, object] = {"kontrahent": "Klient Sp. z o.o.", "numer": "FV 12/2026"}


def fill(
    name: str, language: str, level: int, raw: dict[str, object], documents: list[dict[str, object]]
) -> Rendered:
    text = get_builtin(name, language, level)
    assert text is not None
    macros, macro_faults = parse_macros(raw, "/macros")
    parsed, document_faults = parse_documents(documents, "/documents")
    assert not macro_faults and not document_faults
    template = compile_template(text.subject, text.body)
    return render(template, macros=macros, documents=parsed, language=language, strict=True)


@pytest.mark.parametrize("language", BUILTIN_LANGUAGES)
@pytest.mark.parametrize(("name", "level"), TEXTS)
def test_a_builtin_is_rendered_byte_for_byte(name: str, level: int, language: str) -> None:
    for case, raw, documents in (("full", FULL, DOCUMENTS), ("example", EXAMPLE, [])):
        rendered = fill(name, language, level, raw, documents)
        stem = f"{name}-{level}.{language}.{case}"
        text = f"{rendered.subject}\n\n{rendered.text}\n"
        for path, got in (
            (GOLDEN / f"{stem}.txt", text),
            (GOLDEN / f"{stem}.html", rendered.html or ""),
        ):
            if os.environ.get("AWIZO_TEST_WRITE_GOLDEN"):
                path.write_text(got, encoding="utf-8", newline="")
            with path.open(encoding="utf-8", newline="") as golden:
                assert got == golden.read()
        assert rendered.warnings == ()


@pytest.mark.parametrize("language", BUILTIN_LANGUAGES)
@pytest.mark.parametrize(("name", "level"), TEXTS)
def test_a_builtin_needs_no_value_at_all(name: str, level: int, language: str) -> None:
    empty = dict.fromkeys([*FULL, *EXAMPLE], "")
    for raw in ({}, empty):
        rendered = fill(name, language, level, raw, [])
        assert rendered.warnings == () and rendered.subject
        for part in (rendered.subject, rendered.text, rendered.html or ""):
            assert "{" not in part and "  \n" not in part and "\n\n\n" not in part.replace(" ", "")
        assert ":\n" not in rendered.text and " ." not in rendered.text


@pytest.mark.parametrize("language", BUILTIN_LANGUAGES)
@pytest.mark.parametrize(("name", "level"), TEXTS)
def test_a_builtin_has_nothing_for_the_linter_to_say(name: str, level: int, language: str) -> None:
    text = get_builtin(name, language, level)
    assert text is not None
    template = compile_template(text.subject, text.body)
    assert template.kind == "html" and lint(template) == ()


def test_the_levels_of_a_reminder_differ_and_grow_firmer() -> None:
    subjects = [fill("overdue-reminder", "pl", level, EXAMPLE, []).subject for level in (1, 2, 3)]
    assert subjects == [
        "Przypomnienie o płatności – FV 12/2026",
        "Wezwanie do zapłaty – FV 12/2026",
        "Ostateczne przedsądowe wezwanie do zapłaty – FV 12/2026",
    ]


def test_other_texts_have_one_level_only() -> None:
    assert get_builtin("test", "pl", 3) == get_builtin("test", "pl")


@pytest.mark.parametrize(
    ("name", "language", "level"),
    [
        ("nope", "pl", 1),
        ("test", "de", 1),
        ("test", "PL", 1),
        ("../test", "pl", 1),
        ("overdue-reminder", "pl", 0),
        ("overdue-reminder", "pl", 4),
    ],
)
def test_there_is_no_other_builtin(name: str, language: str, level: int) -> None:
    assert get_builtin(name, language, level) is None
