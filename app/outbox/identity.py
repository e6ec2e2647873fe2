"""The signed id that a message carries outside: in Message-ID and ENVID.

Reports are matched by it later; a forged one does not verify. Shape: ``<id>.<signature>``, 47
characters, well under the 100 that RFC 3461 §4.4 allows an ENVID.
"""

from app.vault import Vault

_PURPOSE = "message"


def make_message_id(vault: Vault, message_id: str, domain: str) -> str:
    """Return the Message-ID (RFC 5322 §3.6.4), angle brackets included."""
    return f"<{make_envid(vault, message_id)}@{domain}>"


def make_envid(vault: Vault, message_id: str) -> str:
    """Return the envelope identifier (RFC 3461 §4.4)."""
    return f"{message_id}.{vault.sign(_PURPOSE, message_id)}"


def read_signed_id(vault: Vault, text: str) -> str | None:
    """Return our id inside a Message-ID or ENVID, or None where it is not signed by us."""
    signed = text.strip().removeprefix("<").partition("@")[0]
    message_id, _, signature = signed.partition(".")
    return message_id if vault.verify(_PURPOSE, message_id, signature) else None
