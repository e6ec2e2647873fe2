"""Reading macro values and writing them in a language."""

import json
from decimal import Decimal

import pytest

from app.templates_engine.values import MoneyValue, TextValue, parse_macros, pick_language

DATE = {"type": "date", "value": "2026-10-31"}
N = "\u00a0"


def write(given: object, language: str) -> str:
    values, faults = parse_macros({"x": given}, "/macros")
    assert faults == []
    return values["x"].write(language)


@pytest.mark.parametrize(
    ("given", "pl", "fr", "en"),
    [
        (DATE, "31.10.2026", "31/10/2026", "31 October 2026"),
        ({"type": "DATE", "value": "0999-01-05"}, "05.01.0999", "05/01/0999", "5 January 0999"),
        (
            {"type": "money", "amount": "1230.00", "currency": "PLN"},
            f"1{N}230,00{N}zł",
            f"1{N}230,00{N}PLN",
            f"PLN{N}1,230.00",
        ),
        (
            {"type": "money", "amount": -1234567.5, "currency": "eur"},
            f"-1{N}234{N}567,50{N}EUR",
            f"-1{N}234{N}567,50{N}€",
            f"EUR{N}-1,234,567.50",
        ),
        ({"type": "money", "amount": 5, "currency": "JPY"}, f"5{N}JPY", f"5{N}JPY", f"JPY{N}5"),
        (
            {"type": "money", "amount": "0.12345", "currency": "KWD"},
            f"0,12345{N}KWD",
            f"0,12345{N}KWD",
            f"KWD{N}0.12345",
        ),
        ("31.10.2026", "31.10.2026", "31.10.2026", "31.10.2026"),
        ("", "", "", ""),
        (12, "12", "12", "12"),
        (1.10, "1.1", "1.1", "1.1"),
        (Decimal("1.10"), "1.10", "1.10", "1.10"),
        (1e20, "100000000000000000000", "100000000000000000000", "100000000000000000000"),
    ],
)
def test_values_are_written_in_the_messages_language(
    given: object, pl: str, fr: str, en: str
) -> None:
    assert (write(given, "pl"), write(given, "fr"), write(given, "en")) == (pl, fr, en)


def test_an_amount_is_never_rounded() -> None:
    amount = "123456789012345.123456"
    assert MoneyValue(Decimal(amount), "PLN").write("en") == f"PLN{N}123,456,789,012,345.123456"


@pytest.mark.parametrize(
    ("language", "expected"),
    [("pl", "pl"), ("PL-pl", "pl"), ("fr_CH", "fr"), ("de", "en"), ("", "en"), ("plx", "en")],
)
def test_an_unknown_language_is_written_as_english(language: str, expected: str) -> None:
    assert pick_language(language) == expected


def test_null_is_no_value_and_an_empty_string_is_one() -> None:
    values, faults = parse_macros({"numer": None, "firma": "", "Z_Dnia": "x"}, "/macros")
    assert (values, faults) == ({"firma": TextValue(""), "z dnia": TextValue("x")}, [])


@pytest.mark.parametrize(
    ("raw", "faults"),
    [
        ({"a": True}, [("/macros/a", "invalid_macro_value")]),
        ({"a": ["x"]}, [("/macros/a", "invalid_macro_value")]),
        ({"a": float("nan")}, [("/macros/a", "invalid_macro_value")]),
        ({"a": 10**5000}, [("/macros/a", "invalid_macro_value")]),
        ({"a": Decimal("1e9999")}, [("/macros/a", "invalid_macro_value")]),
        ({"a": "\ud800"}, [("/macros/a", "invalid_macro_value")]),
        ({"a": {}}, [("/macros/a/type", "invalid_macro_value")]),
        ({"a": {"type": ["date"]}}, [("/macros/a/type", "invalid_macro_value")]),
        ({"a": {"type": "date"}}, [("/macros/a/value", "invalid_date")]),
        ({"a": {"type": "date", "value": "2026-02-30"}}, [("/macros/a/value", "invalid_date")]),
        ({"a": {"type": "date", "value": "20261031"}}, [("/macros/a/value", "invalid_date")]),
        ({"a": {"type": "date", "value": "２０２６-10-31"}}, [("/macros/a/value", "invalid_date")]),
        ({"a": DATE | {"b/~c": 1}}, [("/macros/a/b~1~0c", "unknown_field")]),
        (
            {"a": {"type": "money", "amount": "1,5", "currency": "zł"}},
            [("/macros/a/amount", "invalid_amount"), ("/macros/a/currency", "invalid_currency")],
        ),
        (
            {"a": {"type": "money", "amount": True, "currency": "PLN"}},
            [("/macros/a/amount", "invalid_amount")],
        ),
        (
            {"a": {"type": "money", "amount": "1e3", "currency": "PLN"}},
            [("/macros/a/amount", "invalid_amount")],
        ),
        ({"numer": "1", "NUMER": "2"}, [("/macros/NUMER", "duplicate_macro")]),
        ({"z dnia": "1", "z_dnia": "2"}, [("/macros/z_dnia", "duplicate_macro")]),
        ({"number": "1", "numer": "2"}, [("/macros/numer", "duplicate_macro")]),
        (
            {"": "1", "a{b": "2", "x" * 70: "3", "\ud800": "4"},
            [
                ("/macros/", "invalid_macro_name"),
                ("/macros/a{b", "invalid_macro_name"),
                ("/macros/" + "x" * 70, "invalid_macro_name"),
                ("/macros/?", "invalid_macro_name"),
            ],
        ),
    ],
)
def test_every_bad_value_is_a_fault_of_its_own(
    raw: dict[str, object], faults: list[tuple[str, str]]
) -> None:
    _, found = parse_macros(raw, "/macros")
    assert [(fault.pointer, fault.code) for fault in found] == faults


def test_numbers_of_json_keep_their_digits() -> None:
    raw = json.loads('{"a": 1230.10, "b": 0.1, "c": -7}')
    values, _ = parse_macros(raw, "/macros")
    assert [value.write("pl") for value in values.values()] == ["1230.1", "0.1", "-7"]
