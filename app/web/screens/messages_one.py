"""One message: what became of it, what stands in it, and the verbs that move it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.load import load_account
from app.db import new_id
from app.errors import AwizoError, Missing
from app.inbox.answers import read_watch
from app.inbox.find import Wanted as Answers
from app.inbox.find import list_incoming
from app.outbox import again
from app.outbox.cancel import cancel
from app.outbox.carry import read_body
from app.outbox.find import Found, find_message, name_present_status, read_attempts, read_events
from app.outbox.reach import sees_hidden
from app.outbox.resend import resend
from app.outbox.status import LAST, WAITING
from app.web.download import give
from app.web.faults import say
from app.web.form import Filled, TheForm
from app.web.frame import frame_html, frame_lines, frame_text
from app.web.screens.messages_line import show_line
from app.web.screens.messages_mail import read_file, read_headers, read_html, read_text
from app.web.screens.messages_words import (
    KINDS,
    advise,
    describe_place,
    describe_protection,
    describe_reason,
    describe_status,
)
from app.web.visit import TheVisit, Visit

router = APIRouter()
TheMessage = Annotated[str, Path(pattern=r"^[0-9a-z]{1,32}$")]
_MOST_EVENTS = 200
_MOST_MAILS = 50
_MOVING = frozenset({"queued", "sending", "scheduled"})


@dataclass(frozen=True, slots=True)
class _Seen:
    found: Found
    events: Sequence[Row[Any]]
    attempts: Sequence[Row[Any]]
    asks_password: bool
    mails: Sequence[Row[Any]]
    watch: Row[Any] | None
    raw: bytes | None


def _look(tx: Connection, caller: Caller, message_id: str, whole: bool) -> _Seen:
    found = find_message(tx, caller, message_id)
    account = load_account(tx, found.row.account_id) if found.row.account_id else None
    about = Answers(message=message_id)
    came = list_incoming(tx, caller, about, before=None, limit=_MOST_MAILS)
    return _Seen(
        found,
        read_events(tx, caller, after=(-1, 0), limit=_MOST_EVENTS, message_id=message_id),
        read_attempts(tx, found),
        bool(account and account.settings and account.settings.password_mode == "ask"),
        came.rows[::-1],
        read_watch(tx, message_id),
        read_body(tx, message_id) if whole else None,
    )


@router.get("/messages/{message_id}")
async def show_message(
    visit: TheVisit, message_id: TheMessage, view: Annotated[str, Query()] = "html"
) -> Response:
    """Show one message."""
    return await _show(visit, message_id, view)


@router.get("/messages/{message_id}/progress")
async def show_progress(visit: TheVisit, message_id: TheMessage) -> Response:
    """Show the part that changes while it is sent; without htmx the whole page."""
    if not visit.is_part:
        return visit.go(f"/ui/messages/{message_id}")
    seen = await visit.office.db.read(_look, visit.caller, message_id, False)
    return visit.render("messages_progress.html", **_describe(visit, seen), form=Filled())


@router.get("/messages/{message_id}/content/{part}")
async def show_content(visit: TheVisit, message_id: TheMessage, part: str) -> Response:
    """Show the HTML or the text of a message, in a frame that can do nothing."""
    raw = await _read_raw(visit, message_id)
    if raw is None:
        return frame_lines(visit._("The content of this message was erased."), [])
    html = await asyncio.to_thread(read_html, raw) if part == "html" else None
    if html is not None:
        return frame_html(html)
    return frame_text(await asyncio.to_thread(read_text, raw))


@router.get("/messages/{message_id}/raw")
async def download_raw(visit: TheVisit, message_id: TheMessage) -> Response:
    """Give the message as a file, byte for byte as it is sent."""
    raw = await _read_raw(visit, message_id)
    if raw is None:
        raise Missing("The content of this message was erased.", code="body_erased")
    return give(raw, f"{message_id}.eml", "message/rfc822")


@router.get("/messages/{message_id}/files/{number}")
async def download_file(
    visit: TheVisit, message_id: TheMessage, number: Annotated[int, Path(ge=0, le=1000)]
) -> Response:
    """Give one attachment as it is sent: protected, where it is."""
    found = await visit.office.db.read(find_message, visit.caller, message_id)
    raw = await visit.office.db.read(read_body, message_id)
    if raw is None:
        raise Missing("The content of this message was erased.", code="body_erased")
    names = [each["filename"] for each in found.row.attachments]
    file = await asyncio.to_thread(read_file, raw, names, number)
    return give(file.content, file.name, file.media_type)


@router.post("/messages/{message_id}/{verb}")
async def move_message(
    visit: TheVisit, form: TheForm, message_id: TheMessage, verb: str
) -> Response:
    """Retry, release, cancel or resend one message."""
    office, caller, where = visit.office, visit.caller, f"/ui/messages/{message_id}"
    write, delivery = office.db.write, office.settings.delivery
    try:
        if verb == "cancel":
            await write(cancel, caller, message_id)
            done = visit._("Cancelled: it will not be sent.")
        elif verb == "retry":
            await write(again.retry, caller, message_id)
            done = visit._("It is tried again now.")
        elif verb == "release":
            password = form.get("smtp_password") or None
            await write(
                again.release, office.vault, caller, message_id, smtp_password=password,
                delivery=delivery,
            )  # fmt: skip
            done = visit._("Released: it goes out.")
        elif verb == "resend":
            new = new_id(visit.at)
            await write(resend, office.vault, caller, message_id, new, delivery=delivery)
            where = f"/ui/messages/{new}"
            done = visit._("This is a new message with the same content.")
        else:
            raise Missing("There is no such page.")
    except Missing:
        raise
    except AwizoError as error:
        return await _show(visit, message_id, "html", error)
    office.db.ring()
    return visit.go(where, done=done)


async def _show(
    visit: Visit, message_id: str, view: str, error: AwizoError | None = None
) -> Response:
    seen = await visit.office.db.read(_look, visit.caller, message_id, True)
    row = seen.found.row
    errors = {}
    if error is not None:
        at_password = any(fault.pointer == "/smtp_password" for fault in error.faults)
        errors["smtp_password" if at_password else ""] = say(visit, error.code, error.detail)
    headers = [] if seen.raw is None else _list_headers(visit, row, seen.raw)
    return visit.render(
        "messages_one.html",
        error.status if error else 200,
        **_describe(visit, seen),
        form=Filled({}, errors),
        view="text" if view == "text" else "html",
        headers=headers,
        reply_to=next((text for name, text in headers if name.lower() == "reply-to"), ""),
        has_content=seen.raw is not None,
        files=[
            each | {"how": describe_protection(visit, each["protection"])}
            for each in row.attachments
        ],
    )


def _list_headers(visit: Visit, row: Row[Any], raw: bytes) -> list[tuple[str, str]]:
    # Only a draft has Bcc among its headers; those that are hidden are in it as well.
    shows_bcc = sees_hidden(visit.caller)
    return [each for each in read_headers(raw) if shows_bcc or each[0].lower() != "bcc"]


def _describe(visit: Visit, seen: _Seen) -> dict[str, Any]:
    row, recipients = seen.found.row, seen.found.recipients
    status = name_present_status(row, visit.at)
    states = {each.state for each in recipients}
    stays = row.body_erased_at is None and not row.is_draft
    reasons = list(dict.fromkeys(each.reason for each in recipients if each.reason))
    return {
        "message": row,
        "warnings": [say(visit, each["code"], each["detail"]) for each in row.warnings[:20]],
        "state": describe_status(visit, status),
        "kind": KINDS.get(status, ""),
        "is_moving": status in _MOVING,
        "paused_until": seen.found.paused_until,
        "recipients": [_show_recipient(visit, each, seen.found) for each in recipients],
        "advice": [text for reason in reasons if (text := advise(visit, reason))],
        "events": show_line(visit, seen.events, seen.attempts, seen.mails),
        "mail_count": len(seen.mails),
        "most_mails": _MOST_MAILS,
        "watch": seen.watch,
        "most_events": _MOST_EVENTS,
        "is_long": len(seen.events) == _MOST_EVENTS,
        "can_retry": stays and bool(states & {"queued", "deferred", "failed"}),
        "can_release": stays and "held" in states,
        "can_cancel": not row.is_draft
        and bool(states & (WAITING | {"held"}))
        and "sending" not in states,
        "can_resend": stays and not seen.asks_password and bool(states & LAST),
        "asks_password": seen.asks_password,
    }


def _show_recipient(visit: Visit, each: Row[Any], found: Found) -> dict[str, Any]:
    due_at = each.due_at if each.state in WAITING else None
    if due_at and found.paused_until:
        due_at = max(due_at, found.paused_until)
    return {
        "address": each.address,
        "name": each.name,
        "place": describe_place(visit, each.kind),
        "state": describe_status(visit, each.state),
        "kind": KINDS.get(each.state, ""),
        "reason": describe_reason(visit, each.reason),
        "attempts": each.attempts,
        "due_at": due_at if due_at and due_at > visit.at else None,
    }


async def _read_raw(visit: Visit, message_id: str) -> bytes | None:
    await visit.office.db.read(find_message, visit.caller, message_id)
    return await visit.office.db.read(read_body, message_id)
