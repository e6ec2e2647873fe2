"""An e-mail domain's settings as a value, and what an account takes from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.mime.address import Mailbox


@dataclass(frozen=True, slots=True)
class Domain:
    """Server settings for every address of an e-mail domain.

    document: ``smtp`` and ``incoming`` without logins, ``username`` (``address`` or ``local_part``:
    what an account logs in with that names no user), ``max_attachment_bytes``.
    """

    name: str
    version: int
    document: Mapping[str, Any]
    updated_at: datetime | None = None


def find_largest_attachment(domain: Domain | None) -> int | None:
    """Return the largest attachment (bytes) that a domain's server takes; None: not said."""
    found = domain.document.get("max_attachment_bytes") if domain else None
    return int(found) if found else None


def name_domain(document: Mapping[str, Any]) -> str | None:
    """Return the e-mail domain of a configuration's own sender."""
    address = document.get("sender", {}).get("address")
    return Mailbox(address).domain.lower() if address else None


def merge_domain(
    block: Mapping[str, Any] | None, name: str, address: str | None, domain: Domain | None
) -> Mapping[str, Any] | None:
    """Return a ``smtp`` or ``incoming`` block with the domain's server where it names none.

    What the account says beside the server (user name, lots, timeouts) stands.
    """
    shared = domain.document.get(name) if domain else None
    if not shared or not address or (block and block.get("host")):
        return block
    assert domain is not None
    whole = (
        address if domain.document.get("username") != "local_part" else address.rpartition("@")[0]
    )
    login = {} if shared.get("auth") == "none" else {"username": whole}
    return {**shared, **login, **(block or {})}
