"""A stored configuration as the API shows it: what was given, without secrets."""

from copy import deepcopy
from typing import Any

from app.configuration.model import StoredAccount, default_port


def show_document(stored: StoredAccount) -> dict[str, Any]:
    """Return the document as it can be edited and put again, and what is known beside it."""
    shown: dict[str, Any] = deepcopy(dict(stored.document))
    if "smtp" in shown or stored.settings is not None:  # the domain's, where it names none
        smtp = shown.setdefault("smtp", {})
        port = stored.settings.port if stored.settings else smtp.get("port")
        smtp["effective_port"] = port or default_port(smtp.get("connection", "auto"))
        smtp["password_set"] = stored.password is not None
        if "password_mode" not in smtp:
            awaits = stored.password_state == "awaiting"
            smtp["password_mode"] = "awaiting" if awaits else "stored"
    if "incoming" in shown:
        if stored.incoming is not None:
            shown["incoming"]["effective_port"] = stored.incoming.port
        shown["incoming"]["password_set"] = stored.incoming_password is not None
    shown["attachment_password_set"] = stored.attachment_password is not None
    return shown
