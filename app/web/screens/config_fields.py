"""A configuration as a form: from a document to fields and back; their words are ``config_words``.

A field is named as its member (``smtp.host``), so that a fault's pointer finds it. What the form leaves
empty is left out of the document: there it inherits, or the default holds.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.configuration.closing import PIECES
from app.configuration.document import FIELDS, INCOMING, SENDER, SMTP
from app.configuration.model import NEVER
from app.configuration.unsubscribe import LANGUAGES
from app.mime.address import Mailbox
from app.templates_engine.closing import SWITCHES
from app.web.form import Form
from app.web.screens import config_answers
from app.web.screens.config_words import NOTIFICATIONS

MAILBOXES = ("reply_to", "cc", "bcc")
POINTERS = {
    **{f"/smtp/{name}": f"smtp.{name}" for name in SMTP},
    **{f"/sender/{name}": f"sender.{name}" for name in SENDER},
    **{f"/incoming/{name}": f"incoming.{name}" for name in INCOMING},
    **{f"/{name}": name for name in FIELDS},
    **config_answers.POINTERS,
    "/holder": "holder",
    "/unsubscribe/mailto": "unsubscribe.mailto",
    **{f"/unsubscribe/text/{name}": f"unsubscribe.text.{name}" for name in LANGUAGES},
    **{f"/{name}/{kind}": f"{name}.{kind}" for name in PIECES for kind in ("html", "text")},
}
_NUMBERS = {
    "port": int,
    "timeout_ms": int,
    "batch_limit": int,
    "batch_wait_s": float,
    "chunking_window": int,
    "last": int,
    "poll_s": int,
    "largest_bytes": int,
}
_PLAIN = ("return_content", "importance", "language", "on_uncertain", "mode")
_FLAGS = ("read_receipt", "suppress_hard_bounces")  # said, denied, or inherited
_TICKS = ("always_use_address", "always_use_name", "product_footer")
_OFFERED = {
    *(*_PLAIN, *_FLAGS, *_TICKS, *MAILBOXES, *PIECES, "smtp", "sender", "incoming", "unsubscribe"),
    *("notifications", "give_up_after_h", "attachment_password", "macros"),
    *("name", "outgoing", "senders", "user_senders", "sent_copy", "closing"),
    *config_answers.MEMBERS,
}
_OFFERED_OF_INCOMING = (
    *("protocol", "host", "port", "connection", "auth", "username", "password", "timeout_ms"),
    *("tls_verify", "ca_pem", "allow_insecure_auth"),
    *("mode", "folder", "first_sync", "last", "after", "poll_s", "largest_bytes"),
)

_USUAL_OF_INCOMING = {"mode": "collect", "first_sync": "unseen", "after": "leave"}


def fill_form(document: Mapping[str, Any], *, inherits: bool) -> dict[str, str]:
    """Return what stands in the form's fields for a stored document."""
    smtp: Mapping[str, Any] = document.get("smtp", {})
    sender: Mapping[str, Any] = document.get("sender", {})
    values = {f"smtp.{name}": _write(value) for name, value in smtp.items()}
    values |= {f"sender.{name}": _write(value) for name, value in sender.items()}
    values |= {name: _write(document[name]) for name in _PLAIN if name in document}
    values["smtp.tls_verify"] = _tick(smtp.get("tls_verify", True))
    values["smtp.allow_insecure_auth"] = _tick(smtp.get("allow_insecure_auth", False))
    values["own.smtp"] = _tick("smtp" in document or not inherits)
    values["own.sender"] = _tick("sender" in document or not inherits)
    for name in MAILBOXES:
        values[name] = write_mailboxes(document.get(name, []))
        values[f"none.{name}"] = _tick(document.get(name) == [])
    given = document.get("notifications")
    values["notifications"] = "" if given is None else "never" if given == [NEVER] else "some"
    values |= {f"notify.{word}": _tick(word in (given or [])) for word in NOTIFICATIONS}
    values |= {name: _write(document[name]) for name in _FLAGS if name in document}
    values |= {name: _tick(document.get(name, False)) for name in _TICKS}
    if "give_up_after_h" in document:
        values["give_up_after_h"] = _write(document["give_up_after_h"])
    values["none.attachment_password"] = _tick(document.get("attachment_password") == "")
    values["macros"] = write_macros(document.get("macros", {}))
    closing = document.get("closing", {})
    values |= {f"off.closing.{name}": _tick(closing.get(name) is False) for name in SWITCHES}
    for name in PIECES:
        values |= {f"{name}.{kind}": each for kind, each in document.get(name, {}).items()}
    return values | _fill_own(document) | config_answers.fill_answers(document, write_mailboxes)


def _fill_own(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of what an account says of itself, its mailbox and unsubscribing."""
    values = {name: document[name] for name in ("name", "sent_copy") if name in document}
    values["off.outgoing"] = _tick(document.get("outgoing") is False)
    values["listed.user_senders"] = _tick(document.get("user_senders") == "listed")
    values["senders"] = write_mailboxes(document.get("senders", []))
    incoming: Mapping[str, Any] = document.get("incoming", {})
    values |= {f"incoming.{name}": _write(value) for name, value in incoming.items()}
    values["own.incoming"] = _tick("incoming" in document)
    values["off.incoming"] = _tick(incoming.get("enabled") is False)
    values["incoming.tls_verify"] = _tick(incoming.get("tls_verify", True))
    values["incoming.allow_insecure_auth"] = _tick(incoming.get("allow_insecure_auth", False))
    if "unsubscribe" in document:
        parting: Mapping[str, Any] = document["unsubscribe"]
        values["unsubscribe"] = "on" if parting.get("enabled") else "off"
        values["unsubscribe.reminders"] = _tick(parting.get("reminders", False))
        values["unsubscribe.mailto"] = parting.get("mailto", "")
        lines = parting.get("text", {})
        values |= {f"unsubscribe.text.{name}": line for name, line in lines.items()}
    return values


def read_document_form(form: Form, stored: Mapping[str, Any], *, inherits: bool) -> dict[str, Any]:
    """Return the raw configuration that a form stands for; ``stored`` is what it was made of.

    What the form does not offer stays as it is stored.
    """
    raw = {name: value for name, value in stored.items() if name not in _OFFERED}
    if not inherits or "own.smtp" in form:
        raw["smtp"] = read_server(form, "smtp", tuple(SMTP))
    if not inherits or "own.sender" in form:
        raw["sender"] = {
            name: form.get(f"sender.{name}") for name in SENDER if form.get(f"sender.{name}")
        }
    raw |= {name: form.get(name) for name in _PLAIN if form.get(name)}
    for name in MAILBOXES:
        if form.get(name).strip():
            raw[name] = form.get(name)
        elif f"none.{name}" in form:
            raw[name] = []
    wish = form.get("notifications")
    if wish == "never":
        raw["notifications"] = [NEVER]
    elif wish == "some":
        raw["notifications"] = [word for word in NOTIFICATIONS if f"notify.{word}" in form]
    raw |= {name: form.get(name) == "true" for name in _FLAGS if form.get(name)}
    raw |= {name: True for name in _TICKS if name in form}
    if form.get("give_up_after_h").strip():
        raw["give_up_after_h"] = read_number(form.get("give_up_after_h"), float)
    if form.get("attachment_password"):
        raw["attachment_password"] = form.get("attachment_password")
    elif "none.attachment_password" in form:
        raw["attachment_password"] = ""
    macros = read_macros(form.get("macros"), stored.get("macros", {}))
    if macros:
        raw["macros"] = macros
    for name in PIECES:
        piece = {kind: form.get(f"{name}.{kind}") for kind in ("html", "text")}
        if any(piece.values()) or stored.get(name) == {}:  # explicitly none stays so
            raw[name] = piece
    switches = {name: on for name, on in stored.get("closing", {}).items() if on}
    switches |= {name: False for name in SWITCHES if f"off.closing.{name}" in form}
    if switches:
        raw["closing"] = switches
    return raw | _read_own(form, stored) | config_answers.read_answers(form, stored)


def _read_own(form: Form, stored: Mapping[str, Any]) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    if form.get("name").strip():
        raw["name"] = form.get("name")
    if "off.outgoing" in form:
        raw["outgoing"] = False
    if "listed.user_senders" in form:
        raw["user_senders"] = "listed"
    if form.get("senders").strip():
        raw["senders"] = form.get("senders")
    if "sent_copy" in stored or form.get("sent_copy") not in ("", "auto"):
        raw["sent_copy"] = form.get("sent_copy") or stored.get("sent_copy")
    if "own.incoming" in form:
        kept = stored.get("incoming", {}).items()
        raw["incoming"] = {
            **{name: value for name, value in kept if name not in _OFFERED_OF_INCOMING},
            **read_server(form, "incoming", _OFFERED_OF_INCOMING),
            "enabled": False if "off.incoming" in form else None,
        }
        for name, usual in _USUAL_OF_INCOMING.items():  # a list always says one of its words
            if name not in stored.get("incoming", {}) and raw["incoming"].get(name) == usual:
                del raw["incoming"][name]
    if form.get("unsubscribe"):
        texts = {name: form.get(f"unsubscribe.text.{name}") for name in LANGUAGES}
        raw["unsubscribe"] = {
            "enabled": form.get("unsubscribe") == "on",
            "reminders": True if "unsubscribe.reminders" in form else None,
            "mailto": form.get("unsubscribe.mailto").strip() or None,
            **({"text": texts} if any(texts.values()) else {}),
        }
    return raw


def read_server(form: Form, block: str, members: Sequence[str]) -> dict[str, Any]:
    """Return the members of a server's block that a form says."""
    server: dict[str, Any] = {}
    for name in members:
        given = form.get(f"{block}.{name}")
        if name == "password":
            if given:
                server[name] = given
        elif name in _NUMBERS:
            if given.strip():
                server[name] = read_number(given, _NUMBERS[name])
        elif name == "tls_verify":
            if f"{block}.{name}" not in form:
                server[name] = False
        elif name == "allow_insecure_auth":
            if f"{block}.{name}" in form:
                server[name] = True
        elif given.strip():
            server[name] = given
    return server


def read_number(given: str, kind: type[int] | type[float]) -> object:
    """Return a number, or the text where it is none: then it is a fault, or a port's options."""
    text = given.strip().replace(",", ".") if kind is float else given.strip()
    try:
        return kind(text)
    except ValueError:
        return given.strip()


def write_mailboxes(stored: Sequence[Mapping[str, str]] | Sequence[Mailbox]) -> str:
    """Return mailboxes as a person types them."""
    written = []
    for each in stored:
        address, name = (
            (each.address, each.name)
            if isinstance(each, Mailbox)
            else (each["address"], each["name"])
        )
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        written.append(f'"{quoted}" <{address}>' if name else address)
    return ", ".join(written)


def write_macros(macros: Mapping[str, Any]) -> str:
    """Return values for templates, one a line: ``firma = Firma Sp. z o.o.``."""
    return "\n".join(f"{name} = {_write_macro(value)}" for name, value in macros.items())


def read_macros(text: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of such lines. A value that is no text stays one while it is not touched."""
    found: dict[str, Any] = {}
    for line in text.split("\n"):
        name, _, value = (part.strip() for part in line.partition("="))
        if not name and not value:
            continue
        kept = stored.get(name)
        found[name] = kept if kept is not None and _write_macro(kept) == value else value
    return found


def _write_macro(value: Any) -> str:
    simple = isinstance(value, str) and "\n" not in value and value == value.strip()
    return value if simple else json.dumps(value, ensure_ascii=False)


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _tick(is_set: bool) -> str:
    return "on" if is_set else ""
