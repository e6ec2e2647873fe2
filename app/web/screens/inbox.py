"""The mail that came in: listed and searched, how its mailboxes stand, several marked at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.load import load_account
from app.errors import Missing
from app.inbox.census import Open, count_open
from app.inbox.find import REPORT, Found, Wanted, find_incoming, list_incoming, mark_handled
from app.inbox.mailboxes import name_target
from app.inbox.standing import Box, list_boxes
from app.web.form import Filled, TheForm
from app.web.screens.config import name_account
from app.web.screens.inbox_words import COLOURS, KINDS, describe_kind, sum_up
from app.web.visit import TheVisit, Visit
from app.web.words import mark

router = APIRouter()
PATH = "/ui/inbox"
_PAGE = 50
_MOST_AT_ONCE = 100
_FIELDS = ("q", "account", "kind", "state", "about", "message")
_ABOUT: Mapping[str, tuple[str, bool | None, bool | None]] = {
    "matched": (mark("About a message"), True, None),
    "verified": (mark("About a message, verified"), True, True),
    "guess": (mark("About a message, not verified"), True, False),
    "unmatched": (mark("About no message"), False, None),
}
_STATES = {"open": mark("To be handled"), "done": mark("Handled")}
# The ways through the list that people take most; each is a search.
_TABS: Sequence[tuple[str, Mapping[str, str], str]] = (
    (mark("All mail"), {}, ""),
    (
        mark("Answers to handle"),
        {"kind": "human", "state": "open", "about": "matched"},
        "answers",
    ),
    (
        mark("Reports about no message"),
        {"kind": REPORT, "state": "open", "about": "unmatched"},
        "unmatched",
    ),
    (mark("Not verified"), {"about": "guess"}, ""),
)
After = Annotated[str | None, Query(pattern=r"^[0-9a-z]{1,32}$")]


@dataclass(frozen=True, slots=True)
class _Seen:
    boxes: list[Box]
    found: Found
    counted: Open
    names: Mapping[str, str]


@router.get("/inbox")
async def list_inbox(visit: TheVisit, after: After = None) -> Response:
    """List what came in to the accounts that the visitor may read, the newest first."""
    visit.caller.require("admin", "sender", "user")
    fields = {name: visit.request.query_params.get(name, "").strip()[:256] for name in _FIELDS}
    seen = await visit.office.db.read(_look, visit.caller, read_wanted(fields), after)
    query = {name: value for name, value in fields.items() if value}
    chosen = [each for each in seen.boxes if each.stored.id == fields["account"]]
    following = seen.found.following
    return visit.render(
        "inbox.html",
        form=Filled(fields),
        rows=[_show(visit, row, seen.names) for row in seen.found.rows],
        is_cut=seen.found.is_cut,
        tabs=[
            (visit._(label), f"{PATH}?{urlencode(given)}", given == query, _count(seen, name))
            for label, given, name in _TABS
        ],
        accounts=[("", visit._("All"))]
        + [(each.stored.id, seen.names[each.stored.id]) for each in seen.boxes],
        kinds=[("", visit._("All")), (REPORT, visit._("Any report"))]
        + [(name, visit._(label)) for name, label in KINDS.items()],
        states=[("", visit._("All"))] + [(name, visit._(label)) for name, label in _STATES.items()],
        abouts=[("", visit._("All"))]
        + [(name, visit._(label)) for name, (label, _, _) in _ABOUT.items()],
        boxes=[_show_box(visit, each, seen.names) for each in chosen or seen.boxes],
        is_one=bool(chosen),
        is_filtered=bool(query),
        query=urlencode(query | ({"after": after} if after else {})),
        newest=f"{PATH}?{urlencode(query)}" if after else None,
        older=f"{PATH}?{urlencode(query | {'after': following})}" if following else None,
    )


@router.post("/inbox/do")
async def do_to_mail(visit: TheVisit, form: TheForm) -> Response:
    """Mark every mail that is ticked as handled, or open it again; the next page can undo it."""
    handled = form.get("do") != "open"
    ids = form.list("id") or form.get("ids").split(",")
    ids = list(dict.fromkeys(each for each in ids if each))[:_MOST_AT_ONCE]
    query = form.get("query")
    where = f"{PATH}?{query}" if query else PATH
    if not ids:
        return visit.go(where, warn=[visit._("Tick the mail first.")])
    changed = await visit.office.db.write(_mark, visit.caller, ids, handled)
    words = (
        visit.ngettext("%(num)s mail is handled.", "%(num)s mails are handled.", len(changed))
        if handled
        else visit.ngettext("%(num)s mail is open again.", "%(num)s mails are open again.", len(changed))
    )  # fmt: skip
    fields = {"ids": ",".join(changed), "do": "open" if handled else "handled", "query": query}
    undo = (f"{PATH}/do", fields) if changed else None
    return visit.go(where, done=words % {"num": len(changed)}, undo=undo)


def read_wanted(fields: Mapping[str, str]) -> Wanted:
    """Return what the list's fields ask for; what is not understood narrows nothing."""
    kind, state = fields["kind"], fields["state"]
    _, matched, verified = _ABOUT.get(fields["about"], ("", None, None))
    return Wanted(
        account=fields["account"] or None,
        kind=kind if kind in KINDS or kind == REPORT else None,
        message=fields["message"] or None,
        handled=state == "done" if state in _STATES else None,
        matched=matched,
        verified=verified,
        text=fields["q"].replace("\0", ""),
    )


def _look(tx: Connection, caller: Caller, wanted: Wanted, after: str | None) -> _Seen:
    boxes = list_boxes(tx, caller)
    found = list_incoming(tx, caller, wanted, before=after, limit=_PAGE)
    names = {each.stored.id: name_account(each.stored.document) for each in boxes}
    for account_id in {row.account_id for row in found.rows} - names.keys():
        stored = load_account(tx, account_id)  # its mailbox was taken away, its mail stayed
        names[account_id] = name_account(stored.document) if stored else ""
    names = {each: name or each for each, name in names.items()}
    return _Seen(boxes, found, count_open(tx, caller), names)


def _mark(tx: Connection, caller: Caller, ids: Sequence[str], handled: bool) -> list[str]:
    """Mark them; return those that this changed. What is not the caller's is passed over."""
    changed = []
    for each in sorted(ids):  # locked in one order
        try:
            before = find_incoming(tx, caller, each)
        except Missing:
            continue
        if (before.handled_at is not None) != handled:
            mark_handled(tx, caller, each, handled=handled, note=None)
            changed.append(each)
    return changed


def _count(seen: _Seen, name: str) -> int:
    return getattr(seen.counted, name) if name else 0


def _show(visit: Visit, row: Row[Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": describe_kind(visit, row.kind),
        "colour": COLOURS.get(row.kind, ""),
        "who": row.sender_name or row.sender_address,
        "address": row.sender_address,
        "subject": row.subject,
        "preview": sum_up(visit, row, 140),
        "files": len(row.attachments),
        "about": row.about_id,
        "document": row.reference_number or row.reference_customer or row.reference_type,
        "is_sure": row.is_verified,
        "by_hand": row.linked_by,
        "account": names[row.account_id],
        "at": row.received_at,
        "handled_at": row.handled_at,
        "handled_by": row.handled_by,
    }


def _show_box(visit: Visit, box: Box, names: Mapping[str, str]) -> dict[str, Any]:
    standing = box.standing
    advice = standing.advice if standing else None
    incoming = box.stored.incoming
    return {
        "id": box.stored.id,
        "name": names[box.stored.id],
        "is_off": name_target(box.stored) is None,
        "only_counts": incoming is not None and incoming.mode == "check",
        "standing": standing,
        "advice": advice[visit.language] if advice else "",
    }
