"""What happened to a message, in one line of time: its events, what servers reported, who answered.

Of the mail that came in a visitor sees what they may read (``inbox.reach``). A report that moved
somebody or was noted stands in the line as that event, with a way to its mail; any other mail about
the message stands in it as itself, and says whether it is verified.
"""

from collections.abc import Sequence
from datetime import datetime
from heapq import merge
from typing import Any

from sqlalchemy import Row

from app.web.screens.inbox_words import describe_kind, explain_status, sum_up
from app.web.screens.messages_words import KINDS, describe_event, describe_reason
from app.web.visit import Visit

_COLOURS = {
    "uncertain": "warning",
    "delayed": "warning",
    "unanswered": "warning",
    "copy_failed": "warning",
    "displayed": "good",
    "complained": "error",
}
_WORDS_CHARS = 200


def show_line(
    visit: Visit,
    events: Sequence[Row[Any]],
    attempts: Sequence[Row[Any]],
    mails: Sequence[Row[Any]],
) -> list[dict[str, Any]]:
    """Return the entries in their order. mails: those about the message, the oldest first."""
    servers = {(each.recipient_id, each.number): each for each in attempts}
    readable = {each.id for each in mails}
    told = {each.data.get("incoming") for each in events}
    moved = [
        _show_event(visit, each, servers, readable)
        for each in events
        if not each.type.startswith("inbox.")  # the mail itself says more
    ]
    came = [_show_mail(visit, each) for each in mails if each.id not in told]
    return list(merge(moved, came, key=lambda entry: entry["at"]))


def _show_event(visit: Visit, each: Row[Any], servers: Any, readable: set[str]) -> dict[str, Any]:
    data = each.data
    name = each.type.partition(".")[2]
    tried = servers.get((each.recipient_id, data.get("attempt")))
    incoming, status = data.get("incoming"), data.get("status") or ""
    until = data.get("will_retry_until")
    meaning = explain_status(visit, status) if name in ("failed", "delayed") else ""
    return {
        "at": each.at,
        "what": describe_event(visit, each.type),
        "kind": _COLOURS.get(name) or KINDS.get(name, ""),
        "who": data.get("address"),
        "by": data.get("by"),
        "why": " ".join(filter(None, (describe_reason(visit, data.get("reason")), meaning))),
        "reply": data.get("reply") or data.get("diagnostic"),
        "code": data.get("code") or status,
        "local": data.get("local"),
        "server": tried.server if tried else data.get("remote_mta"),
        "tls": tried.tls if tried else None,
        "other": data.get("as") or data.get("resent_of"),
        "mail": incoming if incoming in readable else None,
        "trust": "",
        "is_report": incoming is not None,
        "until": datetime.fromisoformat(until) if until else None,
    }


def _show_mail(visit: Visit, each: Row[Any]) -> dict[str, Any]:
    return {
        "at": each.received_at,
        "what": visit._("Answer") if each.kind == "human" else describe_kind(visit, each.kind),
        "kind": "good" if each.is_verified and each.kind == "human" else "",
        "who": each.sender_address,
        "name": each.sender_name,
        "words": sum_up(visit, each, _WORDS_CHARS),
        "mail": each.id,
        "trust": "verified" if each.is_verified else "linked" if each.linked_by else "guess",
        "linked_by": each.linked_by,
        "handled_at": each.handled_at,
        "handled_by": each.handled_by,
    }
