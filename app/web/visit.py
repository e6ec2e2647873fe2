"""One request of a browser: who asks, in which language and time zone; how it is answered.

``TheGuest`` is anybody, ``TheVisit`` somebody signed in; without a session ``TheVisit`` leads to the
sign-in page and back.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import cached_property
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from app.accounts.caller import Caller
from app.accounts.sign_in import SignIn
from app.errors import Malformed, Unauthenticated
from app.outbox.office import Office
from app.web.pages import render_page
from app.web.readers import Readers
from app.web.session import (
    LIFETIME_S,
    Session,
    begin,
    open_notes,
    open_session,
    seal_notes,
    seal_session,
)
from app.web.words import choose_language, load_words

SESSION, NOTES, LANGUAGE, ZONE = "awizo_session", "awizo_notes", "awizo_language", "awizo_zone"
HOME = "/ui/"
_YEAR_S = 365 * 86_400
_NOTES_S = 60
_MOST_UNDO = 2500  # characters: a browser keeps 4096 of a cookie


class SignInNeeded(Exception):
    """Nobody is signed in (any more)."""


class Guest:
    """One request of anybody. session: made fresh where the browser brings none."""

    caller: Caller | None = None

    def __init__(self, request: Request) -> None:
        self.request = request
        self.office: Office = request.app.state.office
        self.sign_in: SignIn = request.app.state.sign_in
        self.readers: Readers = request.app.state.readers
        self.at = self.office.clock()
        cookies = request.cookies
        stored = open_session(self.office.vault, cookies.get(SESSION), self.at)
        self.session = stored or begin(self.at)
        self._is_new_session = stored is None
        chosen = request.query_params.get("lang")
        self.language = choose_language(
            chosen or cookies.get(LANGUAGE), request.headers.get("accept-language", "")
        )
        self._keeps_language = chosen == self.language
        self.words = load_words(self.language)
        self._ = self.words.gettext
        self.ngettext = self.words.ngettext

    @cached_property
    def zone(self) -> tzinfo:
        """The viewer's time zone, as the browser says; UTC where it does not."""
        name = self.request.cookies.get(ZONE, "")
        try:
            return ZoneInfo(name) if name else UTC
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return UTC

    @property
    def is_part(self) -> bool:
        """Whether htmx asks, for a part of a page."""
        return self.request.headers.get("hx-request") == "true"

    def render(self, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page, or a part of one. What it may use: see ``pages``."""
        notes = open_notes(self.office.vault, self.request.cookies.get(NOTES))
        undo = [json.loads(text) for kind, text in notes if kind == "undo"]
        said = [each for each in notes if each[0] != "undo"]
        html = render_page(self, template, {"notes": said, "undo": undo, **values})
        response = HTMLResponse(html, status)
        if notes:
            response.delete_cookie(NOTES, path="/ui")
        return self._finish(response)

    def render_part(self, template: str, **values: Any) -> str:
        """Return a part of a page alone, as text."""
        return render_page(self, template, values)

    def go(
        self,
        path: str,
        *,
        done: str | None = None,
        warn: Iterable[str] = (),
        undo: tuple[str, Mapping[str, str]] | None = None,
    ) -> Response:
        """Lead to ``path`` after a change; the page there says ``done`` and the warnings.

        undo: where the page posts what to take the change back; left out where it is too long.
        """
        if self.is_part:
            response = Response(status_code=204, headers={"HX-Redirect": path})
        else:
            response = RedirectResponse(path, 303)
        notes = [("done", done)] if done else []
        notes += [("warning", text) for text in warn]
        said = json.dumps(undo) if undo else ""
        if 0 < len(said) < _MOST_UNDO:
            notes = [*notes[:9], ("undo", said)]
        if notes:
            sealed = seal_notes(self.office.vault, notes[:10])
            self.keep(response, NOTES, sealed, _NOTES_S)
        return self._finish(response)

    def keep_session(self, response: Response, session: Session) -> None:
        """Let the browser keep ``session`` from now on."""
        sealed = seal_session(self.office.vault, session)
        self.keep(response, SESSION, sealed, LIFETIME_S)
        self._is_new_session = False

    def drop_session(self, response: Response) -> None:
        """Let the browser forget its session."""
        response.delete_cookie(SESSION, path="/ui")
        self._is_new_session = False

    def _finish(self, response: Response) -> Response:
        if self._is_new_session:
            self.keep_session(response, self.session)
        if self._keeps_language:
            self.keep(response, LANGUAGE, self.language, _YEAR_S)
        return response

    def keep(self, response: Response, name: str, value: str, seconds: int) -> None:
        """Let the browser keep a cookie for the page."""
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path="/ui",
            secure=self.request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )


class Visit(Guest):
    """One request of somebody who is signed in."""

    caller: Caller

    def __init__(self, request: Request, caller: Caller) -> None:
        super().__init__(request)
        self.caller = caller


async def welcome(request: Request) -> Guest:
    """Return the visit, as somebody's who is signed in where that is so."""
    guest, request_id = Guest(request), request.state.request_id
    session = guest.session
    if session.key_id is not None:
        try:
            caller = await guest.sign_in.resume(session.key_id, request_id)
        except Unauthenticated:  # the key was revoked, or has expired
            return guest
        return Visit(request, caller)
    if session.person and session.issuer == guest.office.settings.oidc_issuer:
        return Visit(request, replace(session.person, request_id=request_id))
    return guest


TheGuest = Annotated[Guest, Depends(welcome)]


async def require_visit(guest: TheGuest) -> Visit:
    """Return the visit; raise ``SignInNeeded`` where nobody is signed in, ``Malformed`` for a NUL in
    the address, which no database column takes."""
    if not isinstance(guest, Visit):
        raise SignInNeeded
    if "\0" in guest.request.url.path or "%00" in guest.request.url.query:
        raise Malformed("Take the NUL character out of the URL.", code="malformed_form")
    return guest


TheVisit = Annotated[Visit, Depends(require_visit)]


def name_sign_in(request: Request) -> str:
    """Return the sign-in page's address, which leads back to where ``request`` wanted to go."""
    wanted = request.url.path if request.method == "GET" else HOME
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    return f"/ui/sign-in?next={quote(wanted + query)}"


def read_next(path: str) -> str:
    """Return ``path`` where it is a page of ours: nobody is led elsewhere after signing in."""
    is_ours = path.startswith(HOME) and "\\" not in path and path.isprintable()
    return path if is_ours and "//" not in path.partition("?")[0] else HOME
