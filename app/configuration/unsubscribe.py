"""The member ``unsubscribe`` of a configuration: whether mail lets its receivers unsubscribe, and how.

It is inherited as a whole. Reminders of what is owed carry no such line unless ``reminders`` says so.
"""

from collections.abc import Mapping
from typing import Any

from app.configuration.fields import ADDRESS, FLAG, Kind, text
from app.errors import Fault
from app.templates_engine.values import escape_pointer

LANGUAGES = ("pl", "fr", "en")
_LINE = text(200)
_MEMBERS: Mapping[str, Kind] = {"enabled": FLAG, "reminders": FLAG, "mailto": ADDRESS}


def _read(given: object, pointer: str, faults: list[Fault]) -> dict[str, Any] | None:
    lines = dict.fromkeys(LANGUAGES, _LINE)
    read = _read_object(given, {**_MEMBERS, "text": None}, pointer, faults)
    if read is not None and "text" in read:
        line_of = _read_object(read["text"], lines, f"{pointer}/text", faults) or {}
        read["text"] = {language: line for language, line in line_of.items() if line}
    return read


def _read_object(
    given: object, kinds: Mapping[str, Kind | None], pointer: str, faults: list[Fault]
) -> dict[str, Any] | None:
    """Return an object's members, each read by its kind (None: as it stands); null is absent."""
    if not isinstance(given, Mapping):
        faults.append(Fault(pointer, "wrong_type", "Give an object."))
        return None
    read = {}
    for name, value in given.items():
        where = f"{pointer}/{escape_pointer(str(name))}"
        if name not in kinds:
            detail = f"There is no such member; {', '.join(kinds)} are."
            faults.append(Fault(where, "unknown_field", detail))
        elif value is not None:
            kind = kinds[name]
            read[name] = value if kind is None else kind.read(value, where, faults)
    return read


UNSUBSCRIBE = Kind(
    _read,
    {
        "type": "object",
        "additionalProperties": False,
        "description": "A line at the foot with a link, and `List-Unsubscribe` with one click; "
        "needs `AWIZO_PUBLIC_URL`.",
        "properties": {
            "enabled": {"type": "boolean"},
            "reminders": {"type": "boolean", "description": "Also in overdue reminders."},
            "mailto": {"type": "string", "description": "Where one may unsubscribe by mail."},
            "text": {
                "type": "object",
                "additionalProperties": False,
                "properties": {each: dict(_LINE.schema) for each in LANGUAGES},
            },
        },
        "examples": [{"enabled": True, "text": {"en": "No more mail from us"}}],
    },
)
