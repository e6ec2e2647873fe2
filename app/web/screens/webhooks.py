"""Webhooks: what is told to which program, how that goes, and what to do when it does not."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Row

from app.accounts.people import find_wrong_in_user_id
from app.errors import Conflict, Fault, Refused, Stale
from app.web.faults import say, say_all
from app.web.form import Filled, Form, TheForm, place_faults
from app.web.screens import webhooks_words as words
from app.web.visit import TheVisit, Visit
from app.webhooks import edit, log
from app.webhooks.edit import MOST_WEBHOOKS
from app.webhooks.postman import send
from app.webhooks.wishes import MOST_PATTERNS, MOST_URL_CHARACTERS, Wish

router = APIRouter()
_PATH = "/ui/webhooks"
_PAGE = 50
_MOST_TRIES = 12  # of one delivery that are shown
_MOST_NAME = 200
_POINTERS = {"/url": "url", "/events": "events", "/name": "name", "/user": "user"}


@router.get("/webhooks")
async def list_webhooks(visit: TheVisit) -> Response:
    """List the webhooks and how each is doing."""
    visit.caller.require("admin")
    rows = await visit.office.db.read(log.list_webhooks, after=None, limit=MOST_WEBHOOKS)
    return visit.render("webhooks.html", rows=rows, most=MOST_WEBHOOKS, off_words=words.OFF_WORDS)


@router.get("/webhooks/new")
async def show_new(visit: TheVisit) -> Response:
    """Show an empty form."""
    visit.caller.require("admin")
    return _show_new(visit, Filled({"on.*": "on"}))


@router.post("/webhooks/new")
async def create(visit: TheVisit, form: TheForm) -> Response:
    """Make a webhook; this page is the only place where its secret can be read."""
    visit.caller.require("admin")
    policy = visit.office.policy(any_port=True)
    try:
        row, secret = await visit.office.db.write(
            edit.create_webhook, visit.office.vault, visit.caller, _read(visit, form), policy,
            visit.at,
        )  # fmt: skip
    except Refused as error:
        return _show_new(visit, _refill(visit, form, error), error.status)
    except Conflict as error:
        return visit.go(_PATH, warn=[say(visit, error.code, error.detail)])
    return visit.render("webhooks_secret.html", row=row, secret=secret, is_new=True)


@router.get("/webhooks/{webhook_id}")
async def show(visit: TheVisit, webhook_id: str, state: str = "", after: str = "") -> Response:
    """Show one webhook, its log and what can be done."""
    return await _show(visit, webhook_id, state=state, after=after)


@router.post("/webhooks/{webhook_id}")
async def save(visit: TheVisit, webhook_id: str, form: TheForm) -> Response:
    """Change where it goes and what it is told; another address has what waits tried at once."""
    visit.caller.require("admin")
    known = form.get("version")

    def change(row: Row[Any]) -> Wish:
        if known and known != str(row.version):
            raise Stale("It was changed since you opened it.")
        return _read(visit, form, enabled=row.enabled)

    policy = visit.office.policy(any_port=True)
    try:
        await visit.office.db.write(
            edit.change_webhook, visit.caller, webhook_id, change, policy, visit.at
        )
    except Refused as error:
        filled = _refill(visit, form, error)
        return await _show(visit, webhook_id, filled, status=error.status)
    except Stale as error:
        filled = Filled(form.values(), {"": say(visit, error.code, error.detail)})
        return await _show(visit, webhook_id, filled, status=error.status)
    return visit.go(f"{_PATH}/{webhook_id}", done=visit._("Saved."))


@router.post("/webhooks/{webhook_id}/switch")
async def switch(visit: TheVisit, webhook_id: str, form: TheForm) -> Response:
    """Switch it on, where it stopped or from now, or off."""
    visit.caller.require("admin")
    path = f"{_PATH}/{webhook_id}"
    if "on" in form:
        skips = form.get("on") == "skip"
        await visit.office.db.write(
            edit.resume_webhook, visit.caller, webhook_id, skip_missed=skips, at=visit.at
        )
        return visit.go(path, done=visit._("It is switched on."))

    def put_off(row: Row[Any]) -> Wish:
        return Wish(row.url, tuple(row.events), row.name, row.user_id, enabled=False)

    policy = visit.office.policy(any_port=True)
    await visit.office.db.write(
        edit.change_webhook, visit.caller, webhook_id, put_off, policy, visit.at
    )
    done = visit._("It is switched off. What happens meanwhile is kept for four days.")
    return visit.go(path, done=done)


@router.post("/webhooks/{webhook_id}/test")
async def test(visit: TheVisit, webhook_id: str, form: TheForm) -> Response:
    """Send a test now and say what the receiver made of it."""
    visit.caller.require("admin")
    job = await visit.office.db.read(log.prepare_test, webhook_id, visit.at)
    answer = await send(visit.office, job)
    await visit.office.db.write(log.note_test, visit.caller, job, answer, visit.at)
    path = f"{_PATH}/{webhook_id}"
    if answer.error is None:
        said = visit._("The receiver took the test: it answered %(code)s after %(ms)s ms.")
        return visit.go(path, done=said % {"code": answer.code, "ms": answer.ms})
    said = visit._("The test failed after %(ms)s ms. %(why)s")
    why = words.describe_trouble(visit, answer.code, answer.error)
    # The room's sentence says more where there was no answer, or where it leads.
    more = [] if answer.code and answer.code >= 400 else [answer.error]
    return visit.go(path, warn=[said % {"ms": answer.ms, "why": why}, *more])


@router.post("/webhooks/{webhook_id}/rotate")
async def rotate(visit: TheVisit, webhook_id: str, form: TheForm) -> Response:
    """Make a new secret, shown on this page alone; the old one counts until the overlap ends."""
    visit.caller.require("admin")
    chosen = form.get("overlap_s")
    overlap_s = int(chosen) if chosen in words.OVERLAPS else 86_400
    row, secret = await visit.office.db.write(
        edit.rotate_secret, visit.office.vault, visit.caller, webhook_id, overlap_s=overlap_s,
        at=visit.at,
    )  # fmt: skip
    return visit.render("webhooks_secret.html", row=row, secret=secret, is_new=False)


@router.post("/webhooks/{webhook_id}/delete")
async def delete(visit: TheVisit, webhook_id: str, form: TheForm) -> Response:
    """Forget a webhook, its secret and its log."""
    visit.caller.require("admin")
    await visit.office.db.write(edit.delete_webhook, visit.caller, webhook_id, visit.at)
    return visit.go(_PATH, done=visit._("The webhook is deleted; nothing more is sent to it."))


@router.post("/webhooks/{webhook_id}/redeliver")
async def redeliver(visit: TheVisit, webhook_id: str, form: TheForm) -> Response:
    """Try one delivery again, or all that were given up."""
    visit.caller.require("admin")
    path = f"{_PATH}/{webhook_id}"
    one = form.get("delivery")
    try:
        if one:
            args = (visit.caller, webhook_id, one, visit.at)
            await visit.office.db.write(log.redeliver, *args)
            return visit.go(path, done=visit._("It is tried again now."))
        number = await visit.office.db.write(
            log.redeliver_given_up, visit.caller, webhook_id, visit.at
        )
    except Conflict as error:
        return visit.go(path, warn=[say(visit, error.code, error.detail)])
    said = visit.ngettext(
        "%(num)s delivery is tried again now.", "%(num)s deliveries are tried again now.", number
    )
    return visit.go(path, done=said % {"num": number})


def _read(visit: Visit, form: Form, *, enabled: bool = True) -> Wish:
    """Return what a form asks for; what is wrong with it goes along, to be told with the rest."""
    url, name, user = (form.get(each).strip() for each in ("url", "name", "user"))
    events = _read_events(form)
    faults = []
    if not url:
        faults.append(Fault("/url", "required", "Give the address."))
    elif len(url) > MOST_URL_CHARACTERS:
        faults.append(Fault("/url", "too_long", "This URL is too long."))
    if not events:
        faults.append(Fault("/events", "nothing_chosen", visit._("Choose at least one of these.")))
    elif len(events) > MOST_PATTERNS:
        faults.append(Fault("/events", "too_many", f"Choose {MOST_PATTERNS} at most."))
    if len(name) > _MOST_NAME:
        faults.append(Fault("/name", "too_long", f"Give {_MOST_NAME} characters at most."))
    elif not name.isprintable():
        faults.append(Fault("/name", "invalid_character", "A name is one line of text."))
    if user and (wrong := find_wrong_in_user_id(user)):
        faults.append(Fault("/user", "invalid_user", wrong))
    return Wish(url, events, name, user or None, enabled, tuple(faults))


def _read_events(form: Form) -> tuple[str, ...]:
    """Return the patterns that are ticked, without those that a wider one holds."""
    ticked = [name.removeprefix("on.") for name in form.values() if name.startswith("on.")]
    if "*" in ticked:
        return ("*",)
    wide = {each.removesuffix("*") for each in ticked if each.endswith(".*")}
    return tuple(
        each for each in ticked if each.endswith(".*") or f"{each.partition('.')[0]}." not in wide
    )


def _refill(visit: Visit, form: Form, error: Refused) -> Filled:
    return Filled(form.values(), place_faults(error.faults, _POINTERS, say_all(visit)))


def _fill(row: Row[Any]) -> Filled:
    values = {"url": row.url, "name": row.name, "user": row.user_id or ""}
    return Filled(values | {f"on.{each}": "on" for each in row.events})


def _name_form(visit: Visit, stored: Sequence[str]) -> dict[str, Any]:
    return {"areas": words.list_types(visit, stored), "area_words": words.AREA_WORDS}


def _show_new(visit: Visit, form: Filled, status: int = 200) -> Response:
    return visit.render("webhooks_new.html", status, form=form, **_name_form(visit, ()))


async def _show(
    visit: Visit,
    webhook_id: str,
    form: Filled | None = None,
    *,
    state: str = "",
    after: str = "",
    status: int = 200,
) -> Response:
    visit.caller.require("admin")
    wanted = state if state in words.STATES else None
    shown = await visit.office.db.read(log.find_webhook, webhook_id)
    found = await visit.office.db.read(
        log.list_deliveries, webhook_id, state=wanted, before=after or None, limit=_PAGE + 1
    )
    return visit.render(
        "webhooks_one.html",
        status,
        shown=shown,
        form=form or _fill(shown.row),
        lines=[(each.row, each.attempts[-_MOST_TRIES:]) for each in found[:_PAGE]],
        following=found[_PAGE - 1].row.id if len(found) > _PAGE else "",
        wanted=wanted or "",
        at=visit.at,
        states=words.STATES,
        badges=words.BADGES,
        off_words=words.OFF_WORDS,
        overlaps=words.OVERLAPS,
        describe_type=lambda type: words.describe_type(visit, type),
        explain=lambda code, error: words.describe_trouble(visit, code, error),
        **_name_form(visit, shown.row.events),
    )
