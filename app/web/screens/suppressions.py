"""Who is not to be written to: searched, added, taken off (which can be undone), brought in and out."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.errors import AwizoError, Fault, Refused, refuse
from app.outbox import suppressions
from app.outbox.find import read_address
from app.outbox.suppressions import Entry, Listed, Wished
from app.web.day import read_last_day
from app.web.faults import say, say_all
from app.web.form import Filled, TheForm, place_faults
from app.web.screens.compose_form import TheLetter
from app.web.visit import TheVisit, Visit
from app.web.words import mark

router = APIRouter()
_PAGE = 50
_PATH = "/ui/suppressions"
_MOST_SHOWN = 20
_SEARCHES = ("address", "scope", "reason", "state")
_FIELDS = ("address", "scope", "reason", "note")
_POINTERS = {f"/0/{name}": name for name in (*_FIELDS, "expires_at")} | {"/until": "until"}
REASONS = {
    "manual": mark("entered by hand"),
    "unsubscribed": mark("unsubscribed"),
    "hard_bounce": mark("the address does not exist"),
    "complaint": mark("complained"),
}


@router.get("/suppressions")
async def list_suppressions(visit: TheVisit, after: str = "") -> Response:
    """List them, the newest first."""
    return await _show(visit, Filled({"reason": "manual"}), after=after)


@router.get("/suppressions/export")
async def export(visit: TheVisit) -> Response:
    """Return those that the list shows, all pages, as a table."""
    wished, _, _ = _read_wished(visit)
    rows = await visit.office.db.read(suppressions.list_suppressions, visit.caller, wished)
    return Response(
        await asyncio.to_thread(visit.readers.table, rows),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="suppressions.csv"'},
    )


@router.post("/suppressions")
async def add(visit: TheVisit, form: TheForm) -> Response:
    """Suppress an address; what waits for it stops at once."""
    visit.caller.require("admin", "user")
    until, faults = read_last_day(visit, form.get("until"), "/until")
    given = {name: form.get(name).strip() for name in _FIELDS if form.get(name).strip()}
    if until is not None:
        given["expires_at"] = until.isoformat()
    try:
        entries: list[Entry] = []
        try:
            entries = _read(visit, "application/json", json.dumps([given]).encode())
        except Refused as error:
            faults += error.faults
        refuse(faults)
        done = await _write(visit, entries, alone=True)
    except Refused as error:
        names = _POINTERS | {"/0/expires_at": "until"}
        filled = Filled(form.values(), place_faults(error.faults, names, say_all(visit)))
        return await _show(visit, filled, status=error.status)
    words = visit._("%(address)s gets no more mail.") % {"address": entries[0].address.address}
    stopped = visit.ngettext(
        "%(num)s message that waited was stopped.", "%(num)s messages that waited were stopped.",
        done.stopped,
    ) % {"num": done.stopped}  # fmt: skip
    return visit.go(_PATH, done=f"{words} {stopped}" if done.stopped else words)


@router.post("/suppressions/import")
async def bring_in(visit: TheVisit, letter: TheLetter) -> Response:
    """Suppress many addresses: all of a file, or none and every wrong line is told."""
    visit.caller.require("admin", "user")
    if not letter.files:
        return await _show(visit, Filled({}, {"file": visit._("Choose a file.")}), status=422)
    (file, *_) = letter.files
    is_json = file.filename.lower().endswith(".json")
    try:
        media_type = "application/json" if is_json else "text/csv"
        entries = await asyncio.to_thread(_read, visit, media_type, file.content)
        done = await _write(visit, entries)
    except AwizoError as error:
        words = say_all(visit)
        told = [
            f"{each.pointer.lstrip('/') or '–'}: {words.get(each.code) or each.detail}"
            for each in error.faults[:_MOST_SHOWN]
        ] or [words.get(error.code) or say(visit, error.code, error.detail)]
        return await _show(
            visit, Filled({}, {"file": visit._("Nothing was brought in.")}), told=told,
            status=error.status,
        )  # fmt: skip
    words_done = visit._("Brought in: %(created)s new, %(changed)s changed, of %(lines)s.")
    counts = {"created": done.created, "changed": done.changed, "lines": len(entries)}
    return visit.go(_PATH, done=words_done % counts)


@router.post("/suppressions/{suppression_id}/lift")
async def lift(visit: TheVisit, suppression_id: str, form: TheForm) -> Response:
    """Take an address off the list; the next page can undo it."""
    visit.caller.require("admin", "user")

    def run(tx: Connection) -> Row[Any]:
        row = suppressions.read_suppression(tx, visit.caller, suppression_id)
        suppressions.lift(tx, visit.caller, suppression_id, visit.at)
        return row

    row = await visit.office.db.write(run)
    fields = {name: str(getattr(row, name)) for name in _FIELDS}
    if row.expires_at is not None:
        fields["until"] = row.expires_at.isoformat()
    done = visit._("%(address)s may be written to again. Stopped mail is not sent by itself.")
    is_over = row.expires_at is not None and row.expires_at <= visit.at
    undo = None if is_over else (_PATH, fields)
    return visit.go(_PATH, done=done % {"address": row.address}, undo=undo)


def _read(visit: Visit, media_type: str, raw: bytes) -> list[Entry]:
    return visit.readers.suppressions(media_type, raw, visit.caller, visit.at)


async def _write(visit: Visit, entries: list[Entry], *, alone: bool = False) -> Listed:
    def run(tx: Connection) -> Listed:
        wrong = suppressions.find_unknown_scopes(tx, {each.scope for each in entries})
        refuse(
            Fault(f"/{index}/scope", fault.code, fault.detail)
            for index, each in enumerate(entries)
            if (fault := wrong.get(each.scope)) is not None
        )
        if alone:
            return suppressions.put_suppression(tx, visit.caller, entries[0], visit.at)
        return suppressions.import_suppressions(tx, visit.caller, entries, visit.at)

    done = await visit.office.db.write(run)
    visit.office.db.ring("verdict")
    return done


def _read_wished(visit: Visit) -> tuple[Wished, dict[str, str], str]:
    """Return what the list is narrowed to, as it was typed too, and what is wrong with it."""
    query = visit.request.query_params
    given = {name: query.get(name, "").strip() for name in _SEARCHES}
    address, wrong = None, ""
    if given["address"]:
        try:
            address = read_address(given["address"])
        except Refused as error:
            wrong = say_all(visit).get(error.code) or error.detail
    active = {"active": True, "ended": False}.get(given["state"])
    reason = given["reason"] if given["reason"] in REASONS else None
    scope = given["scope"] if visit.caller.user is None else ""
    wished = Wished(visit.at, address, scope or None, reason, active)
    return wished, {name: value for name, value in given.items() if value}, wrong


async def _show(
    visit: Visit,
    form: Filled,
    *,
    after: str = "",
    told: Sequence[str] = (),
    status: int = 200,
) -> Response:
    visit.caller.require("admin", "sender", "user")
    wished, wanted, wrong = _read_wished(visit)
    rows: Sequence[Row[Any]] = ()
    if not wrong:
        rows = await visit.office.db.read(
            suppressions.list_suppressions, visit.caller, wished, before=after or None,
            limit=_PAGE + 1,
        )  # fmt: skip
    return visit.render(
        "suppressions.html",
        status,
        form=form,
        rows=rows[:_PAGE],
        following=rows[_PAGE - 1].id if len(rows) > _PAGE else "",
        wanted=wanted,
        wrong=wrong,
        told=told,
        reasons=REASONS,
        offered=[(name, visit._(text)) for name, text in REASONS.items()],
        at=visit.at,
    )
