"""A configuration as a form: its fields' names and labels, from a document to fields and back.

A field is named as its member (``smtp.host``), so that a fault's pointer finds it. What the form leaves
empty is left out of the document: there it inherits, or the default holds.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.configuration.closing import PIECES
from app.configuration.document import FIELDS, SENDER, SMTP
from app.configuration.model import NEVER
from app.mime.address import Mailbox
from app.web.form import Form
from app.web.words import mark

LABELS: Mapping[str, str] = {
    "mode": mark("How mail leaves"),
    "smtp.host": mark("Mail server"),
    "smtp.port": mark("Port"),
    "smtp.connection": mark("Connection"),
    "smtp.auth": mark("Sign-in method"),
    "smtp.username": mark("User name"),
    "smtp.password": mark("Password"),
    "smtp.password_mode": mark("Where the password comes from"),
    "smtp.password_set": mark("Password stored"),
    "smtp.timeout_ms": mark("Wait for one reply (ms)"),
    "smtp.batch_limit": mark("Messages in one lot"),
    "smtp.batch_wait_s": mark("Wait between two lots (s)"),
    "smtp.chunking_window": mark("Messages on their way at once"),
    "smtp.tls_verify": mark("Verify the server's certificate"),
    "smtp.ca_pem": mark("Certificate authority (PEM)"),
    "smtp.allow_insecure_auth": mark("Allow signing in without encryption"),
    "sender.address": mark("Sender's address"),
    "sender.name": mark("Sender's name"),
    "sender.return_path": mark("Address for failure reports"),
    "reply_to": mark("Answers go to"),
    "cc": mark("Copy (Cc)"),
    "bcc": mark("Blind copy (Bcc)"),
    "notifications": mark("Delivery reports"),
    "return_content": mark("Reports bring back"),
    "read_receipt": mark("Read receipt"),
    "importance": mark("Importance"),
    "language": mark("Language of mail"),
    "attachment_password": mark("Password for attachments"),
    "attachment_password_set": mark("Attachments are protected"),
    "on_uncertain": mark("When a server's last answer was lost"),
    "give_up_after_h": mark("Give up after (hours)"),
    "macros": mark("Values for templates"),
    "signature.html": mark("Signature of the account (HTML)"),
    "signature.text": mark("Signature of the account (plain text)"),
    "footer.html": mark("Footer of the account (HTML)"),
    "footer.text": mark("Footer of the account (plain text)"),
    "instance_footer.html": mark("Footer of every mail (HTML)"),
    "instance_footer.text": mark("Footer of every mail (plain text)"),
    "product_footer": mark("The line \u201cSent with Awizo\u201d below every mail"),
    "closing.user_signature": mark("Signature of the user"),
    "closing.account_signature": mark("Signature of the account"),
    "closing.account_footer": mark("Footer of the account"),
    "closing.instance_footer": mark("Footer of every mail"),
    "closing.product_footer": mark("The line \u201cSent with Awizo\u201d"),
}
# In the order in which they are offered.
CHOICES: Mapping[str, Mapping[str, str]] = {
    "mode": {
        "smtp": mark("Awizo sends it by SMTP"),
        "draft": mark("As a draft for the user's mail program"),
    },
    "smtp.connection": {
        "auto": mark("Automatic"),
        "starttls": "STARTTLS",
        "ssl_tls": "SSL/TLS",
        "plaintext": mark("Not encrypted"),
    },
    "smtp.auth": {
        "auto": mark("Automatic"),
        "none": mark("No sign-in"),
        "plain": "PLAIN",
        "login": "LOGIN",
        "cram_md5": "CRAM-MD5",
        "ntlm": "NTLM",
        "xoauth2": mark("XOAUTH2 (access token)"),
    },
    "smtp.password_mode": {
        "stored": mark("It is stored here, sealed"),
        "ask": mark("Given with each send, never stored"),
        "awaiting": mark("Its owner enters it later; mail waits"),
    },
    "notifications": {
        "some": mark("The ones ticked below"),
        "never": mark("Never, not even on failure"),
    },
    "return_content": {"headers": mark("The headers"), "full": mark("The whole message")},
    "read_receipt": {"false": mark("No"), "true": mark("Ask for one")},
    "importance": {
        "very_low": mark("Very low"),
        "low": mark("Low"),
        "normal": mark("Normal"),
        "high": mark("High"),
        "very_high": mark("Very high"),
    },
    "language": {"pl": "Polski", "fr": "Français", "en": "English"},
    "on_uncertain": {
        "resend": mark("Send again (it may arrive twice)"),
        "hold": mark("Hold it for a person"),
    },
}
NOTIFICATIONS: Mapping[str, str] = {
    "OnFailure": mark("When it fails"),
    "Delay": mark("When it is late"),
    "OnSuccess": mark("When it arrives"),
}
# How far a test goes.
MODES: Mapping[str, str] = {
    "send": mark("Send a test message"),
    "envelope": mark("Ask for the recipients, send nothing"),
    "login": mark("Sign in only"),
    "connect": mark("Connect only"),
}
MAILBOXES = ("reply_to", "cc", "bcc")
POINTERS = {
    **{f"/smtp/{name}": f"smtp.{name}" for name in SMTP},
    **{f"/sender/{name}": f"sender.{name}" for name in SENDER},
    **{f"/{name}": name for name in FIELDS},
    **{f"/{name}/{kind}": f"{name}.{kind}" for name in PIECES for kind in ("html", "text")},
}
_NUMBERS = {
    "port": int,
    "timeout_ms": int,
    "batch_limit": int,
    "batch_wait_s": float,
    "chunking_window": int,
}
_PLAIN = ("return_content", "importance", "language", "on_uncertain", "mode")
_OFFERED = {
    *(*_PLAIN, *MAILBOXES, *PIECES, "smtp", "sender", "notifications", "read_receipt"),
    *("give_up_after_h", "attachment_password", "macros", "product_footer"),
}


def fill_form(document: Mapping[str, Any], *, is_personal: bool) -> dict[str, str]:
    """Return what stands in the form's fields for a stored document."""
    smtp: Mapping[str, Any] = document.get("smtp", {})
    sender: Mapping[str, Any] = document.get("sender", {})
    values = {f"smtp.{name}": _write(value) for name, value in smtp.items()}
    values |= {f"sender.{name}": _write(value) for name, value in sender.items()}
    values |= {name: _write(document[name]) for name in _PLAIN if name in document}
    values["smtp.tls_verify"] = _tick(smtp.get("tls_verify", True))
    values["smtp.allow_insecure_auth"] = _tick(smtp.get("allow_insecure_auth", False))
    values["own.smtp"] = _tick("smtp" in document or not is_personal)
    values["own.sender"] = _tick("sender" in document or not is_personal)
    for name in MAILBOXES:
        values[name] = write_mailboxes(document.get(name, []))
        values[f"none.{name}"] = _tick(document.get(name) == [])
    given = document.get("notifications")
    values["notifications"] = "" if given is None else "never" if given == [NEVER] else "some"
    values |= {f"notify.{word}": _tick(word in (given or [])) for word in NOTIFICATIONS}
    if "read_receipt" in document:
        values["read_receipt"] = _write(document["read_receipt"])
    if "give_up_after_h" in document:
        values["give_up_after_h"] = _write(document["give_up_after_h"])
    values["none.attachment_password"] = _tick(document.get("attachment_password") == "")
    values["macros"] = write_macros(document.get("macros", {}))
    for name in PIECES:
        values |= {f"{name}.{kind}": each for kind, each in document.get(name, {}).items()}
    values["product_footer"] = _tick(document.get("product_footer", False))
    return values


def read_document_form(
    form: Form, stored: Mapping[str, Any], *, is_personal: bool
) -> dict[str, Any]:
    """Return the raw configuration that a form stands for; ``stored`` is what it was made of.

    What the form does not offer stays as it is stored.
    """
    raw = {name: value for name, value in stored.items() if name not in _OFFERED}
    if not is_personal or "own.smtp" in form:
        raw["smtp"] = _read_smtp(form, stored.get("smtp", {}))
    if not is_personal or "own.sender" in form:
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
    if form.get("read_receipt"):
        raw["read_receipt"] = form.get("read_receipt") == "true"
    if form.get("give_up_after_h").strip():
        raw["give_up_after_h"] = _read_number(form.get("give_up_after_h"), float)
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
    if "product_footer" in form:
        raw["product_footer"] = True
    return raw


def _read_smtp(form: Form, stored: Mapping[str, Any]) -> dict[str, Any]:
    smtp = {name: stored[name] for name in ("password_encoding",) if name in stored}
    for name in SMTP:
        given = form.get(f"smtp.{name}")
        if name == "password":
            if given:
                smtp[name] = given
        elif name in _NUMBERS:
            if given.strip():
                smtp[name] = _read_number(given, _NUMBERS[name])
        elif name == "tls_verify":
            if f"smtp.{name}" not in form:
                smtp[name] = False
        elif name == "allow_insecure_auth":
            if f"smtp.{name}" in form:
                smtp[name] = True
        elif given.strip():
            smtp[name] = given
    return smtp


def _read_number(given: str, kind: type[int] | type[float]) -> object:
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
