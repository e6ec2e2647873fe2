"""What is sent: ``{"type", "timestamp", "data"}``, with what ``GET /events`` shows and no more.

The document it is about stands in ``reference``, so that the receiver need not ask back.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

TEST = "webhook.test"


def write_event(row: Row[Any]) -> bytes:
    """Return the body for an event, joined with its message's reference."""
    details = {name: value for name, value in row.data.items() if value is not None}
    reference = {
        "type": row.reference_type,
        "number": row.reference_number,
        "customer": row.reference_customer,
    }
    data = {
        "event": show_number(row.number),
        "message": row.message_id,
        "recipient": details.pop("address", None),
        "user": row.user_id,
        "reference": {name: value for name, value in reference.items() if value is not None},
        "details": details,
    }
    return _write(row.type, row.at, data)


def write_test(at: datetime) -> bytes:
    """Return the body of a test."""
    return _write(TEST, at, {})


def show_number(number: int) -> str:
    """Return an event's id as ``GET /events`` shows it."""
    return f"{number:016d}"


def _write(type: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    timestamp = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    whole = {"type": type, "timestamp": timestamp, "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
