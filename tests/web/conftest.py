"""What the tests of the admin page may ask for, beside the fixtures of the doors.

``signed_in("anna")``   a browser without a socket, signed in as a role of the doors' tests
``page``                of Chromium, where it is installed, signed in as admin to ``live``, a running service;
                        ``open_page(java_script_enabled=False)`` opens another, ``api`` speaks to its API
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI

from app.accounts.audit import SYSTEM
from app.accounts.keys import create_key
from app.main import create_app
from app.outbox.office import Office, open_office
from app.settings import Settings
from tests.doors.conftest import as_role, client, clock, keys, office, service
from tests.doors.name_server import Zone, serve_names
from tests.web.chromium import CHROMIUM, FLAGS, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser as PlaywrightBrowser
    from playwright.sync_api import Page

__all__ = ["as_role", "client", "clock", "keys", "office", "service"]

SignedIn = Callable[[str], Awaitable["Browser"]]
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Live:
    """A running service."""

    address: str
    key: str = field(repr=False)
    office: Office


class Browser(httpx.AsyncClient):
    """Keeps cookies as a browser does; ``submit`` sends a form with the token of its page."""

    async def submit(self, page: str, action: str, **fields: object) -> httpx.Response:
        """Open ``page``, then post ``fields`` to ``action`` with that page's CSRF token."""
        shown = await self.get(page)
        token = _CSRF.search(shown.text)
        assert token, f"{page} has no form: {shown.status_code}"
        return await self.post(action, data={"csrf": token[1], **fields})


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One engine: the rooms' tests run on both."""
    return sqlite_url


@pytest.fixture(scope="session")
def names() -> Iterator[tuple[Zone, tuple[str, int]]]:
    """What the name server knows, at first nothing, and where it answers."""
    zone = Zone()
    with serve_names(zone) as server:
        yield zone, server


@pytest.fixture
def settings(
    database_url: str, tmp_path: Path, names: tuple[Zone, tuple[str, int]]
) -> Iterator[Settings]:
    """The settings of the service under test: nobody else's name server is asked."""
    known, server = names
    yield Settings(data_dir=tmp_path / "data", database_url=database_url, dns_server=server)
    known.records = ()


@pytest.fixture
async def open_browser(service: FastAPI) -> AsyncIterator[Callable[[], Awaitable[Browser]]]:
    """Return what opens a browser that nobody is signed in with."""
    async with AsyncExitStack() as stack:

        async def open_one() -> Browser:
            transport = httpx.ASGITransport(service)
            browser = Browser(
                transport=transport,
                base_url="http://awizo.example",
                headers={"Accept-Language": "en"},
            )
            return await stack.enter_async_context(browser)

        yield open_one


@pytest.fixture
async def browser(open_browser: Callable[[], Awaitable[Browser]]) -> Browser:
    """A browser that nobody is signed in with."""
    return await open_browser()


@pytest.fixture
def signed_in(open_browser: Callable[[], Awaitable[Browser]], keys: dict[str, str]) -> SignedIn:
    """Return what opens a browser and signs in with a role's key."""

    async def sign_in(role: str) -> Browser:
        browser = await open_browser()
        answer = await browser.submit("/ui/sign-in", "/ui/sign-in", key=keys[role])
        assert answer.status_code == 303, answer.text
        return browser

    return sign_in


@pytest.fixture(scope="session")
async def chromium(anyio_backend: str) -> AsyncIterator["PlaywrightBrowser"]:
    """The system's Chromium, one for a process; who asks for it is skipped where there is none."""
    playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture
async def live(settings: Settings, anyio_backend: str) -> AsyncIterator[Live]:
    """A running service with a worker, and an admin key for it."""
    office = open_office(settings)
    _, key = await office.db.write(
        create_key, office.vault, SYSTEM, role="admin", name="browser", user=None,
        expires_at=None, at=office.clock(),
    )  # fmt: skip
    async with serve(create_app(settings, office=office)) as address:
        yield Live(address, key, office)
    await office.close()


@pytest.fixture
async def api(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the running service's API as admin."""
    signed = {"Authorization": f"Bearer {live.key}"}
    async with httpx.AsyncClient(base_url=live.address, headers=signed) as client:
        yield client


@pytest.fixture
async def open_page(
    chromium: "PlaywrightBrowser", live: Live
) -> AsyncIterator[Callable[..., Awaitable["Page"]]]:
    """Return what opens a page signed in as admin; an error in its console fails the test."""
    complaints: list[str] = []
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> "Page":
            context = await chromium.new_context(
                locale="en", timezone_id="Europe/Warsaw", base_url=live.address, **options
            )
            stack.push_async_callback(context.close)
            context.set_default_timeout(10_000)
            await context.add_cookies([{"url": live.address + "/ui", **await _sign_in(live)}])
            page = await context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "console",
                lambda said: complaints.append(said.text) if said.type == "error" else None,
            )
            return page

        yield open_one
    refused = "Failed to load resource: the server responded with a status of"  # an answer, shown
    assert [each for each in complaints if not each.startswith(refused)] == []


async def _sign_in(live: Live) -> dict[str, str]:
    """Return the session's cookie."""
    async with Browser(base_url=live.address) as browser:
        await browser.submit("/ui/sign-in", "/ui/sign-in", key=live.key)
        return {"name": "awizo_session", "value": browser.cookies["awizo_session"]}


@pytest.fixture
async def page(open_page: Callable[..., Awaitable["Page"]]) -> "Page":
    """A page of Chromium, signed in as admin, at the overview."""
    page = await open_page()
    await page.goto("/ui/")
    return page
