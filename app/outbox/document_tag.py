"""The tag of a message in an address: ``doc-<id><signature>``, 40 characters.

It is signed, so that whoever makes one up reaches no document. Mail systems change the case of
addresses: a tag is lower case and read in any. 50 bits of signature: a guess is checked here only,
one mail at a time.
"""

import base64
import hmac
import re

from app.configuration.cautions import takes_tag
from app.configuration.resolve import Resolved
from app.mime.address import Mailbox
from app.outbox.order import Order
from app.vault import Vault

PREFIX = "doc-"
_PURPOSE = "document-address"
_SIGNATURE_CHARS = 10
_TAG = re.compile(rf"{PREFIX}([0-9a-z]{{26}})([a-z2-7]{{{_SIGNATURE_CHARS}}})(?![0-9a-z])")


def make_tag(vault: Vault, message_id: str) -> str:
    """Return the tag of a message."""
    key_id = vault.active_key_id
    return f"{PREFIX}{message_id}{_sign(vault, message_id, key_id)}"


def read_tag(vault: Vault, address: str) -> str | None:
    """Return the message whose tag stands in the local part of an address; None: none of ours."""
    local_part = address.rpartition("@")[0].lower()
    for match in _TAG.finditer(local_part):
        message_id = match[1]
        for key_id in vault.key_ids:
            signature = _sign(vault, message_id, key_id)
            if hmac.compare_digest(signature.encode(), match[2].encode()):
                return message_id
    return None


def choose_reply_to(
    vault: Vault, resolved: Resolved, order: Order, message_id: str
) -> tuple[Mailbox, ...]:
    """Return where answers to the message go: to its document's own address, where the account has
    such, the order names a document and nobody asked for another Reply-To."""
    given = resolved.reply_to if order.reply_to is None else order.reply_to
    base = find_base(resolved, order)
    if base is None or not has_room(resolved, base):
        return given
    wish, tag = resolved.correspondence["document_address"], make_tag(vault, message_id)
    local_part, _, domain = base.address.rpartition("@")
    address = f"{local_part}+{tag}@{domain}" if wish is True else str(wish).replace("*", tag)
    return (Mailbox(address, base.name), *given[1:])


def find_base(resolved: Resolved, order: Order) -> Mailbox | None:
    """Return the mailbox that the document's address is made of; None where none is wanted."""
    reference = order.reference
    is_about = reference.type or reference.number or reference.customer
    wish = resolved.correspondence.get("document_address")
    if not wish or not is_about or order.reply_to is not None or resolved.sender is None:
        return None
    if resolved.reply_to:
        return resolved.reply_to[0]
    return Mailbox(resolved.sender.address, resolved.sender.name)


def has_room(resolved: Resolved, base: Mailbox) -> bool:
    """Whether the tag fits into the address; into a pattern it does, it was tried when it was saved."""
    return resolved.correspondence.get("document_address") is not True or takes_tag(base.address)


def _sign(vault: Vault, message_id: str, key_id: str) -> str:
    digest = vault.digest(_PURPOSE, message_id.encode(), key_id).partition(":")[2]
    return base64.b32encode(bytes.fromhex(digest)).decode().lower()[:_SIGNATURE_CHARS]
