"""OAuth2 consents: asked for by who manages an account, shown, taken back."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.engine import Connection

from app.api.accounts import TheAccount
from app.api.body import Body, Choice, Route, ShownInstant
from app.api.config_answer import show_consent
from app.api.gate import TheOffice
from app.api.sign_in import TheSender
from app.configuration import consent
from app.configuration.account_rights import require_account
from app.errors import Fault, Missing, Refused
from app.outbox.follow import configuration_changed

router = APIRouter(route_class=Route, tags=["accounts"])

Provider = Literal["google", "microsoft"]
Grant = Literal["authorization_code", "client_credentials"]


class ConsentBody(Body):
    """Whose consent, and how."""

    provider: Annotated[Provider, Choice] = Field(examples=["google"])
    grant: Annotated[Grant, Choice] = Field(
        "authorization_code",
        description="`client_credentials`: Microsoft, by an admin, without the owner's consent.",
    )


class AskedConsent(BaseModel):
    """Where the mailbox's owner is to be led; both null where nobody need be asked."""

    authorize_url: str | None = Field(
        description="Open it in the owner's browser, once.",
        examples=["https://accounts.google.com/o/oauth2/v2/auth?response_type=code&client_id=…"],
    )
    expires_at: ShownInstant | None
    state: Literal["pending", "granted", "needs_consent"]


class ShownConsent(BaseModel):
    """A consent; its tokens are shown to nobody."""

    provider: Provider
    grant: Grant
    state: Literal["pending", "granted", "needs_consent"] = Field(
        description="`needs_consent`: it was given and does not count any more; mail is held."
    )
    address: str | None = Field(description="Whose mailbox it is, as far as the provider says.")
    scopes: list[str]
    error: str | None = Field(description="What went wrong last.")
    failed_at: str | None
    granted_at: str | None
    refreshed_at: str | None
    expires_at: str | None = Field(description="Of the access token; the next one comes by itself.")
    asked_until: str | None = Field(description="Until when the owner's answer is waited for.")


@router.post("/accounts/{account}/consent", status_code=201)
async def ask_consent(
    caller: TheSender, office: TheOffice, account: TheAccount, given: ConsentBody
) -> AskedConsent:
    """Begin an OAuth2 consent; lead the mailbox's owner to `authorize_url` within ten minutes.

    The provider leads them back to `/oauth/callback`; mail that waited for the login goes on then. A
    consent that was given before counts until another takes its place.
    """
    if (given.provider, given.grant) == ("google", "client_credentials"):
        detail = "Google has none for mailboxes; ask for the owner's consent."
        raise Refused(detail, faults=[Fault("/grant", "not_supported", detail)])
    at = office.clock()

    def run(tx: Connection) -> AskedConsent:
        stored = require_account(tx, caller, account, "manage")
        ground = (tx, office.vault, office.settings, caller, stored, given.provider, at)
        if given.grant == "client_credentials":
            consent.grant_application(*ground)
            configuration_changed(tx, stored.id, at)
            return AskedConsent(authorize_url=None, expires_at=None, state="granted")
        begun = consent.begin_consent(*ground)
        state = stored.consent.state if stored.consent else "pending"
        return AskedConsent(
            authorize_url=begun.authorize_url, expires_at=begun.expires_at, state=state
        )

    asked = await office.db.write(run)
    office.db.ring()
    return asked


@router.get("/accounts/{account}/consent")
async def read_consent(caller: TheSender, office: TheOffice, account: TheAccount) -> ShownConsent:
    """Show how an account's consent stands."""

    def read(tx: Connection) -> dict[str, Any]:
        stored = require_account(tx, caller, account, "read")
        if stored.consent is None:
            raise Missing("This account has no consent.", code="consent_not_found")
        return show_consent(stored.consent, office.clock())

    return ShownConsent.model_validate(await office.db.read(read))


@router.delete("/accounts/{account}/consent", status_code=204)
async def forget_consent(caller: TheSender, office: TheOffice, account: TheAccount) -> None:
    """Forget the tokens; the account logs in by its password again, or waits for one.

    The provider is not told: its owner takes the consent back on the provider's own page.
    """
    at = office.clock()

    def run(tx: Connection) -> None:
        stored = require_account(tx, caller, account, "manage")
        consent.forget_consent(tx, caller, stored, at)
        configuration_changed(tx, stored.id, at)

    await office.db.write(run)
    office.db.ring()
