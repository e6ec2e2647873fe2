"""Guess the servers of an address: no mail server is spoken to, nothing is stored.

Asked in this order, and the first that knows a server wins: what is stored for the e-mail domain,
the provider that gives addresses in it, the domain's SRV records, the provider that its MX belongs
to, the usual names. What comes out of DNS is a proposal: host names only, on ports that the caller
may use, with a warning where it leads to somebody else's domain (RFC 6186 §6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.configuration.domain import Domain
from app.configuration.model import (
    INCOMING_PORTS,
    Auth,
    Connection,
    IncomingSettings,
    Protocol,
    SmtpSettings,
    read_mailbox_server,
    read_server,
)
from app.configuration.provider_data import PROVIDERS, Incoming, Provider, Server
from app.configuration.providers import (
    find_provider,
    find_provider_by_mx,
    guess_server,
    name_login,
    write_advice,
)
from app.errors import Fault, Notice, Refused
from app.mime.address import Mailbox, parse_mailbox
from app.wire.address_policy import AddressPolicy
from app.wire.service_records import (
    NameServer,
    Records,
    Service,
    ServiceHost,
    is_host_name,
    look_up_services,
)

Origin = Literal["domain", "provider", "srv", "mx", "guess"]

_SERVICES: Mapping[Service, tuple[Protocol | None, Connection]] = {
    "submissions": (None, "ssl_tls"),
    "submission": (None, "starttls"),
    "imaps": ("imap", "ssl_tls"),
    "imap": ("imap", "starttls"),
    "pop3s": ("pop3", "ssl_tls"),
}


@dataclass(frozen=True, slots=True)
class Proposed:
    """One server. username: None for one that the provider makes. protocol: None is SMTP."""

    host: str
    port: int
    connection: Connection
    username: str | None
    auth: Auth
    origin: Origin
    protocol: Protocol | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What was asked. ok: whether it knew something; detail: what it said."""

    source: Origin
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Guess:
    """The servers of an address. advice: what to do at the provider first, in pl, fr and en."""

    email: str
    domain: str
    provider: Provider | None
    smtp: Proposed
    incoming: Proposed
    advice: Mapping[str, str] | None
    sources: Sequence[Source]
    notices: Sequence[Notice]


@dataclass(frozen=True, slots=True)
class _Word:
    """What one source said."""

    source: Source
    smtp: Proposed | None = None
    incoming: Proposed | None = None
    provider: Provider | None = None


def read_email(given: str) -> Mailbox:
    """Return the mailbox; raise ``Refused`` for one without a domain to ask about."""
    mailbox, faults = parse_mailbox(given, "")
    if mailbox is None or not is_host_name(mailbox.domain):
        detail = "Give one mail address with a domain, such as ?email=anna@firma.example."
        raise Refused(detail, faults=[Fault("", "invalid_address", detail)] if mailbox else faults)
    return mailbox


async def guess_servers(
    mailbox: Mailbox,
    stored: Domain | None,
    policy: AddressPolicy,
    name_server: NameServer | None = None,
) -> Guess:
    """Return the servers of ``mailbox``. stored: its e-mail domain's settings.

    DNS is asked only for what is not known here, for 3 s at most; without DNS ``sources`` says so.
    """
    words = [_ask_stored(mailbox, stored), _ask_provider(mailbox)]
    if not any(each.smtp for each in words) or not any(each.incoming for each in words):
        records = await look_up_services(mailbox.domain, name_server)
        words += [_read_srv(mailbox, records, policy), _read_mx(mailbox, records)]
    if not any(each.smtp for each in words) or not any(each.incoming for each in words):
        usual = guess_server(mailbox.address)
        words.append(_propose(mailbox, usual, "guess", "the usual names; try them"))
    smtp = next(each.smtp for each in words if each.smtp)
    incoming = next(each.incoming for each in words if each.incoming)
    provider = next((each.provider for each in words if each.provider), None)
    return Guess(
        mailbox.address,
        mailbox.domain,
        provider,
        smtp,
        incoming,
        write_advice(provider) if provider else None,
        [each.source for each in words],
        _warn(mailbox, [smtp, incoming]),
    )


def _ask_stored(mailbox: Mailbox, stored: Domain | None) -> _Word:
    if stored is None:
        return _Word(Source("domain", False, f"nothing is stored for {mailbox.domain}"))
    document = {"sender": {"address": mailbox.address}, "incoming": {}}
    smtp = read_server(document, stored, "none")
    incoming = read_mailbox_server(document, stored)
    return _Word(
        Source("domain", True, f"the settings stored for {stored.name}"),
        _show_stored(smtp) if smtp else None,
        _show_stored(incoming, incoming.protocol) if incoming else None,
    )


def _show_stored(
    server: SmtpSettings | IncomingSettings, protocol: Protocol | None = None
) -> Proposed:
    return Proposed(
        server.host,
        server.port,
        server.connection,
        server.username,
        server.auth,
        "domain",
        protocol,
    )


def _ask_provider(mailbox: Mailbox) -> _Word:
    provider = find_provider(mailbox.address)
    if provider is None:
        return _Word(Source("provider", False, "no known provider gives addresses in this domain"))
    return _propose(mailbox, provider, "provider", f"{provider.name} gives addresses in it")


def _read_srv(mailbox: Mailbox, records: Records, policy: AddressPolicy) -> _Word:
    if records.srv_trouble:
        return _Word(Source("srv", False, records.srv_trouble))
    allowed = [each for each in records.srv if _may_use(each, policy)]
    if not allowed:
        return _Word(Source("srv", False, "it names only ports that are not allowed here"))
    proposed = [
        Proposed(each.host, each.port, connection, mailbox.address, "auto", "srv", protocol)
        for each in allowed
        for protocol, connection in (_SERVICES[each.service],)
    ]
    smtp = next((each for each in proposed if each.protocol is None), None)
    incoming = next((each for each in proposed if each.protocol), None)
    named = ", ".join(f"{each.service} {each.host}:{each.port}" for each in allowed)
    known = [each for each in PROVIDERS if smtp and smtp.host == each.smtp.host]
    return _Word(Source("srv", True, named), smtp, incoming, known[0] if known else None)


def _may_use(service: ServiceHost, policy: AddressPolicy) -> bool:
    """Whether the caller could save this: the same ports as in ``rules``."""
    if service.service in ("submissions", "submission"):
        return policy.refuse_port(service.port) is None
    return policy.ports is None or service.port in INCOMING_PORTS.values()


def _read_mx(mailbox: Mailbox, records: Records) -> _Word:
    if records.mx_trouble:
        return _Word(Source("mx", False, records.mx_trouble))
    provider = find_provider_by_mx(records.mx)
    if provider is None:
        return _Word(Source("mx", False, f"{records.mx[0]} belongs to no known provider"))
    return _propose(mailbox, provider, "mx", f"{records.mx[0]} belongs to {provider.name}")


def _propose(mailbox: Mailbox, provider: Provider, origin: Origin, detail: str) -> _Word:
    login = name_login(provider, mailbox.address)

    def place(server: Server | Incoming | None) -> Proposed | None:
        if server is None or not server.host:
            return None
        protocol = server.protocol if isinstance(server, Incoming) else None
        auth = provider.auth
        return Proposed(server.host, server.port, server.connection, login, auth, origin, protocol)

    smtp, incoming = place(provider.smtp), place(provider.incoming)
    known = provider if provider.id else None
    return _Word(Source(origin, True, detail), smtp, incoming, known)


def _warn(mailbox: Mailbox, proposed: Sequence[Proposed]) -> list[Notice]:
    ours = {each.smtp.host for each in PROVIDERS}
    ours |= {each.incoming.host for each in PROVIDERS if each.incoming}
    foreign = [
        each.host
        for each in proposed
        if each.origin == "srv"
        and each.host not in ours
        and not f".{each.host}".endswith(f".{mailbox.domain}")
    ]
    return [
        Notice(
            "other_domain",
            f"DNS names {host}, which is not part of {mailbox.domain}; make sure that it is yours "
            "before you give it a password.",
        )
        for host in dict.fromkeys(foreign)
    ]
