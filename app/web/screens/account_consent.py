"""The OAuth2 consent of an account: asked for, given by an administrator, forgotten."""

from urllib.parse import quote

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from app.configuration import consent
from app.configuration.account_rights import require_account
from app.configuration.consent_state import ConsentProvider
from app.errors import AwizoError, Conflict
from app.outbox.follow import configuration_changed
from app.web.faults import say
from app.web.form import TheForm
from app.web.visit import TheVisit

router = APIRouter()
PROVIDERS: dict[ConsentProvider, str] = {"google": "Google", "microsoft": "Microsoft"}


@router.post("/accounts/{account}/consent")
async def ask(visit: TheVisit, account: str, form: TheForm) -> Response:
    """Begin a consent and show the way to the provider, or give it by client credentials."""
    path = f"/ui/accounts/{quote(account)}"
    provider: ConsentProvider = "google" if form.get("provider") == "google" else "microsoft"
    as_application = provider == "microsoft" and "application" in form

    def run(tx: Connection) -> consent.Begun | None:
        stored = require_account(tx, visit.caller, account, "manage")
        ground = (tx, visit.office.vault, visit.office.settings, visit.caller, stored, provider)
        if as_application:
            consent.grant_application(*ground, visit.at)
            configuration_changed(tx, account, visit.at)
            return None
        return consent.begin_consent(*ground, visit.at)

    try:
        begun = await visit.office.db.write(run)
    except Conflict as error:
        return visit.go(path, warn=[say(visit, error.code, error.detail)])
    if begun is None:
        visit.office.db.ring()
        return visit.go(path, done=visit._("It logs in by the application's own right."))
    # A link, and no redirect: a form's answer may lead nowhere else (the page's policy).
    return visit.render("account_asked.html", path=path, provider=PROVIDERS[provider], begun=begun)


@router.post("/accounts/{account}/consent/forget")
async def forget(visit: TheVisit, account: str, form: TheForm) -> Response:
    """Forget the tokens; the account logs in by its password again, or waits for one."""

    def run(tx: Connection) -> None:
        stored = require_account(tx, visit.caller, account, "manage")
        consent.forget_consent(tx, visit.caller, stored, visit.at)
        configuration_changed(tx, stored.id, visit.at)

    path = f"/ui/accounts/{quote(account)}"
    try:
        await visit.office.db.write(run)
    except AwizoError as error:
        if error.code != "consent_not_found":
            raise
        return visit.go(path, warn=[say(visit, error.code, error.detail)])
    visit.office.db.ring()
    return visit.go(path, done=visit._("Forgotten: it logs in by its password again."))
