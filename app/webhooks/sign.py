"""Signatures by Standard Webhooks 1.0: HMAC-SHA256 of ``id.timestamp.body``, in base64."""

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime

from app.chance import draw_bytes

_PREFIX = "whsec_"
_SECRET_BYTES = 32  # the standard: 24 to 64


def mint_secret() -> str:
    """Return a fresh secret, ``whsec_`` and base64."""
    return _PREFIX + base64.b64encode(draw_bytes(_SECRET_BYTES)).decode()


def sign(secret: str, delivery_id: str, timestamp: int, body: bytes) -> str:
    """Return ``v1,<signature>``. timestamp: seconds since 1970, as in ``webhook-timestamp``."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()


def write_headers(
    secrets: Sequence[str], delivery_id: str, at: datetime, body: bytes
) -> dict[str, str]:
    """Return the three headers of the standard, with a signature of each secret."""
    timestamp = int(at.timestamp())
    signatures = [sign(secret, delivery_id, timestamp, body) for secret in secrets]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
