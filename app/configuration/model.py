"""What a mail configuration is, as values.

A stored *document* (``account.settings``) keeps only what was given: an absent member inherits, an
empty one means explicitly none. Here stand the typed forms that sending works with, and the
defaults that apply where no scope says anything. Secrets are sealed bytes and never print.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from app.configuration.consent_state import Consent
from app.configuration.domain import Domain, merge_domain
from app.mime.address import Mailbox

Connection = Literal["auto", "plaintext", "starttls", "ssl_tls"]
Auth = Literal["auto", "none", "plain", "login", "cram_md5", "ntlm", "xoauth2"]
PasswordMode = Literal["stored", "ask", "awaiting"]
PasswordState = Literal["none", "stored", "awaiting", "consent_needed"]
ActiveScope = Literal["global", "personal", "account"]
Mode = Literal["smtp", "draft"]
Protocol = Literal["imap", "pop3"]

GLOBAL = "global"
ACCOUNT_SCOPE = "accounts/"  # and the id: an account that is nobody's default
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
    "unsubscribe": {"enabled": False},
    "suppress_hard_bounces": False,
}
SMTP_DEFAULTS: Mapping[str, Any] = {
    "connection": "auto",
    "auth": "auto",
    "username": None,
    "password_mode": "stored",
    "password_encoding": "utf8",
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
# RFC 8314 §3.2: TLS from the first byte unless something else is said.
INCOMING_PORTS: Mapping[tuple[str, str], int] = {
    ("imap", "ssl_tls"): 993,
    ("imap", "auto"): 993,
    ("imap", "starttls"): 143,
    ("imap", "plaintext"): 143,
    ("pop3", "ssl_tls"): 995,
    ("pop3", "auto"): 995,
    ("pop3", "starttls"): 110,
    ("pop3", "plaintext"): 110,
}
# Members of ``incoming`` that say which server it is; the others are about what is collected.
INCOMING_SERVER = (
    "protocol",
    "host",
    "port",
    "connection",
    "auth",
    "username",
    "timeout_ms",
    "tls_verify",
    "ca_pem",
    "allow_insecure_auth",
)
INCOMING_WISHES = ("mode", "folder", "first_sync", "last", "after", "poll_s", "largest_bytes")


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
    password_encoding: Literal["utf8", "ascii"] = "utf8"
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
        return _name_server(self.host, self.port)


@dataclass(frozen=True, slots=True)
class IncomingSettings:
    """A mailbox's server (IMAP or POP3) and how to speak with it; ``port`` is the effective one.

    mode: ``check`` only counts what is unread, ``off`` leaves incoming mail alone. first_sync, last:
    what is taken of the mail that is there at first, of it the newest. after: what becomes of a mail
    in the mailbox when it is stored here. largest_bytes: of a larger one only the header is taken.
    """

    protocol: Protocol
    host: str
    port: int
    connection: Connection = "auto"
    auth: Auth = "auto"
    username: str | None = None
    timeout_ms: int = 30_000
    tls_verify: bool = True
    ca_pem: str | None = field(default=None, repr=False)
    allow_insecure_auth: bool = False
    mode: Literal["collect", "check", "off"] = "collect"
    folder: str = "INBOX"
    first_sync: Literal["unseen", "all"] = "unseen"
    last: int | None = None
    after: Literal["leave", "seen", "delete"] = "leave"
    poll_s: int = 300
    largest_bytes: int = 26_214_400

    @property
    def server(self) -> str:
        """``imap.firma.example:993``, an IPv6 literal in brackets."""
        return _name_server(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who stands in From; ``return_path`` is the reverse-path where it differs from ``address``."""

    address: str
    name: str = ""
    return_path: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """One row of ``account``.

    settings: its own server or the one of its e-mail domain (``server_origin`` says which: its
    scope, or ``domain``); None where it has neither. incoming: the same for the mailbox.
    """

    id: str
    scope: str
    user_id: str | None
    version: int
    document: Mapping[str, Any]
    settings: SmtpSettings | None
    incoming: IncomingSettings | None
    domain: Domain | None
    password: bytes | None = field(repr=False)
    password_state: PasswordState
    password_owner: str | None
    incoming_password: bytes | None = field(repr=False)
    attachment_password: bytes | None = field(repr=False)
    paused_at: datetime | None
    updated_at: datetime
    removed_at: datetime | None
    consent: Consent | None = None

    @property
    def uses_token(self) -> bool:
        """Whether mail goes out by a login with a token of its consent, not with a password."""
        return self.settings is not None and self._takes_token(self.settings.auth)

    @property
    def mailbox_uses_token(self) -> bool:
        """Whether its mailbox is opened with a token of its consent."""
        return self.incoming is not None and self._takes_token(self.incoming.auth)

    def _takes_token(self, auth: Auth) -> bool:
        return self.consent is not None and self.consent.state != "pending" and auth == "xoauth2"


def name_scope(user: str | None) -> str:
    """Return the scope of a user's own configuration, or the global one."""
    return GLOBAL if user is None else f"users/{user}"


def name_object(scope: str) -> str:
    """Return how the audit names a configuration: by its path."""
    return scope if scope.startswith(ACCOUNT_SCOPE) else f"config/{scope}"


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


def read_incoming(block: Mapping[str, Any] | None) -> IncomingSettings | None:
    """Return an ``incoming`` block as settings; None where it names no host or is switched off."""
    if not block or not block.get("host") or block.get("enabled") is False:
        return None
    names = (*INCOMING_SERVER, *INCOMING_WISHES)
    members = {name: block[name] for name in names if block.get(name) is not None}
    members.setdefault("protocol", "imap")
    way = members["protocol"], members.get("connection", "auto")
    members.setdefault("port", INCOMING_PORTS[way])
    return IncomingSettings(**members)


def read_server(
    document: Mapping[str, Any], domain: Domain | None, password_state: PasswordState
) -> SmtpSettings | None:
    """Return the mail server of a configuration: its own, else its domain's."""
    address = document.get("sender", {}).get("address")
    return read_smtp(merge_domain(document.get("smtp"), "smtp", address, domain), password_state)


def read_mailbox_server(
    document: Mapping[str, Any], domain: Domain | None
) -> IncomingSettings | None:
    """Return the mailbox's server; its user name, where none is given, is the one that sends."""
    address = document.get("sender", {}).get("address")
    if "incoming" not in document:
        return None
    block = merge_domain(document["incoming"], "incoming", address, domain) or {}
    login = document.get("smtp", {}).get("username") or address
    return read_incoming({"username": login, **block})


def takes_token(settings: SmtpSettings | None) -> bool:
    """Whether this login may be made with a token that Awizo gets by a consent."""
    return (
        settings is not None
        and settings.wants_login
        and settings.auth in ("auto", "xoauth2")
        and settings.password_mode != "ask"
    )


def read_sender(block: Mapping[str, Any] | None) -> Sender | None:
    """Return a stored ``sender`` block; None where it names no address."""
    return Sender(**block) if block and block.get("address") else None


def read_mailboxes(stored: list[dict[str, str]]) -> tuple[Mailbox, ...]:
    """Return a stored list of mailboxes."""
    return tuple(Mailbox(each["address"], each["name"]) for each in stored)


def _name_server(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host and "[" not in host else f"{host}:{port}"
