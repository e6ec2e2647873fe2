"""What an account says of the mail that comes back to it; nothing of it is inherited.

``append_to``: the kind of document that mail about no message belongs to. ``document_address``: an
address of its own for each document, by plus addressing or by a pattern with one ``*``.
``answer_alert``: who is told when nobody answered in time. ``auto_reply``: see there.
"""

import re
from collections.abc import Mapping
from math import prod
from typing import Any
from zoneinfo import available_timezones

from app.configuration.auto_reply import AUTO_REPLY
from app.configuration.fields import MAILBOXES, Kind, read_object, text
from app.errors import Fault
from app.mime.address import parse_mailbox

MOST_MINUTES = 525_600  # a year
MINUTES_SCHEMA: Mapping[str, Any] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "examples": [120, "60*24*2"],
}
_SUM = re.compile(r"\d{1,6}(?: *[+*] *\d{1,6}){0,19}")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")
_TAG = "doc-" + "x" * 36  # as long as the tag that stands for the *


def read_minutes(given: object, pointer: str, faults: list[Fault], *, least: int = 1) -> int:
    """Read minutes: a whole number, or a sum of products of such as text (``60*24*2``)."""
    minutes = -1
    if isinstance(given, int) and not isinstance(given, bool):
        minutes = given
    elif isinstance(given, str) and _SUM.fullmatch(given.strip()):
        minutes = sum(prod(map(int, part.split("*"))) for part in given.split("+"))
    elif not isinstance(given, str):
        faults.append(Fault(pointer, "wrong_type", "Give minutes: 120, or 60*24*2."))
        return least
    if not least <= minutes <= MOST_MINUTES:
        detail = f"Give {least} to {MOST_MINUTES} minutes: 120, or 60*24*2; it knows + and *."
        faults.append(Fault(pointer, "out_of_range", detail))
        return least
    return minutes


def _read_address(given: object, pointer: str, faults: list[Fault]) -> Any:
    if isinstance(given, bool):
        return given
    if not isinstance(given, str):
        faults.append(Fault(pointer, "wrong_type", "Give true, false, or a pattern with one *."))
        return None
    local_part = given.rpartition("@")[0]
    mailbox, _ = parse_mailbox(given.replace("*", _TAG), "")
    if given.count("*") != 1 or "*" not in local_part or mailbox is None or mailbox.name:
        detail = "Give an address with one * before the @, and room for 40 characters there."
        faults.append(Fault(pointer, "invalid_pattern", detail))
    return given.strip()


def _read_alert(given: object, pointer: str, faults: list[Fault]) -> dict[str, Any] | None:
    read = read_object(given, ("after_min", "to", "hours"), pointer, faults)
    if read is None:
        return None
    alert: dict[str, Any] = {}
    if "after_min" in read:
        alert["after_min"] = read_minutes(read["after_min"], f"{pointer}/after_min", faults)
    else:
        detail = "Say after how many minutes."
        faults.append(Fault(f"{pointer}/after_min", "required", detail))
    if "to" in read:
        alert["to"] = MAILBOXES.read(read["to"], f"{pointer}/to", faults)
    if "hours" in read:
        alert["hours"] = _read_hours(read["hours"], f"{pointer}/hours", faults)
    return alert


def _read_hours(given: object, pointer: str, faults: list[Fault]) -> dict[str, Any] | None:
    read = read_object(given, ("from", "to", "days", "timezone"), pointer, faults)
    if read is None:
        return None
    hours = {"from": "08:00", "to": "16:00", "days": [1, 2, 3, 4, 5], "timezone": "UTC", **read}
    before = len(faults)
    faults += [
        Fault(f"{pointer}/{name}", "invalid_time", "Give a time as 08:00.")
        for name in ("from", "to")
        if not isinstance(hours[name], str) or not _CLOCK.fullmatch(hours[name])
    ]
    if len(faults) == before and not hours["from"] < hours["to"]:
        detail = "Give a time after from, of the same day; 24:00 at the latest."
        faults.append(Fault(f"{pointer}/to", "invalid_time", detail))
    days = hours["days"]
    if (
        not isinstance(days, list)
        or not days
        or not all(
            isinstance(day, int) and not isinstance(day, bool) and 1 <= day <= 7 for day in days
        )
    ):
        detail = "Give days as numbers, 1 is Monday, 7 is Sunday."
        faults.append(Fault(f"{pointer}/days", "invalid_days", detail))
    zone = hours["timezone"]
    if not isinstance(zone, str) or zone not in available_timezones():
        detail = "Give a time zone such as Europe/Warsaw."
        faults.append(Fault(f"{pointer}/timezone", "unknown_timezone", detail))
    return None if len(faults) > before else hours | {"days": sorted(set(days))}


CORRESPONDENCE: Mapping[str, Kind] = {
    "auto_reply": AUTO_REPLY,
    "append_to": text(256),
    "document_address": Kind(
        _read_address,
        {
            "anyOf": [{"type": "boolean"}, {"type": "string", "maxLength": 320}],
            "description": "An address for each document as Reply-To: `true` adds a signed tag with "
            "a plus to the mailbox, a pattern such as `answers-*@firma.example` has it for its *.",
        },
    ),
    "answer_alert": Kind(
        _read_alert,
        {
            "type": "object",
            "description": "Who is told, once, when nobody answered a message in time.",
            "additionalProperties": False,
            "required": ["after_min"],
            "properties": {
                "after_min": {**MINUTES_SCHEMA, "description": "Minutes; `60*24*2` is two days."},
                "to": {
                    **MAILBOXES.schema,
                    "description": "Who is told by mail; absent: only `message.unanswered` tells.",
                },
                "hours": {
                    "type": "object",
                    "description": "Only minutes within these working hours count.",
                    "additionalProperties": False,
                    "properties": {
                        "from": {"type": "string", "examples": ["08:00"]},
                        "to": {"type": "string", "examples": ["16:00"]},
                        "days": {
                            "type": "array",
                            "items": {"type": "integer", "minimum": 1, "maximum": 7},
                            "description": "1 is Monday; absent: Monday to Friday.",
                        },
                        "timezone": {
                            "type": "string",
                            "examples": ["Europe/Warsaw"],
                            "description": "Absent: UTC.",
                        },
                    },
                },
            },
        },
    ),
}
