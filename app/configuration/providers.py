"""Mail providers as data: from an address to the server that sends for it.

A domain of a customer's own does not tell who hosts it; then the person chooses the provider, or
``guess_server`` proposes the usual name, and a probe shows whether it is right. Facts as the providers
publish them; what a server really does is for the probe to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.configuration.model import Connection

# app_password: the account's own password is refused, one made for programs is needed.
# oauth2: basic sign-in is switched off. enable_smtp: an administrator has to allow it first.
# enable_programs: mail programs have to be allowed in the mailbox first.
# server_name: the customer's panel shows the name of the server.
Advice = Literal["app_password", "oauth2", "enable_smtp", "enable_programs", "server_name"]


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider. host: "" where it differs by customer. domains: those it gives addresses in."""

    id: str
    name: str
    host: str
    port: int
    connection: Connection
    domains: tuple[str, ...] = ()
    advice: Advice | None = None


PROVIDERS: Sequence[Provider] = (
    Provider(
        "gmail", "Gmail, Google Workspace", "smtp.gmail.com", 465, "ssl_tls",
        ("gmail.com", "googlemail.com"), "app_password",
    ),
    Provider("m365", "Microsoft 365", "smtp.office365.com", 587, "starttls", (), "enable_smtp"),
    Provider(
        "outlook", "Outlook.com", "smtp-mail.outlook.com", 587, "starttls",
        ("outlook.com", "hotmail.com", "live.com", "outlook.fr", "hotmail.fr"), "oauth2",
    ),
    Provider("home", "home.pl", "", 465, "ssl_tls", (), "server_name"),
    Provider("nazwa", "nazwa.pl", "", 465, "ssl_tls", (), "server_name"),
    Provider(
        "onet", "Onet Poczta", "smtp.poczta.onet.pl", 465, "ssl_tls",
        ("onet.pl", "op.pl", "poczta.onet.pl", "vp.pl", "onet.eu"), "enable_programs",
    ),
    Provider("wp", "WP Poczta", "smtp.wp.pl", 465, "ssl_tls", ("wp.pl",), "enable_programs"),
    Provider("o2", "o2", "poczta.o2.pl", 465, "ssl_tls", ("o2.pl", "tlen.pl"), "enable_programs"),
    Provider(
        "interia", "Interia", "poczta.interia.pl", 465, "ssl_tls",
        ("interia.pl", "interia.eu", "interia.com", "poczta.fm"), "enable_programs",
    ),
    Provider("ovh", "OVHcloud (MX Plan)", "ssl0.ovh.net", 465, "ssl_tls"),
    Provider("gandi", "Gandi", "mail.gandi.net", 465, "ssl_tls"),
    Provider("ionos", "IONOS", "smtp.ionos.com", 465, "ssl_tls"),
    Provider(
        "infomaniak", "Infomaniak", "mail.infomaniak.com", 465, "ssl_tls",
        ("ik.me", "etik.com", "ikmail.com"),
    ),
    Provider("hostpoint", "Hostpoint", "asmtp.mail.hostpoint.ch", 465, "ssl_tls"),
    Provider("bluewin", "Bluewin", "smtpauths.bluewin.ch", 465, "ssl_tls", ("bluewin.ch",)),
    Provider("orange", "Orange", "smtp.orange.fr", 465, "ssl_tls", ("orange.fr", "wanadoo.fr")),
    Provider("free", "Free", "smtp.free.fr", 465, "ssl_tls", ("free.fr",)),
    Provider("sfr", "SFR", "smtp.sfr.fr", 465, "ssl_tls", ("sfr.fr", "neuf.fr")),
    Provider("laposte", "La Poste", "smtp.laposte.net", 465, "ssl_tls", ("laposte.net",)),
    Provider(
        "yahoo", "Yahoo", "smtp.mail.yahoo.com", 465, "ssl_tls", ("yahoo.com", "yahoo.fr"),
        "app_password",
    ),
    Provider(
        "icloud", "iCloud", "smtp.mail.me.com", 587, "starttls", ("icloud.com", "me.com", "mac.com"),
        "app_password",
    ),
    Provider("gmx", "GMX", "mail.gmx.net", 465, "ssl_tls", ("gmx.net", "gmx.ch", "gmx.de")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """What a provider allows one account; None where it publishes nothing.

    per_minute: messages. connections: at once.
    """

    per_minute: float | None = None
    connections: int | None = None


_NO_LIMITS = SendingLimits()
# By server. Exchange Online delays what is beyond its rate; keeping the pace here lets single
# messages go before batches. Others count by the hour or the day, which is learned as it comes.
_SENDING_LIMITS: Mapping[str, SendingLimits] = {
    "smtp.office365.com": SendingLimits(per_minute=30, connections=3),
    "smtp-mail.outlook.com": SendingLimits(per_minute=30, connections=3),
}


def find_sending_limits(host: str) -> SendingLimits:
    """Return what the provider of a server allows one account."""
    return _SENDING_LIMITS.get(host.rstrip(".").lower(), _NO_LIMITS)


def find_provider(address: str) -> Provider | None:
    """Return who gives addresses in the domain of ``address``; None where that is not known."""
    domain = address.strip().rpartition("@")[2].lower()
    return next((each for each in PROVIDERS if domain in each.domains), None)


def read_provider(provider_id: str) -> Provider | None:
    """Return the provider with an id."""
    return next((each for each in PROVIDERS if each.id == provider_id), None)


def guess_server(address: str) -> Provider:
    """Return what is usual for a domain of one's own: ``smtp.<domain>``, encrypted if it can."""
    domain = address.strip().rpartition("@")[2].lower()
    return Provider("", "", f"smtp.{domain}" if domain else "", 587, "auto")
