"""What a configuration's form says of the mail that comes back: its fields, from a document and to one.

A document for mail about nothing, an address for each document, who is told when nobody answers.
"""

from collections.abc import Mapping
from typing import Any

from app.configuration.correspondence import CORRESPONDENCE, read_minutes
from app.errors import Fault
from app.web.form import Form
from app.web.screens.config_words import DAYS

MEMBERS = tuple(name for name in CORRESPONDENCE if name != "auto_reply")  # it has a page
_ALERT = "answer_alert"
_HOURS = f"{_ALERT}.hours"
_CLOCK = ("from", "to", "timezone")
POINTERS = {
    "/append_to": "append_to",
    "/document_address": "document_address.pattern",
    f"/{_ALERT}": f"{_ALERT}.after_min",
    f"/{_ALERT}/after_min": f"{_ALERT}.after_min",
    f"/{_ALERT}/to": f"{_ALERT}.to",
    f"/{_ALERT}/hours": _HOURS,
    **{f"/{_ALERT}/hours/{name}": f"{_HOURS}.{name}" for name in (*_CLOCK, "days")},
}
_USUAL_HOURS: Mapping[str, Any] = {"from": "08:00", "to": "16:00", "days": [1, 2, 3, 4, 5]}


def fill_answers(document: Mapping[str, Any], write_mailboxes: Any) -> dict[str, str]:
    """Return the fields for a stored document; working hours that are not set as they usually are."""
    address = document.get("document_address")
    is_pattern = isinstance(address, str)
    alert: Mapping[str, Any] = document.get(_ALERT, {})
    hours: Mapping[str, Any] = alert.get("hours") or _USUAL_HOURS
    return {
        "append_to": document.get("append_to", ""),
        "document_address": "pattern" if is_pattern else "on" if address else "off",
        "document_address.pattern": address if isinstance(address, str) else "",
        f"{_ALERT}.after_min": str(alert.get("after_min", "")),
        f"{_ALERT}.to": write_mailboxes(alert.get("to", [])),
        "own.hours": "on" if "hours" in alert else "",
        **{f"{_HOURS}.{name}": hours.get(name, "") for name in _CLOCK},
        **{f"{_HOURS}.day.{day}": "on" if day in hours["days"] else "" for day in DAYS},
    }


def read_answers(form: Form, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that the form says; ``stored`` is what it was made of."""
    raw: dict[str, Any] = {}
    if form.get("append_to").strip():
        raw["append_to"] = form.get("append_to").strip()
    chosen = form.get("document_address")
    if chosen == "pattern":
        raw["document_address"] = form.get("document_address.pattern").strip()
    elif chosen == "on" or stored.get("document_address") is False:  # explicitly none stays so
        raw["document_address"] = chosen == "on"
    alert: dict[str, Any] = {
        name: form.get(f"{_ALERT}.{name}").strip()
        for name in ("after_min", "to")
        if form.get(f"{_ALERT}.{name}").strip()
    }
    if "own.hours" in form:
        given = {name: form.get(f"{_HOURS}.{name}").strip() for name in _CLOCK}
        days = [day for day in DAYS if f"{_HOURS}.day.{day}" in form]
        alert["hours"] = {name: value for name, value in given.items() if value} | {"days": days}
    return raw | ({_ALERT: alert} if alert else {})


def count_minutes(given: str) -> int | None:
    """Return what minutes such as ``60*24*2`` come to; None for what is none."""
    faults: list[Fault] = []
    minutes = read_minutes(given, "", faults)
    return None if faults else minutes
