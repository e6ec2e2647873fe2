"""What ``GET /inbox/{id}`` shows of a report, as OpenAPI has it; ``app.inbox.entry`` writes it."""

from collections.abc import Mapping
from typing import Any, get_args

from app.mime.report import Action, ReportKind

_TEXT: Mapping[str, Any] = {"type": "string", "description": "Empty: the report does not say."}
_RECIPIENT: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "action": {"type": "string", "enum": list(get_args(Action)), "description": "RFC 3464."},
        "final_recipient": _TEXT,
        "original_recipient": {"type": "string", "description": "As the message had it."},
        "status": {"type": "string", "examples": ["5.1.1"], "description": "RFC 3463."},
        "diagnostic": {"type": "string", "description": "In the server's words."},
        "remote_mta": _TEXT,
        "will_retry_until": {"type": ["string", "null"], "format": "date-time"},
    },
}
_DISPOSITION: Mapping[str, Any] = {
    "type": ["object", "null"],
    "description": "Of an `mdn` (RFC 8098): what a reader did.",
    "properties": {
        "type": {"type": "string", "examples": ["displayed", "deleted"]},
        "is_automatic": {"type": "boolean", "description": "No person asked for it."},
        "modifiers": {"type": "array", "items": {"type": "string"}},
        "final_recipient": _TEXT,
        "original_recipient": _TEXT,
    },
}
SHOWN_REPORT: dict[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "kind": {"type": "string", "enum": list(get_args(ReportKind))},
        "envelope_id": {"type": "string", "description": "Our ENVID, where it came back."},
        "original_message_id": _TEXT,
        "reporting_mta": _TEXT,
        "recipients": {"type": "array", "items": _RECIPIENT},
        "disposition": _DISPOSITION,
        "feedback_type": {"type": "string", "description": "Of an `arf`, such as `abuse`."},
        "complained": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Of an `arf`: whose complaint it is.",
        },
    },
}
