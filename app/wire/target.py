"""Where and how to connect: one value that holds everything a session needs to know.

A `Secret` travels inside a Target; it shows itself only through `reveal()`, never in a repr,
a format, a comparison's message or a pickle.
"""

from dataclasses import dataclass, field
from typing import Literal, NoReturn

Connection = Literal["auto", "plaintext", "starttls", "ssl_tls"]
Auth = Literal["auto", "none", "plain", "login", "cram_md5", "ntlm", "xoauth2"]

IMPLICIT_TLS_PORT = 465  # RFC 8314 §3.3


class Secret:
    """A password or token that does not print."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value; call it only at the moment of use."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Target:
    """A mail server and how to speak with it.

    timeout_ms: the wait for one reply, also for connecting and for the TLS handshake.
    password: for ``xoauth2`` the access token.
    ca_pem: certificates to trust instead of the system's.
    starttls_seen: this server has offered STARTTLS before; ``auto`` then refuses clear text.
    """

    host: str
    port: int
    connection: Connection = "auto"
    auth: Auth = "auto"
    username: str | None = None
    password: Secret | None = None
    timeout_ms: int = 30_000
    tls_verify: bool = True
    ca_pem: str | None = field(default=None, repr=False)
    allow_insecure_auth: bool = False
    starttls_seen: bool = False

    @property
    def implicit_tls(self) -> bool:
        """TLS from the first byte: ``ssl_tls``, or ``auto`` on port 465."""
        return self.connection == "ssl_tls" or (
            self.connection == "auto" and self.port == IMPLICIT_TLS_PORT
        )

    @property
    def wants_login(self) -> bool:
        """A login is asked for: a user name is given and AUTH is not ``none``."""
        return self.auth != "none" and bool(self.username)

    @property
    def tls_name(self) -> str:
        """The name the certificate must carry: the host without brackets or a final dot."""
        return bare_host(self.host)


def bare_host(host: str) -> str:
    """Return the host without the brackets of an IPv6 literal and without a final dot."""
    host = host.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host.removesuffix(".")
