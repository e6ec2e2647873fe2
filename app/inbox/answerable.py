"""Whether a mail may be answered by a machine, and where to: RFC 3834 §2 and §4, by its header alone.

Pure, one rule after the other, so that a table can test it. What needs the database (own addresses,
who was answered lately) is ``auto_reply``'s. In doubt there is no answer: a missing one harms nobody,
a superfluous one may begin a loop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.configuration.model import StoredAccount
from app.mime.address import Mailbox, parse_mailbox
from app.mime.fields import Fields, read_mailboxes
from app.mime.incoming import Incoming
from app.mime.machine import is_unanswered

# Why there is no automatic reply; docs/inbox.md has the table.
Reason = Literal[
    "report", "null_path", "no_sender", "list", "machine", "spam", "not_addressed", "old",
    "first_sync", "own_address", "recent", "suppressed", "ceiling", "off", "not_now", "late", "failed",
]  # fmt: skip
MOST_AGE = timedelta(days=7)  # of what the mail's Date says
# RFC 3834 §2: an answer only where the header names whom the mail is for.
_REACHED = ("to", "cc", "resent-to", "resent-cc")
_SPAM = ("x-spam-flag", "x-spam-status", "x-spam")


@dataclass(frozen=True, slots=True)
class Mine:
    """The addresses of the account that a mail came to.

    keys: ``Mailbox.key`` of each. pattern: of its addresses per document, with a ``*``; "" = none.
    """

    keys: frozenset[str]
    pattern: str = ""

    def holds(self, address: str) -> bool:
        """Whether an address is one of them, with a tag behind a plus or without."""
        key = address.casefold()
        local_part, _, domain = key.rpartition("@")
        if not self.keys.isdisjoint((key, f"{local_part.partition('+')[0]}@{domain}")):
            return True
        head, _, tail = self.pattern.casefold().partition("*")
        return bool(tail) and key.startswith(head) and key.endswith(tail)


def list_mine(stored: StoredAccount) -> Mine:
    """Return an account's addresses: its sender's, those it may write as, its logins."""
    document = stored.document
    found = [document.get("sender", {}).get("address")]
    found += [each["address"] for each in document.get("senders", ())]
    found += [each.username for each in (stored.settings, stored.incoming) if each is not None]
    pattern = document.get("document_address")
    return Mine(
        frozenset(each.casefold() for each in found if each and "@" in each),
        pattern if isinstance(pattern, str) else "",
    )


def find_target(read: Incoming) -> Mailbox | None:
    """Return where the answer goes: the return path (RFC 3834 §4), without one to From.

    Never Reply-To: it may name a list. None: nowhere, also where a return path cannot be read.
    """
    if read.return_path is None:
        return None if read.headers.has("return-path") else read.from_
    path, _ = parse_mailbox(read.return_path, "")
    return path


def judge_mail(read: Incoming, mine: Mine, at: datetime) -> Reason | None:
    """Return why a mail must not be answered; None where its header has nothing against it."""
    return next(_list_reasons(read, mine, at), None)


def _list_reasons(read: Incoming, mine: Mine, at: datetime) -> Iterator[Reason]:
    fields, target = read.headers, find_target(read)
    # A mail that was too large is here without its body, in which its report would be.
    is_report = fields.get("content-type").lower().startswith("multipart/report")
    if read.kind in ("dsn", "mdn", "arf") or is_report:
        yield "report"
    if read.return_path == "":
        yield "null_path"
    writers = (target, read.from_, *read_mailboxes(fields.get_all("sender")))
    if target is None or read.from_ is None:
        yield "no_sender"
    if any(each is not None and is_unanswered(each.address) for each in writers):
        yield "machine"
    if read.kind == "list":
        yield "list"
    if read.kind != "human" or not _is_no(fields):
        yield "machine"
    if any(fields.get(name).lower().startswith("yes") for name in _SPAM):
        yield "spam"
    reached = (each for name in _REACHED for each in read_mailboxes(fields.get_all(name)))
    if not any(mine.holds(each.address) for each in reached):
        yield "not_addressed"
    if read.date is not None and read.date < at - MOST_AGE:
        yield "old"


def _is_no(fields: Fields) -> bool:
    """RFC 3834 §5: any value of Auto-Submitted but ``no`` is a machine's."""
    said = (each.partition(";")[0].partition("(")[0] for each in fields.get_all("auto-submitted"))
    return all(each.strip().lower() == "no" for each in said)
