"""Who may stand in From."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.configuration.model import GLOBAL, Sender, StoredAccount, read_mailboxes
from app.errors import Denied
from app.mime.address import Mailbox


def choose_sender(own: Sender, document: Mapping[str, Any], wanted: Mailbox) -> Sender:
    """Return who stands in From when ``wanted`` is asked for; reports still reach the account.

    Raises ``Denied`` ``sender_not_allowed`` for an address that is neither the account's own nor
    one of its ``senders``. ``always_use_address`` and ``always_use_name`` keep the account's.
    """
    allowed = {own.address.casefold(): own.name}
    for each in read_mailboxes(document.get("senders", [])):
        allowed.setdefault(each.key, each.name or own.name)
    address = own.address if document.get("always_use_address") else wanted.address
    if address.casefold() not in allowed:
        raise Denied(
            f"{address} may not stand in From here; allowed are {', '.join(sorted(allowed))}. Name "
            "the account that has this address, or let a manager add it to senders.",
            code="sender_not_allowed",
        )
    name = wanted.name or allowed[address.casefold()]
    if document.get("always_use_name"):
        name = own.name
    return Sender(address, name, own.return_path or own.address)


def check_listed(letterhead: StoredAccount, layers: Sequence[StoredAccount]) -> None:
    """Refuse a sender that a user gave themselves, where the common configuration wants a list.

    With ``user_senders: listed`` a user's own configuration that sends through the common server, or
    their domain's, writes only as the common sender or one of the common ``senders``; with a server
    and a login of their own it is that server's business. Raises ``Denied`` ``sender_not_allowed``.
    """
    common = layers[-1]
    if common.scope != GLOBAL or common.document.get("user_senders") != "listed":
        return
    if letterhead.user_id is None or letterhead.document.get("smtp", {}).get("host"):
        return
    listed = [*common.document.get("senders", []), common.document.get("sender", {})]
    allowed = {each.get("address", "").casefold() for each in listed}
    address = letterhead.document["sender"].get("address", "")
    if address.casefold() not in allowed:
        raise Denied(
            f"{address} is not listed: an admin has to add it to senders of /config/global, or the "
            "user needs a mail server of their own.",
            code="sender_not_allowed",
        )
