"""Write a mail by hand: fill a template for somebody, see it, change it, attach, send or save it.

The form carries all there is; nothing is kept before it is sent. Files are chosen last, because a
browser does not give them back to a page that is shown again.
"""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from app.accounts.people import check_user_id
from app.configuration.list_templates import list_templates
from app.configuration.model import StoredAccount
from app.configuration.resolve import Resolved, look_up
from app.configuration.templates import FoundTemplate, find_template, prefer_languages
from app.errors import AwizoError, Missing, Refused
from app.outbox.check import ask_ground, check
from app.templates_engine.builtin import BUILTIN_LANGUAGES
from app.templates_engine.catalogue import BY_NAME
from app.templates_engine.closing import SWITCHES
from app.templates_engine.render import Rendered
from app.web.faults import say_all
from app.web.form import Filled
from app.web.frame import frame_html, frame_lines, frame_text
from app.web.screens.accounts import list_sendable
from app.web.screens.compose_form import (
    MACRO,
    Letter,
    TheLetter,
    list_macros,
    name_field,
    read_order,
    uses_documents,
)
from app.web.screens.compose_send import send_order
from app.web.screens.config import name_account
from app.web.visit import TheVisit, Visit
from app.web.words import mark

router = APIRouter()
_CHOICES = ("user", "account", "sender", "template", "language", "level")
_SECRETS = ("attachment_password", "smtp_password")  # typed anew, never written into a page
IMPORTANCES: Mapping[str, str] = {
    "": mark("As configured"),
    "low": mark("Low"),
    "normal": mark("Normal"),
    "high": mark("High"),
}
PROTECTIONS: Mapping[str, str] = {
    "auto": mark("With the password, where there is one"),
    "zip": mark("All in one ZIP with the password"),
    "none": mark("Not protected"),
}


@dataclass(frozen=True, slots=True)
class _Ground:
    """What can be chosen, and what was. found: None for a letter without a template. accounts: those
    that may be sent with."""

    resolved: Resolved | None
    names: list[str]
    languages: list[str]
    language: str
    found: FoundTemplate | None
    accounts: list[StoredAccount]


@router.get("/compose")
async def show_form(visit: TheVisit) -> Response:
    """Show an empty letter; which template is chosen stands in the address."""
    values = {name: visit.request.query_params.get(name, "") for name in (*_CHOICES, "to")}
    return await _show(visit, Filled(values))


@router.post("/compose/again")
async def show_again(visit: TheVisit, letter: TheLetter) -> Response:
    """Show the letter with another template or language chosen, or without the changes."""
    return await _show(visit, Filled(letter.form.values() | {"changed": ""}))


@router.post("/compose/preview")
async def preview(visit: TheVisit, letter: TheLetter) -> Response:
    """Show the mail as it would go out, in a frame."""
    try:
        rendered = await _render(visit, letter)
    except AwizoError as error:
        words = say_all(visit)
        lines = [words.get(each.code) or each.detail for each in error.faults] or [error.detail]
        return frame_lines(visit._("It cannot be sent like this:"), lines, error.status)
    if rendered.html is None or letter.form.get("view") == "text":
        return frame_text(f"{rendered.subject}\n\n{rendered.text}")
    return frame_html(rendered.html)


@router.post("/compose/change")
async def change(visit: TheVisit, letter: TheLetter) -> Response:
    """Put the filled text into the form, to be changed by hand.

    Without signatures and footers: sending puts them below what is in the form.
    """
    try:
        rendered = await _render(visit, letter, dict.fromkeys(SWITCHES, False))
    except AwizoError as error:
        return await _show(visit, _refill(visit, letter, error), error.status)
    body = rendered.text if rendered.html is None else rendered.html
    changed = {"changed": "on", "subject": rendered.subject, "body": body}
    return await _show(visit, Filled(letter.form.values() | changed))


@router.post("/compose/send")
async def send(visit: TheVisit, letter: TheLetter) -> Response:
    """Send it, and lead to what becomes of it."""
    return await _accept(visit, letter, as_draft=False)


@router.post("/compose/draft")
async def save_draft(visit: TheVisit, letter: TheLetter) -> Response:
    """Make a draft of it, to be opened and sent in a mail program."""
    return await _accept(visit, letter, as_draft=True)


async def _accept(visit: Visit, letter: Letter, *, as_draft: bool) -> Response:
    try:
        order, faults = read_order(visit, letter)
        fields = {name: value for name, value in letter.form.values().items() if name != "view"}
        sent = await send_order(
            visit, order, faults, once=letter.form.get("once"), fields=fields, as_draft=as_draft
        )
    except AwizoError as error:
        return await _show(visit, _refill(visit, letter, error), error.status)
    done = (
        visit._("Saved as a draft.") if as_draft else visit._("Accepted: see what becomes of it.")
    )
    return visit.go(f"/ui/messages/{sent}", done=done)


async def _render(
    visit: Visit, letter: Letter, closing: Mapping[str, bool] | None = None
) -> Rendered:
    """Fill the text by the code that sends; raise ``Refused`` for what is wrong with the text."""
    order, _ = read_order(visit, letter)
    order = replace(order, closing=closing or order.closing)
    ground = await ask_ground(visit.office, order)
    checked, faults = await asyncio.to_thread(check, visit.office, order, ground, visit.at)
    if checked.rendered is None:
        about = ("/macros", "/template", "/subject", "/body", "/documents")
        raise Refused(
            "The text cannot be filled.",
            faults=[f for f in faults if f.pointer.startswith(about)] or faults,
        )
    return checked.rendered


def _refill(visit: Visit, letter: Letter, error: AwizoError) -> Filled:
    words = say_all(visit)
    errors: dict[str, str] = {}
    for fault in error.faults:
        errors.setdefault(name_field(fault.pointer), words.get(fault.code) or fault.detail)
    if not errors:
        place = {"sender_not_allowed": "sender", "account_not_allowed": "account"}
        errors[place.get(error.code, "")] = words.get(error.code) or error.detail
    values = letter.form.values()
    if error.code == "idempotency_key_reused":
        # Once was sent already; what stands here now is another letter.
        errors = {"": visit._("The first version of this letter was sent already. Send it anyway?")}
        values["once"] = ""
    if letter.files:
        errors.setdefault("files", visit._("Choose the files again."))
    return Filled(values, errors)


async def _show(visit: Visit, form: Filled, status: int = 200) -> Response:
    values = {name: value for name, value in form.values.items() if name not in _SECRETS}
    values["once"] = values.get("once") or secrets.token_urlsafe(16)
    if visit.caller.user is not None:
        values["user"] = visit.caller.user
    errors = dict(form.errors)
    try:
        ground = await visit.office.db.read(_read_ground, visit, values)
    except Refused as error:  # no such user
        errors["user"] = error.detail
        nobodys = values | {"user": "", "account": ""}
        ground = await visit.office.db.read(_read_ground, visit, nobodys)
    found = ground.found
    values["language"] = found.language if found else values.get("language") or ground.language
    writes = found is None or values.get("changed") == "on"
    smtp = ground.resolved.smtp if ground.resolved else None
    shown = Filled(values, errors)
    return visit.render(
        "compose.html",
        422 if errors and status == 200 else status,
        form=shown,
        found=found,
        writes=writes,
        is_changed=found is not None and writes,
        templates=[("", visit._("Without a template")), *((name, name) for name in ground.names)],
        accounts=[
            ("", visit._("The one that is active")),
            *((each.id, name_account(each.document) or each.scope) for each in ground.accounts),
        ],
        senders=_list_senders(visit, ground, values),
        languages_of_mail=[(each, each) for each in ground.languages],
        macros=[] if found is None else _list_fields(visit, ground, found),
        asks_documents=found is not None and uses_documents(found),
        asks_password=smtp is not None and smtp.password_mode == "ask",
        importances=[(name, visit._(label)) for name, label in IMPORTANCES.items()],
        protections=[(name, visit._(label)) for name, label in PROTECTIONS.items()],
        is_configured=ground.resolved is not None,
        most_bytes=visit.office.settings.max_attachment_bytes,
    )


def _read_ground(tx: Connection, visit: Visit, values: Mapping[str, str]) -> _Ground:
    given = values.get("user", "").strip()
    user = visit.caller.acts_as(check_user_id(given) if given else None)
    accounts = list_sendable(tx, visit.caller, user)
    account = values.get("account", "")
    resolved = look_up(tx, user, account if account in {each.id for each in accounts} else None)
    listed = list_templates(tx, user)
    name, level = values.get("template", ""), values.get("level", "")
    languages = {
        variant.language for each in listed if each.name == name for variant in each.variants
    }
    found = None
    if name:
        language = values.get("language") or None
        try:
            found = find_template(
                tx, resolved, user, name, language, int(level) if level in ("2", "3") else 1
            )
        except Missing:
            found = None
    preferred = prefer_languages(tx, resolved, user, None)
    return _Ground(
        resolved,
        [each.name for each in listed if each.language is not None],
        sorted(languages or {*BUILTIN_LANGUAGES, preferred[0]}),
        preferred[0],
        found,
        accounts,
    )


def _list_senders(
    visit: Visit, ground: _Ground, values: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return who may stand in From with the chosen account; [] where there is no choice."""
    wanted = values.get("account") or (ground.resolved.scope_account_id if ground.resolved else "")
    document = next((each.document for each in ground.accounts if each.id == wanted), {})
    if not document.get("senders") or document.get("always_use_address"):
        return []
    own = document.get("sender", {}).get("address") or visit._("As configured")
    others = [each["address"] for each in document["senders"]]
    return [("", own), *((each, each) for each in others)]


def _list_fields(visit: Visit, ground: _Ground, found: FoundTemplate) -> list[dict[str, Any]]:
    given = ground.resolved.macros if ground.resolved else {}
    fields = []
    for name in list_macros(found):
        macro = BY_NAME.get(name)
        value = given.get(name)
        fields.append(
            {
                "name": MACRO + name,
                "label": name,
                "type": "date" if macro and macro.type == "date" else "text",
                "hint": macro.meaning[visit.language] if macro else "",
                "placeholder": value if isinstance(value, str) else "",
            }
        )
    return fields
