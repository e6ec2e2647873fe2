"""The composition root: settings in, a FastAPI application out.

``create_app`` mounts the API and the admin page, maps every error to a problem document, bounds
request bodies and starts the embedded worker; nothing here decides anything about mail.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse
from starlette.routing import BaseRoute

from app.accounts.sign_in import SignIn
from app.api import ROUTERS, describe_api
from app.api.bound import BoundRequest
from app.api.describe import Service
from app.api.meters import Meters
from app.api.portable import read_portable_file, write_portable
from app.api.problem import map_errors
from app.api.suppressions_file import read_entries, write_table
from app.outbox.office import Office, open_office
from app.settings import Settings
from app.web.mount import create_web
from app.web.readers import Readers

_READERS = Readers(read_portable_file, write_portable, read_entries, write_table)


def create_app(settings: Settings, *, work: bool = True, office: Office | None = None) -> FastAPI:
    """Return the service; ``work`` embeds a worker. The schema must be up to date."""

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        opened = office or open_office(settings)
        app.state.office = opened
        await opened.pool.start()
        app.state.sign_in = SignIn(settings, opened.db, opened.vault, opened.clock)
        try:
            if work:
                from app.worker import Worker  # a process that only answers does without it

                async with Worker(opened).running():
                    yield
            else:
                yield
        finally:
            await app.state.sign_in.close()
            if office is None:
                await opened.close()

    app = Service(lifespan=run, **describe_api())
    app.state.meters = Meters()
    map_errors(app)
    app.router.routes.extend(_include_routers())
    app.mount("/ui", create_web(app.state, _READERS))
    for path in ("/", "/ui"):
        app.add_api_route(path, _lead_to_page, include_in_schema=False)
    app.add_middleware(BoundRequest, most_bytes=settings.max_request_bytes, meters=app.state.meters)
    return app


@cache
def _include_routers() -> list[BaseRoute]:
    """Return the API's routes. What FastAPI works out of each at its first use serves them all."""
    api = FastAPI(**describe_api())
    for router in ROUTERS:
        api.include_router(router)
    return api.router.routes


async def _lead_to_page(request: Request) -> RedirectResponse:
    """Lead browsers to the page; to programs there is nothing here."""
    if "text/html" not in request.headers.get("accept", ""):
        raise HTTPException(404)
    return RedirectResponse("/ui/", 303)
