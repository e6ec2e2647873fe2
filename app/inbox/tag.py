"""The tag of a message in an address: ``doc-<id><signature>``, 40 characters.

It is signed, so that whoever makes one up reaches no document. Mail systems change the case of
addresses: a tag is lower case and read in any. 50 bits of signature: a guess is checked here only,
one mail at a time.
"""

import base64
import hmac
import re

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


def _sign(vault: Vault, message_id: str, key_id: str) -> str:
    digest = vault.digest(_PURPOSE, message_id.encode(), key_id).partition(":")[2]
    return base64.b32encode(bytes.fromhex(digest)).decode().lower()[:_SIGNATURE_CHARS]
