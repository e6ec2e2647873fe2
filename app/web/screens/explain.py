"""Why this sender? What a send would use and where each value comes from; what differs in two scopes."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response

from app.accounts.people import check_user_id
from app.configuration.closing import PIECES
from app.configuration.explain import explain
from app.configuration.load import find_account
from app.configuration.resolve import look_up
from app.configuration.rights import require_reader
from app.configuration.show import show_document
from app.web.screens.config_fields import write_macros, write_mailboxes
from app.web.screens.config_words import CHOICES, DAYS, LABELS, NOTIFICATIONS
from app.web.screens.scope import parse_scope
from app.web.visit import TheVisit, Visit

router = APIRouter()
_HIDDEN = {"smtp.ca_pem"}
_BLOCKS = ("smtp", "sender", "incoming", "closing", "unsubscribe", "answer_alert")


@router.get("/config/effective")
async def show_effective(visit: TheVisit, user: str = "") -> Response:
    """Show each value that a send for a user would use, with the scope that it comes from."""
    visit.caller.require("admin", "sender", "user")
    asked = check_user_id(user.strip()) if user.strip() else None
    who = visit.caller.acts_as(asked)
    resolved = await visit.office.db.read(look_up, who)
    rows = []
    if resolved is not None:
        shown = explain(resolved, hide_global_bcc=visit.caller.role == "user")
        rows = [
            (name, _write(visit, name, found["value"]), found["origin"])
            for name, found in _flatten(shown).items()
            if name not in _HIDDEN
        ]
    return visit.render("effective.html", user=who, resolved=resolved, rows=rows, labels=LABELS)


@router.get("/config/compare")
async def compare(visit: TheVisit, left: str = "global", right: str = "") -> Response:
    """Show two scopes' stored configurations side by side."""
    scopes = [parse_scope(name) for name in (left, right or left)]
    documents = []
    for scope in scopes:
        require_reader(visit.caller, scope.user)
        stored = await visit.office.db.read(find_account, scope.name)
        shown = _flatten_document(show_document(stored)) if stored else {}
        documents.append({name: _write(visit, name, value) for name, value in shown.items()})
    names = [name for name in LABELS if any(name in each for each in documents)]
    differing = [name for name in names if documents[0].get(name) != documents[1].get(name)]
    return visit.render(
        "compare.html",
        scopes=scopes,
        rows=[
            (name, [(each.get(name), _name_absent(each, name)) for each in documents])
            for name in differing
        ],
        equal=len(names) - len(differing),
        labels=LABELS,
    )


def _name_absent(document: Mapping[str, Any], name: str) -> str:
    """Return what stands for a value that is not given: ``smtp`` and ``sender`` are never mixed."""
    block = name.partition(".")[0]
    has_block = "." in name and any(each.startswith(f"{block}.") for each in document)
    return "default" if has_block else "inherits"


def _flatten(shown: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return values with origin by field name, in the order of the form."""
    flat: dict[str, dict[str, Any]] = {}
    for name, found in shown.items():
        if name == "macros":
            flat |= {f"macros.{macro}": value for macro, value in found.items()}
        elif isinstance(found, Mapping) and "origin" in found:
            flat[name] = dict(found)
        elif isinstance(found, Mapping):
            flat |= {f"{name}.{member}": dict(value) for member, value in found.items()}
    order = list(LABELS)
    return dict(
        sorted(flat.items(), key=lambda each: order.index(each[0]) if each[0] in LABELS else 99)
    )


def _flatten_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored document's values by field name."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if name in (*_BLOCKS, *PIECES):
            flat |= {f"{name}.{member}": each for member, each in value.items()}
        else:
            flat[name] = write_macros(value) if name == "macros" else value
    return flat


def _write(visit: Visit, name: str, value: Any) -> str:
    """Return a value as the form calls it."""
    if isinstance(value, bool):
        return visit._("Yes") if value else visit._("No")
    if value is None or value == [] or value == "":
        return visit._("none")
    if name == "answer_alert.hours":
        days = ", ".join(visit._(DAYS[day]) for day in value["days"])
        return f"{value['from']}\u2013{value['to']} {value['timezone']}, {days}"
    if isinstance(value, Mapping):
        return ", ".join(str(each) for each in value.values() if each) or visit._("none")
    if isinstance(value, list):
        is_mailboxes = all(isinstance(each, Mapping) for each in value)
        if is_mailboxes:
            return write_mailboxes(value)
        return ", ".join(visit._(NOTIFICATIONS.get(each, each)) for each in value)
    words = CHOICES.get(name, {})
    return visit._(words[value]) if isinstance(value, str) and value in words else str(value)
