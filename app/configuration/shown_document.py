"""A configuration as answers show it, for OpenAPI: what can be given, and what is known beside it."""

from typing import Any

from app.configuration.document import STATES, describe_input


def describe_answer() -> dict[str, Any]:
    """Return the JSON schema of a configuration as it is shown: without secrets, and more."""
    schema = describe_input()
    smtp = schema["properties"]["smtp"]["properties"]
    incoming = schema["properties"]["incoming"]["properties"]
    del smtp["password"], incoming["password"]
    del schema["properties"]["attachment_password"]
    smtp["port"] = {"type": "integer"}
    beside = {"effective_port": {"type": "integer"}, "password_set": {"type": "boolean"}}
    smtp |= beside
    incoming |= beside
    mailbox = {"address": {"type": "string"}, "name": {"type": "string"}}
    for name in ("reply_to", "cc", "bcc", "senders"):
        schema["properties"][name] = {
            "type": "array",
            "items": {"type": "object", "properties": mailbox},
        }
    instant = {"type": ["string", "null"], "format": "date-time"}
    schema["properties"] |= {
        "scope": {"type": "string", "examples": ["users/anna"]},
        "user": {"type": "string"},
        "active_scope": {"type": "string", "enum": ["global", "personal"]},
        "id": {"type": "string", "description": "The account, see `/accounts`."},
        "kind": {"type": "string", "enum": ["group", "personal"]},
        "holder": {"type": ["string", "null"], "description": "Of a personal account."},
        "is_default": {"type": "boolean", "description": "Of its holder, or of everybody."},
        "version": {"type": "integer", "description": "The ETag."},
        "updated_at": instant,
        "state": {"type": "string", "enum": list(STATES)},
        "trouble": {
            "type": ["object", "null"],
            "description": "What is wrong with the server, and when it is tried again.",
            "properties": {
                "cause": {"type": "string", "examples": ["credentials_refused"]},
                "detail": {"type": "string"},
                "failed_at": instant,
                "next_try_at": instant,
            },
        },
        "mailbox": {
            "type": ["object", "null"],
            "description": "How collecting stands; null where nothing is collected.",
            "properties": {
                "synced_at": instant,
                "unread": {"type": ["integer", "null"], "description": "With `mode: check`."},
                "next_try_at": instant,
                "failed_at": instant,
                "cause": {"type": ["string", "null"], "examples": ["credentials_refused"]},
                "detail": {"type": ["string", "null"], "description": "In the server's words."},
                "advice": {
                    "type": ["object", "null"],
                    "description": "What to do about it: `pl`, `fr`, `en`.",
                },
            },
        },
        "slowed": {
            "type": ["object", "null"],
            "description": "The server asked to be sent less; the pace grows again until `until`.",
            "properties": {
                "reason": {"type": "string", "enum": ["rate_limited", "too_many_connections"]},
                "detail": {"type": "string", "description": "The server's words."},
                "slowed_at": instant,
                "next_try_at": instant,
                "until": instant,
            },
        },
        "limits": {
            "type": "object",
            "description": "What mail keeps to now: as the provider publishes it or as its server "
            "taught us; null where nothing is known.",
            "properties": {
                "per_minute": {"type": ["number", "null"], "description": "Messages."},
                "connections": {"type": ["integer", "null"], "description": "At once, in all."},
                "per_connection": {"type": ["integer", "null"], "description": "Messages."},
            },
        },
        "paused_at": instant,
        "consent": {
            "type": ["object", "null"],
            "description": "OAuth2, see `/accounts/{account}/consent`.",
        },
        "attachment_password": {
            "type": "string",
            "description": "Only where it is empty: explicitly none.",
        },
        "attachment_password_set": {"type": "boolean"},
        "warnings": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "pointer": {"type": ["string", "null"]},
                },
            },
        },
    }
    return schema
