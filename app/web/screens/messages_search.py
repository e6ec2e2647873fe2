"""What somebody types to find a message: ``to:anna@klient.example status:failed ref:FV 12/2026 umowa``.

What belongs to no key is looked for in subject, document and recipients. What cannot be understood
becomes an error at the search field.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo

from app.errors import AwizoError
from app.outbox.find import Wanted, read_address, read_statuses
from app.outbox.status import STATUSES
from app.web.words import mark

GROUPS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "attention": (mark("Needs attention"), ("failed", "held", "partially_sent", "expired")),
    "waiting": (mark("On its way"), ("scheduled", "queued", "sending", "deferred")),
    "done": (mark("Sent or delivered"), ("sent", "delivered")),
}
WRONG_ADDRESS = mark("After to: write a whole mail address.")
WRONG_STATUS = mark("After status: write one of these words: %(words)s.")
WRONG_DATE = mark("Write the day as year-month-day.")
_KEY = re.compile(r"(?:^|(?<=\s))(to|status|ref|user|batch):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as it was understood. errors: by field name, with what they are filled with."""

    wanted: Wanted
    errors: Mapping[str, tuple[str, dict[str, str]]] = field(default_factory=dict)


def read_search(fields: Mapping[str, str], zone: tzinfo) -> Asked:
    """Read the fields ``q``, ``status``, ``user``, ``since`` and ``until`` (days of ``zone``)."""
    errors: dict[str, tuple[str, dict[str, str]]] = {}
    words = _split(fields.get("q", ""))
    statuses: tuple[str, ...] = ()
    chosen = fields.get("status", "")
    if chosen in GROUPS:
        statuses = GROUPS[chosen][1]
    elif chosen in STATUSES:
        statuses = (chosen,)
    to = None
    if words["status"]:
        try:
            group = GROUPS.get(words["status"].lower())
            statuses = group[1] if group else read_statuses(words["status"])
        except AwizoError:
            errors["q"] = (WRONG_STATUS, {"words": ", ".join((*GROUPS, *STATUSES))})
    if words["to"]:
        try:
            to = read_address(words["to"])
        except AwizoError:
            errors["q"] = (WRONG_ADDRESS, {})
    days = {name: _read_day(name, fields, errors) for name in ("since", "until")}
    wanted = Wanted(
        statuses=statuses,
        to=to,
        user=words["user"] or fields.get("user", "").strip() or None,
        document=words["ref"] or None,
        batch_id=words["batch"] or None,
        created_after=_begin(days["since"], zone),
        created_before=_begin(days["until"], zone, days=1),
        text=words["text"],
    )
    return Asked(wanted, errors)


def _split(text: str) -> dict[str, str]:
    """Return what stands after each key; ``ref:`` goes up to the next key, others take one word."""
    found = dict.fromkeys(("to", "status", "ref", "user", "batch"), "")
    pieces = _KEY.split(text.replace("\0", " "))
    rest = [pieces[0]]
    for key, value in zip(pieces[1::2], pieces[2::2], strict=True):
        if key.lower() == "ref":
            found["ref"] = value.strip().strip('"').strip()
            continue
        word, _, behind = value.strip().partition(" ")
        found[key.lower()] = word.strip('"')
        rest.append(behind)
    found["text"] = " ".join(" ".join(rest).split())
    return found


def _read_day(
    name: str, fields: Mapping[str, str], errors: dict[str, tuple[str, dict[str, str]]]
) -> date | None:
    given = fields.get(name, "").strip()
    if not given:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError:
        errors[name] = (WRONG_DATE, {})
        return None


def _begin(day: date | None, zone: tzinfo, days: int = 0) -> datetime | None:
    if day is None or day.year > 9990:
        return None
    # A message of the day's very first instant belongs to it.
    before = timedelta(0) if days else timedelta(microseconds=1)
    return datetime.combine(day + timedelta(days=days), time(), zone) - before
