"""The kinds of members that a configuration has: how each is read, and what OpenAPI says of it.

A reader takes what stood in the request and where (an RFC 6901 pointer); it returns the value in
the one form in which it is stored and shown, and adds a fault for all that is wrong with it.
Input is tolerant: choices in any case, ``-`` equals ``_``, blanks around text are dropped.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.configuration.language import read_language
from app.configuration.model import NEVER
from app.errors import Fault
from app.mime.address import UNPRINTABLE, parse_mailbox, parse_mailboxes
from app.templates_engine.closing import (
    PIECE_SCHEMA,
    SWITCHES_SCHEMA,
    read_piece,
    read_switches,
)
from app.templates_engine.values import escape_pointer, parse_macros
from app.wire.address_policy import read_literal
from app.wire.target import bare_host
from app.wire.tls import check_ca_pem

Reader = Callable[[object, str, list[Fault]], Any]
MAILBOXES_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "properties": {"address": {"type": "string"}, "name": {"type": "string"}},
                        "required": ["address"],
                    },
                ]
            },
        },
    ]
}
NOTIFICATIONS = ("OnSuccess", "OnFailure", "Delay", NEVER, "None")
_MAX_MAILBOXES = 100
_MAX_MACROS_BYTES = 65_536
_MAX_PEM_CHARS = 262_144
_LABEL = r"(?!-)[^\W]{1,63}(?:-+[^\W]+)*"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a member may hold. schema: JSON schema of the input."""

    read: Reader
    schema: Mapping[str, Any]


def choice(*words: str) -> Kind:
    """Return the kind of one word out of several."""

    def read(given: object, pointer: str, faults: list[Fault]) -> Any:
        if isinstance(given, str) and (word := given.strip().lower().replace("-", "_")) in words:
            return word
        code = "unknown_value" if isinstance(given, str) else "wrong_type"
        faults.append(Fault(pointer, code, f"Give one of {', '.join(words)}."))
        return None

    return Kind(read, {"type": "string", "enum": list(words)})


def number(least: float, most: float, *, whole: bool = True) -> Kind:
    """Return the kind of a number between two bounds, both included."""

    def read(given: object, pointer: str, faults: list[Fault]) -> Any:
        wanted = int if whole else int | float
        if isinstance(given, bool) or not isinstance(given, wanted):
            what = "a whole number" if whole else "a number"
            faults.append(Fault(pointer, "wrong_type", f"Give {what}, without quotes."))
        elif not least <= given <= most:
            faults.append(
                Fault(pointer, "out_of_range", f"Give a number from {least:g} to {most:g}.")
            )
        else:
            return given
        return None

    kind = "integer" if whole else "number"
    return Kind(read, {"type": kind, "minimum": least, "maximum": most})


def text(most_chars: int) -> Kind:
    """Return the kind of one line of text."""

    def read(given: object, pointer: str, faults: list[Fault]) -> Any:
        return _read_line(given, pointer, faults, most_chars)

    return Kind(read, {"type": "string", "maxLength": most_chars})


def secret(most_chars: int) -> Kind:
    """Return the kind of a password: text that is taken as it is, blanks included."""

    def read(given: object, pointer: str, faults: list[Fault]) -> Any:
        if not isinstance(given, str):
            faults.append(Fault(pointer, "wrong_type", "Give text."))
        elif len(given) > most_chars:
            faults.append(Fault(pointer, "too_long", f"At most {most_chars} characters."))
        elif UNPRINTABLE.search(given):
            faults.append(
                Fault(
                    pointer, "invalid_character", "There is a line break or another control in it."
                )
            )
        else:
            return given
        return None

    schema = {"type": "string", "maxLength": most_chars, "format": "password", "writeOnly": True}
    return Kind(read, schema)


def _read_line(given: object, pointer: str, faults: list[Fault], most_chars: int) -> str | None:
    if not isinstance(given, str):
        faults.append(Fault(pointer, "wrong_type", "Give text."))
        return None
    line = unicodedata.normalize("NFC", given.strip())
    if len(line) > most_chars:
        faults.append(Fault(pointer, "too_long", f"At most {most_chars} characters."))
    elif UNPRINTABLE.search(line):
        faults.append(
            Fault(pointer, "invalid_character", "There is a line break or another control in it.")
        )
    else:
        return line
    return None


def _read_flag(given: object, pointer: str, faults: list[Fault]) -> Any:
    if not isinstance(given, bool):
        faults.append(Fault(pointer, "wrong_type", "Give true or false."))
        return None
    return given


def _read_mailboxes(given: object, pointer: str, faults: list[Fault]) -> Any:
    mailboxes, wrong = parse_mailboxes(given, pointer)
    faults += wrong
    if len(mailboxes) > _MAX_MAILBOXES:
        faults.append(Fault(pointer, "too_many", f"At most {_MAX_MAILBOXES} mailboxes."))
    return [{"address": each.address, "name": each.name} for each in mailboxes]


def _read_address(given: object, pointer: str, faults: list[Fault]) -> Any:
    if given == "":
        return ""
    mailbox, wrong = parse_mailbox(given, pointer)
    faults += wrong
    return mailbox.address if mailbox else None


def _read_host(given: object, pointer: str, faults: list[Fault]) -> Any:
    line = _read_line(given, pointer, faults, 255)
    if not line:
        return line
    host = bare_host(line)
    if read_literal(host):
        return host.lower()
    if not _HOST.fullmatch(host):
        detail = "Give a host name or an IP address alone; the port stands in port."
        faults.append(Fault(pointer, "invalid_host", detail))
        return None
    try:
        return host.encode("idna").decode().lower() if not host.isascii() else host.lower()
    except UnicodeError:
        faults.append(
            Fault(pointer, "invalid_host", "This name cannot be written in ASCII (IDNA).")
        )
        return None


def _read_ca_pem(given: object, pointer: str, faults: list[Fault]) -> Any:
    if not isinstance(given, str):
        faults.append(Fault(pointer, "wrong_type", "Give PEM text."))
        return None
    wrong = (
        "it is too long" if len(given) > _MAX_PEM_CHARS else check_ca_pem(given) if given else None
    )
    if wrong:
        faults.append(Fault(pointer, "invalid_ca_pem", f"{wrong[0].upper()}{wrong[1:]}."))
        return None
    return given


def _read_language(given: object, pointer: str, faults: list[Fault]) -> Any:
    tag = "" if given == "" else read_language(given) if isinstance(given, str) else None
    if tag is None:
        faults.append(
            Fault(pointer, "invalid_language", "Give a language tag such as pl or fr-CH.")
        )
    return tag


def read_notifications(given: object, pointer: str, faults: list[Fault]) -> list[str] | None:
    """Return the contract's words in their order; [] (or ``None``) asks for no NOTIFY."""
    if isinstance(given, str):
        given = re.split(r"[,;\s]+", given.strip()) if given.strip() else []
    if not isinstance(given, list | tuple):
        faults.append(Fault(pointer, "wrong_type", f"Give a list of {', '.join(NOTIFICATIONS)}."))
        return None
    by_fold = {word.lower(): word for word in NOTIFICATIONS}
    words = set()
    before = len(faults)
    for index, each in enumerate(given):
        word = (
            by_fold.get(re.sub(r"[-_]", "", each.strip().lower()))
            if isinstance(each, str)
            else None
        )
        if word is None:
            where = f"{pointer}/{index}"
            faults.append(Fault(where, "unknown_value", f"Give {', '.join(NOTIFICATIONS)}."))
        else:
            words.add(word)
    # Never asks for silence (NOTIFY=NEVER), None leaves it to the server: neither goes with more.
    if len(words) > 1 and words & {NEVER, "None"}:
        faults.append(
            Fault(pointer, "notifications_conflict", "Never and None stand alone, each by itself.")
        )
    if len(faults) > before:
        return None
    return [word for word in NOTIFICATIONS if word in words and word != "None"]


def read_object(
    given: object, names: tuple[str, ...], pointer: str, faults: list[Fault]
) -> dict[str, Any] | None:
    """Return the members of ``names`` that are given; what is no object, or unknown, is a fault."""
    if not isinstance(given, Mapping):
        faults.append(Fault(pointer, "wrong_type", "Give an object."))
        return None
    for name in given:
        if name not in names:
            detail = f"There is no such member; {', '.join(names)} are."
            faults.append(Fault(f"{pointer}/{escape_pointer(str(name))}", "unknown_field", detail))
    return {name: given[name] for name in names if given.get(name) is not None}


def _read_macros(given: object, pointer: str, faults: list[Fault]) -> Any:
    if not isinstance(given, dict):
        faults.append(Fault(pointer, "wrong_type", "Give an object of names and values."))
        return None
    faults += parse_macros(given, pointer)[1]
    kept = {name: value for name, value in given.items() if value is not None}
    if len(json.dumps(kept)) > _MAX_MACROS_BYTES:
        faults.append(Fault(pointer, "too_large", f"At most {_MAX_MACROS_BYTES} bytes of JSON."))
    return kept


FLAG = Kind(_read_flag, {"type": "boolean"})
MAILBOXES = Kind(_read_mailboxes, MAILBOXES_SCHEMA)
ADDRESS = Kind(_read_address, {"type": "string"})
HOST = Kind(_read_host, {"type": "string", "maxLength": 255})
CA_PEM = Kind(_read_ca_pem, {"type": "string", "maxLength": _MAX_PEM_CHARS})
LANGUAGE = Kind(_read_language, {"type": "string", "maxLength": 35})
NOTIFICATION_LIST = Kind(
    read_notifications,
    {"type": "array", "items": {"type": "string", "enum": list(NOTIFICATIONS)}},
)
MACROS = Kind(_read_macros, {"type": "object"})
PIECE = Kind(read_piece, {"anyOf": [PIECE_SCHEMA, {"const": ""}]})
SWITCHES = Kind(read_switches, SWITCHES_SCHEMA)
