"""Values for macros: text as it is, dates and money written in the message's language.

Strings and numbers go as they are; typed values are ``{"type": "date", "value": "2026-10-31"}`` and
``{"type": "money", "amount": "1230.00", "currency": "PLN"}``. null is no value, "" is one.
Languages: pl ``31.10.2026``, ``1 230,00 zł``; fr ``31/10/2026``, ``1 230,00 €``; en
``31 October 2026``, ``PLN 1,230.00`` (blanks in figures do not break). ``pl-PL`` is pl; a language
that is not among them is written as en. Amounts are exact: padded to the currency's minor unit,
never rounded.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol

from app.errors import Fault
from app.templates_engine.catalogue import resolve
from app.templates_engine.names import MAX_NAME_CHARS, is_name

LANGUAGES = ("pl", "fr", "en")
_MONTHS = "January February March April May June July August September October November December"
_NBSP = "\u00a0"
# ISO 4217: minor units other than two.
_NO_MINOR_UNIT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_PLACES = "BHD IQD JOD KWD LYD OMR TND"
_MINOR_UNITS = dict.fromkeys(_NO_MINOR_UNIT.split(), 0) | dict.fromkeys(_THREE_PLACES.split(), 3)
_SYMBOLS = {("pl", "PLN"): "zł", ("fr", "EUR"): "€"}
_MAX_NUMBER_BITS = 512
_MAX_NUMBER_DIGITS = 300
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# 21 digits: millions of them are still added exactly within decimal's 28.
_AMOUNT = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,6})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)


class MacroValue(Protocol):
    """Anything that can be written in a language."""

    def write(self, language: str) -> str:
        """Return the value as plain text for a reader of the language (pl, fr or en)."""
        ...


@dataclass(frozen=True, slots=True)
class TextValue:
    """Text that is used exactly as it was given."""

    text: str

    def write(self, language: str) -> str:
        """Return the text."""
        return self.text


@dataclass(frozen=True, slots=True)
class DateValue:
    """A calendar date."""

    day: date

    def write(self, language: str) -> str:
        """Write ``31.10.2026`` (pl), ``31/10/2026`` (fr), ``31 October 2026`` (else)."""
        day = self.day
        if language == "pl":
            return f"{day.day:02}.{day.month:02}.{day.year:04}"
        if language == "fr":
            return f"{day.day:02}/{day.month:02}/{day.year:04}"
        return f"{day.day} {_MONTHS.split()[day.month - 1]} {day.year:04}"


@dataclass(frozen=True, slots=True)
class MoneyValue:
    """An exact amount in a currency (ISO 4217 code)."""

    amount: Decimal
    currency: str

    def write(self, language: str) -> str:
        """Write ``1 230,00 zł`` (pl), ``1 230,00 €`` (fr), ``PLN 1,230.00`` (else)."""
        exponent = self.amount.as_tuple().exponent
        given = -exponent if isinstance(exponent, int) else 0
        places = max(given, _MINOR_UNITS.get(self.currency, 2))
        figure = f"{self.amount:,.{places}f}"
        if language not in ("pl", "fr"):
            return f"{self.currency}{_NBSP}{figure}"
        figure = figure.replace(",", _NBSP).replace(".", ",")
        return f"{figure}{_NBSP}{_SYMBOLS.get((language, self.currency), self.currency)}"


def pick_language(language: str) -> str:
    """Return the language whose forms are used: ``pl-PL`` → pl, one that is not known → en."""
    base = language.replace("_", "-").partition("-")[0].casefold()
    return base if base in LANGUAGES else "en"


def parse_macros(
    raw: Mapping[str, object], pointer: str
) -> tuple[dict[str, MacroValue], list[Fault]]:
    """Read the ``macros`` member of a request.

    pointer: where it stands, such as ``/macros``. The result is keyed by the names of
    ``catalogue.resolve``; null members are left out. Faults: ``invalid_macro_name``,
    ``duplicate_macro``, ``invalid_macro_value``, ``unknown_field``.
    """
    values: dict[str, MacroValue] = {}
    faults: list[Fault] = []
    for key, given in raw.items():
        where = f"{pointer}/{escape_pointer(key)}"
        name = resolve(key)
        if not is_name(name) or not is_unicode(key):
            faults.append(
                Fault(
                    where,
                    "invalid_macro_name",
                    f"A macro's name is words of letters and digits, {MAX_NAME_CHARS} characters"
                    " at most.",
                )
            )
        elif given is None:
            continue
        elif name in values:
            faults.append(
                Fault(where, "duplicate_macro", f"{{{name}}} is given twice; keep one of them.")
            )
        else:
            value = parse_value(given, where, faults)
            if value is not None:
                values[name] = value
    return values, faults


def parse_value(given: object, pointer: str, faults: list[Fault]) -> MacroValue | None:
    """Read one value; None where a fault was added."""
    if isinstance(given, str) and is_unicode(given):
        return TextValue(given)
    if isinstance(given, Mapping):
        return _parse_typed(given, pointer, faults)
    number = read_number(given)
    if number is not None:
        return TextValue(str(given) if isinstance(given, int) else f"{number:f}")
    faults.append(
        Fault(
            pointer,
            "invalid_macro_value",
            'A value is text, a number, null, {"type": "date", "value": "2026-10-31"} or '
            '{"type": "money", "amount": "1230.00", "currency": "PLN"}.',
        )
    )
    return None


def _parse_typed(
    given: Mapping[object, object], pointer: str, faults: list[Fault]
) -> MacroValue | None:
    kind = str(given.get("type")).casefold()
    members = {"date": {"value"}, "money": {"amount", "currency"}}.get(kind)
    if members is None:
        faults.append(
            Fault(
                f"{pointer}/type",
                "invalid_macro_value",
                "The type of a value is date or money; text and numbers are given without a type.",
            )
        )
        return None
    unknown = [str(key) for key in given if key not in members and key != "type"]
    faults += [
        Fault(
            f"{pointer}/{escape_pointer(key)}",
            "unknown_field",
            f"A {kind} value has the members type, {', '.join(sorted(members))}.",
        )
        for key in unknown
    ]
    before = len(faults)
    value: MacroValue | None = None
    if kind == "date":
        day = read_date(given.get("value"), f"{pointer}/value", faults)
        value = DateValue(day) if day else None
    else:
        amount = read_amount(given.get("amount"), f"{pointer}/amount", faults)
        currency = read_currency(given.get("currency"), f"{pointer}/currency", faults)
        value = MoneyValue(amount, currency) if amount is not None and currency else None
    return value if len(faults) == before and not unknown else None


def read_date(given: object, pointer: str, faults: list[Fault]) -> date | None:
    """Read an ISO 8601 calendar date (``2026-10-31``); None and a fault where it is none."""
    if isinstance(given, str) and _ISO_DATE.fullmatch(given):
        with suppress(ValueError):  # 2026-02-30
            return date.fromisoformat(given)
    faults.append(
        Fault(pointer, "invalid_date", "A date is written year-month-day, such as 2026-10-31.")
    )
    return None


def read_number(given: object) -> Decimal | None:
    """Return an int, float or Decimal exactly as it was written; None for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float | Decimal):
        return None
    if isinstance(given, int) and given.bit_length() > _MAX_NUMBER_BITS:
        return None
    number = Decimal(repr(given)) if isinstance(given, float) else Decimal(given)
    if not number.is_finite() or abs(number.adjusted()) > _MAX_NUMBER_DIGITS:
        return None
    return number


def read_amount(given: object, pointer: str, faults: list[Fault]) -> Decimal | None:
    """Read an exact amount given as text (``"1230.00"``) or as a number; else None and a fault."""
    number = read_number(given)
    text = f"{number:f}" if number is not None else given
    if isinstance(text, str) and _AMOUNT.fullmatch(text):
        return Decimal(text)
    faults.append(
        Fault(
            pointer,
            "invalid_amount",
            'An amount is a decimal with a point and without blanks, such as "1230.00".',
        )
    )
    return None


def read_currency(given: object, pointer: str, faults: list[Fault]) -> str | None:
    """Read an ISO 4217 code, in any case; None and a fault where it is none."""
    if isinstance(given, str) and _CURRENCY.fullmatch(given):
        return given.upper()
    faults.append(
        Fault(pointer, "invalid_currency", "A currency is its three-letter code, such as PLN.")
    )
    return None


def is_unicode(text: str) -> bool:
    """Tell whether the text can be encoded: JSON lets lone surrogates through, mail does not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def escape_pointer(member: str) -> str:
    """Escape a member's name for an RFC 6901 pointer."""
    return member.encode(errors="replace").decode().replace("~", "~0").replace("/", "~1")
