"""Whose servers an OAuth2 token may be shown to, where it is not an admin who asks for the consent."""

from collections.abc import Mapping, Sequence

from app.configuration.consent_state import ConsentProvider
from app.configuration.secrets import Target
from app.errors import Denied
from app.wire.target import bare_host

_MAIL_DOMAINS: Mapping[ConsentProvider, Sequence[str]] = {
    "google": ("gmail.com", "googlemail.com"),
    "microsoft": ("office365.com", "office365.us", "outlook.com", "office.com"),
}


def require_known_servers(provider: ConsentProvider, servers: Sequence[Target]) -> None:
    """Refuse a server that is not the provider's: its owner would hand the mailbox to whoever
    named it. An admin may have a gateway before it."""
    for each in servers:
        if not any(
            bare_host(each.host).casefold().rstrip(".").endswith(f".{domain}")
            for domain in _MAIL_DOMAINS[provider]
        ):
            raise Denied(
                f"{each.host} is no server of this provider; tokens are not shown to it. An admin "
                "may ask for this consent.",
                code="consent_other_server",
            )
