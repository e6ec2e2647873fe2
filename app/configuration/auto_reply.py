"""An account's automatic reply as its configuration has it (``auto_reply``); nothing is inherited.

The text is a template: of the house's macros, where a body that starts with ``<html`` is HTML, or of
Jinja, which writes plain text. ``NAMES`` are the values that both know. Times are instants; the reply
begins and ends with them, to the second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from app.configuration.fields import FLAG, Kind, choice, number, read_object
from app.errors import Fault, Notice, Refused
from app.templates_engine.jinja import check_jinja, lint_jinja
from app.templates_engine.lint import lint
from app.templates_engine.parse import MAX_TEMPLATE_BYTES, compile_template, is_html

DEFAULT_PERIOD_H = 168  # RFC 3834 §2: no more than one response to a sender in several days
# What a text can have of the mail that it answers and of the account; the macros have blanks for _.
NAMES = (
    "from", "from_name", "from_address", "subject", "date", "until", "our_name", "our_address",
    "reference_type", "reference_number",
)  # fmt: skip
_SUBJECTS = {"macros": "Auto: {subject}", "jinja": "Auto: {{ subject }}"}  # RFC 3834 §3.1.5
_MOST_NAME_CHARS = 998


@dataclass(frozen=True, slots=True)
class AutoReply:
    """An automatic reply. period_h: one sender gets one in so many hours. from_at, until_at: None
    means no bound."""

    enabled: bool = False
    subject: str = ""
    body: str = ""
    engine: Literal["macros", "jinja"] = "macros"
    period_h: int = DEFAULT_PERIOD_H
    from_at: datetime | None = None
    until_at: datetime | None = None

    @property
    def heading(self) -> str:
        """The template of the subject; ``Auto:`` and the answered one, where none is given."""
        return self.subject or _SUBJECTS[self.engine]

    def is_on(self, at: datetime) -> bool:
        """Whether it answers at this moment."""
        is_begun = self.from_at is None or self.from_at <= at
        return self.enabled and is_begun and (self.until_at is None or at < self.until_at)


def parse_auto_reply(stored: Mapping[str, Any] | None) -> AutoReply:
    """Return the value of a stored ``auto_reply``."""
    given = dict(stored or {})
    for name in ("from_at", "until_at"):
        if name in given:
            given[name] = datetime.fromisoformat(given[name])
    return AutoReply(**given)


def read_auto_reply(given: object, pointer: str, faults: list[Fault]) -> dict[str, Any] | None:
    """Read the member as it is given; what is returned can be stored, and goes in again."""
    raw = read_object(given, tuple(_MEMBERS), pointer, faults)
    if raw is None:
        return None
    before = len(faults)
    read = {
        name: _MEMBERS[name].read(value, f"{pointer}/{name}", faults) for name, value in raw.items()
    }
    if len(faults) > before:
        return None
    wish = parse_auto_reply(read)
    if wish.enabled and not wish.body.strip():
        faults.append(Fault(f"{pointer}/body", "required", "Say what is answered."))
    if wish.from_at and wish.until_at and wish.from_at >= wish.until_at:
        faults.append(Fault(f"{pointer}/until_at", "ends_too_early", "Give a time after from_at."))
    faults += [replace(each, pointer=pointer + each.pointer) for each in _check_text(wish)]
    return read


def advise_on_auto_reply(document: Mapping[str, Any]) -> tuple[Notice, ...]:
    """Return advice on the text of a configuration without faults; pointers begin at its root."""
    wish = parse_auto_reply(document.get("auto_reply"))
    if not wish.body:
        return ()
    if wish.engine == "macros":
        spoken = (name.replace("_", " ") for name in NAMES)
        found: Sequence[Notice] = lint(compile_template(wish.heading, wish.body), spoken)
    else:
        texts = {"/subject": wish.heading, "/body": wish.body}
        found = [each for at, text in texts.items() for each in lint_jinja(text, NAMES, at)]
    return tuple(replace(each, pointer=f"/auto_reply{each.pointer}") for each in found)


def _check_text(wish: AutoReply) -> list[Fault]:
    try:
        compile_template(wish.heading, wish.body)  # its bounds are those of every template
    except Refused as error:
        return list(error.faults)
    if wish.engine == "macros":
        return []
    faults = [*check_jinja(wish.heading, "/subject"), *check_jinja(wish.body, "/body")]
    if is_html(wish.body):
        detail = (
            "Jinja writes plain text here; HTML is for the macros, which escape what they put in."
        )
        faults.append(Fault("/body", "html_by_macros", detail))
    return faults


def _text(most_chars: int) -> Kind:
    def read(given: object, pointer: str, faults: list[Fault]) -> str | None:
        if not isinstance(given, str):
            faults.append(Fault(pointer, "wrong_type", "Give text."))
        elif "\0" in given or len(given) > most_chars:
            detail = f"At most {most_chars} characters, none of them NUL."
            faults.append(Fault(pointer, "invalid_text", detail))
        else:
            return given.replace("\r\n", "\n")
        return None

    return Kind(read, {"type": "string", "maxLength": most_chars})


def _read_instant(given: object, pointer: str, faults: list[Fault]) -> str | None:
    try:
        if not isinstance(given, str):
            raise TypeError
        at = datetime.fromisoformat(given.strip())
        if at.tzinfo is not None:
            at.astimezone(UTC)  # an instant that no other zone has is none
            # Kept in the zone in which it was given: {until} says it.
            return at.isoformat().replace("+00:00", "Z")
    except (TypeError, ValueError, OverflowError):
        detail = "Give a time with its zone: 2026-12-24T00:00:00+01:00."
        faults.append(Fault(pointer, "invalid_instant", detail))
        return None
    faults.append(Fault(pointer, "offset_missing", "Give the time with its offset, +01:00 or Z."))
    return None


_INSTANT = Kind(_read_instant, {"type": "string", "format": "date-time"})
_MEMBERS: Mapping[str, Kind] = {
    "enabled": FLAG,
    "subject": _text(_MOST_NAME_CHARS),
    "body": _text(MAX_TEMPLATE_BYTES),
    "engine": choice("macros", "jinja"),
    "period_h": number(1, 8760),
    "from_at": _INSTANT,
    "until_at": _INSTANT,
}
AUTO_REPLY = Kind(
    read_auto_reply,
    {
        "type": "object",
        "description": "What people who write to this account are answered by itself, once in "
        "`period_h`. `POST /accounts/{account}/auto-reply/preview` tries it.",
        "additionalProperties": False,
        "properties": {name: dict(kind.schema) for name, kind in _MEMBERS.items()},
    },
)
