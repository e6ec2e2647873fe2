"""How webhooks are spoken of: what they may be told, how they are doing, why a try failed."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from app.outbox.event_types import EVENT_TYPES
from app.web.screens.messages_words import describe_event
from app.web.words import mark
from app.webhooks.payload import TEST

if TYPE_CHECKING:
    from app.web.visit import Guest

AREA_WORDS: Mapping[str, str] = {
    "message": mark("Messages: accepted, tried again, not answered in time"),
    "recipient": mark("Recipients: sent, delivered, failed, displayed"),
    "inbox": mark("What comes in: reports, answers, everything else"),
    "account": mark("Mail accounts: in trouble, working again, consent needed"),
}
_TYPE_WORDS: Mapping[str, str] = {
    "inbox.received": mark("A mail came in"),
    "inbox.report": mark("A report about a message came in"),
    "inbox.answer": mark("An answer to a message came in"),
    "inbox.auto_reply": mark("An automatic reply went out"),
    "inbox.unread": mark("A mailbox has more unread mail"),
    "account.paused": mark("An account's server is in trouble: its mail waits"),
    "account.resumed": mark("An account's server works again, or is tried at once"),
    "account.consent_needed": mark("The owner has to consent again: mail is held"),
    "account.mailbox_failed": mark("A mailbox could not be read twice in a row"),
    "account.mailbox_recovered": mark("A mailbox can be read again, or is tried at once"),
    TEST: mark("A test"),
}
STATES: Mapping[str, str] = {
    "waiting": mark("waits"),
    "delivered": mark("taken"),
    "given_up": mark("given up"),
}
BADGES: Mapping[str, str] = {"waiting": "warning", "delivered": "good", "given_up": "error"}
OFF_WORDS: Mapping[str | None, str] = {
    "gone": mark("switched off: the receiver wants nothing more (410)"),
    "failing": mark("switched off: nothing got through for about three days"),
    None: mark("switched off"),
}
OVERLAPS: Mapping[str, str] = {
    "86400": mark("one day"),
    "604800": mark("one week"),
    "0": mark("not at all: somebody else may know it"),
}
# By what the room's sentence begins with, where nobody answered.
SILENCES: Mapping[str, str] = {
    "No answer within": mark("There was no answer within 15 seconds."),
    "The host's name was not found": mark("The name in the address is not known."),
    "This address may not be connected to": mark("Connecting to this address is not allowed here."),
    "The connection was not made": mark("Nobody could be reached at this address."),
    "The connection broke": mark("The connection broke, or what answers is no web server."),
    "Its secret does not open": mark("Its secret cannot be read any more; make a new one."),
}
_ANSWERS: Mapping[int, str] = {
    401: mark("The receiver refuses it (%(code)s): perhaps it does not know the secret."),
    403: mark("The receiver refuses it (%(code)s): perhaps it does not know the secret."),
    404: mark("The receiver has nothing at this address (%(code)s); look at its path."),
    410: mark("The receiver wants nothing more (%(code)s)."),
}
_KINDS: Mapping[int, str] = {
    3: mark(
        "The receiver leads elsewhere (%(code)s), which is not followed; enter its last address."
    ),
    4: mark("The receiver did not accept it (%(code)s)."),
    5: mark("Something went wrong at the receiver (%(code)s)."),
}

_STATUS = re.compile(r"(?:The receiver answered )?([1-9]\d\d)\b")


def list_types(guest: "Guest", stored: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return each area with its types as (type, words); with ``stored`` ones that are no more known."""
    found = []
    for area, types in EVENT_TYPES.items():
        more = [each for each in stored if each.startswith(f"{area}.") and each not in types]
        named = [*types, *(each for each in more if each != f"{area}.*")]
        found.append((area, [(each, describe_type(guest, each)) for each in named]))
    return found


def describe_type(guest: "Guest", type: str) -> str:
    """Return what an event says; "" where its name has to do."""
    words = guest._(_TYPE_WORDS[type]) if type in _TYPE_WORDS else describe_event(guest, type)
    return "" if words == type else words


def describe_trouble(guest: "Guest", code: int | None, error: str) -> str:
    """Return in plain words why a try failed; ``error`` is what the room says of it.

    code: the HTTP status; None: as the sentence has it, if at all.
    """
    if code is None and (found := _STATUS.match(error)):
        code = int(found[1])
    if code is None:
        known = (words for start, words in SILENCES.items() if error.startswith(start))
        return guest._(next(known, error))
    words = _ANSWERS.get(code) or _KINDS.get(code // 100)
    return guest._(words) % {"code": code} if words else error
