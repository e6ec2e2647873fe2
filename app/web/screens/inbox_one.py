"""One mail that came in: what it says, what it is about, and what people do with it.

Its text is shown as text, its files are not opened here: the whole mail can be kept as a file, for a
program that knows how to distrust it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.accounts.people import check_user_id
from app.configuration.load import load_account
from app.configuration.model import StoredAccount
from app.errors import AwizoError, Fault, Missing, Refused
from app.inbox.correct import correct_kind, link
from app.inbox.find import find_incoming, mark_handled, read_raw
from app.inbox.forward import forward
from app.mime.address import parse_mailbox
from app.outbox.find import Found, Wanted, find_message, find_messages, name_present_status
from app.web.download import give
from app.web.faults import say, say_all
from app.web.form import Filled, Form, TheForm, place_faults
from app.web.frame import frame_text
from app.web.pages import tame
from app.web.screens.auto_reply import STATES
from app.web.screens.config import name_account
from app.web.screens.inbox import PATH
from app.web.screens.inbox_words import (
    COLOURS,
    KINDS,
    describe_kind,
    describe_report,
    list_technical,
)
from app.web.screens.messages_words import describe_status
from app.web.visit import TheVisit, Visit

router = APIRouter()
TheMail = Annotated[str, Path(pattern=r"^[0-9a-z]{1,32}$")]
_SHOWN_CHARS = 20_000
_MOST_SHOWN = 50  # files, and recipients of a report
_MOST_OFFERED = 5
_MOST_NOTE_CHARS = 1000
_POINTERS = {"/to": "to", "/note": "note", "/message": "", "/as_user": "as_user"}
_CORRECTIONS = ("human", "auto_reply", "list")


@dataclass(frozen=True, slots=True)
class _Seen:
    row: Row[Any]
    account: StoredAccount
    about: Row[Any] | None
    offered: Sequence[Found]


def _look(tx: Connection, caller: Caller, mail_id: str, words: str, at: datetime) -> _Seen:
    row = find_incoming(tx, caller, mail_id)
    account = load_account(tx, row.account_id)
    assert account is not None  # a foreign key says so
    about = None
    if row.about_id is not None:
        try:
            about = find_message(tx, caller, row.about_id).row
        except Missing:  # somebody else's, in a mailbox of several people
            about = None
    offered: Sequence[Found] = ()
    if not row.is_verified:
        offered = _offer(tx, caller, row, words, at)
    return _Seen(row, account, about, [each for each in offered if each.row.id != row.about_id])


def _offer(
    tx: Connection, caller: Caller, row: Row[Any], words: str, at: datetime
) -> Sequence[Found]:
    """Return the messages that a mail may be about: those looked for, else the latest to its sender."""
    if words:
        try:
            return [find_message(tx, caller, words)]
        except Missing:
            wanted = Wanted(text=words)
    else:
        sender, _ = parse_mailbox(row.sender_address, "")
        if sender is None:
            return ()
        wanted = Wanted(to=sender)
    return find_messages(tx, caller, wanted, after=None, limit=_MOST_OFFERED, at=at).found


@router.get("/inbox/{mail_id}")
async def show_mail(visit: TheVisit, mail_id: TheMail) -> Response:
    """Show one mail."""
    return await _show(visit, mail_id, Filled())


@router.get("/inbox/{mail_id}/text")
async def show_text(visit: TheVisit, mail_id: TheMail) -> Response:
    """Show all of a long text, alone."""
    row = await visit.office.db.read(find_incoming, visit.caller, mail_id)
    return frame_text(tame(row.text))


@router.get("/inbox/{mail_id}/raw")
async def download_raw(visit: TheVisit, mail_id: TheMail) -> Response:
    """Give the mail as a file, byte for byte as it came."""
    raw = await visit.office.db.read(read_raw, visit.caller, mail_id)
    return give(raw, f"{mail_id}.eml", "message/rfc822")


@router.post("/inbox/{mail_id}/handled")
async def mark_mail(visit: TheVisit, form: TheForm, mail_id: TheMail) -> Response:
    """Note who took care of it, or open it again."""
    handled, note = form.get("do") != "open", form.get("done").strip()
    if len(note) > _MOST_NOTE_CHARS:
        errors = {"done": visit._("This is too long.")}
        return await _show(visit, mail_id, Filled(form.values(), errors), 422)
    await visit.office.db.write(
        mark_handled, visit.caller, mail_id, handled=handled, note=note or None
    )
    done = visit._("Handled.") if handled else visit._("It is open again.")
    undo = {"do": "open"} if handled else None
    path = f"{PATH}/{mail_id}"
    return visit.go(path, done=done, undo=(f"{path}/handled", undo) if undo else None)


@router.post("/inbox/{mail_id}/kind")
async def correct_mail(visit: TheVisit, form: TheForm, mail_id: TheMail) -> Response:
    """Say who wrote it; the next page can undo it."""
    kind = form.get("kind")
    if kind not in _CORRECTIONS:
        raise Refused("", faults=[Fault("/kind", "unknown_value", "Choose one of those offered.")])

    def run(tx: Connection) -> str:
        former = find_incoming(tx, visit.caller, mail_id).kind
        correct_kind(tx, visit.caller, mail_id, kind)
        return str(former)

    try:
        former = await visit.office.db.write(run)
    except AwizoError as error:
        return await _refuse(visit, mail_id, form, error)
    path = f"{PATH}/{mail_id}"
    undo = (f"{path}/kind", {"kind": former}) if former != kind else None
    return visit.go(path, done=visit._("Corrected."), undo=undo)


@router.post("/inbox/{mail_id}/message")
async def link_mail(visit: TheVisit, form: TheForm, mail_id: TheMail) -> Response:
    """Say which message it is about, or about none; the next page can undo it."""
    message_id = form.get("message") or None

    def run(tx: Connection) -> str:
        former = find_incoming(tx, visit.caller, mail_id).about_id
        link(tx, visit.caller, mail_id, message_id)
        return former or ""

    try:
        former = await visit.office.db.write(run)
    except AwizoError as error:
        return await _refuse(visit, mail_id, form, error)
    path = f"{PATH}/{mail_id}"
    done = visit._("Linked.") if message_id else visit._("It is about no message now.")
    undo = (f"{path}/message", {"message": former}) if former != (message_id or "") else None
    return visit.go(path, done=done, undo=undo)


@router.post("/inbox/{mail_id}/forward")
async def forward_mail(visit: TheVisit, form: TheForm, mail_id: TheMail) -> Response:
    """Send it on, whole."""
    try:
        user = form.get("as_user").strip()
        prepared = await forward(
            visit.office, visit.caller, mail_id, to=form.get("to"), note=form.get("note")[:10_000],
            as_user=check_user_id(user) if user else None,
        )  # fmt: skip
    except AwizoError as error:
        return await _refuse(visit, mail_id, form, error)
    done = visit._("It is on its way; this is the message that takes it along.")
    return visit.go(f"/ui/messages/{prepared.id}", done=done)


async def _refuse(visit: Visit, mail_id: str, form: Form, error: AwizoError) -> Response:
    """Show the page again with what is wrong; what is not the visitor's is not there for them."""
    if isinstance(error, Missing):
        raise error
    errors = place_faults(error.faults, _POINTERS, say_all(visit))
    if not errors:
        errors = {"": say(visit, error.code, error.detail)}
    return await _show(visit, mail_id, Filled(form.values(), errors), error.status)


async def _show(visit: Visit, mail_id: str, form: Filled, status: int = 200) -> Response:
    words = visit.request.query_params.get("find", "").replace("\0", "").strip()[:256]
    seen = await visit.office.db.read(_look, visit.caller, mail_id, words, visit.at)
    row = seen.row
    filled = {"as_user": seen.account.user_id or "", "kind": row.kind, "find": words}
    return visit.render(
        "inbox_one.html",
        status,
        mail=row,
        form=Filled(filled | dict(form.values), form.errors),
        kind=describe_kind(visit, row.kind),
        colour=COLOURS.get(row.kind, ""),
        account=name_account(seen.account.document) or row.account_id,
        about=seen.about,
        offered=[_show_offered(visit, each) for each in seen.offered],
        words=words,
        text=row.text[:_SHOWN_CHARS],
        is_long=len(row.text) > _SHOWN_CHARS,
        files=row.attachments[:_MOST_SHOWN],
        more_files=max(0, len(row.attachments) - _MOST_SHOWN),
        kinds=[(name, visit._(KINDS[name])) for name in _CORRECTIONS],
        asks_user=visit.caller.role != "user" and seen.account.user_id is not None,
        reply_states=STATES,
        **_show_report(visit, row.report),
    )


def _show_report(visit: Visit, report: Mapping[str, Any] | None) -> dict[str, Any]:
    told = describe_report(visit, report) if report else []
    return {
        "told": told[:_MOST_SHOWN],
        "more_told": max(0, len(told) - _MOST_SHOWN),
        "technical": list_technical(report) if report else [],
    }


def _show_offered(visit: Visit, found: Found) -> dict[str, Any]:
    row = found.row
    return {
        "id": row.id,
        "subject": row.subject,
        "document": row.reference_number or row.reference_customer,
        "status": describe_status(visit, name_present_status(row, visit.at)),
        "at": row.created_at,
    }
