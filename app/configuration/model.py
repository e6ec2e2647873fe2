"""What a mail configuration is, as values.

A stored *document* (``account.settings``) keeps only what was given: an absent member inherits, an
empty one means explicitly none. Here stand the typed forms that sending works with, and the
defaults that apply where no scope says anything. Secrets are sealed bytes and never print.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from app.mime.address import Mailbox

Connection = Literal["auto", "plaintext", "starttls", "ssl_tls"]
Auth = Literal["auto", "none", "plain", "login", "cram_md5", "ntlm", "xoauth2"]
PasswordMode = Literal["stored", "ask", "awaiting"]
PasswordState = Literal["none", "stored", "awaiting"]
ActiveScope = Literal["global", "personal"]
Mode = Literal["smtp", "draft"]

GLOBAL = "global"
NEVER = "Never"  # NOTIFY=NEVER (RFC 3461 §4.1); it combines with no other keyword

DEFAULT_LANGUAGE = "pl"
# What holds where no scope says anything; members of the two blocks beside it.
DEFAULTS: Mapping[str, Any] = {
    "mode": "smtp",
    "reply_to": [],
    "cc": [],
    "bcc": [],
    "notifications": [],
    "return_content": "headers",
    "read_receipt": False,
    "importance": "normal",
    "language": DEFAULT_LANGUAGE,
    "on_uncertain": "resend",
    "give_up_after_h": 72,
}
SMTP_DEFAULTS: Mapping[str, Any] = {
    "connection": "auto",
    "auth": "auto",
    "username": None,
    "password_mode": "stored",
    "timeout_ms": 30_000,
    "batch_limit": None,
    "batch_wait_s": 0,
    "chunking_window": 0,
    "tls_verify": True,
    "ca_pem": None,
    "allow_insecure_auth": False,
}
# RFC 8314 §3.3 and RFC 6409 §3.1; 25 for clear text, as Crésus has it.
DEFAULT_PORTS: Mapping[str, int] = {"ssl_tls": 465, "starttls": 587, "auto": 587, "plaintext": 25}


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """A mail server and how to speak with it; ``port`` is the effective one.

    batch_limit: messages per lot (None: no lots). batch_wait_s: the wait between two lots.
    chunking_window: messages on their way at once where the server knows CHUNKING (0: one); so many
    are uncertain when a connection breaks.
    """

    host: str
    port: int
    connection: Connection = "auto"
    auth: Auth = "auto"
    username: str | None = None
    password_mode: PasswordMode = "stored"
    timeout_ms: int = 30_000
    batch_limit: int | None = None
    batch_wait_s: float = 0
    chunking_window: int = 0
    tls_verify: bool = True
    ca_pem: str | None = field(default=None, repr=False)
    allow_insecure_auth: bool = False

    @property
    def wants_login(self) -> bool:
        """Whether a login is made: a user name is given and ``auth`` is not ``none``."""
        return self.auth != "none" and bool(self.username)

    @property
    def server(self) -> str:
        """``smtp.firma.example:587``, an IPv6 literal in brackets."""
        host = f"[{self.host}]" if ":" in self.host and "[" not in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who stands in From; ``return_path`` is the reverse-path where it differs from ``address``."""

    address: str
    name: str = ""
    return_path: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """One row of ``account``; ``settings`` is its own server, None where it has no ``smtp.host``."""

    id: str
    scope: str
    user_id: str | None
    version: int
    document: Mapping[str, Any]
    settings: SmtpSettings | None
    password: bytes | None = field(repr=False)
    password_state: PasswordState
    password_owner: str | None
    attachment_password: bytes | None = field(repr=False)
    paused_at: datetime | None
    updated_at: datetime
    removed_at: datetime | None


def name_scope(user: str | None) -> str:
    """Return the scope of a user's own configuration, or the global one."""
    return GLOBAL if user is None else f"users/{user}"


def default_port(connection: str) -> int:
    """Return the port that is used when none is given."""
    return DEFAULT_PORTS[connection]


def read_smtp(
    block: Mapping[str, Any] | None, password_state: PasswordState
) -> SmtpSettings | None:
    """Return a stored ``smtp`` block as settings; None where it names no host (a draft's)."""
    if not block or not block.get("host"):
        return None
    members = {**SMTP_DEFAULTS, **block}
    members.setdefault("port", default_port(members["connection"]))
    if members["password_mode"] != "ask":
        members["password_mode"] = "awaiting" if password_state == "awaiting" else "stored"
    members["batch_limit"] = members["batch_limit"] or None  # LIMITE:0 means no lots
    return SmtpSettings(**members)


def read_sender(block: Mapping[str, Any] | None) -> Sender | None:
    """Return a stored ``sender`` block; None where it names no address."""
    return Sender(**block) if block and block.get("address") else None


def read_mailboxes(stored: list[dict[str, str]]) -> tuple[Mailbox, ...]:
    """Return a stored list of mailboxes."""
    return tuple(Mailbox(each["address"], each["name"]) for each in stored)
