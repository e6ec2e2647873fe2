"""The automatic reply of an account: written, tried with a sample mail, and what became of the last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response
from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.configuration.account_rights import list_caller_rights, require_account
from app.configuration.auto_reply import NAMES, parse_auto_reply
from app.configuration.model import StoredAccount
from app.configuration.save import Save, Saved, patch_configuration
from app.errors import AwizoError, Refused, Stale
from app.inbox.auto_reply import DUE, SENT, list_replies
from app.inbox.reply_preview import Asked, Preview, Sample, preview_reply
from app.web.faults import say, say_all
from app.web.form import Filled, Form, TheForm, place_faults
from app.web.screens.config import change, name_account
from app.web.screens.templates_edit import say_notice
from app.web.visit import TheVisit, Visit
from app.web.words import mark

router = APIRouter()
_MEMBERS = ("enabled", "subject", "body", "engine", "period_h", "from_at", "until_at")
_POINTERS = {f"/auto_reply/{name}": name for name in _MEMBERS} | {"/auto_reply": "body", "": ""}
_POINTERS |= {"/auto_reply/macros": "body"}
ENGINES = {"macros": mark("Macros: {from name}"), "jinja": mark("Jinja: {{ from_name }}")}
STATES: Mapping[str, str] = {
    SENT: mark("answered"),
    DUE: mark("about to be answered"),
    "report": mark("no answer: a report"),
    "null_path": mark("no answer: it wants none (null return path)"),
    "no_sender": mark("no answer: it has no sender"),
    "list": mark("no answer: a mailing list"),
    "machine": mark("no answer: a machine wrote it"),
    "spam": mark("no answer: marked as spam"),
    "not_addressed": mark("no answer: this account is not among its recipients"),
    "old": mark("no answer: it is older than a week"),
    "first_sync": mark("no answer: it was there before the account was collected"),
    "own_address": mark("no answer: an address of an account here"),
    "recent": mark("no answer: this sender got one lately"),
    "suppressed": mark("no answer: the sender is suppressed"),
    "ceiling": mark("no answer: too many in this hour"),
    "off": mark("no answer: the automatic reply is switched off"),
    "not_now": mark("no answer: outside the days that are set"),
    "late": mark("no answer: it waited too long for one"),
    "failed": mark("no answer: it failed"),
}


@dataclass(frozen=True, slots=True)
class _View:
    stored: StoredAccount
    replies: list[Row[Any]]
    may_manage: bool


@router.get("/accounts/{account}/auto-reply")
async def show_auto_reply(visit: TheVisit, account: str) -> Response:
    """Show the reply of an account, and what it did last."""
    view = await _read(visit, account)
    return _show(visit, view, Filled(_fill(visit, view.stored)))


@router.post("/accounts/{account}/auto-reply")
async def save_auto_reply(visit: TheVisit, account: str, form: TheForm) -> Response:
    """Save the reply; nothing else of the account is touched."""

    def check_version(version: int) -> None:
        if form.get("version") not in ("", str(version)):
            raise Stale("It was changed since you opened it; load it again and repeat your change.")

    saved: list[Saved] = []

    def run(tx: Connection) -> StoredAccount:
        stored = require_account(tx, visit.caller, account, "manage")
        save = Save(
            visit.office.vault,
            visit.office.policy(any_port=visit.caller.is_admin),
            visit.caller,
            stored.scope,
            stored.user_id,
            visit.at,
            check_version,
        )
        saved.append(patch_configuration(tx, save, {"auto_reply": _read_wish(visit, form)}))
        return saved[-1].stored

    try:
        await change(visit, run)
    except (Refused, Stale) as error:
        return await _show_again(visit, account, form, error)
    notices = [each for each in saved[-1].notices if (each.pointer or "").startswith("/auto_reply")]
    return visit.go(
        f"/ui/accounts/{quote(account)}/auto-reply",
        done=visit._("Saved."),
        warn=[say_notice(visit, each)["text"] for each in notices],
    )


@router.post("/accounts/{account}/auto-reply/preview")
async def preview_auto_reply(visit: TheVisit, account: str, form: TheForm) -> Response:
    """Show what would be answered to the sample mail; for htmx the panel alone."""

    def find(tx: Connection) -> StoredAccount:
        return require_account(tx, visit.caller, account, "manage")

    stored = await visit.office.db.read(find)
    wish = {name: each for name, each in _read_wish(visit, form).items() if each is not None}
    sample = Sample(form.get("sample_from"), None, form.get("sample_subject"))
    preview, error = None, None
    if form.get("body").strip():  # a form just opened is no mistake
        try:
            preview = await preview_reply(visit.office, stored, Asked(wish, sample))
        except AwizoError as caught:
            error = caught
    if visit.is_part:
        part = _say(visit, preview, _list_wrong(visit, error))
        return visit.render("auto_reply_preview.html", **part)
    if error is not None:
        return await _show_again(visit, account, form, error)
    view = await _read(visit, account)
    return _show(visit, view, Filled(form.values()), preview=preview)


async def _read(visit: Visit, account: str) -> _View:
    def read(tx: Connection) -> _View:
        stored = require_account(tx, visit.caller, account, "read")
        may_manage = "manage" in list_caller_rights(tx, visit.caller, stored)
        return _View(stored, list(list_replies(tx, account)), may_manage)

    return await visit.office.db.read(read)


def _show(
    visit: Visit, view: _View, form: Filled, status: int = 200, *, preview: Preview | None = None
) -> Response:
    return visit.render(
        "auto_reply.html",
        status,
        view=view,
        title=name_account(view.stored.document),
        form=form,
        engines=[(name, visit._(text)) for name, text in ENGINES.items()],
        names=NAMES,
        **_say(visit, preview),
    )


async def _show_again(visit: Visit, account: str, form: Form, error: AwizoError) -> Response:
    view = await _read(visit, account)
    errors = place_faults(error.faults, _POINTERS, say_all(visit))
    errors = errors or {"": say(visit, error.code, error.detail)}
    return _show(visit, view, Filled(form.values(), errors), error.status)


def _say(visit: Visit, preview: Preview | None, wrong: Sequence[str] = ()) -> dict[str, Any]:
    notices = [say_notice(visit, each) for each in preview.notices] if preview else []
    return {"preview": preview, "wrong": wrong, "notices": notices, "states": STATES}


def _list_wrong(visit: Visit, error: AwizoError | None) -> list[str]:
    if error is None:
        return []
    said = say_all(visit)
    lines = [said.get(each.code) or each.detail for each in error.faults]
    return lines or [say(visit, error.code, error.detail)]


def _fill(visit: Visit, stored: StoredAccount) -> dict[str, str]:
    """Return the form of what is stored, and a sample mail."""
    wish = parse_auto_reply(stored.document.get("auto_reply"))
    sample = Sample()
    return {
        "enabled": "on" if wish.enabled else "",
        "subject": wish.subject,
        "body": wish.body,
        "engine": wish.engine,
        "period_h": str(wish.period_h),
        "from_at": _write_time(visit, wish.from_at),
        "until_at": _write_time(visit, wish.until_at),
        "version": str(stored.version),
        "sample_from": sample.from_,
        "sample_subject": sample.subject,
    }


def _write_time(visit: Visit, at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(visit.zone):%Y-%m-%dT%H:%M}"


def _read_wish(visit: Visit, form: Form) -> dict[str, Any]:
    """Return the member as the form has it; None for what is not filled in."""
    period = form.get("period_h").strip()
    return {
        "enabled": form.get("enabled") == "on",
        "subject": form.get("subject").strip() or None,
        "body": form.get("body") or None,
        "engine": form.get("engine") or None,
        "period_h": int(period) if period.isdecimal() and len(period) < 9 else period or None,
        "from_at": _read_time(visit, form.get("from_at")),
        "until_at": _read_time(visit, form.get("until_at")),
    }


def _read_time(visit: Visit, given: str) -> str | None:
    """Return a time with the visitor's zone; what is none stays, to be refused at its field."""
    try:
        at = datetime.fromisoformat(given.strip())
    except ValueError:
        return given.strip() or None
    return (at if at.tzinfo else at.replace(tzinfo=visit.zone)).isoformat()
