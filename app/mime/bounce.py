"""Bounces from before RFC 3464, and from servers that never read it: plain words.

qmail, old Exim, Exchange 5.5, Yahoo, GroupWise and dozens more say in prose who did not get what.
Which addresses are meant is known by flufl.bounce (twenty years of Mailman's bounces); status, the
server's words and our Message-ID are picked up around them. Asked only where the header shows a mail
daemon, for people quote bounces too. Never raises; text and lines are cut before anything searches
them, so that the patterns' worst case stays small.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from email.message import Message
from itertools import islice
from string import ascii_lowercase, ascii_uppercase

from app.mime.entity import Leaf
from app.mime.fields import Fields, read_fields, read_mailboxes
from app.mime.quoted_html import derive_answer_text
from app.mime.report import (
    MAX_SAID_CHARS,
    Action,
    Report,
    ReportedRecipient,
    find_message_id,
    find_status,
    read_returned,
)

MAX_SEARCHED_CHARS = 32_768  # of one text; what a daemon says stands at its beginning
MAX_LINE_CHARS = 400
MAX_SEARCHED_LEAVES = 6
MAX_BOUNCED = 200  # recipients of one bounce
MAX_MENTIONS = 10  # of one address

# What daemons do not write about others; Exim's own field names the failed itself.
_DAEMONS = re.compile(
    r"(mailer-?daemon|mail-?daemon|postmaster|mdaemon|mail delivery)", re.IGNORECASE
)
_MESSAGE_ID = re.compile(
    r"^Message-ID:[ \t]*\n?[ \t]*<[^<>\s]{1,998}>", re.IGNORECASE | re.MULTILINE
)
_DELAYS = re.compile(
    r"not yet been delivered|still being (tried|retried)|will (continue to|keep) (try|retry)"
    r"|delivery .{0,40}delayed|do not need to (resend|take any action)|this is (just )?a warning",
    re.IGNORECASE,
)
# str.lower() may change the length, and with it where things stand.
_TO_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_BREAK = re.compile(r"\n[ \t]*\n")


def read_bounce(fields: Fields, leaves: Sequence[Leaf]) -> Report | None:
    """Read a bounce in words; None where it is none, or names neither a recipient nor our message."""
    if not _is_from_daemon(fields):
        return None
    texts = _take_texts(leaves)
    delayed, failed = _find_recipients(fields, texts)
    told, own = _cut_returned("\n\n".join(texts))
    folded = told.translate(_TO_LOWER)
    # flufl.bounce reads Exim's and qmail's warnings as failures: the words decide.
    failed_is: Action = "delayed" if _DELAYS.search(told) else "failed"
    actions: dict[str, Action] = dict.fromkeys(sorted(failed), failed_is)
    actions |= dict.fromkeys(sorted(delayed), "delayed")
    recipients = [
        _tell_more(address, action, told, folded)
        for address, action in islice(actions.items(), MAX_BOUNCED)
    ]
    returned = read_returned(leaves)
    returned = returned if returned.items else read_fields(own.encode("utf-8", "replace"))
    recipients = recipients or _find_mentioned(returned, told, folded)
    message_id = find_message_id(returned)
    if not recipients and not message_id:
        return None
    return Report(
        "dsn",
        original_message_id=message_id,
        recipients=tuple(recipients),
        returned=returned,
    )


def _is_from_daemon(fields: Fields) -> bool:
    # The null path alone is not enough: absences have it too, and quote whom they answer.
    return fields.has("x-failed-recipients") or bool(_DAEMONS.search(fields.get("from")[:500]))


def _take_texts(leaves: Sequence[Leaf]) -> list[str]:
    texts = [leaf for leaf in leaves if leaf.is_text][:MAX_SEARCHED_LEAVES]
    plain = [leaf.decode_text() for leaf in texts if leaf.media_type == "text/plain"]
    if not plain:
        plain = [derive_answer_text(leaf.decode_text(), with_quotes=True) for leaf in texts]
    return [_cut_lines(text) for text in plain]


def _find_mentioned(returned: Fields, told: str, folded: str) -> list[ReportedRecipient]:
    """Find those that our message was for and the text names beside a status, in any language."""
    mailboxes = read_mailboxes(returned.get_all("to") + returned.get_all("cc"))[:MAX_BOUNCED]
    found = [_tell_more(each.address, "failed", told, folded) for each in mailboxes]
    actions: dict[str, Action] = {"5": "failed", "4": "delayed"}
    return [
        replace(each, action=actions[each.status[0]])
        for each in found
        if each.status[:1] in actions
    ]


def _find_recipients(fields: Fields, texts: list[str]) -> tuple[set[str], set[str]]:
    """Ask flufl.bounce about a copy with nothing in it but text; answer (delayed, failed)."""
    from flufl.bounce import all_failures  # loaded with the first old bounce: most never come

    # It logs every step, and foreign text with every error.
    logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)
    copy = Message()
    for name in ("from", "subject", "x-failed-recipients"):
        if fields.has(name):
            copy[name] = fields.get(name)[:MAX_SEARCHED_CHARS]
    if len(texts) == 1:
        copy.set_payload(texts[0])
    else:
        copy["content-type"] = "multipart/mixed"
        for text in texts:
            part = Message()
            part["content-description"] = "notification"
            part.set_payload(text)
            copy.attach(part)
    try:
        temporary, permanent = all_failures(copy)
    except Exception:  # other people's code on hostile text; nothing found is a good answer
        return set(), set()
    return _clean(temporary), _clean(permanent)


def _clean(addresses: frozenset[bytes]) -> set[str]:
    texts = tuple(address.decode("ascii", "replace") for address in addresses)
    return {mailbox.address for mailbox in read_mailboxes(texts)}


def _tell_more(address: str, action: Action, told: str, folded: str) -> ReportedRecipient:
    """Take what stands behind the address, up to the end of its paragraph, for the diagnostic."""
    said = ""
    at = -1
    for _ in range(MAX_MENTIONS):
        at = folded.find(address.lower(), at + 1)
        if at < 0:
            break
        behind = told[at + len(address) : at + len(address) + MAX_SAID_CHARS].lstrip(">:;, \t\n")
        paragraph = _BREAK.split(behind, maxsplit=1)[0]
        said = " ".join(paragraph.split())
        if status := find_status(said):
            return ReportedRecipient(action, address, status=status, diagnostic=said)
    # The status may stand in a later paragraph, as in Gmail's old form.
    at = folded.find(address.lower())
    status = find_status(told[at : at + MAX_SAID_CHARS]) if at >= 0 else ""
    return ReportedRecipient(action, address, status=status, diagnostic=said)


def _cut_returned(text: str) -> tuple[str, str]:
    """Split into what the daemon says and the header of our message, found by its Message-ID."""
    match = _MESSAGE_ID.search(text)
    if match is None:
        return text, ""
    start = text.rfind("\n\n", 0, match.start()) + 1
    end = text.find("\n\n", match.end())
    return text[:start], text[start : end if end > 0 else len(text)].lstrip("\n")


def _cut_lines(text: str) -> str:
    return "\n".join(line[:MAX_LINE_CHARS] for line in text[:MAX_SEARCHED_CHARS].split("\n"))
