"""Missing and unknown macros, fallbacks, limits."""

import pytest

from app.errors import Refused
from app.templates_engine.documents import Document
from app.templates_engine.render import fill_defaults
from app.templates_engine.values import MacroValue, TextValue
from tests.crafts.templates.filling import fill, list_faults


def test_all_missing_macros_are_refused_at_once() -> None:
    with pytest.raises(Refused) as refused:
        fill(
            "{numer} {z dnia}",
            '<html><a href="{umowa}" title="{numer}">{firma}</a>{moje}</html>',
            {"firma": "F", "kontrahent": None},
            requires=["Kontrahent", "konto bankowe", "firma"],
        )
    assert refused.value.code == "macro_missing"
    assert list_faults(refused) == [
        ("/macros/numer", "macro_missing"),
        ("/macros/z dnia", "macro_missing"),
        ("/macros/umowa", "macro_missing"),
        ("/macros/kontrahent", "macro_missing"),
        ("/macros/konto bankowe", "macro_missing"),
    ]


def test_an_empty_string_is_a_value_also_for_requires() -> None:
    assert fill("a{numer}b", "", {"numer": ""}, requires=["numer"]).subject == "ab"


def test_who_issued_a_document_may_be_nothing() -> None:
    assert fill("", "[{wystawiający}]").text == "[]"
    assert fill("", "[{issuer}]", {"wystawiajacy": "Jan"}).text == "[Jan]"


def test_tables_and_sums_without_documents_are_missing() -> None:
    with pytest.raises(Refused) as refused:
        fill("", "{tabela dokumentów} {suma} {numery}")
    assert [pointer for pointer, _ in list_faults(refused)] == [
        "/macros/tabela dokumentów",
        "/macros/suma",
        "/macros/numery",
    ]


def test_an_unknown_macro_stays_and_is_a_warning() -> None:
    rendered = fill("{a b}", "<html><style>{x}</style><p>{a_b} {c/d}</p></html>", {"numer": "1"})
    assert (rendered.subject, rendered.html) == (
        "{a b}",
        "<html><style>{x}</style><p>{a_b} {c/d}</p></html>",
    )
    assert [(n.code, n.pointer) for n in rendered.warnings] == [
        ("unknown_macro", "/macros/a b"),
        ("unknown_macro", "/macros/c~1d"),
    ]


def test_strict_macros_refuses_unknown_ones_with_the_missing_ones() -> None:
    with pytest.raises(Refused) as refused:
        fill("{moje}", "{numer} {cudze}", strict=True)
    assert list_faults(refused) == [
        ("/macros/numer", "macro_missing"),
        ("/macros/moje", "unknown_macro"),
        ("/macros/cudze", "unknown_macro"),
    ]
    assert fill("{moje}", "", {"moje": "x"}, strict=True).subject == "x"


def test_many_unknown_macros_give_a_bounded_list_of_warnings() -> None:
    warnings = fill("", " ".join(f"{{m{i}}}" for i in range(3000))).warnings
    assert len(warnings) == 51 and "2950 more" in warnings[-1].detail


def write_all(values: dict[str, MacroValue]) -> dict[str, str]:
    return {name: value.write("pl") for name, value in values.items()}


@pytest.mark.parametrize(
    ("request_value", "user_name", "scope_value", "sender_name", "expected"),
    [
        ("R", "U", "S", "N", "R"),
        ("", "U", "S", "N", ""),
        (None, "U", "S", "N", "U"),
        (None, "", "S", "N", "S"),
        (None, None, None, "N", "N"),
        (None, None, None, "", "a@b.example"),
        (None, None, None, None, "a@b.example"),
    ],
)
def test_the_sender_is_the_request_the_user_then_the_smtp_sender(
    request_value: str | None,
    user_name: str | None,
    scope_value: str | None,
    sender_name: str | None,
    expected: str,
) -> None:
    given = fill_defaults(
        {} if request_value is None else {"wysyłający": TextValue(request_value)},
        user_name=user_name,
        sender_name=sender_name,
        sender_address="a@b.example",
        scope_macros={} if scope_value is None else {"wysyłający": TextValue(scope_value)},
    )
    assert write_all(given) == {"wysyłający": expected}


def test_the_request_wins_over_the_scopes_macros_key_by_key() -> None:
    given = fill_defaults(
        {"firma": TextValue("Z żądania")},
        user_name=None,
        sender_name=None,
        sender_address=None,
        scope_macros={"firma": TextValue("Z zakresu"), "konto": TextValue("12")},
    )
    assert write_all(given) == {"firma": "Z żądania", "konto": "12"}


def test_the_issuer_is_never_taken_from_the_sender() -> None:
    given = fill_defaults(
        {}, user_name="U", sender_name="N", sender_address="a@b.example", scope_macros={}
    )
    assert "wystawiający" not in given


def test_bytes_are_those_of_subject_html_and_text() -> None:
    rendered = fill("ż", "<html><p>ż{numer}</p></html>", {"numer": "ą"})
    assert rendered.bytes == 2 + len("<html><p>żą</p></html>".encode()) + 4
    assert fill("ż", "ą").bytes == 4


def test_what_macros_add_is_bounded() -> None:
    assert fill("", "{x}", {"x": "a" * 100}, max_rendered_bytes=100).bytes == 100
    for subject, body, value in (
        ("", "{x}", "a" * 101),
        ("", "{x}", "ż" * 51),
        ("{x}{x}", "", "a" * 51),
        ("", "<html>{x}</html>", "a" * 60),
    ):
        with pytest.raises(Refused) as refused:
            fill(subject, body, {"x": value}, max_rendered_bytes=100)
        assert refused.value.code == "rendered_too_large" and "100" in refused.value.detail


def test_a_huge_expansion_is_refused_before_it_is_built() -> None:
    # 8 000 times 4 MB would be 32 GB.
    with pytest.raises(Refused, match="at least 32000000000"):
        fill("", "{x}" * 8000, {"x": "a" * 4_000_000})


def test_a_huge_table_is_refused() -> None:
    documents = [Document(f"FV {i}") for i in range(5000)]
    with pytest.raises(Refused) as refused:
        fill("", "<html>{tabela dokumentów}</html>", documents=documents)
    assert refused.value.code == "rendered_too_large"
