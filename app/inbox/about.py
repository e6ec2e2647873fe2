"""Which message of ours a mail is about, and how sure that is.

Signed: our ENVID, our Message-ID, our tag in an address, in this order; whoever names one had it from
our mail. A guess: the sender is a recipient of ours and the subject names the document; shown, but it
changes nothing.
"""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, or_, select
from sqlalchemy.engine import Connection

from app.configuration.model import StoredAccount
from app.mime.incoming import Incoming
from app.mime.tags import find_tags
from app.outbox.document_tag import read_tag
from app.outbox.identity import read_signed_id
from app.outbox.tables import message, recipient
from app.vault import Vault

_LOOKED_AT = 200  # newest messages to one address that a guess looks through
_SHORTEST_NUMBER = 3  # of a document, to be found in a subject


@dataclass(frozen=True, slots=True)
class About:
    """A message of ours. is_verified: a signed id of ours says so."""

    message_id: str
    is_verified: bool


def find_about(tx: Connection, vault: Vault, stored: StoredAccount, read: Incoming) -> About | None:
    """Return the message that a mail in this account's mailbox is about, or None."""
    for named in dict.fromkeys(_list_signed(vault, read)):
        if tx.scalar(select(message.c.id).where(message.c.id == named)) is not None:
            return About(named, is_verified=True)
    guess = _guess(tx, stored, read)
    return None if guess is None else About(guess, is_verified=False)


def choose_reference(
    stored: StoredAccount, about: Row[Any] | None, *, is_report: bool
) -> dict[str, str | None]:
    """Return the columns that say to which document a mail belongs.

    The document is that of the message ``about``; mail about none belongs to the kind that the
    account says (``append_to``), a report to nothing.
    """
    bound = stored.document.get("append_to") if about is None and not is_report else None
    return {
        "reference_type": about.reference_type if about else bound,
        "reference_number": about.reference_number if about else None,
        "reference_customer": about.reference_customer if about else None,
    }


def _list_signed(vault: Vault, read: Incoming) -> list[str]:
    tags = find_tags(read)
    named = [read_signed_id(vault, each) for each in (tags.envelope_id, *tags.message_ids)]
    named += [read_tag(vault, each) for each in tags.addresses]
    return [each for each in named if each is not None]


def _guess(tx: Connection, stored: StoredAccount, read: Incoming) -> str | None:
    """Answers only: what a report says without our signature is nothing to guess from."""
    if read.report or read.from_ is None or not read.subject:
        return None
    query = (
        select(message.c.id, message.c.reference_number)
        .join(recipient, recipient.c.message_id == message.c.id)
        .where(
            recipient.c.address_key == read.from_.key,
            message.c.reference_number.is_not(None),
            # Of this account or its holder: a forged sender reaches nobody else's documents.
            or_(message.c.account_id == stored.id, message.c.scope == stored.scope),
        )
        .order_by(message.c.id.desc())
        .limit(_LOOKED_AT)
    )
    for row in tx.execute(query):
        if _names(read.subject, row.reference_number):
            return str(row.id)
    return None


def _names(subject: str, number: str) -> bool:
    if len(number) < _SHORTEST_NUMBER:
        return False
    whole = rf"(?<!\w){re.escape(number.casefold())}(?!\w)"
    return re.search(whole, subject.casefold()) is not None
