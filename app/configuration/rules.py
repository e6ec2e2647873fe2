"""Rules between the members of a configuration, and between it and the scope it inherits from."""

from collections.abc import Mapping
from typing import Any

from app.configuration.document import Draft
from app.configuration.domain import Domain
from app.configuration.model import (
    DEFAULTS,
    INCOMING_PORTS,
    IncomingSettings,
    SmtpSettings,
    StoredAccount,
    default_port,
)
from app.errors import Fault
from app.wire.address_policy import AddressPolicy


def check_rules(
    draft: Draft,
    wider: StoredAccount | None,
    policy: AddressPolicy,
    before: StoredAccount | None = None,
    domain: Domain | None = None,
) -> list[Fault]:
    """Return what is wrong. wider: the configuration it inherits from, if any. before: what is
    stored in its place; a port that an admin opened for that server stays open to it. domain: the
    sender's, whose server serves where none is named.

    Members that were misread are None in the document; rules about them stay silent.
    """
    smtp: Mapping[str, Any] = draft.document.get("smtp", {})
    incoming: Mapping[str, Any] = draft.document.get("incoming", {})
    return [
        *_check_required(draft, wider.document if wider else {}, domain),
        *_check_login(draft, smtp, domain),
        *_check_place(smtp, policy, before.settings if before else None),
        *_check_incoming(incoming, policy, domain, before.incoming if before else None),
    ]


def _check_required(draft: Draft, wider: Mapping[str, Any], domain: Domain | None) -> list[Fault]:
    faults = []
    document = draft.document
    mode = document.get("mode", wider.get("mode", DEFAULTS["mode"]))
    why = {"smtp": "Name the mail server", "sender": "Give the sender's address"}
    for block, member in (("smtp", "host"), ("sender", "address")):
        if member in document.get(block, {}) or (
            domain and member in domain.document.get(block, {})
        ):
            continue
        # A draft is handed to the user's mail program: it needs no server, but somebody it is from.
        needed = draft.password or block == "sender" or mode == "smtp"
        if needed and (block in document or member not in wider.get(block, {})):
            inherits = "" if block in document else "; there is no wider scope to inherit it from"
            faults.append(Fault(f"/{block}/{member}", "required", f"{why[block]}{inherits}."))
    return faults


def _check_login(draft: Draft, smtp: Mapping[str, Any], domain: Domain | None) -> list[Fault]:
    faults = []
    if smtp.get("password_encoding") == "ascii" and not (draft.password or "").isascii():
        detail = "password_encoding is ascii, and this password has other characters."
        faults.append(Fault("/smtp/password", "not_ascii", detail))
    if draft.password and smtp.get("password_mode") == "ask":
        detail = "With ask the password is not stored; leave it out here, give it when sending."
        faults.append(Fault("/smtp/password", "password_not_stored", detail))
    if draft.password and "username" not in smtp and not (domain and "host" not in smtp):
        faults.append(Fault("/smtp/username", "required", "A password needs its user name."))
    wants_login = smtp.get("username") and smtp.get("auth", "auto") != "none"
    if (
        wants_login
        and smtp.get("connection") == "plaintext"
        and smtp.get("allow_insecure_auth", False) is False
    ):
        faults.append(
            Fault(
                "/smtp/connection",
                "insecure_auth",
                "A login over a plain connection shows the password to the network; choose "
                "starttls or ssl_tls, or say allow_insecure_auth.",
            )
        )
    return faults


def _check_place(
    smtp: Mapping[str, Any], policy: AddressPolicy, stored: SmtpSettings | None
) -> list[Fault]:
    faults = []
    if reason := smtp.get("host") and policy.check_literal(smtp["host"]):
        faults.append(Fault("/smtp/host", "host_not_allowed", f"Not allowed: {reason}."))
    connection = smtp.get("connection", "auto")
    port = smtp.get("port", connection and default_port(connection))
    is_kept = stored is not None and (smtp.get("host"), port) == (stored.host, stored.port)
    if reason := smtp.get("host") and port and not is_kept and policy.refuse_port(port):
        faults.append(Fault("/smtp/port", "host_not_allowed", f"Not allowed: {reason}."))
    return faults


def _check_incoming(
    incoming: Mapping[str, Any],
    policy: AddressPolicy,
    domain: Domain | None,
    stored: IncomingSettings | None,
) -> list[Fault]:
    faults = []
    if incoming and "host" not in incoming and not (domain and domain.document.get("incoming")):
        detail = "Name the mailbox's server; the address's domain has none stored."
        faults.append(Fault("/incoming/host", "required", detail))
    if reason := incoming.get("host") and policy.check_literal(incoming["host"]):
        faults.append(Fault("/incoming/host", "host_not_allowed", f"Not allowed: {reason}."))
    port = incoming.get("port")
    is_kept = stored is not None and (incoming.get("host"), port) == (stored.host, stored.port)
    is_usual = port in (None, *INCOMING_PORTS.values())
    if policy.ports is not None and not is_usual and not is_kept:
        allowed = ", ".join(map(str, sorted(set(INCOMING_PORTS.values()))))
        faults.append(Fault("/incoming/port", "host_not_allowed", f"Give one of {allowed}."))
    if incoming.get("connection") == "plaintext" and not incoming.get("allow_insecure_auth"):
        detail = "A login over a plain connection shows the password; say allow_insecure_auth."
        faults.append(Fault("/incoming/connection", "insecure_auth", detail))
    return faults
