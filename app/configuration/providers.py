"""Mail providers: from an address, a host or an id to what the provider publishes (``provider_data``).

A domain of a customer's own does not tell who hosts it; then the MX does, or the person chooses the
provider, or ``guess_server`` proposes the usual name, and a probe shows whether it is right.
"""

from collections.abc import Iterable, Mapping

from app.configuration.provider_data import (
    ADVICE,
    PROVIDERS,
    Incoming,
    Provider,
    SendingLimits,
    Server,
)

_NO_LIMITS = SendingLimits()
_LIMITS_BY_HOST = {
    each.smtp.host: each.limits for each in reversed(PROVIDERS) if each.limits != _NO_LIMITS
}
_KEEPING_HOSTS = frozenset(each.smtp.host for each in PROVIDERS if each.keeps_sent)


def find_sending_limits(host: str) -> SendingLimits:
    """Return what the provider of a server allows one account."""
    return _LIMITS_BY_HOST.get(host.rstrip(".").lower(), _NO_LIMITS)


def keeps_sent(host: str) -> bool:
    """Whether a mail server files what it sends in the mailbox's Sent folder itself."""
    return host.rstrip(".").lower() in _KEEPING_HOSTS


def find_provider(address: str) -> Provider | None:
    """Return who gives addresses in the domain of ``address``; None where that is not known."""
    domain = address.strip().rpartition("@")[2].lower()
    return next((each for each in PROVIDERS if domain in each.domains), None)


def find_provider_by_mx(hosts: Iterable[str]) -> Provider | None:
    """Return whose servers take the mail of a domain; ``hosts``: its MX in lower case, best first."""
    for host in hosts:
        found = [
            (len(suffix), each)
            for each in PROVIDERS
            for suffix in each.mx
            if f".{host}".endswith(f".{suffix}")
        ]
        if found:
            return max(found, key=lambda each: each[0])[1]
    return None


def read_provider(provider_id: str) -> Provider | None:
    """Return the provider with an id."""
    return next((each for each in PROVIDERS if each.id == provider_id), None)


def search_providers(words: str) -> list[Provider]:
    """Return the providers whose id, name, server or domain holds ``words``; all for none."""
    wanted = words.strip().lower()
    return [
        each
        for each in PROVIDERS
        if any(
            wanted in text.lower() for text in (each.id, each.name, each.smtp.host, *each.domains)
        )
    ]


def guess_server(address: str) -> Provider:
    """Return what is usual for a domain of one's own: ``smtp.<domain>``, encrypted if it can."""
    domain = address.strip().rpartition("@")[2].lower()
    return Provider(
        "",
        "",
        Server(f"smtp.{domain}" if domain else "", 587, "auto"),
        Incoming(f"imap.{domain}" if domain else "", 993, "ssl_tls"),
    )


def name_login(provider: Provider, address: str) -> str | None:
    """Return the user name that a provider wants; None: one it makes for each customer."""
    if provider.login == "smtp_user":
        return None
    if provider.login == "local_part":
        return address.rpartition("@")[0]
    return address if provider.login == "address" else provider.login_word


def write_advice(provider: Provider) -> Mapping[str, str] | None:
    """Return what to do at the provider first, in pl, fr and en; None for nothing."""
    texts = [ADVICE[each] for each in provider.advice]
    if not texts:
        return None
    return {language: " ".join(each[language] for each in texts) for language in texts[0]}
