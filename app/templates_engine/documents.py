"""The documents a message is about: read, summed by currency, written as a table.

From them come ``{numery}``, ``{tabela dokumentów}`` and ``{suma}``; one document alone also gives
``{numer}`` and ``{z dnia}``. Columns that no document fills are left out. The HTML table carries
its style in attributes and inline, because Outlook and webmail drop style sheets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from app.errors import Fault
from app.templates_engine.escape import clean_subject, escape_html
from app.templates_engine.values import (
    DateValue,
    MacroValue,
    MoneyValue,
    TextValue,
    escape_pointer,
    is_unicode,
    read_amount,
    read_currency,
    read_date,
    read_number,
)

_MEMBERS = {
    "numer": "number",
    "z_dnia": "issued_on",
    "termin": "due_on",
    "kwota": "amount",
    "do_zaplaty": "outstanding",
    "waluta": "currency",
    "dni_po_terminie": "days_overdue",
}
_MAX_NUMBER_CHARS = 200
_MAX_DAYS = 100_000
_HEADERS = {
    "pl": (
        "Numer",
        "Data wystawienia",
        "Termin płatności",
        "Kwota",
        "Do zapłaty",
        "Dni po terminie",
    ),
    "fr": ("Numéro", "Date", "Échéance", "Montant", "Reste à payer", "Jours de retard"),
    "en": ("Number", "Date", "Due date", "Amount", "Outstanding", "Days overdue"),
}
_FIRST_RIGHT_COLUMN = 3  # amounts and days are aligned to the right
_GAP = "   "


@dataclass(frozen=True, slots=True)
class Document:
    """One invoice or other document. outstanding: what is still to be paid of amount."""

    number: str
    issued_on: date | None = None
    due_on: date | None = None
    amount: Decimal | None = None
    outstanding: Decimal | None = None
    currency: str | None = None
    days_overdue: int | None = None


@dataclass(frozen=True, slots=True)
class TableValue:
    """``{tabela dokumentów}``; written where no table can stand, it is the numbers."""

    documents: tuple[Document, ...]

    def write(self, language: str) -> str:
        """Return the documents' numbers, joined with a comma."""
        return ", ".join(document.number for document in self.documents)

    def write_html(self, language: str) -> str:
        """Return an HTML table with inline styles."""
        headers, rows = _tabulate(self.documents, language)
        cell = "padding:6px 10px;border-bottom:1px solid #d5dae1"
        head = "padding:6px 10px;border-bottom:2px solid #5b6b7f;font-weight:bold"
        lines = [
            '<table border="0" cellpadding="0" cellspacing="0" style="border-collapse:collapse;'
            'font-family:Arial,Helvetica,sans-serif;font-size:14px;color:#1f2933">',
            _row("th", head, [(text, right) for _, text, right in headers]),
        ]
        rights = [right for _, _, right in headers]
        lines += [_row("td", cell, list(zip(row, rights, strict=True))) for row in rows]
        return "\n".join([*lines, "</table>"])

    def write_text(self, language: str) -> str:
        """Return the table as aligned lines of plain text."""
        headers, rows = _tabulate(self.documents, language)
        titles = [text for _, text, _ in headers]
        columns = list(zip(titles, *rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        rights = [right for _, _, right in headers]
        lines = [_align(titles, widths, rights), _GAP.join("-" * width for width in widths)]
        lines += [_align(row, widths, rights) for row in rows]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class SumValue:
    """``{suma}``: one exact sum for each currency, in the order of their first appearance."""

    sums: tuple[MoneyValue, ...]

    def write(self, language: str) -> str:
        """Return the sums joined with a plus sign: ``1 230,00 zł + 50,00 EUR``."""
        return " + ".join(money.write(language) for money in self.sums)


def parse_documents(
    raw: Sequence[Mapping[str, object]], pointer: str
) -> tuple[tuple[Document, ...], list[Fault]]:
    """Read the ``documents`` member of a request; Polish member names are aliases.

    pointer: where it stands, such as ``/documents``. Faults: ``missing_field`` (number; currency
    where there is money), ``unknown_field``, ``duplicate_field``, ``invalid_…`` for the values.
    """
    faults: list[Fault] = []
    documents = [_parse(item, f"{pointer}/{i}", faults) for i, item in enumerate(raw)]
    return tuple(document for document in documents if document is not None), faults


def derive_values(documents: Sequence[Document]) -> dict[str, MacroValue]:
    """Return the values that the documents give to macros, by catalogue name."""
    if not documents:
        return {}
    table = TableValue(tuple(documents))
    values: dict[str, MacroValue] = {"tabela dokumentów": table, "numery": _numbers(documents)}
    sums: dict[str, Decimal] = {}
    for document in documents:
        due = document.amount if document.outstanding is None else document.outstanding
        if due is not None and document.currency is not None:
            sums[document.currency] = sums.get(document.currency, Decimal(0)) + due
    if sums:
        values["suma"] = SumValue(tuple(MoneyValue(sums[code], code) for code in sums))
    if len(documents) == 1:
        values["numer"] = TextValue(documents[0].number)
        if documents[0].issued_on is not None:
            values["z dnia"] = DateValue(documents[0].issued_on)
    return values


def _numbers(documents: Sequence[Document]) -> TextValue:
    return TextValue(", ".join(document.number for document in documents))


def _parse(raw: Mapping[str, object], pointer: str, faults: list[Fault]) -> Document | None:
    if not isinstance(raw, Mapping):
        faults.append(Fault(pointer, "invalid_document", "A document is an object with a number."))
        return None
    before = len(faults)
    given: dict[str, tuple[object, str]] = {}
    for key, value in raw.items():
        name = _MEMBERS.get(key, key)
        where = f"{pointer}/{escape_pointer(key)}"
        if name not in _MEMBERS.values():
            faults.append(
                Fault(where, "unknown_field", f"A document has {', '.join(_MEMBERS.values())}.")
            )
        elif value is None:
            continue
        elif name in given:
            faults.append(
                Fault(where, "duplicate_field", f"{name} is given twice; keep one of them.")
            )
        else:
            given[name] = (value, where)
    if "number" not in given:
        faults.append(Fault(f"{pointer}/number", "missing_field", "A document needs its number."))
    if "currency" not in given and ("amount" in given or "outstanding" in given):
        faults.append(
            Fault(f"{pointer}/currency", "missing_field", "An amount needs its currency.")
        )
    document = Document(
        number=_read_text(*given["number"], faults) if "number" in given else "",
        issued_on=read_date(*given["issued_on"], faults) if "issued_on" in given else None,
        due_on=read_date(*given["due_on"], faults) if "due_on" in given else None,
        amount=read_amount(*given["amount"], faults) if "amount" in given else None,
        outstanding=read_amount(*given["outstanding"], faults) if "outstanding" in given else None,
        currency=read_currency(*given["currency"], faults) if "currency" in given else None,
        days_overdue=_read_days(*given["days_overdue"], faults)
        if "days_overdue" in given
        else None,
    )
    return document if len(faults) == before else None


def _read_text(given: object, pointer: str, faults: list[Fault]) -> str:
    text = str(given) if read_number(given) is not None else given
    if isinstance(text, str) and is_unicode(text):
        text = clean_subject(text)
        if 0 < len(text) <= _MAX_NUMBER_CHARS:
            return text
    faults.append(
        Fault(
            pointer, "invalid_number", f"A number is text of 1 to {_MAX_NUMBER_CHARS} characters."
        )
    )
    return ""


def _read_days(given: object, pointer: str, faults: list[Fault]) -> int | None:
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) <= 6:
        given = int(given)
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) <= _MAX_DAYS:
        return given
    faults.append(Fault(pointer, "invalid_days", "Days overdue are a whole number."))
    return None


def _tabulate(
    documents: Sequence[Document], language: str
) -> tuple[list[tuple[int, str, bool]], list[list[str]]]:
    """Return the used columns as (index, header, aligned right) and the rows below them."""
    rows = [_cells(document, language) for document in documents]
    used = [i for i, column in enumerate(zip(*rows, strict=True)) if any(column)]
    titles = _HEADERS.get(language, _HEADERS["en"])
    headers = [(i, titles[i], i >= _FIRST_RIGHT_COLUMN) for i in used]
    return headers, [[row[i] for i in used] for row in rows]


def _cells(document: Document, language: str) -> list[str]:
    def write_day(day: date | None) -> str:
        return DateValue(day).write(language) if day else ""

    def write_money(amount: Decimal | None) -> str:
        if amount is None or document.currency is None:
            return ""
        return MoneyValue(amount, document.currency).write(language)

    return [
        document.number,
        write_day(document.issued_on),
        write_day(document.due_on),
        write_money(document.amount),
        write_money(document.outstanding),
        "" if document.days_overdue is None else str(document.days_overdue),
    ]


def _row(tag: str, style: str, cells: Sequence[tuple[str, bool]]) -> str:
    written = "".join(
        f'<{tag} style="text-align:{"right" if right else "left"};{style}">{escape_html(text)}</{tag}>'
        for text, right in cells
    )
    return f"<tr>{written}</tr>"


def _align(cells: Sequence[str], widths: Sequence[int], rights: Sequence[bool]) -> str:
    return _GAP.join(
        text.rjust(width) if right else text.ljust(width)
        for text, width, right in zip(cells, widths, rights, strict=True)
    ).rstrip()
