"""What a configuration asks for and cannot have: it is saved, stays without effect, and says so."""

from app.configuration.model import StoredAccount
from app.errors import Notice

_MOST_BEFORE_TAG = 23  # RFC 5321 §4.5.3.1.1: 64 octets before the @, less a plus and the tag's 40
NO_ROOM = (
    f"An address per document needs one with at most {_MOST_BEFORE_TAG} plain characters before its "
    "@; answers go to {address} as it is. Give a shorter reply_to, or a pattern."
)

# What POP3 has none of, and what it does instead.
_ONLY_IMAP = (
    ("after", ("seen",), "cannot mark mail as read; it is left as it is"),
    ("first_sync", ("unseen",), "does not know what was read; all mail is taken at first"),
)


def takes_tag(address: str) -> bool:
    """Whether an address has room for a plus and a document's tag before its @."""
    local_part = address.rpartition("@")[0]
    return len(local_part) <= _MOST_BEFORE_TAG and not local_part.startswith('"')


def find_cautions(stored: StoredAccount) -> tuple[Notice, ...]:
    """Return what of an account's own members is without effect, as far as it alone can tell."""
    found, document = [], stored.document
    has_folders = stored.incoming is not None and stored.incoming.protocol == "imap"
    if document.get("sent_copy") == "folder" and not has_folders:
        detail = "A copy in the Sent folder needs an IMAP mailbox (incoming); none is filed."
        found.append(Notice("sent_copy_needs_imap", detail, "/sent_copy"))
    given = document.get("incoming", {})
    for name, value, instead in _ONLY_IMAP:
        if given.get("protocol") == "pop3" and given.get(name) in value:
            found.append(Notice("only_of_imap", f"POP3 {instead}.", f"/incoming/{name}"))
    mailboxes = (*document.get("reply_to", ()), document.get("sender", {}))
    address = next((each["address"] for each in mailboxes if "address" in each), "")
    if document.get("document_address") is True and not takes_tag(address):
        detail = NO_ROOM.format(address=address)
        found.append(Notice("document_address_without_room", detail, "/document_address"))
    return tuple(found)
