"""The list of messages: search, filters, pages, and verbs for several at once."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from app.errors import AwizoError
from app.outbox import again
from app.outbox.cancel import cancel
from app.outbox.find import Found, Search, find_messages, name_present_status
from app.web.faults import say
from app.web.form import Filled, TheForm
from app.web.screens.messages_search import GROUPS, read_search
from app.web.screens.messages_words import KINDS, STATUSES, describe_status
from app.web.visit import TheVisit, Visit

router = APIRouter()
PAGE = 50
_FIELDS = ("q", "status", "user", "since", "until")
After = Annotated[str | None, Query(pattern=r"^[0-9a-z]{1,32}$")]


@router.get("/messages")
async def list_messages(visit: TheVisit, after: After = None) -> Response:
    """List messages, the newest first."""
    fields = {name: visit.request.query_params.get(name, "")[:1000] for name in _FIELDS}
    asked = read_search(fields, visit.zone)
    errors = {name: visit._(text) % values for name, (text, values) in asked.errors.items()}
    page = Search([], None)
    if not errors:
        page = await visit.office.db.read(
            find_messages, visit.caller, asked.wanted, after=after, limit=PAGE, at=visit.at
        )
    query = {name: value for name, value in fields.items() if value}
    return visit.render(
        "messages.html",
        422 if errors else 200,
        form=Filled(fields, errors),
        rows=[_show(visit, found) for found in page.found],
        statuses=_list_statuses(visit),
        is_filtered=bool(query),
        is_cut=page.is_cut,
        query=urlencode(query | ({"after": after} if after else {})),
        newest=f"/ui/messages?{urlencode(query)}" if after else None,
        older=f"/ui/messages?{urlencode(query | {'after': page.following})}"
        if page.following
        else None,
    )


@router.post("/messages/do")
async def do_to_messages(visit: TheVisit, form: TheForm) -> Response:
    """Retry, release or cancel every message that is ticked; each by itself."""
    ids = list(dict.fromkeys(form.list("id")))[:500]
    done, refused = 0, []
    for message_id in ids:
        try:
            await _move(visit, form.get("do"), message_id)
            done += 1
        except AwizoError as error:
            refused.append(say(visit, error.code, error.detail))
    visit.office.db.ring()
    where = f"/ui/messages?{form.get('query')}" if form.get("query") else "/ui/messages"
    if not ids:
        return visit.go(where, warn=[visit._("Tick the messages first.")])
    said = visit.ngettext("Done for %(num)s message.", "Done for %(num)s messages.", done)
    warnings = [f"{refused.count(each)} ×: {each}" for each in dict.fromkeys(refused)]
    return visit.go(where, done=said % {"num": done} if done else None, warn=warnings)


async def _move(visit: Visit, verb: str, message_id: str) -> None:
    office, caller = visit.office, visit.caller
    if verb == "cancel":
        await office.db.write(cancel, caller, message_id)
    elif verb == "release":
        delivery = office.settings.delivery
        await office.db.write(
            again.release, office.vault, caller, message_id, smtp_password=None, delivery=delivery
        )
    else:
        await office.db.write(again.retry, caller, message_id)


def _list_statuses(visit: Visit) -> list[tuple[str, str]]:
    choices = [("", visit._("All"))]
    choices += [(name, visit._(label)) for name, (label, _) in GROUPS.items()]
    return choices + [(name, visit._(label)) for name, label in STATUSES.items()]


def _show(visit: Visit, found: Found) -> dict[str, object]:
    row, recipients = found.row, found.recipients
    status = name_present_status(row, visit.at)
    first = recipients[0] if recipients else None
    return {
        "id": row.id,
        "status": describe_status(visit, status),
        "kind": KINDS.get(status, ""),
        "subject": row.subject,
        "document": row.reference_number or row.reference_customer,
        "to": (first.name or first.address) if first else "",
        "more": max(0, len(recipients) - 1),
        "user": row.user_id,
        "at": row.created_at,
        "files": len(row.attachments),
    }
