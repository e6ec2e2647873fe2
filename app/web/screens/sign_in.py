"""Sign in with an API key, or at the OIDC issuer; sign out. Guesses are counted, and soon refused.

The way to the issuer is a link, not a form: the page's policy lets no form lead elsewhere.
"""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from app.accounts.caller import Caller
from app.accounts.errand import ERRAND_S
from app.accounts.people import read_person
from app.errors import AwizoError, Denied, Missing, Throttled, Unauthenticated, Unavailable
from app.outbox.allowance import take
from app.web.faults import say
from app.web.form import Filled, TheForm
from app.web.session import begin, open_errand, seal_errand
from app.web.visit import HOME, LANGUAGE, Guest, TheGuest, TheVisit, Visit, read_next
from app.web.words import LANGUAGES

if TYPE_CHECKING:
    from app.accounts.provider import Provider

router = APIRouter()
_TRIES = 10  # a minute for one address; a key has 256 bits, so this is against noise
_ERRAND = "awizo_errand"
_REFUSED = (Unauthenticated, Denied, Throttled, Unavailable)
Next = Annotated[str, Query(max_length=2000)]


@router.get("/sign-in")
async def show_sign_in(guest: TheGuest, next: Next = HOME, out: bool = False) -> Response:
    """Ask for a key, or offer the issuer; lead on whoever is signed in already."""
    if isinstance(guest, Visit):
        return guest.go(read_next(next))
    return _ask(guest, 200, Filled({"next": read_next(next)}), out=out)


@router.post("/sign-in")
async def sign_in(request: Request, guest: TheGuest, form: TheForm) -> Response:
    """Begin a session of the key's holder."""
    where = read_next(form.get("next"))
    try:
        await _count(guest)
        caller = await guest.sign_in.identify(form.get("key").strip(), request.state.request_id)
        if caller.key_id is None:
            raise Unauthenticated("A token opens no page.")
        return await _enter(guest, caller, where)
    except _REFUSED as error:
        return _refuse(guest, where, "key", error, {"key_revoked", "key_expired"}, "key_unknown")


@router.get("/sign-in/issuer")
async def lead_to_issuer(guest: TheGuest, next: Next = HOME) -> Response:
    """Lead to the issuer's own sign-in page."""
    where = read_next(next)
    try:
        address, errand = await _get_provider(guest).begin(_name_back(guest), where)
    except Unavailable as error:
        return _refuse(guest, where, "", error, set(), "issuer_away")
    response = guest.go(address)
    guest.keep(response, _ERRAND, seal_errand(guest.office.vault, errand), ERRAND_S)
    return response


@router.get("/sign-in/back")
async def come_back(request: Request, guest: TheGuest) -> Response:
    """Begin a session of whom the issuer signed in."""
    provider = _get_provider(guest)
    errand = open_errand(guest.office.vault, request.cookies.get(_ERRAND))
    where = errand.next if errand else HOME
    try:
        if errand is None:
            raise Unauthenticated("No sign-in is under way here.", code="sign_in_late")
        await _count(guest)
        caller = await provider.finish(
            errand, request.query_params, _name_back(guest), request.state.request_id
        )
        response = await _enter(guest, caller, where)
    except _REFUSED as error:
        known = {"no_role", "no_user", "sign_in_foreign", "sign_in_late", "issuer_away"}
        response = _refuse(guest, where, "", error, known, "sign_in_refused")
    response.delete_cookie(_ERRAND, path="/ui")  # one answer each: none is tried twice
    return response


@router.post("/sign-out")
async def sign_out(visit: TheVisit, form: TheForm) -> Response:
    """End the session; offer to end that at the issuer, too."""
    response = RedirectResponse(f"/ui/sign-in{'?out=true' if visit.session.person else ''}", 303)
    visit.drop_session(response)
    return response


@router.get("/sign-out/issuer")
async def lead_out(guest: TheGuest) -> Response:
    """Lead to where the issuer ends its own session."""
    public = guest.office.settings.public_url
    end = await _get_provider(guest).find_end(f"{public}/ui/sign-in")
    return guest.go(end or "/ui/sign-in")


def _get_provider(guest: Guest) -> "Provider":
    if guest.sign_in.provider is None:
        raise Missing("Sign-in by OpenID Connect is not set up here.")
    return guest.sign_in.provider


def _name_back(guest: Guest) -> str:
    return f"{guest.office.settings.public_url}/ui/sign-in/back"


async def _count(guest: Guest) -> None:
    peer = guest.request.client.host if guest.request.client else "unknown"
    await guest.office.db.write(take, f"sign-in:{peer}", most=_TRIES, at=guest.at)


async def _enter(guest: Guest, caller: Caller, where: str) -> Response:
    """Begin the caller's session and lead on, in their language where they chose none."""
    if caller.role == "probe":
        raise Denied("Sign in as admin, sender or user.", code="no_page")
    response = guest.go(where)
    guest.keep_session(response, begin(guest.at, caller, guest.office.settings.oidc_issuer))
    if caller.user is not None and LANGUAGE not in guest.request.cookies:
        person = await guest.office.db.read(read_person, caller.user)
        language = (person.language or "").split("-")[0] if person else ""
        if language in LANGUAGES:
            guest.keep(response, LANGUAGE, language, 365 * 86_400)
    return response


def _refuse(
    guest: Guest, where: str, field: str, error: AwizoError, known: set[str], otherwise: str
) -> Response:
    """Ask again. field: what the error belongs to. known: codes told as such, beside ours."""
    code = (
        error.code
        if error.code in known | {"rate_limited", "no_page", "unavailable"}
        else otherwise
    )
    filled = Filled({"next": where}, {field: say(guest, code, error.detail)})
    return _ask(guest, error.status, filled)


def _ask(guest: Guest, status: int, form: Filled, *, out: bool = False) -> Response:
    issuer = guest.office.settings.oidc_issuer if guest.sign_in.provider else None
    return guest.render("sign_in.html", status, form=form, issuer=issuer, out=out)
