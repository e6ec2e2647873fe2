"""A configuration as a caller writes it: one table of its members, read with every fault at once.

``read_document`` takes the raw JSON object of ``PUT /config/{scope}`` and returns what is to be
stored (only what was given, each value in its one form) and the secrets beside it, which never get
into the document. What an answer shows beyond the input is accepted and ignored, so that GET, edit,
PUT works. ``describe_input`` is the same table for OpenAPI, ``shown_document`` that of answers.
Rules between members and scopes are elsewhere: ``rules``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.configuration.auto_reply import advise_on_auto_reply
from app.configuration.closing import advise_on_closing
from app.configuration.correspondence import CORRESPONDENCE
from app.configuration.fields import (
    ADDRESS,
    CA_PEM,
    FLAG,
    HOST,
    LANGUAGE,
    MACROS,
    MAILBOXES,
    NOTIFICATION_LIST,
    PIECE,
    SWITCHES,
    Kind,
    choice,
    number,
    secret,
    text,
)
from app.configuration.meanings import MEANINGS
from app.configuration.port_options import expand_port
from app.configuration.unsubscribe import UNSUBSCRIBE
from app.errors import Fault, Notice
from app.mime.address import parse_mailbox
from app.mime.protect import check_password
from app.templates_engine.values import escape_pointer

PASSWORD = secret(8192)  # characters; an access token is some 2000
_HOUR_MS = 3_600_000
SMTP: Mapping[str, Kind] = {
    "host": HOST,
    "port": number(1, 65_535),
    "connection": choice("auto", "plaintext", "starttls", "ssl_tls"),
    "auth": choice("auto", "none", "plain", "login", "cram_md5", "ntlm", "xoauth2"),
    "username": text(512),
    "password": PASSWORD,
    "password_mode": choice("stored", "ask", "awaiting"),
    "password_encoding": choice("utf8", "ascii"),
    "timeout_ms": number(1, _HOUR_MS),
    "batch_limit": number(0, 1_000_000),
    "batch_wait_s": number(0, 86_400, whole=False),
    "chunking_window": number(0, 32),
    "tls_verify": FLAG,
    "ca_pem": CA_PEM,
    "allow_insecure_auth": FLAG,
}
# The mailbox of the account; absent: it cannot receive. ``enabled: false`` keeps what is set.
INCOMING: Mapping[str, Kind] = {
    "enabled": FLAG,
    "protocol": choice("imap", "pop3"),
    "host": HOST,
    "port": number(1, 65_535),
    "connection": choice("auto", "plaintext", "starttls", "ssl_tls"),
    "auth": choice("auto", "plain", "login", "cram_md5", "xoauth2"),
    "username": text(512),
    "password": PASSWORD,
    "timeout_ms": number(1, _HOUR_MS),
    "tls_verify": FLAG,
    "ca_pem": CA_PEM,
    "allow_insecure_auth": FLAG,
    "mode": choice("collect", "check", "off"),
    "folder": text(255),
    "first_sync": choice("unseen", "all"),
    "last": number(0, 100_000),
    "after": choice("leave", "seen", "delete"),
    "poll_s": number(5, 86_400),
    "largest_bytes": number(1, 104_857_600),
}
SENDER: Mapping[str, Kind] = {"address": ADDRESS, "name": text(256), "return_path": ADDRESS}
# What an account says of itself alone: nothing of it is inherited.
OWN: Mapping[str, Kind] = {
    **CORRESPONDENCE,
    "name": text(256),
    "outgoing": FLAG,
    "senders": MAILBOXES,
    "user_senders": choice("any", "listed"),
    "always_use_address": FLAG,
    "always_use_name": FLAG,
    "sent_copy": choice("auto", "off", "folder", "cc", "bcc"),
    "signature": PIECE,
    "footer": PIECE,
    "closing": SWITCHES,
}
FIELDS: Mapping[str, Kind] = {
    **OWN,
    "mode": choice("smtp", "draft"),
    "reply_to": MAILBOXES,
    "cc": MAILBOXES,
    "bcc": MAILBOXES,
    "notifications": NOTIFICATION_LIST,
    "return_content": choice("headers", "full"),
    "read_receipt": FLAG,
    "importance": choice("very_low", "low", "normal", "high", "very_high"),
    "language": LANGUAGE,
    "attachment_password": secret(127),
    "on_uncertain": choice("resend", "hold"),
    "give_up_after_h": number(0.001, 8760, whole=False),
    "unsubscribe": UNSUBSCRIBE,
    "suppress_hard_bounces": FLAG,
    "macros": MACROS,
    "instance_footer": PIECE,
    "product_footer": FLAG,
}
STATES = ("active", "slowed", "paused", "awaiting_password", "consent_needed", "trouble")
# What answers show beyond the input.
SHOWN = frozenset(
    (
        "scope",
        "user",
        "version",
        "updated_at",
        "active_scope",
        "state",
        "trouble",
        "mailbox",
        "slowed",
        "limits",
        "paused_at",
        "id",
        "kind",
        "holder",
        "is_default",
        "rights",
        "consent",
        "attachment_password_set",
        "warnings",
    )
)
SHOWN_OF_SMTP = frozenset(("password_set", "effective_port"))


@dataclass(frozen=True, slots=True)
class Draft:
    """A configuration that was read and is not yet saved.

    document: as it is stored. password: None is not given, "" explicitly none.
    attachment_password: one that was given. wants_awaiting: the owner shall enter the password.
    incoming_password: the mailbox's, where it is another one; None and "" as above.
    """

    document: dict[str, Any]
    password: str | None = field(default=None, repr=False)
    wants_awaiting: bool = False
    attachment_password: str | None = field(default=None, repr=False)
    incoming_password: str | None = field(default=None, repr=False)
    notices: tuple[Notice, ...] = ()


def read_document(raw: Mapping[str, Any]) -> tuple[Draft, list[Fault]]:
    """Read a whole configuration; null equals absent, an empty block too."""
    faults: list[Fault] = []
    blocks = ("smtp", "sender", "incoming")
    given = {name: value for name, value in raw.items() if name not in blocks}
    document = read_members(given, FIELDS, SHOWN, "", faults)
    smtp = read_block(raw.get("smtp"), "/smtp", SMTP, SHOWN_OF_SMTP, faults)
    sender = read_block(raw.get("sender"), "/sender", SENDER, frozenset(), faults)
    incoming = read_block(raw.get("incoming"), "/incoming", INCOMING, SHOWN_OF_SMTP, faults)
    incoming_password = incoming.pop("password", None)
    password = smtp.pop("password", None)
    password_mode = smtp.pop("password_mode", None)
    if password_mode == "ask":
        smtp["password_mode"] = "ask"
    if sender:
        _take_name_from_address(raw["sender"], sender)
    # In a block an empty text and an absent one are the same: blocks are never mixed.
    for name, block in zip(blocks, (smtp, sender, incoming), strict=True):
        if kept := {member: value for member, value in block.items() if value != ""}:
            document[name] = kept
    attachment_password, notices = _check_attachment_password(document, faults)
    wants_awaiting = password_mode == "awaiting"
    notices = (*notices, *advise_on_closing(document))
    if not faults:
        notices = (*notices, *advise_on_auto_reply(document))
    draft = Draft(
        document, password, wants_awaiting, attachment_password, incoming_password, notices
    )
    return draft, faults


def read_block(
    raw: object, pointer: str, kinds: Mapping[str, Kind], shown: frozenset[str], faults: list[Fault]
) -> dict[str, Any]:
    """Read a block of members; what is no object is a fault. shown: accepted and ignored."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        faults.append(Fault(pointer, "wrong_type", "Give an object."))
        return {}
    expanded = expand_port(raw, pointer, faults) if kinds is SMTP else raw
    return read_members(expanded, kinds, shown, pointer, faults)


def read_members(
    given: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    shown: frozenset[str],
    pointer: str,
    faults: list[Fault],
) -> dict[str, Any]:
    """Read every member by its kind; null equals absent, an unknown one is a fault."""
    read = {}
    for name, value in given.items():
        where = f"{pointer}/{escape_pointer(name)}"
        if name in kinds:
            if value is not None:
                read[name] = kinds[name].read(value, where, faults)
        elif name not in shown:
            faults.append(Fault(where, "unknown_field", "There is no such member."))
    return read


def _take_name_from_address(raw: Mapping[str, Any], sender: dict[str, Any]) -> None:
    """Let ``"address": "Firma <faktury@firma.example>"`` say the name too."""
    mailbox, _ = parse_mailbox(raw.get("address"), "")
    if mailbox and mailbox.name and sender.get("name") is None:
        sender["name"] = mailbox.name


def _check_attachment_password(
    document: dict[str, Any], faults: list[Fault]
) -> tuple[str | None, tuple[Notice, ...]]:
    given = document.get("attachment_password")
    if not given:  # "" stays in the document: explicitly none is no secret
        return None, ()
    del document["attachment_password"]
    normalised, wrong, notices = check_password(given, "/attachment_password")
    faults += wrong
    return normalised, tuple(notices)


def describe_kinds(kinds: Mapping[str, Kind], block: str = "") -> dict[str, Any]:
    """Return the JSON schema of an object with these members. block: whose ``MEANINGS``."""
    meanings = MEANINGS[block]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: ({"description": meanings[name]} if name in meanings else {}) | dict(kind.schema)
            for name, kind in kinds.items()
        },
    }


def describe_input() -> dict[str, Any]:
    """Return the JSON schema of a configuration as it is given."""
    smtp, schema = describe_kinds(SMTP, "smtp"), describe_kinds(FIELDS)
    smtp["properties"]["port"] = {
        "description": "Absent: 465 of `ssl_tls`, 25 of `plaintext`, else 587; options may follow.",
        "anyOf": [
            smtp["properties"]["port"],
            {"type": "string", "examples": ["587 AUTH:LOGIN CONN:STARTTLS LIMITE:12 WAIT:15.5"]},
        ],
    }
    schema["properties"] |= {
        "smtp": smtp,
        "sender": describe_kinds(SENDER, "sender"),
        "incoming": describe_kinds(INCOMING, "incoming"),
    }
    return schema
