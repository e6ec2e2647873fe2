"""The admin page as an application of its own, mounted at ``/ui``.

Its errors are pages, in the visitor's language; every answer carries a policy that lets the browser
run and show nothing but what comes from here.
"""

from functools import cache
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders, State
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AwizoError
from app.web.faults import TITLES, say
from app.web.policy import POLICY
from app.web.readers import Readers
from app.web.screens import ROUTERS
from app.web.visit import Guest, SignInNeeded, name_sign_in, welcome

_HEADERS = {
    "Content-Security-Policy": POLICY,  # an endpoint that shows foreign HTML sets a stricter one
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_log = structlog.get_logger()


def create_web(state: State, readers: Readers) -> FastAPI:
    """Return the application. state: of the whole service; holds ``office`` and ``sign_in``."""
    web = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    web.state = state
    state.readers = readers
    web.router.routes.extend(_include_routers())
    _map_errors(web)
    web.add_middleware(_Shield)
    return web


@cache
def _include_routers() -> list[BaseRoute]:
    """Return the page's routes. What FastAPI works out of each at its first use serves them all."""
    web = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for router in ROUTERS:
        web.include_router(router)
    return web.router.routes


class _Shield:
    """Puts the headers that every answer carries where the endpoint set none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_shielded)


def _map_errors(web: FastAPI) -> None:
    @web.exception_handler(SignInNeeded)
    async def _sign_in(request: Request, error: SignInNeeded) -> Response:
        if request.headers.get("hx-request") == "true":
            return Response(status_code=204, headers={"HX-Redirect": name_sign_in(request)})
        return RedirectResponse(name_sign_in(request), 303)

    @web.exception_handler(AwizoError)
    async def _ours(request: Request, error: AwizoError) -> Response:
        response = await _show(request, error.status, error.code, error.detail)
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        return response

    @web.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return await _show(request, 422, "invalid_parameter", "This address is not understood.")

    @web.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.NOT_FOUND:
            return await _show(request, 404, "not_found", "")
        return await _show(request, error.status_code, "", HTTPStatus(error.status_code).phrase)

    @web.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        request_id = request.state.request_id
        _log.error("unexpected_error", path=request.url.path, request_id=request_id, exc_info=error)
        return await _show(request, 500, "internal_error", "")


async def _show(request: Request, status: int, code: str, detail: str) -> Response:
    """Return an error as a page; nobody is asked for who cannot be asked for now."""
    try:
        guest = await welcome(request)
    except AwizoError:
        guest = Guest(request)
    kind = status if status in TITLES else 500 if status >= 500 else 400
    return guest.render(
        "error.html",
        status,
        title=guest._(TITLES[kind]),
        detail=say(guest, code, detail),
        request_id=request.state.request_id,
    )
