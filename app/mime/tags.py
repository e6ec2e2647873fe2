"""What in a foreign message may name one of ours: what to try, in order, and nothing decided.

Whether an identifier or an address is signed by us is asked elsewhere; a name found here proves
nothing. Order: the report's envelope id; identifiers (returned message, then what is answered, the
newest of the thread first); addresses that may carry a tag (to whom it came, then whom our returned
message named for answers).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from app.mime.fields import Fields, read_identifiers, read_mailboxes
from app.mime.incoming import Incoming

MAX_TRIED = 100  # of each kind: who writes more wants us to work

# Where the server that took it noted for whom; then what the sender wrote.
_REACHED = (
    "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to",
    "x-forwarded-to", "apparently-to", "to", "cc", "resent-to",
)  # fmt: skip
_NAMED_FOR_ANSWERS = ("reply-to", "return-path", "from", "disposition-notification-to")


@dataclass(frozen=True, slots=True)
class Tags:
    """envelope_id: "" = none. message_ids: with angle brackets. addresses: in canonical form."""

    envelope_id: str
    message_ids: tuple[str, ...]
    addresses: tuple[str, ...]


def find_tags(incoming: Incoming) -> Tags:
    """Return what may connect a message with one of ours, the best first, nothing twice."""
    report = incoming.report
    return Tags(
        envelope_id=report.envelope_id if report else "",
        message_ids=tuple(dict.fromkeys(_list_identifiers(incoming)))[:MAX_TRIED],
        addresses=tuple(dict.fromkeys(_list_addresses(incoming)))[:MAX_TRIED],
    )


def _list_identifiers(incoming: Incoming) -> Iterator[str]:
    if incoming.report:
        if incoming.report.original_message_id:
            yield incoming.report.original_message_id
        # Who replaces Message-ID (SES) may keep ours beside it.
        for name in ("message-id", "x-original-message-id"):
            yield from read_identifiers(incoming.report.returned.get(name))
    yield from incoming.in_reply_to
    yield from reversed(incoming.references)
    # Exchange's reports name ours only here when the returned part is missing.
    yield from read_identifiers(incoming.headers.get("x-ms-exchange-parent-message-id"))


def _list_addresses(incoming: Incoming) -> Iterator[str]:
    yield from _list_in(incoming.headers, _REACHED)
    if incoming.report:
        yield from _list_in(incoming.report.returned, _NAMED_FOR_ANSWERS)


def _list_in(fields: Fields, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        for mailbox in read_mailboxes(fields.get_all(name)[:20]):
            yield mailbox.address
