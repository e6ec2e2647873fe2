"""Why this sender? Every value a send would use, with the scope it comes from (B11)."""

from dataclasses import fields
from typing import Any

from app.configuration.model import DEFAULTS, Sender, SmtpSettings
from app.configuration.resolve import Resolved
from app.mime.address import Mailbox


def explain(resolved: Resolved, *, hide_global_bcc: bool) -> dict[str, Any]:
    """Return ``{"bcc": {"value", "origin"}, …}`` without any secret.

    hide_global_bcc: leave out the BCC of the global scope, which is not every user's to know.
    """
    origins = resolved.origins
    shown: dict[str, Any] = {
        "active_scope": resolved.active_scope,
        "scope": resolved.scope,
        "smtp": _explain_block(resolved, "smtp", resolved.smtp),
        "sender": _explain_block(resolved, "sender", resolved.sender),
    }
    if resolved.smtp is not None:
        shown["smtp"]["password_set"] = {
            "value": resolved.password_state == "stored",
            "origin": origins["smtp.host"],
        }
    for name in DEFAULTS:
        if not (name == "bcc" and hide_global_bcc and origins[name] == "global"):
            value = _show(getattr(resolved, name))
            shown[name] = {"value": [] if name == "notifications" and value is None else value}
            shown[name]["origin"] = origins[name]
    shown["attachment_password_set"] = {
        "value": resolved.attachment_password is not None,
        "origin": origins["attachment_password"],
    }
    shown["macros"] = {
        name: {"value": value, "origin": origins[f"macros.{name}"]}
        for name, value in sorted(resolved.macros.items())
    }
    shown["closing"] = {
        each.part: {"value": each.wanted, "origin": each.origin} for each in resolved.closing
    }
    return shown


def _explain_block(
    resolved: Resolved, block: str, values: SmtpSettings | Sender | None
) -> dict[str, Any] | None:
    if values is None:
        return None
    return {
        member.name: {
            "value": getattr(values, member.name),
            "origin": resolved.origins[f"{block}.{member.name}"],
        }
        for member in fields(values)
    }


def _show(value: Any) -> Any:
    if isinstance(value, tuple):
        return [
            {"address": each.address, "name": each.name} if isinstance(each, Mailbox) else each
            for each in value
        ]
    return value
