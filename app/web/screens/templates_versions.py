"""Versions of a template: what changed, and back to an older one; a test mail of what is written."""

import difflib
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.configuration import stored_templates
from app.configuration.rights import require_reader, require_writer
from app.configuration.stored_templates import Text, name_template
from app.errors import AwizoError, Fault, Missing, Refused
from app.mime.address import parse_mailboxes
from app.outbox.order import Order
from app.web.form import TheForm
from app.web.screens.compose_send import send_order
from app.web.screens.templates_edit import read_text, show_tried
from app.web.screens.templates_ground import read_ground, read_which, sample_values
from app.web.visit import TheVisit

router = APIRouter()
_CONTEXT_LINES = 3


@router.get("/templates/version")
async def show_version(visit: TheVisit, version: int) -> Response:
    """Show what an older version had that the one in force has not, and the other way round."""
    which = read_which(visit.caller, visit.request.query_params)
    require_reader(visit.caller, which.user)

    def read(tx: Connection) -> tuple[Row[Any], Row[Any] | None]:
        key = name_template(tx, which.user, which.name, which.language)
        old = stored_templates.read_version(tx, key, version)
        try:
            return old, stored_templates.read_template(tx, key)
        except Missing:
            return old, None

    old, current = await visit.office.db.read(read)
    return visit.render(
        "templates_version.html",
        which=which,
        old=old,
        current=current,
        lines=_compare(old, current),
        can_write=visit.caller.is_admin or visit.caller.user == which.user is not None,
    )


@router.post("/templates/restore")
async def restore(visit: TheVisit, form: TheForm) -> Response:
    """Save an older version again, as the newest."""
    which = read_which(visit.caller, form.values())
    require_writer(visit.caller, which.user)
    number = form.get("version")
    if not number.isdecimal():
        raise Missing("There is no such version.")

    def put(tx: Connection) -> int:
        key = name_template(tx, which.user, which.name, which.language)
        old = stored_templates.read_version(tx, key, int(number[:9]))
        text = Text(old.subject, old.body, tuple(old.requires), old.strict_macros)
        saved = stored_templates.put_template(
            tx, visit.caller, key, text, visit.at, lambda version: None
        )
        return int(saved.version.version)

    new = await visit.office.db.write(put)
    done = visit._("Restored as version %(version)s.") % {"version": new}
    return visit.go(which.link("edit"), done=done)


@router.post("/templates/test")
async def send_test(visit: TheVisit, form: TheForm) -> Response:
    """Send what is written, with sample values, to one address."""
    which, text = read_which(visit.caller, form.values()), read_text(form)
    ground = await visit.office.db.read(read_ground, which.user)
    to, faults = parse_mailboxes(form.get("to"), "/to")
    if not to and not faults:
        faults = (Fault("/to", "required", "Write where the test goes."),)
    macros, documents = sample_values(ground, text.requires)
    order = Order(
        to=to,
        user=which.user,
        language=which.language,
        subject=text.subject,
        body=text.body,
        strict_macros=text.strict_macros,
        macros=macros,
        documents=documents,
    )
    try:
        if len(to) > 1:
            raise Refused("One address.", faults=[Fault("/to", "too_many", "One address.")])
        sent = await send_order(visit, order, list(faults), once=form.get("once"))
    except AwizoError as error:
        return await show_tried(visit, which, form, error, None)
    return await show_tried(visit, which, form, None, sent)


def _compare(old: Row[Any], current: Row[Any] | None) -> list[tuple[str, str]]:
    """Return lines with what they are: ``same``, ``gone`` (since then), ``new``, ``gap``."""
    before = [old.subject, "", *old.body.splitlines()]
    after = [] if current is None else [current.subject, "", *current.body.splitlines()]
    shown: list[tuple[str, str]] = []
    kinds = {" ": "same", "-": "gone", "+": "new", "@": "gap"}
    for line in list(difflib.unified_diff(before, after, lineterm="", n=_CONTEXT_LINES))[2:]:
        kind = kinds.get(line[:1], "same")
        shown.append((kind, "…" if kind == "gap" else line[1:]))
    return shown
