"""A POP3 session (RFC 1939, 2449, 2595) over ``Line``: log in, list by unique id, fetch, delete.

Three commands and a dot do not need poplib, whose lines end at 2048 bytes where mail does not. The
rules of logins and encryption are those of ``imap``. Nothing is deleted before QUIT is answered
(``close``), so a session that breaks has deleted nothing.
"""

import base64
import hmac
from collections.abc import Callable
from typing import Self, TypeVar

from app.wire.causes import classify_error
from app.wire.imap import IMPLICIT_TLS_PORTS
from app.wire.imap_folder import Found
from app.wire.line import Line, TooLong
from app.wire.reply import escape, shorten
from app.wire.steps import Halted, SessionFailed, describe
from app.wire.target import Auth, Target

_LINE_BYTES = 64 * 1024  # of a status or a listing; a message's lines may be as long as they like
_LIST_BYTES = 8 * 1024 * 1024  # a hundred thousand messages, with ids as long as they may be
_HEADER_BYTES = 1024 * 1024
_CAUSES = {"[AUTH]": "credentials_refused", "[IN-USE]": "auth_temporary",
           "[SYS/TEMP]": "auth_temporary", "[LOGIN-DELAY]": "rate_limited"}  # fmt: skip

T = TypeVar("T")


class _Refused(Exception):
    """The server answers -ERR; the text is its."""


class Pop3Session:
    """One session, used by one thread. ``open`` logs in; ``close`` makes the deletions real."""

    def __init__(self, line: Line, target: Target) -> None:
        self._line = line
        self._target = target
        self._capabilities: dict[str, str] = {}

    @classmethod
    def open(cls, line: Line, target: Target) -> Self:
        """Greet, encrypt and log in on a connected line."""
        self = cls(line, target)
        connection = target.connection
        if connection == "ssl_tls" or (connection == "auto" and target.port in IMPLICIT_TLS_PORTS):
            self._tell("tls", lambda: line.start_tls(target))
        self._tell("greeting", self._read_status)
        self._tell("capability", self._ask_capabilities)
        if not line.is_encrypted and connection != "plaintext":
            self._tell("starttls", self._start_tls)
        self._tell("login", self._log_in)
        return self

    def list_uids(self) -> dict[str, int]:
        """Return the number of every message in this session by its unique id, oldest first."""

        def run() -> dict[str, int]:
            self._say("UIDL")
            found = {}
            for row in self._read_lines(_LIST_BYTES).splitlines():
                number, _, uid = row.decode("latin-1").strip().partition(" ")
                if not number.isdigit() or not 0 < len(uid) <= 128:
                    raise ValueError(f"a listing without a unique id: {row!r}")
                found[uid] = int(number)
            return found

        return self._tell("uidl", run)

    def fetch(self, number: int, largest_bytes: int) -> Found | None:
        """Return a message, of one that is too large the header; None where the server does not
        give it: gone meanwhile, or damaged."""

        def run() -> Found:
            size = int(self._say(f"LIST {number}").split()[2])  # +OK 1 120
            if size > largest_bytes:
                self._say(f"TOP {number} 0")
                return Found(self._read_lines(_HEADER_BYTES), size, is_whole=False)
            self._say(f"RETR {number}")
            return Found(self._read_lines(2 * size + _LINE_BYTES), size)

        try:
            return self._tell("fetch", run)
        except SessionFailed as failed:
            if failed.cause != "mailbox_refused":
                raise
            return None

    def delete(self, number: int) -> None:
        """Have a message deleted when the session is closed."""
        self._tell("delete", lambda: self._say(f"DELE {number}"))

    def quit(self) -> None:
        """End the session: the server deletes now, and says whether it did."""
        self._tell("quit", lambda: self._say("QUIT"))

    def close(self) -> None:
        """Nothing more to say."""
        self._line.close()

    def _tell(self, step: str, run: Callable[[], T]) -> T:
        try:
            return run()
        except SessionFailed:
            raise
        except Halted as error:
            raise SessionFailed(error.cause, step, None, str(error)) from None
        except _Refused as error:
            said = shorten(escape(str(error)))
            usual = {"greeting": "greeting_refused", "login": "credentials_refused"}
            causes = [cause for code, cause in _CAUSES.items() if code in said.upper()]
            cause = causes[0] if causes else usual.get(step, "mailbox_refused")
            raise SessionFailed(cause, step, None, said) from None
        except OSError as error:
            cause = classify_error(step, error)
            raise SessionFailed(cause, step, None, describe(error)) from None
        except (TooLong, ValueError, LookupError) as error:
            said = shorten(escape(str(error)))
            raise SessionFailed("protocol_error", step, None, said) from None

    def _say(self, command: str) -> str:
        """Send a command; return what follows +OK."""
        self._line.allow()
        self._line.send(command.encode() + b"\r\n")
        return self._read_status().decode("utf-8", "replace")

    def _read_status(self) -> bytes:
        row = self._line.readline(_LINE_BYTES)
        if not row:
            raise ConnectionResetError("the server closed the connection")
        word, _, rest = row.strip().partition(b" ")
        if word == b"-ERR":
            raise _Refused(rest.decode("utf-8", "replace"))
        if word not in (b"+OK", b"+"):
            raise ValueError(f"no answer of this protocol: {row[:100]!r}")
        return row.strip()

    def _read_lines(self, most_bytes: int) -> bytes:
        """Read up to the final dot, dots unstuffed."""
        self._line.allow(most_bytes)
        return self._line.read_dotted()

    def _ask_capabilities(self) -> None:
        self._capabilities = {}
        try:
            self._say("CAPA")
        except _Refused:  # older than RFC 2449: it has USER
            self._capabilities = {"USER": ""}
            return
        for row in self._read_lines(_LINE_BYTES).decode("latin-1").upper().splitlines():
            name, _, rest = row.strip().partition(" ")
            self._capabilities[name] = rest

    def _start_tls(self) -> None:
        if "STLS" not in self._capabilities:
            if self._target.connection == "auto":
                return  # nothing secret is said: the login will be refused
            raise Halted("starttls_not_offered", "the server does not offer STLS")
        try:
            self._say("STLS")
        except _Refused as error:
            raise Halted("starttls_refused", str(error)) from None
        self._tell("tls", lambda: self._line.start_tls(self._target))
        self._ask_capabilities()  # what was said in clear is forgotten (RFC 2595 §4)

    def _log_in(self) -> None:
        target = self._target
        if not self._line.is_encrypted and not target.allow_insecure_auth:
            raise Halted("insecure_auth", "the connection is not encrypted; no login was tried")
        username = target.username or ""
        password = target.password.reveal() if target.password else ""
        if not password:
            raise Halted("credentials_refused", "there is no password; no login was tried")
        if any(not c.isprintable() for c in username + password):
            raise Halted("credentials_refused", "the user name or password cannot be sent")
        mechanism = self._choose_mechanism()
        if mechanism == "login":
            self._say(f"USER {username}")
            self._say(f"PASS {password}")
        elif mechanism == "cram_md5":
            challenge = base64.b64decode(self._say("AUTH CRAM-MD5").partition(" ")[2])
            answer = hmac.new(password.encode(), challenge, "md5").hexdigest()
            self._say(_encode(f"{username} {answer}"))
        else:
            text = f"\0{username}\0{password}"
            if mechanism == "xoauth2":
                text = f"user={username}\1auth=Bearer {password}\1\1"
            self._say(f"AUTH {mechanism.upper()}")
            self._say(_encode(text))

    def _choose_mechanism(self) -> Auth:
        offered = self._capabilities.get("SASL", "").split()
        names: dict[Auth, bool] = {
            "plain": "PLAIN" in offered,
            "login": "USER" in self._capabilities,
            "cram_md5": "CRAM-MD5" in offered,
            "xoauth2": "XOAUTH2" in offered,
        }
        automatic: tuple[Auth, ...] = ("plain", "login", "cram_md5")
        if not self._line.is_encrypted:
            automatic = ("cram_md5", "plain", "login")
        wanted = self._target.auth
        for each in automatic if wanted == "auto" else (wanted,):
            if names.get(each):
                return each
        has = " ".join(name for name, there in names.items() if there) or "no login"
        raise Halted("mechanism_not_offered", f"wanted {wanted}, the server offers {has}")


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
