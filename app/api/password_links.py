"""A one-use link with which an account's owner enters its password, without an API key."""

from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field
from sqlalchemy.engine import Connection

from app.api.accounts import TheAccount
from app.api.body import Body, Route, ShownInstant
from app.api.config_switch import SecretBody
from app.api.gate import TheOffice
from app.api.scope import Writer
from app.api.sign_in import TheSender
from app.configuration import password_links
from app.configuration.account_rights import require_account
from app.outbox.follow import configuration_changed

router = APIRouter(route_class=Route, tags=["accounts"])

_MOST_HOURS = 30 * 24
TheToken = Annotated[str, Path(max_length=128, description="What stands at the end of the link.")]


class LinkBody(Body):
    """How long the link works."""

    lasts_h: float = Field(72, gt=0, le=_MOST_HOURS, description="Hours.")


class PasswordLink(BaseModel):
    """A link for the owner of an account; shown this once."""

    url: str = Field(description="A page for people; whole where AWIZO_PUBLIC_URL is set.")
    token: str
    expires_at: ShownInstant


class Asked(BaseModel):
    """What a link asks for."""

    address: str | None
    server: str | None = Field(description="The mail server that the password will be shown to.")
    mailbox_server: str | None = Field(description="And that of the mailbox, with the same login.")
    username: str | None


@router.post("/accounts/{account}/password-link", status_code=201, dependencies=[Writer])
async def make_password_link(
    caller: TheSender,
    office: TheOffice,
    response: Response,
    account: TheAccount,
    given: LinkBody | None = None,
) -> PasswordLink:
    """Make a link with which the owner enters the password, once; an earlier link ends."""
    at, lasts = office.clock(), timedelta(hours=(given or LinkBody()).lasts_h)

    def run(tx: Connection) -> password_links.Link:
        stored = require_account(tx, caller, account, "manage")
        return password_links.make_link(tx, office.vault, caller, stored, at, lasts)

    link = await office.db.write(run)
    response.headers["Cache-Control"] = "no-store"
    base = (office.settings.public_url or "").rstrip("/")
    url = f"{base}/ui/password/{quote(link.token)}"
    return PasswordLink(url=url, token=link.token, expires_at=link.expires_at)


@router.get("/password-links/{token}")
async def read_password_link(office: TheOffice, token: TheToken, response: Response) -> Asked:
    """Say whose password a link asks for. Needs no key; the token is the credential."""
    response.headers["Cache-Control"] = "no-store"
    stored = await office.db.read(password_links.read_link, office.vault, token, office.clock())
    settings, incoming = stored.settings, stored.incoming
    is_shared = settings and incoming and settings.username == incoming.username
    return Asked(
        address=stored.document.get("sender", {}).get("address"),
        server=settings.server if settings else None,
        mailbox_server=incoming.server if incoming and is_shared else None,
        username=settings.username if settings else None,
    )


@router.post("/password-links/{token}", status_code=204)
async def use_password_link(office: TheOffice, token: TheToken, given: SecretBody) -> None:
    """Enter the password; the link is used up, and mail that was held for it goes on."""
    at = office.clock()

    def run(tx: Connection) -> None:
        stored = password_links.use_link(tx, office.vault, token, given.password, at)
        configuration_changed(tx, stored.id, at)

    await office.db.write(run)
    office.db.ring()
