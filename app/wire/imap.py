"""An IMAP session (RFC 3501, 9051) over ``Line``: log in, find folders, append, read, mark, wait.

IMAPClient writes the commands and reads the replies; sockets, TLS and bounds are ours. No login goes
in clear unless it is allowed, no clear text follows a STARTTLS that is missing or refused, and a
session that is open before the login (PREAUTH) is no way around either. Whatever a server sends comes
to a value or to ``SessionFailed``.
"""

import contextlib
import imaplib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from imapclient import IMAPClient

from app.wire.causes import classify_error
from app.wire.line import Line, TooLong
from app.wire.reply import escape, shorten
from app.wire.steps import Halted, SessionFailed, describe
from app.wire.target import Auth, Target

IMPLICIT_TLS_PORTS = frozenset((993, 995))  # RFC 8314 §3.3
# What mail programs call the folder, where the server does not say which it is (RFC 6154).
_SENT_NAMES = frozenset(
    (
        "sent", "sent items", "sent messages", "sent mail", "sent-mail", "outbox sent",
        "wysłane", "elementy wysłane", "wiadomości wysłane",
        "éléments envoyés", "messages envoyés", "envoyés", "courrier envoyé",
        "gesendet", "gesendete elemente", "gesendete objekte",
        "posta inviata", "enviados",
    )
)  # fmt: skip
_RESPONSE_CODE = re.compile(r"\[([A-Z-]+)[ \]]")
_CODES = {
    "UNAVAILABLE": "auth_temporary",
    "INUSE": "auth_temporary",
    "PRIVACYREQUIRED": "insecure_auth",
    "LIMIT": "rate_limited",
    "OVERQUOTA": "mailbox_full",
    "NONEXISTENT": "folder_not_found",
    "TRYCREATE": "folder_not_found",
}
_REFUSED = {"login": "credentials_refused", "select": "folder_not_found"}


class _Protocol(imaplib.IMAP4):
    """imaplib's reading and writing of replies, over our line."""

    def __init__(self, line: Line) -> None:
        self.line = line
        super().__init__()

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        self.sock = self.line.socket

    def read(self, size: int) -> bytes:
        return self.line.read(size)

    def readline(self) -> bytes:
        return self.line.readline()

    def send(self, data: Any) -> None:
        self.line.send(bytes(data))

    def shutdown(self) -> None:
        self.line.close()


class _Client(IMAPClient):  # type: ignore[misc]
    """IMAPClient on a connection that is there already."""

    def __init__(self, line: Line) -> None:
        self._line = line
        super().__init__("", ssl=False)
        # At DEBUG it would log what is written, passwords too; an imaplib of level 0 says nothing.
        self._imap.debug = 0

    def _create_IMAP4(self) -> imaplib.IMAP4:
        return _Protocol(self._line)

    def _set_read_timeout(self) -> None:
        self._line.set_timeout()


class ImapSession:
    """One session, used by one thread. ``open`` logs in."""

    def __init__(self, line: Line, target: Target) -> None:
        self._line = line
        self._target = target
        self._client: Any = None

    @classmethod
    def open(cls, line: Line, target: Target) -> Self:
        """Greet, encrypt and log in on a connected line."""
        self = cls(line, target)
        connection = target.connection
        if connection == "ssl_tls" or (connection == "auto" and target.port in IMPLICIT_TLS_PORTS):
            with self.telling("tls"):
                line.start_tls(target)
        with self.telling("greeting"):
            self._client = _Client(line)
        if not line.is_encrypted and connection != "plaintext":
            self._start_tls()
        with self.telling("login"):
            self._log_in()
        return self

    @property
    def keeps_sent(self) -> bool:
        """Whether it is Gmail's server, which files what it sends itself."""
        return self.can("X-GM-EXT-1")

    def can(self, capability: str) -> bool:
        """Whether the server has a capability."""
        with self.telling("capability"):
            return bool(self._client.has_capability(capability))

    def find_sent_folder(self) -> str:
        """Return the folder for sent mail; it is made where there is none."""
        with self.telling("list"):
            folders = self._client.list_folders()
        names = []
        for flags, delimiter, name in folders:
            known = {flag.lower() for flag in flags}
            if b"\\sent" in known:
                return str(name)
            mark = (delimiter or b"").decode("ascii", "replace")
            last = name.rpartition(mark)[2] if mark else name
            if last.casefold() in _SENT_NAMES and b"\\noselect" not in known:
                names.append(name)
        if names:
            return str(min(names, key=len))
        # Courier and its like keep everything below the inbox.
        below = any(name.upper().startswith("INBOX.") for _, _, name in folders)
        name = "INBOX.Sent" if below else "Sent"
        with self.telling("create"):
            self._client.create_folder(name)
            self._client.subscribe_folder(name)
        return name

    def holds(self, folder: str, message_id: str) -> bool:
        """Whether a folder has a message with this Message-ID."""
        with self.telling("select"):
            self._client.select_folder(folder, readonly=True)
        with self.telling("search"):
            return bool(self._client.search(["HEADER", "MESSAGE-ID", message_id]))

    def append(self, folder: str, raw: bytes) -> None:
        """Put a message into a folder, as read."""
        with self.telling("append"):
            self._client.append(folder, raw, (b"\\Seen",))

    def close(self) -> None:
        """Log out; never fails."""
        with contextlib.suppress(*_FAILURES):
            self._line.allow()
            self._client.logout()

    @contextlib.contextmanager
    def telling(self, step: str, budget_bytes: int | None = None) -> Iterator[None]:
        """Raise whatever goes wrong in a command as ``SessionFailed``."""
        if budget_bytes is None:
            self._line.allow()
        else:
            self._line.allow(budget_bytes)
        try:
            yield
        except _FAILURES as error:
            raise _explain(step, error) from None

    def _start_tls(self) -> None:
        with self.telling("starttls"):
            if self._client._imap.state == "AUTH":
                raise Halted("starttls_not_offered", "the session is open before any encryption")
            if not self._client.has_capability("STARTTLS"):
                if self._target.connection == "auto":
                    return  # nothing secret is said: the login will be refused
                raise Halted("starttls_not_offered", "the server does not offer STARTTLS")
            answer, data = self._client._imap._simple_command("STARTTLS")
            if answer != "OK":
                raise Halted("starttls_refused", _quote(data))
        with self.telling("tls"):
            self._line.start_tls(self._target)
            self._client._imap.sock = self._line.socket
        with self.telling("capability"):
            # What was said in clear is forgotten (RFC 3501 §6.2.1).
            self._client._cached_capabilities = None
            self._client._imap.untagged_responses.clear()
            self._client._starttls_done = True
            self._client.capabilities()

    def _log_in(self) -> None:
        client, target = self._client, self._target
        if client._imap.state == "AUTH":
            return
        if not self._line.is_encrypted and not target.allow_insecure_auth:
            raise Halted("insecure_auth", "the connection is not encrypted; no login was tried")
        username = target.username or ""
        password = target.password.reveal() if target.password else ""
        if not password:
            raise Halted("credentials_refused", "there is no password; no login was tried")
        if any(not c.isprintable() for c in username + password):
            raise Halted("credentials_refused", "the user name or password cannot be sent")
        mechanism = self._choose_mechanism()
        imap = client._imap
        ways: dict[Auth, Callable[[], Any]] = {
            "plain": lambda: client.plain_login(username, password),
            "cram_md5": lambda: _check(imap.login_cram_md5(username, password)),
            "xoauth2": lambda: client.oauth2_login(username, password),
            "login": lambda: client.login(_quote_argument(username), password),
        }
        # SASL is bytes; for LOGIN see RFC 6855 §5: what servers take in practice is UTF-8.
        imap._encoding = "utf-8"
        try:
            ways[mechanism]()
        finally:
            imap._encoding = "ascii"
        client._cached_capabilities = None

    def _choose_mechanism(self) -> Auth:
        """Return the mechanism to use; a server that names none takes LOGIN (RFC 3501 §6.2.3)."""
        client, wanted = self._client, self._target.auth
        offered: dict[Auth, bool] = {
            "plain": client.has_capability("AUTH=PLAIN"),
            "login": not client.has_capability("LOGINDISABLED"),
            "cram_md5": client.has_capability("AUTH=CRAM-MD5"),
            "xoauth2": client.has_capability("AUTH=XOAUTH2"),
        }
        automatic: Sequence[Auth] = ("plain", "login", "cram_md5")
        if not self._line.is_encrypted:
            automatic = ("cram_md5", "plain", "login")
        for each in automatic if wanted == "auto" else (wanted,):
            if offered.get(each):
                return each
        has = " ".join(name for name, there in offered.items() if there) or "no login"
        raise Halted("mechanism_not_offered", f"wanted {wanted}, the server offers {has}")


# imaplib trips over nonsense in many ways; none of them is worth a cause of its own.
_FAILURES = (
    imaplib.IMAP4.error,
    OSError,
    TooLong,
    Halted,
    SessionFailed,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RecursionError,
)


def _explain(step: str, error: Exception) -> SessionFailed:
    if isinstance(error, SessionFailed):
        return error
    if isinstance(error, Halted):
        return SessionFailed(error.cause, step, None, str(error))
    if isinstance(error, OSError):
        return SessionFailed(classify_error(step, error), step, None, describe(error))
    said = shorten(escape(str(error)))
    if "socket error" in said:  # also where IMAPClient makes a refused login of it
        return SessionFailed("connection_lost", step, None, said)
    if isinstance(error, imaplib.IMAP4.abort):
        return SessionFailed("protocol_error", step, None, said)
    if not isinstance(error, imaplib.IMAP4.error):
        return SessionFailed("protocol_error", step, None, said or type(error).__name__)
    if step == "greeting":
        return SessionFailed("greeting_refused", step, None, said)
    found = _RESPONSE_CODE.search(said)
    cause = _CODES.get(found.group(1).upper()) if found else None
    return SessionFailed(cause or _REFUSED.get(step, "mailbox_refused"), step, None, said)


def _check(answer: tuple[str, list[Any]]) -> None:
    if answer[0] != "OK":
        raise imaplib.IMAP4.error(_quote(answer[1]))


def _quote(data: Sequence[Any]) -> str:
    return b" ".join(each for each in data if isinstance(each, bytes)).decode("utf-8", "replace")


def _quote_argument(text: str) -> str:
    # imaplib quotes the password of LOGIN, not the user name.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
