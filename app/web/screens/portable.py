"""All that is configured as one file: taken out, and brought in after its difference was shown."""

import asyncio
import hashlib
import json
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from app.configuration.bring_in import BroughtIn, bring_in
from app.configuration.portable import Given
from app.errors import AwizoError, Stale
from app.outbox.follow import configuration_changed
from app.web.faults import say, say_all
from app.web.screens.compose_form import TheLetter
from app.web.visit import TheVisit, Visit
from app.web.words import mark

router = APIRouter()
_PATH = "/ui/portable"
_MOST_SHOWN = 50
KINDS = {
    "created": mark("new"),
    "changed": mark("changed"),
    "unchanged": mark("the same"),
    "kept": mark("not in the file, stays"),
}


@router.get("/portable")
async def show(visit: TheVisit) -> Response:
    """Offer the file, and ask for one."""
    visit.caller.require("admin")
    return _show(visit)


@router.get("/portable/export")
async def export(visit: TheVisit) -> Response:
    """Return everything that is configured as a file, without secrets."""
    visit.caller.require("admin")
    document = await visit.office.db.read(visit.readers.write_portable, visit.at)
    raw = await asyncio.to_thread(json.dumps, document, ensure_ascii=False, indent=1)
    name = f"awizo-{visit.at.astimezone(visit.zone):%Y-%m-%d}.json"
    return Response(
        raw,
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/portable/import")
async def bring_file_in(visit: TheVisit, letter: TheLetter) -> Response:
    """Show what a file would change; what was shown so is applied."""
    visit.caller.require("admin")
    raw = letter.files[0].content if letter.files else letter.form.get("document").encode()
    if not raw.strip():
        return _show(visit, told=[visit._("Choose a file.")], status=422)
    seen = "" if letter.files else letter.form.get("seen")
    try:
        given = await asyncio.to_thread(visit.readers.portable, raw)
        done = await _run(visit, given, seen)
        text = raw.decode("utf-8-sig")
    except AwizoError as error:
        words = say_all(visit)
        told = [
            f"{each.pointer or '–'}: {words.get(each.code) or each.detail}"
            for each in error.faults[:_MOST_SHOWN]
        ] or [say(visit, error.code, error.detail)]
        return _show(visit, told=told, status=error.status)
    if seen:
        visit.office.db.ring()
        warn = [say(visit, each.code, each.detail) for each in done.notices]
        return visit.go(_PATH, done=visit._("Brought in."), warn=warn)
    return _show(visit, done=done, document=text, seen=_digest(done))


async def _run(visit: Visit, given: Given, seen: str) -> BroughtIn:
    """Bring it in where the difference is the one that was ``seen``; "": only look."""

    def run(tx: Connection) -> BroughtIn:
        done = bring_in(
            tx, visit.office.vault, visit.office.policy(any_port=True), visit.caller, given,
            visit.at, dry_run=not seen,
        )  # fmt: skip
        if seen and seen != _digest(done):
            raise Stale("The configuration was changed meanwhile; look at the difference again.")
        for account_id in sorted(done.account_ids) if seen else ():
            configuration_changed(tx, account_id, visit.at)
        return done

    return await visit.office.db.write(run)


def _digest(done: BroughtIn) -> str:
    said = [(each.object, each.kind, list(each.members)) for each in done.changes]
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()


def _show(
    visit: Visit,
    *,
    done: BroughtIn | None = None,
    document: str = "",
    seen: str = "",
    told: list[str] | None = None,
    status: int = 200,
) -> Response:
    changes = [each for each in done.changes if each.kind in ("created", "changed")] if done else []
    kinds: list[str] = [each.kind for each in done.changes] if done else []
    return visit.render(
        "portable.html",
        status,
        is_read=done is not None,
        changes=[(each, [_write(member) for member in each.members]) for each in changes],
        counts=[(visit._(text), kinds.count(kind)) for kind, text in KINDS.items()],
        kinds=KINDS,
        notices=[say(visit, each.code, each.detail) for each in done.notices] if done else [],
        document=document,
        seen=seen,
        told=told or [],
    )


def _write(member: tuple[str, Any, Any]) -> tuple[str, str, str]:
    """Return a member that differs as text."""
    pointer, before, after = member
    return pointer, _cut(before), _cut(after)


def _cut(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}…"
