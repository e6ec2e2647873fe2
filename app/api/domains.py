"""``/domains``: server settings entered once for every address of an e-mail domain."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi import Body as JsonBody
from pydantic import BaseModel, Field, WithJsonSchema
from sqlalchemy.engine import Connection

from app.api.body import Route, ShownInstant
from app.api.gate import (
    After,
    IfMatch,
    Limit,
    Page,
    TheOffice,
    check_match,
    cut_page,
    decode_cursor,
)
from app.api.sign_in import TheAdmin, TheSender
from app.configuration import domains
from app.configuration.domain import Domain
from app.configuration.domains import Touched, describe_input, read_name
from app.configuration.find_domain import find_domain
from app.configuration.model import read_incoming, read_smtp
from app.errors import Missing
from app.outbox.follow import configuration_changed

router = APIRouter(route_class=Route, tags=["domains"])

EXAMPLE = {
    "smtp": {"host": "smtp.firma.example", "port": 587, "connection": "starttls"},
    "incoming": {"protocol": "imap", "host": "imap.firma.example", "connection": "ssl_tls"},
    "username": "address",
    "max_attachment_bytes": 20_000_000,
}
Given = Annotated[dict[str, Any], WithJsonSchema(describe_input()), JsonBody(examples=[EXAMPLE])]
TheName = Annotated[str, Path(max_length=255, examples=["firma.example"])]


class TouchedAccount(BaseModel):
    """An account that a change of its domain changes."""

    id: str
    scope: str
    address: str | None
    server_before: str | None
    server_after: str | None
    password: str = Field(
        description="`kept`; `needed`: it has to be entered again for the new server; `none`."
    )


class MailDomain(BaseModel):
    """An e-mail domain's server settings."""

    name: str
    smtp: dict[str, Any] | None
    incoming: dict[str, Any] | None
    username: str = Field(description="What an account logs in with: `address` or `local_part`.")
    max_attachment_bytes: int | None
    version: int
    updated_at: ShownInstant | None


class ChangedDomain(MailDomain):
    """A domain after a change, or as it would be."""

    dry_run: bool
    accounts: list[TouchedAccount] = Field(description="Those that use other settings by it.")


@router.get("/domains")
async def list_domains(
    caller: TheSender, office: TheOffice, limit: Limit = 100, after: After = None
) -> Page[MailDomain]:
    """List the domains that have settings."""
    cursor = decode_cursor(after, str)[0] if after else None
    found = await office.db.read(domains.list_domains, after=cursor, limit=limit + 1)
    shown, following = cut_page(found, limit, lambda each: (each.name,))
    return Page(data=[MailDomain(**_show(each)) for each in shown], next=following)


@router.get("/domains/{domain}")
async def read_domain(
    caller: TheSender, office: TheOffice, response: Response, domain: TheName
) -> MailDomain:
    """Show a domain's settings."""
    name = read_name(domain)
    found = await office.db.read(find_domain, name)
    if found is None:
        raise Missing(f"Nothing is stored for {name}.", code="domain_not_found")
    response.headers["ETag"] = f'"{found.version}"'
    return MailDomain(**_show(found))


@router.put("/domains/{domain}", responses={201: {"description": "Created"}})
async def put_domain(
    caller: TheAdmin,
    office: TheOffice,
    response: Response,
    domain: TheName,
    given: Given,
    dry_run: Annotated[bool, Query(description="Only tell which accounts would change.")] = False,
    if_match: IfMatch = None,
) -> ChangedDomain:
    """Store a domain's settings. Every account of it that names no server of its own uses them."""
    at, name = office.clock(), read_name(domain)

    def run(tx: Connection) -> tuple[Domain, list[Touched], bool]:
        changed = domains.put_domain(
            tx,
            office.vault,
            office.policy(any_port=True),
            caller,
            name,
            given,
            at,
            partial(check_match, if_match),
            dry_run=dry_run,
        )
        if not dry_run:
            for each in changed[1]:
                configuration_changed(tx, each.stored.id, at)
        return changed

    stored, touched, is_new = await office.db.write(run)
    if not dry_run:
        office.db.ring()
        response.headers["ETag"] = f'"{stored.version}"'
        response.status_code = 201 if is_new else 200
    return ChangedDomain(**_show(stored), dry_run=dry_run, accounts=_show_touched(touched))


@router.delete("/domains/{domain}", responses={200: {"description": "What changed by it."}})
async def delete_domain(
    caller: TheAdmin, office: TheOffice, domain: TheName, if_match: IfMatch = None
) -> list[TouchedAccount]:
    """Remove a domain's settings; tell which accounts use another server now, or none."""
    at, name = office.clock(), read_name(domain)

    def run(tx: Connection) -> list[Touched]:
        touched = domains.delete_domain(
            tx, office.vault, caller, name, at, partial(check_match, if_match)
        )
        for each in touched:
            configuration_changed(tx, each.stored.id, at)
        return touched

    return _show_touched(await office.db.write(run))


def _show(domain: Domain) -> dict[str, Any]:
    document = domain.document
    shown = {name: dict(document[name]) for name in ("smtp", "incoming") if name in document}
    smtp = read_smtp(document.get("smtp"), "none")
    incoming = read_incoming(document.get("incoming"))
    for name, settings in (("smtp", smtp), ("incoming", incoming)):
        if settings is not None:
            shown[name]["effective_port"] = settings.port
    return {
        "name": domain.name,
        "smtp": shown.get("smtp"),
        "incoming": shown.get("incoming"),
        "username": document.get("username", "address"),
        "max_attachment_bytes": document.get("max_attachment_bytes"),
        "version": domain.version,
        "updated_at": domain.updated_at,
    }


def _show_touched(touched: list[Touched]) -> list[TouchedAccount]:
    return [
        TouchedAccount(
            id=each.stored.id,
            scope=each.stored.scope,
            address=each.stored.document.get("sender", {}).get("address"),
            server_before=each.server_before,
            server_after=each.server_after,
            password=each.password,
        )
        for each in touched
    ]
