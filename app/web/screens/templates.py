"""The list of templates, each text by itself in a frame, and the languages side by side."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.list_templates import ListedTemplate, list_templates
from app.outbox.reach import narrow_to_visible
from app.outbox.tables import message
from app.templates_engine.builtin import BUILTIN_LANGUAGES
from app.web.form import Filled
from app.web.frame import frame_html, frame_lines, frame_text
from app.web.screens.templates_ground import (
    Which,
    may_write,
    open_text,
    read_which,
    render_sample,
)
from app.web.visit import TheVisit, Visit
from app.web.words import mark

router = APIRouter()
_LOOKS_BACK = 5000  # messages that are asked which template they used
ABOUT: Mapping[str, str] = {
    "document": mark("One document, such as an invoice"),
    "documents": mark("Several documents in one mail"),
    "contract": mark("A contract"),
    "overdue-reminder": mark("A reminder of what is overdue, in three levels"),
    "test": mark("The test message"),
}


@router.get("/templates")
async def show_list(visit: TheVisit) -> Response:
    """List every name that a send may use, with the origin of each language."""
    which = read_which(visit.caller, visit.request.query_params)

    def read(tx: Connection) -> tuple[list[ListedTemplate], dict[str, datetime]]:
        return list_templates(tx, which.user), _read_last_uses(tx, visit.caller)

    listed, uses = await visit.office.db.read(read)
    return visit.render(
        "templates.html",
        user=which.user,
        can_write=may_write(visit.caller, which.user),
        form=Filled({"user": which.user or "", "language": visit.language}),
        rows=[_show(visit, which, each, uses.get(each.name)) for each in listed],
        most=_LOOKS_BACK,
    )


@router.get("/templates/languages")
async def show_languages(visit: TheVisit) -> Response:
    """Show one template in all its languages, side by side."""
    which = read_which(visit.caller, visit.request.query_params)
    listed = await visit.office.db.read(list_templates, which.user)
    variants = next((each.variants for each in listed if each.name == which.name), ())
    there = {each.language: each.origin for each in variants if not each.dormant}
    languages = [*there, *(each for each in BUILTIN_LANGUAGES if each not in there)]
    return visit.render(
        "templates_languages.html",
        which=replace(which, language=None),
        columns=[
            {
                "language": each,
                "origin": there.get(each),
                "edit": replace(which, language=each).link("edit"),
                "frame": replace(which, language=each).link("shown"),
            }
            for each in languages
        ],
    )


@router.get("/templates/shown")
async def show_filled(visit: TheVisit, view: str = "html") -> Response:
    """Show a template as it is stored, with sample values."""
    which = read_which(visit.caller, visit.request.query_params)
    opened = await visit.office.db.read(open_text, visit.caller, which)
    if opened.origin is None or not opened.is_own:
        return frame_lines(visit._("There is no such template."), [], 404)
    rendered = await asyncio.to_thread(
        render_sample,
        opened.ground,
        opened.text,
        opened.which.language or "",
        visit.office.settings.max_rendered_bytes,
    )
    if rendered.html is None or view == "text":
        return frame_text(rendered.text)
    return frame_html(rendered.html)


def name_origin(visit: Visit, origin: str) -> str:
    """Return where a text comes from, in words."""
    if origin == "builtin":
        return visit._("built-in")
    return visit._("common") if origin == "global" else visit._("personal")


def _show(
    visit: Visit, which: Which, each: ListedTemplate, used: datetime | None
) -> dict[str, Any]:
    own = Which(which.user, each.name)
    return {
        "name": each.name,
        "about": visit._(ABOUT[each.name]) if each.name in ABOUT else "",
        "edit": own.link("edit"),
        "compare": own.link("languages"),
        "used": used,
        "variants": [
            {
                "language": variant.language,
                "origin": name_origin(visit, variant.origin),
                "kind": "" if variant.origin == "builtin" else "good",
                "is_dormant": variant.dormant,
                "edit": replace(own, language=variant.language).link("edit"),
            }
            for variant in each.variants
        ],
    }


def _read_last_uses(tx: Connection, caller: Caller) -> dict[str, datetime]:
    """Return when each template was used last, as far as the newest messages say."""
    query = narrow_to_visible(select(message.c.template, message.c.created_at), caller)
    uses: dict[str, datetime] = {}
    for template, at in tx.execute(query.order_by(message.c.id.desc()).limit(_LOOKS_BACK)):
        if template:
            uses.setdefault(template["name"], at)
    return uses
