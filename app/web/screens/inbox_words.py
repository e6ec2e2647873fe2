"""What came in, in plain words: kinds of mail, and what a report says of whom.

A report is its sender's claim; how sure it is which message it speaks of is said beside it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from app.web.words import mark

if TYPE_CHECKING:
    from app.web.visit import Guest

KINDS: Mapping[str, str] = {
    "human": mark("Written by a person"),
    "auto_reply": mark("Automatic reply"),
    "list": mark("Mailing list or bulk mail"),
    "dsn": mark("Report on delivery"),
    "mdn": mark("Report on reading"),
    "arf": mark("Complaint"),
}
COLOURS: Mapping[str, str] = {"human": "good", "arf": "error"}
_ACTIONS: Mapping[str, tuple[str, str]] = {
    "failed": (mark("Could not be delivered"), "error"),
    "delayed": (mark("Is late; the server goes on trying"), "warning"),
    "delivered": (mark("Reached the mailbox"), "good"),
    "relayed": (mark("Went on to a server that reports no further"), ""),
    "expanded": (mark("Was handed on to several addresses, such as a list's"), ""),
}
# RFC 3463: subject and detail, else the subject alone.
_STATUSES: Mapping[str, str] = {
    "1.1": mark("There is no such address."),
    "1.2": mark("There is no such mail domain."),
    "1.10": mark("This domain takes no mail."),
    "1": mark("Something is wrong with the address."),
    "2.1": mark("The mailbox is switched off."),
    "2.2": mark("The mailbox is full."),
    "2.3": mark("The message is too large for this mailbox."),
    "2": mark("The mailbox does not take it."),
    "3.4": mark("The message is too large for the receiver's server."),
    "3": mark("The receiver's mail system has trouble of its own."),
    "4.7": mark("The server tried for as long as it does, and gave up."),
    "4": mark("The receiver's server cannot be reached."),
    "5": mark("The servers did not understand each other."),
    "6": mark("The receiver's server cannot take a message of this form."),
    "7": mark("The receiver's server does not let it in: a rule forbids it, or it takes it for unwanted."),
}  # fmt: skip
_DISPOSITIONS: Mapping[str, str] = {
    "displayed": mark("It was shown to somebody. That does not say that it was read."),
    "deleted": mark("It was deleted, perhaps without being looked at."),
    "dispatched": mark("It was passed on without being shown."),
    "processed": mark("A program handled it without showing it to anybody."),
    "denied": mark("Its receiver does not let anything be reported."),
    "failed": mark("The receiver's program could not handle it."),
}
_FEEDBACK: Mapping[str, str] = {
    "": mark("Its reader calls it unwanted mail."),
    "abuse": mark("Its reader calls it unwanted mail."),
    "opt-out": mark("Its reader wants no more of it."),
    "not-spam": mark("Its reader says that it is wanted."),
    "fraud": mark("Its reader takes it for fraud."),
    "virus": mark("The receiver's server takes it for a virus."),
    "auth-failure": mark("The receiver's server could not verify where it comes from."),
}


def describe_kind(guest: "Guest", kind: str) -> str:
    """Return what a mail is."""
    return guest._(KINDS[kind]) if kind in KINDS else kind


def explain_status(guest: "Guest", status: str) -> str:
    """Return what a status such as ``5.1.1`` means (RFC 3463); "" where it says nothing."""
    rest = status.partition(".")[2]
    for known in (rest, rest.partition(".")[0]):
        if known in _STATUSES:
            return guest._(_STATUSES[known])
    return ""


def describe_report(guest: "Guest", report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a report says, one entry for each that it speaks of, with the server's own form."""
    told = [_describe_recipient(guest, each) for each in report["recipients"]]
    read = report["disposition"]
    if read:
        what = _DISPOSITIONS.get(read["type"])
        told.append(
            {
                "what": guest._(what) if what else read["type"],
                "colour": "",
                "who": read["final_recipient"] or read["original_recipient"],
                "why": guest._("A program said so by itself.") if read["is_automatic"] else "",
                "technical": _list_named(read, ("type", "modifiers")),
            }
        )
    if report["kind"] == "arf":
        what = _FEEDBACK.get(report["feedback_type"])
        told += [
            {
                "what": guest._(what) if what else report["feedback_type"],
                "colour": "error" if report["feedback_type"] in ("", "abuse", "fraud") else "",
                "who": who,
                "why": "",
                "technical": _list_named(report, ("feedback_type",)),
            }
            for who in report["complained"] or ("",)
        ]
    return told


def sum_up(guest: "Guest", row: Row[Any], most_chars: int) -> str:
    """Return the first words of a mail; of a report what it says, in the visitor's language."""
    told = {"recipients": [], "disposition": row.disposition, "kind": row.kind}
    if row.first_reported:
        told["recipients"] = [row.first_reported]
    if row.kind in ("dsn", "mdn") and (said := describe_report(guest, told)):
        words = " · ".join(filter(None, (said[0][name] for name in ("who", "what", "why"))))
    else:
        words = row.preview
    return " ".join(words.split())[:most_chars]


def list_technical(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a report says of itself, by the names of its standards."""
    return _list_named(report, ("reporting_mta", "envelope_id", "original_message_id"))


def _describe_recipient(guest: "Guest", told: Mapping[str, Any]) -> dict[str, Any]:
    what, colour = _ACTIONS.get(told["action"], ("", ""))
    names = ("action", "status", "original_recipient", "remote_mta", "will_retry_until")
    said = told["action"] in ("failed", "delayed")
    return {
        "what": guest._(what) if what else told["action"],
        "colour": colour,
        "who": told["final_recipient"] or told["original_recipient"],
        "why": explain_status(guest, told["status"]) if said else "",
        "diagnostic": told["diagnostic"],
        "technical": _list_named(told, names),
    }


def _list_named(told: Mapping[str, Any], names: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for name in names:
        value = told.get(name)
        if value:
            text = value if isinstance(value, str) else ", ".join(map(str, value))
            found.append((name.replace("_", "-").capitalize(), text))
    return found
