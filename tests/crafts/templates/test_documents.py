"""Documents: their members, the table, the sums."""

from datetime import date
from decimal import Decimal

import pytest

from app.templates_engine.documents import Document, derive_values, parse_documents
from tests.crafts.templates.filling import fill

N = "\u00a0"
FIRST = Document(
    "FV 12/2026",
    date(2026, 9, 30),
    date(2026, 10, 14),
    Decimal("1230.00"),
    Decimal("230"),
    "PLN",
    39,
)
SECOND = Document("FV <15>", amount=Decimal("50"), currency="EUR")


def test_polish_member_names_are_aliases() -> None:
    raw = {
        "numer": "FV 12/2026",
        "z_dnia": "2026-09-30",
        "termin": "2026-10-14",
        "kwota": "1230.00",
        "do_zaplaty": 230,
        "waluta": "pln",
        "dni_po_terminie": "39",
    }
    assert parse_documents([raw], "/documents") == ((FIRST,), [])


def test_null_members_are_absent() -> None:
    documents, faults = parse_documents([{"number": 7, "amount": None, "termin": None}], "/d")
    assert (documents, faults) == ((Document("7"),), [])


@pytest.mark.parametrize(
    ("raw", "faults"),
    [
        ({}, [("/d/0/number", "missing_field")]),
        ({"number": ""}, [("/d/0/number", "invalid_number")]),
        ({"number": True}, [("/d/0/number", "invalid_number")]),
        ({"number": "\ud800"}, [("/d/0/number", "invalid_number")]),
        ({"number": "1", "Color": 1}, [("/d/0/Color", "unknown_field")]),
        ({"number": "1", "numer": "1"}, [("/d/0/numer", "duplicate_field")]),
        ({"number": "1", "kwota": "5"}, [("/d/0/currency", "missing_field")]),
        ({"number": "1", "z_dnia": "31.10.2026"}, [("/d/0/z_dnia", "invalid_date")]),
        (
            {"number": "1", "amount": [], "currency": "EURO"},
            [
                ("/d/0/amount", "invalid_amount"),
                ("/d/0/currency", "invalid_currency"),
            ],
        ),
        ({"number": "1", "days_overdue": 1.5}, [("/d/0/days_overdue", "invalid_days")]),
        ({"number": "1", "days_overdue": True}, [("/d/0/days_overdue", "invalid_days")]),
        ("FV 1", [("/d/0", "invalid_document")]),
    ],
)
def test_every_bad_member_is_a_fault_of_its_own(
    raw: dict[str, object], faults: list[tuple[str, str]]
) -> None:
    documents, found = parse_documents([raw], "/d")
    assert documents == ()
    assert [(fault.pointer, fault.code) for fault in found] == faults


def test_the_sum_is_of_what_is_outstanding_for_each_currency() -> None:
    third = Document("3", amount=Decimal("0.10"), outstanding=Decimal("0.20"), currency="PLN")
    assert derive_values([FIRST, SECOND, third])["suma"].write("pl") == f"230,20{N}zł + 50,00{N}EUR"
    assert "suma" not in derive_values([Document("1")])


def test_one_document_gives_number_and_date_too() -> None:
    body = "{numer}|{z dnia}|{numery}|{suma}"
    assert fill("", body, documents=[FIRST]).text == f"FV 12/2026|30.09.2026|FV 12/2026|230,00{N}zł"
    assert fill("", "{numery}", {"numer": "A"}).text == "A"
    assert fill("", "{numer} {numery}", {"numer": "A"}, documents=[FIRST]).text == "A FV 12/2026"
    assert fill("", "{numery}", documents=[FIRST, SECOND]).text == "FV 12/2026, FV <15>"


def test_the_text_table_is_aligned_and_shows_only_used_columns() -> None:
    text = fill("", "{tabela dokumentów}", documents=[FIRST, SECOND]).text
    assert text.replace(N, "_").splitlines() == [
        "Numer        Data wystawienia   Termin płatności         Kwota   Do zapłaty   Dni po terminie",
        "----------   ----------------   ----------------   -----------   ----------   ---------------",
        "FV 12/2026   30.09.2026         14.10.2026         1_230,00_zł    230,00_zł                39",
        "FV <15>                                              50,00_EUR",
    ]
    assert fill("", "{tabela dokumentów}", documents=[SECOND], language="en-GB").text.replace(
        N, "_"
    ).splitlines() == [
        "Number       Amount",
        "-------   ---------",
        "FV <15>   EUR_50.00",
    ]


def test_the_html_table_is_escaped_and_styled_inline() -> None:
    html = fill("", "<html><div>{tabela dokumentów}</div></html>", documents=[SECOND]).html or ""
    assert html.count("<table ") == html.count("</table>") == 1
    assert html.count("<tr>") == 2 and html.count("<th ") == html.count("<td ") == 2
    assert "FV &lt;15&gt;</td>" in html and f">50,00{N}EUR</td>" in html
    assert 'style="border-collapse:collapse' in html and "class=" not in html


def test_where_no_table_can_stand_it_is_the_numbers() -> None:
    rendered = fill(
        "{tabela dokumentów}",
        '<html><p title="{tabela dokumentów}">x</p></html>',
        documents=[FIRST, SECOND],
    )
    assert rendered.subject == "FV 12/2026, FV <15>"
    assert '<p title="FV 12/2026, FV &lt;15&gt;">' in (rendered.html or "")
