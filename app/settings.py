"""Every environment variable of Awizo: type, unit, default, reason. Read once, frozen.

The table in ``docs/operating.md`` is generated from this file, so a description here is the
documentation. Nothing else in the code reads the environment.
"""

import re
import tomllib
from functools import cache
from importlib.metadata import version
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.schedule import parse_schedule

Network = IPv4Network | IPv6Network
MEBIBYTE = 1024 * 1024
# https; clear text on this machine alone, for a stand-in.
OAuthUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^(https://[^/?#@\s]+|http://(127(\.\d+){3}|\[::1\]|localhost)(:\d+)?)(/[^#\s]*)?$"
    ),
]


class Settings(BaseSettings):
    """The settings of one process; see the field descriptions."""

    model_config = SettingsConfigDict(
        env_prefix="AWIZO_",
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,  # a refused variable may be a secret
    )

    # Where it runs
    data_dir: Path = Field(
        Path("data"), description="Directory of the SQLite file, the key ring and the admin key."
    )
    database_url: str | None = Field(
        None,
        description="`postgresql://user:password@host/database`; absent: `awizo.db` in the data directory.",
    )
    host: str = Field("127.0.0.1", description="Address the HTTP server listens on.")
    port: int = Field(8025, ge=0, le=65535, description="Port the HTTP server listens on.")
    public_url: str | None = Field(
        None,
        description="Where browsers reach Awizo, such as `https://awizo.firma.example`; sign-in by "
        "OpenID Connect leads back there, links to unsubscribe lead there.",
    )
    trusted_proxies: str = Field(
        "127.0.0.1",
        description="Comma-separated addresses of reverse proxies whose `X-Forwarded-*` headers count.",
    )
    key_ring_file: Path | None = Field(
        None,
        description="Key ring that seals passwords; absent: `keyring.json` in the data directory. "
        "All processes of one database share it.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="`auto`: text on a terminal, JSON lines elsewhere."
    )
    log_addresses: bool = Field(
        False, description="Whether mail addresses may stand in the log (personal data)."
    )

    # Who may call
    admin_key: SecretStr | None = Field(
        None,
        description="The admin API key, at least 24 characters; changing it revokes the old one. "
        "Absent: the first start makes one and writes it to `admin.key` in the data directory.",
    )
    oidc_issuer: str | None = Field(
        None, description="OpenID Connect issuer whose JWTs are accepted beside API keys."
    )
    oidc_audience: str | None = Field(None, description="`aud` that a JWT must carry.")
    oidc_jwks_url: str | None = Field(
        None, description="Where the issuer's keys are; absent: found by the issuer's discovery."
    )
    oidc_role_claim: str = Field(
        "awizo_role", description="Claim that holds `admin`, `sender`, `user` or `probe`."
    )
    oidc_user_claim: str = Field("sub", description="Claim that holds the user id of role `user`.")
    oidc_client_id: str | None = Field(
        None,
        description="The admin page's client id at the issuer: people sign in there instead of with "
        "a key. Needs `AWIZO_PUBLIC_URL`; register `<public url>/ui/sign-in/back` for it.",
    )
    oidc_client_secret: SecretStr | None = Field(
        None, description="That client's secret; absent: a public client, by PKCE alone."
    )
    oidc_scopes: str = Field(
        "openid", description="Scopes asked for, with blanks; the role must come in the ID token."
    )

    # OAuth2 at mail providers
    oauth_google_client_id: str | None = Field(
        None,
        description="Awizo's client id at Google, for accounts that log in by OAuth2. Needs "
        "`AWIZO_PUBLIC_URL`; register `<public url>/oauth/callback` for it.",
    )
    oauth_google_client_secret: SecretStr | None = Field(None, description="That client's secret.")
    oauth_google_authorize_url: OAuthUrl = Field(
        "https://accounts.google.com/o/oauth2/v2/auth", description="Where people consent."
    )
    oauth_google_token_url: OAuthUrl = Field(
        "https://oauth2.googleapis.com/token", description="Where tokens come from."
    )
    oauth_microsoft_client_id: str | None = Field(
        None, description="Awizo's application id at Microsoft; the same redirect URI."
    )
    oauth_microsoft_client_secret: SecretStr | None = Field(None, description="Its secret.")
    oauth_microsoft_tenant: str = Field(
        "common",
        pattern=r"^[A-Za-z0-9.-]{1,255}$",
        description="Directory id or domain; client credentials need one of your own.",
    )
    oauth_microsoft_authorize_url: OAuthUrl = Field(
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
        description="Where people consent.",
    )
    oauth_microsoft_token_url: OAuthUrl = Field(
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
        description="Where tokens come from.",
    )

    # What leaves
    delivery: str = Field(
        "on",
        description="`on`; `off`: accepted mail is held; `redirect:<address>`: all mail goes there.",
    )
    ehlo_name: str | None = Field(
        None,
        description="Name in EHLO; absent: this host's fully qualified name or address literal.",
    )
    final_reply_timeout_s: float = Field(
        600, gt=0, description="Wait for the reply to the final dot (RFC 5321 §4.5.3.2.6), seconds."
    )
    retry_schedule: str = Field(
        "1m, 5m*2, 30m, 1h*3, 4h",
        description="Waits between tries (units s m h d, `*n` repeats); the last repeats until "
        "`give_up_after_h`.",
    )
    connections_per_account: int = Field(
        4, ge=1, le=64, description="SMTP connections one account may have open in one worker."
    )
    connection_idle_s: float = Field(
        10, ge=0, description="How long an idle SMTP connection is kept for the next message."
    )
    lease_s: float = Field(
        60, ge=2, description="How long a worker owns a message without renewing, seconds."
    )
    poll_s: float = Field(
        0.5,
        gt=0,
        description="How often a worker looks for due mail when nothing wakes it, seconds.",
    )
    stop_grace_s: float = Field(
        30, ge=0, description="How long a stopping worker waits for messages under way, seconds."
    )
    smtp_allow: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="Networks that mail servers may stand in although `AWIZO_SMTP_DENY` covers them.",
    )
    smtp_deny: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="Comma-separated networks that no mail server may stand in."
    )
    smtp_ports: Annotated[frozenset[int] | None, NoDecode] = Field(
        frozenset({25, 465, 587, 2525}),
        description="Ports that credentials other than `admin` may reach; `any` lifts it.",
    )
    dns_server: Annotated[tuple[str, int] | None, NoDecode] = Field(
        None,
        description="Name server that `GET /autoconfig` asks (`9.9.9.9`, `[::1]:5353`); absent: the "
        "machine's own.",
    )
    probe_rate: int = Field(10, ge=1, description="Probes a minute for one key.")
    probe_rate_admin: int = Field(120, ge=1, description="Probes a minute for one admin key.")

    # How much
    max_attachment_bytes: int = Field(
        25 * MEBIBYTE, ge=0, description="All attachments of one message together."
    )
    max_recipients: int = Field(50, ge=1, description="Recipients of one message, copies included.")
    max_request_bytes: int = Field(64 * MEBIBYTE, ge=1024, description="One request's body.")
    max_batch_messages: int = Field(1000, ge=1, description="Messages in one batch.")
    max_rendered_bytes: int = Field(
        262_144, ge=1024, description="One rendered subject and body, after macros."
    )
    protect_workers: int = Field(
        2, ge=1, le=64, description="Processes that encrypt PDFs; started when first needed."
    )
    protect_memory_bytes: int = Field(
        1024 * MEBIBYTE, ge=128 * MEBIBYTE, description="Memory one of them may take."
    )
    protect_deadline_s: float = Field(60, gt=0, description="Time one PDF may take.")

    # How long it is kept
    keep_bodies_days: float = Field(
        365,
        ge=0,
        description="Days after a message ended, or came in, that its content is kept; 0: for ever.",
    )
    keep_metadata_days: float = Field(
        3650, ge=0, description="Days after its end that a message's record is kept; 0: for ever."
    )
    keep_inbox_days: float = Field(
        3650,
        ge=0,
        description="Days after it came in that a mail's record is kept (at least 3); 0: for ever.",
    )
    keep_idempotency_h: float = Field(
        72, ge=24, description="Hours an Idempotency-Key is remembered (at least 24)."
    )

    keep_webhook_log_days: float = Field(
        30, ge=0, description="Days a webhook's finished deliveries are shown; 0: for ever."
    )

    @field_validator("smtp_allow", "smtp_deny", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(
                ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip()
            )
        return value

    @field_validator("smtp_ports", mode="before")
    @classmethod
    def _split_ports(cls, value: object) -> object:
        if isinstance(value, str):
            if value.strip().lower() == "any":
                return None
            return frozenset(int(part) for part in value.split(",") if part.strip())
        return value

    @field_validator("dns_server", mode="before")
    @classmethod
    def _split_dns_server(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found = re.fullmatch(r"\[(.+)\](?::(\d+))?|([^:]+)(?::(\d+))?|(.+)", value.strip())
        v6, v6_port, v4, v4_port, bare = found.groups() if found else (None,) * 5
        port = int(v6_port or v4_port or 53)
        if not 0 < port < 65_536:
            raise ValueError(f"AWIZO_DNS_SERVER: {port} is no port")
        return str(ip_address(v6 or v4 or bare or "")), port

    @field_validator("admin_key")
    @classmethod
    def _check_admin_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 24:
            raise ValueError("AWIZO_ADMIN_KEY needs at least 24 characters")
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/?#@\s]+/?", value):
            raise ValueError("AWIZO_PUBLIC_URL is http(s)://host[:port], without a path")
        return value.rstrip("/") if value else value

    @field_validator("delivery")
    @classmethod
    def _check_delivery(cls, value: str) -> str:
        if value.lower() in ("on", "off"):
            return value.lower()
        head, _, address = value.partition(":")
        if head.strip().lower() == "redirect" and re.fullmatch(r"\s*[^@\s]+@[^@\s]+\s*", address):
            return f"redirect:{address.strip()}"
        raise ValueError("AWIZO_DELIVERY is on, off or redirect:<address>")

    @field_validator("keep_inbox_days")
    @classmethod
    def _check_keep_inbox(cls, value: float) -> float:
        if 0 < value < 3:  # a folder that a server numbers anew is read again from two days before
            raise ValueError("AWIZO_KEEP_INBOX_DAYS is 0 or at least 3")
        return value

    @field_validator("retry_schedule")
    @classmethod
    def _check_retry_schedule(cls, value: str) -> str:
        parse_schedule(value)
        return value

    @model_validator(mode="after")
    def _check_oidc(self) -> "Settings":
        if self.oidc_issuer and not self.oidc_audience:
            raise ValueError("AWIZO_OIDC_ISSUER needs AWIZO_OIDC_AUDIENCE beside it")
        if self.oidc_client_id and not (self.oidc_issuer and self.public_url):
            raise ValueError(
                "AWIZO_OIDC_CLIENT_ID needs AWIZO_OIDC_ISSUER and AWIZO_PUBLIC_URL beside it"
            )
        return self

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'awizo.db').absolute()}"

    @property
    def key_ring_path(self) -> Path:
        """The file that holds the key ring."""
        return self.key_ring_file or self.data_dir / "keyring.json"

    @property
    def redirect_to(self) -> str | None:
        """The address all mail goes to instead, where delivery is redirected."""
        head, _, address = self.delivery.partition(":")
        return address if head == "redirect" else None


def show_settings() -> str:
    """Return every setting as a Markdown table: variable, default, meaning."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, bool):
            default = "true" if default else "false"
        elif isinstance(default, frozenset):
            default = ",".join(str(each) for each in sorted(default))
        shown = "" if default in (None, ()) else f"`{default}`"
        lines.append(f"| `AWIZO_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(lines)


@cache
def read_version() -> str:
    """Return Awizo's version: of the tree that this file stands in, else of the installed package."""
    project = Path(__file__).parents[1] / "pyproject.toml"
    if project.exists():  # a clone runs from its own tree, and nothing is installed
        return str(tomllib.loads(project.read_text())["project"]["version"])
    return version("awizo")
