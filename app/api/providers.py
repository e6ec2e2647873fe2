"""``/providers``: presets as data; ``/autoconfig``: the servers of an address, guessed."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from app.api.body import Route
from app.api.gate import Page, TheOffice
from app.api.sign_in import TheSender
from app.api.templates import ShownNotice, show_notices
from app.configuration.autoconfig import Proposed, guess_servers, read_email
from app.configuration.find_domain import find_domain
from app.configuration.provider_data import Provider
from app.configuration.providers import read_provider, search_providers, write_advice
from app.errors import Missing
from app.wire.service_records import NameServer

router = APIRouter(route_class=Route, tags=["providers"])


class ShownServer(BaseModel):
    """A server of a provider. host: empty where it differs by customer."""

    protocol: str = Field(examples=["smtp", "imap"])
    host: str = Field(examples=["smtp.gmail.com"])
    port: int
    connection: str = Field(examples=["ssl_tls"])


class ShownLogin(BaseModel):
    """What a provider takes as user name."""

    form: str = Field(
        description="`address`, `local_part`, `word` (the same for everybody) or `smtp_user` (made "
        "in the provider's panel)."
    )
    word: str | None = Field(examples=["apikey"])


class ShownLimits(BaseModel):
    """What the provider publishes for one account; null: nothing, or it differs by contract."""

    per_minute: float | None = Field(description="Messages.")
    per_day: int | None = Field(description="Messages.")
    recipients_per_day: int | None
    connections: int | None = Field(description="At once.")


class ShownProvider(BaseModel):
    """A mail provider."""

    id: str = Field(examples=["gmail"])
    name: str
    smtp: ShownServer
    incoming: ShownServer | None = Field(description="null: it only sends.")
    login: ShownLogin
    auth: str = Field(description="`xoauth2` where nothing else is taken, else `auto`.")
    oauth2: bool = Field(description="Whether it also takes an access token (XOAUTH2).")
    keeps_sent: bool = Field(description="Sent mail stands in its Sent folder by itself.")
    limits: ShownLimits
    domains: list[str] = Field(description="Domains that it gives addresses in.")
    advice: dict[str, str] | None = Field(
        description="What has to be done there first, in pl, fr and en.",
        examples=[{"en": "Make an app password …", "fr": "…", "pl": "…"}],
    )


class ShownPlace(BaseModel):
    """A server that was found or guessed."""

    protocol: str
    host: str = Field(examples=["smtp.firma.example"])
    port: int = Field(examples=[465])
    connection: str = Field(examples=["ssl_tls"])
    username: str | None = Field(description="null: the provider's panel shows it.")
    auth: str
    origin: str = Field(description="Who said so.", examples=["srv"])


class ShownSource(BaseModel):
    """One that was asked."""

    source: str = Field(examples=["domain", "provider", "srv", "mx", "guess"])
    ok: bool = Field(description="Whether it knew something.")
    detail: str


class Autoconfig(BaseModel):
    """The servers of an address, to be tried with `/test-smtp`."""

    email: str
    domain: str
    provider: ShownProvider | None
    smtp: ShownPlace
    incoming: ShownPlace
    origin: str = Field(description="Where `smtp` comes from.", examples=["provider"])
    advice: dict[str, str] | None
    sources: list[ShownSource]
    warnings: list[ShownNotice]


@router.get("/providers")
async def list_providers(
    caller: TheSender,
    q: Annotated[str, Query(max_length=100, description="Part of a name, server or domain.")] = "",
) -> Page[ShownProvider]:
    """List the mail providers that are known here."""
    return Page(data=[_show(each) for each in search_providers(q)], next=None)


@router.get("/providers/{provider}")
async def read_one_provider(
    caller: TheSender, provider: Annotated[str, Path(examples=["gmail"])]
) -> ShownProvider:
    """Show one provider."""
    found = read_provider(provider)
    if found is None:
        raise Missing(f"No provider {provider!r} is known.", code="provider_not_found")
    return _show(found)


@router.get("/autoconfig")
async def guess_configuration(
    caller: TheSender,
    office: TheOffice,
    email: Annotated[str, Query(max_length=512, examples=["anna@firma.example"])],
) -> Autoconfig:
    """Guess the servers of an address: stored domain, provider, SRV, MX, the usual names.

    No mail server is spoken to. DNS is asked for 3 seconds at most, where the machine has it.
    """
    mailbox = read_email(email)
    stored = await office.db.read(find_domain, mailbox.domain)
    server = office.settings.dns_server
    guess = await guess_servers(
        mailbox,
        stored,
        office.policy(any_port=caller.is_admin),
        NameServer(*server) if server else None,
    )
    return Autoconfig(
        email=guess.email,
        domain=guess.domain,
        provider=_show(guess.provider) if guess.provider else None,
        smtp=_show_place(guess.smtp),
        incoming=_show_place(guess.incoming),
        origin=guess.smtp.origin,
        advice=dict(guess.advice) if guess.advice else None,
        sources=[
            ShownSource(source=each.source, ok=each.ok, detail=each.detail)
            for each in guess.sources
        ],
        warnings=show_notices(tuple(guess.notices)),
    )


def _show(provider: Provider) -> ShownProvider:
    def show_server(server: Any, protocol: str) -> ShownServer:
        return ShownServer(
            protocol=protocol, host=server.host, port=server.port, connection=server.connection
        )

    advice, limits = write_advice(provider), provider.limits
    incoming = provider.incoming
    return ShownProvider(
        id=provider.id,
        name=provider.name,
        smtp=show_server(provider.smtp, "smtp"),
        incoming=show_server(incoming, incoming.protocol) if incoming else None,
        login=ShownLogin(form=provider.login, word=provider.login_word or None),
        auth=provider.auth,
        oauth2=provider.has_oauth2,
        keeps_sent=provider.keeps_sent,
        limits=ShownLimits(
            per_minute=limits.per_minute,
            per_day=limits.per_day,
            recipients_per_day=limits.recipients_per_day,
            connections=limits.connections,
        ),
        domains=list(provider.domains),
        advice=dict(advice) if advice else None,
    )


def _show_place(place: Proposed) -> ShownPlace:
    return ShownPlace(
        protocol=place.protocol or "smtp",
        host=place.host,
        port=place.port,
        connection=place.connection,
        username=place.username,
        auth=place.auth,
        origin=place.origin,
    )
