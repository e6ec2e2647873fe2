"""The editor of one template: look, check, preview, save, try, go back.

Works on a plain textarea; scripts make an editor of it (``static/editor.js``), ask for the check
while somebody types, and post the same form into the preview's frame.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from app.configuration import stored_templates
from app.configuration.rights import require_writer
from app.configuration.stored_templates import SavedTemplate, Text, name_template
from app.errors import AwizoError, Notice, Refused, Stale
from app.outbox.follow import configuration_changed
from app.templates_engine.catalogue import BY_NAME, CATALOGUE
from app.templates_engine.lint import lint
from app.templates_engine.parse import MAX_TEMPLATE_BYTES, compile_template
from app.web.faults import say_all
from app.web.form import Filled, Form, TheForm, place_faults
from app.web.frame import frame_html, frame_lines, frame_text
from app.web.policy import allow_styles
from app.web.screens.templates import name_origin
from app.web.screens.templates_ground import (
    Ground,
    Opened,
    Which,
    open_text,
    read_ground,
    read_which,
    render_sample,
)
from app.web.visit import TheVisit, Visit
from app.web.words import mark

router = APIRouter()
_FIELDS = {"/subject": "subject", "/body": "body", "/requires": "requires", "": ""}
_LINE = re.compile(r"^Line (\d+): (.*)", re.DOTALL)
_WHAT = re.compile(r"^(\S.*?) (?:is not in|stays as|has no partner|has no value)")
NOTICES: Mapping[str, str] = {
    "unknown_name": mark("%(what)s has no value; it is empty."),
    "unknown_macro": mark("%(what)s is no macro that Awizo knows; it stays as it is written."),
    "macro_not_filled": mark("%(what)s stays as it is: no values in styles, scripts, comments."),
    "remote_image": mark("Many mail programs hide an image from the web until its reader asks."),
    "image_without_alt": mark("An image without a text in its place (alt)."),
    "not_shown_in_mail": mark("Mail programs ignore this element."),
    "text_behind_html": mark("There is text behind </html>."),
    "template_near_limit": mark("The text is nearly as long as it may be."),
    "subject_empty": mark("The subject is empty."),
    "html_end_missing": mark("</html> is missing at the end."),
    "optional_part_unbalanced": mark("%(what)s has no partner."),
    "template_dormant": mark("It applies once the user's own configuration is chosen to send."),
    "unsafe_url": mark("A value is not an address of the web; # stands in its place."),
    "unsafe_style": mark("A value cannot stand in a style; it is left out."),
}


@dataclass(frozen=True, slots=True)
class _Check:
    """What is to be said of a text. subject: as it comes out. notices: {line, place, text}."""

    size_bytes: int
    subject: str
    notices: list[dict[str, Any]]
    faults: list[str]


@router.get("/templates/edit")
async def show_editor(visit: TheVisit) -> Response:
    """Show a text to edit, or to look at where somebody may only look."""
    which = read_which(visit.caller, visit.request.query_params)
    opened = await visit.office.db.read(open_text, visit.caller, which)
    return await _show(visit, opened, _fill(opened))


@router.post("/templates/save")
async def save(visit: TheVisit, form: TheForm) -> Response:
    """Save a text as the newest version of its scope."""
    which, text = read_which(visit.caller, form.values()), read_text(form)
    require_writer(visit.caller, which.user)
    try:
        saved = await visit.office.db.write(_put, visit, which, text, _expect(form.get("version")))
    except (Refused, Stale) as error:
        return await _show_again(visit, which, form, error)
    warnings = [say_notice(visit, each)["text"] for each in saved.notices]
    done = visit._("Saved as version %(version)s.") % {"version": saved.version.version}
    return visit.go(which.link("edit"), done=done, warn=warnings)


@router.post("/templates/remove")
async def remove(visit: TheVisit, form: TheForm) -> Response:
    """Go back to the wider scope's text, or the built-in one."""
    which = read_which(visit.caller, form.values())
    require_writer(visit.caller, which.user)

    def delete(tx: Connection) -> None:
        key = name_template(tx, which.user, which.name, which.language)
        stored_templates.delete_template(tx, visit.caller, key, visit.at, lambda version: None)

    await visit.office.db.write(delete)
    done = visit._("Removed. Its versions stay, and can be restored.")
    return visit.go(which.link("edit"), done=done)


@router.post("/templates/check")
async def check(visit: TheVisit, form: TheForm) -> Response:
    """Say what is doubtful; for htmx the panel alone."""
    which = read_which(visit.caller, form.values())
    if not visit.is_part:
        return await _show_again(visit, which, form, None)
    ground = await visit.office.db.read(read_ground, which.user)
    found = await _check(visit, ground, read_text(form), which.language or "pl")
    return visit.render("templates_check.html", check=found, most=MAX_TEMPLATE_BYTES)


@router.post("/templates/preview")
async def preview(visit: TheVisit, form: TheForm) -> Response:
    """Show the text in the form with sample values, in a frame."""
    which = read_which(visit.caller, form.values())
    ground = await visit.office.db.read(read_ground, which.user)
    try:
        rendered = await asyncio.to_thread(
            render_sample, ground, read_text(form), which.language or "pl", _most(visit)
        )
    except Refused as error:
        lines = [fault.detail for fault in error.faults]
        return frame_lines(visit._("It cannot be sent like this:"), lines, error.status)
    if rendered.html is None or form.get("view") == "text":
        return frame_text(rendered.text)
    return frame_html(rendered.html)


def read_text(form: Form) -> Text:
    """Return the text in a form."""
    requires = [each.strip() for each in re.split(r"[,;\n]", form.get("requires"))]
    return Text(
        form.get("subject"),
        form.get("body"),
        tuple(each.strip("{}") for each in requires if each),
        form.get("strict") == "on",
    )


def say_notice(visit: Visit, notice: Notice) -> dict[str, Any]:
    """Return a notice in the visitor's language, with its line (0: of no line) and its field."""
    line = _LINE.match(notice.detail)
    detail = line[2] if line else notice.detail
    if visit.language != "en" and notice.code in NOTICES:
        what = _WHAT.match(detail)
        detail = visit._(NOTICES[notice.code]) % {"what": what[1] if what else ""}
    return {
        "line": int(line[1]) if line else 0,
        "place": "subject" if notice.pointer == "/subject" else "body",
        "text": detail[:1].upper() + detail[1:],
    }


async def show_tried(
    visit: Visit, which: Which, form: Form, error: AwizoError | None, message_id: str | None
) -> Response:
    """Show the editor again after a test, with what came of it."""
    return await _show_again(visit, which, form, error, tried=message_id)


async def _show_again(
    visit: Visit, which: Which, form: Form, error: AwizoError | None, tried: str | None = None
) -> Response:
    opened = await visit.office.db.read(open_text, visit.caller, which)
    names = _FIELDS | {"/to": "to"}
    errors = place_faults(error.faults, names, say_all(visit)) if error else {}
    if error and not errors:
        errors = {"": say_all(visit).get(error.code) or error.detail}
    filled = Filled({**_fill(opened).values, **form.values()}, errors)
    return await _show(visit, opened, filled, error.status if error else 200, tried=tried)


async def _show(
    visit: Visit, opened: Opened, form: Filled, status: int = 200, tried: str | None = None
) -> Response:
    which = opened.which
    text = Text(
        form.value("subject"), form.value("body"),
        tuple(each.strip() for each in form.value("requires").split(",") if each.strip()),
        form.value("strict") == "on",
    )  # fmt: skip
    nonce = secrets.token_urlsafe(16)
    response = visit.render(
        "templates_edit.html",
        status,
        opened=opened,
        which=which,
        form=form,
        origin=name_origin(visit, opened.origin) if opened.origin else "",
        can_remove=opened.can_write and opened.stored is not None,
        check=await _check(visit, opened.ground, text, which.language or "pl"),
        most=MAX_TEMPLATE_BYTES,
        macros=[
            {
                "name": macro.name,
                "meaning": macro.meaning[visit.language],
                "spellings": [macro.name, *macro.aliases],
            }
            for macro in CATALOGUE
        ],
        own_macros=_list_own_macros(opened.ground),
        tried=tried,
        once=secrets.token_urlsafe(16),
        nonce=nonce,
    )
    response.headers["Content-Security-Policy"] = allow_styles(nonce)
    return response


def _list_own_macros(ground: Ground) -> list[str]:
    given = ground.resolved.macros if ground.resolved else {}
    return sorted(name for name in given if name not in BY_NAME)


def _fill(opened: Opened) -> Filled:
    text, which, ground = opened.text, opened.which, opened.ground
    sender = ground.resolved.sender if ground.resolved else None
    to = ground.person.address if ground.person else None
    return Filled(
        {
            "name": which.name,
            "language": which.language or "",
            "user": which.user or "",
            "level": str(which.level),
            "subject": text.subject,
            "body": text.body,
            "requires": ", ".join(text.requires),
            "strict": "on" if text.strict_macros else "",
            "version": str(opened.stored.version if opened.stored is not None else 0),
            "to": to or (sender.address if sender else ""),
        }
    )


async def _check(visit: Visit, ground: Ground, text: Text, language: str) -> _Check:
    return await asyncio.to_thread(_check_here, visit, ground, text, language)


def _check_here(visit: Visit, ground: Ground, text: Text, language: str) -> _Check:
    size_bytes = len((text.subject + text.body).encode(errors="replace"))
    words = say_all(visit)
    try:
        compiled = compile_template(text.subject, text.body)
        known = (*text.requires, *(ground.resolved.macros if ground.resolved else ()))
        notices = lint(compiled, known)
        rendered = render_sample(ground, text, language, _most(visit))
    except Refused as error:
        faults = [words.get(each.code) or each.detail for each in error.faults]
        return _Check(size_bytes, "", [], faults)
    told = [say_notice(visit, each) for each in notices]
    unsafe = [each for each in rendered.warnings if each.code.startswith("unsafe_")]
    told += [say_notice(visit, each) for each in unsafe]
    return _Check(size_bytes, rendered.subject, told, [])


def _put(
    tx: Connection, visit: Visit, which: Which, text: Text, expect: Callable[[int], None]
) -> SavedTemplate:
    key = name_template(tx, which.user, which.name, which.language)
    saved = stored_templates.put_template(tx, visit.caller, key, text, visit.at, expect)
    if saved.account_id is not None:
        configuration_changed(tx, saved.account_id, visit.at)
    return saved


def _expect(version: str) -> Callable[[int], None]:
    return partial(_require_version, version)


def _require_version(expected: str, version: int) -> None:
    if expected.isdecimal() and int(expected[:9]) != version:
        raise Stale("Somebody saved it since you opened it. Look at the versions below.")


def _most(visit: Visit) -> int:
    return visit.office.settings.max_rendered_bytes
