"""Sign in with an API key, sign out. Guesses are counted, and soon refused."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from app.accounts.people import read_person
from app.errors import AwizoError, Denied, Throttled, Unauthenticated
from app.outbox.allowance import take
from app.web.faults import say
from app.web.form import Filled, TheForm
from app.web.session import begin
from app.web.visit import HOME, LANGUAGE, Guest, TheGuest, TheVisit, Visit, read_next
from app.web.words import LANGUAGES

router = APIRouter()
_TRIES = 10  # a minute for one address; a key has 256 bits, so this is against noise
Next = Annotated[str, Query(max_length=2000)]


@router.get("/sign-in")
async def show_sign_in(guest: TheGuest, next: Next = HOME) -> Response:
    """Ask for a key; lead on whoever is signed in already."""
    if isinstance(guest, Visit):
        return guest.go(read_next(next))
    return guest.render("sign_in.html", form=Filled({"next": read_next(next)}))


@router.post("/sign-in")
async def sign_in(request: Request, guest: TheGuest, form: TheForm) -> Response:
    """Begin a session of the key's holder."""
    where = read_next(form.get("next"))
    try:
        peer = request.client.host if request.client else "unknown"
        await guest.office.db.write(take, f"sign-in:{peer}", most=_TRIES, at=guest.at)
        caller = await guest.sign_in.identify(form.get("key").strip(), request.state.request_id)
        if caller.role == "probe" or caller.key_id is None:
            raise Denied("Sign in with an API key of role admin, sender or user.", code="no_page")
    except (Unauthenticated, Denied, Throttled) as error:
        return _refuse(guest, where, error)
    response = guest.go(where)
    guest.keep_session(response, begin(guest.at, caller.key_id))
    if caller.user is not None and LANGUAGE not in request.cookies:
        person = await guest.office.db.read(read_person, caller.user)
        language = (person.language or "").split("-")[0] if person else ""
        if language in LANGUAGES:
            response.set_cookie(LANGUAGE, language, max_age=365 * 86_400, path="/ui", httponly=True)
    return response


@router.post("/sign-out")
async def sign_out(visit: TheVisit, form: TheForm) -> Response:
    """End the session."""
    response = RedirectResponse("/ui/sign-in", 303)
    visit.drop_session(response)
    return response


def _refuse(guest: Guest, where: str, error: AwizoError) -> Response:
    codes = {"key_revoked", "key_expired", "rate_limited", "no_page"}
    code = error.code if error.code in codes else "key_unknown"
    filled = Filled({"next": where}, {"key": say(guest, code, error.detail)})
    return guest.render("sign_in.html", error.status, form=filled)
