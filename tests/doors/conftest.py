"""What the tests of the API may ask for: the service over a real database, and keys of every role.

``office``     the tools of one process, on a migrated database (``AWIZO_TEST_EVERY_ENGINE``: on both)
``service``    the whole application, running, without a worker
``client``     speaks HTTP to it, without a socket
``clock``      the service's clock, which ``clock.advance(minutes=5)`` moves on
``keys``       one API key per role name; ``as_role("anna")`` gives the header for it
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.accounts.audit import SYSTEM
from app.accounts.keys import create_key
from app.main import create_app
from app.outbox.office import Office, open_office
from app.settings import Settings

ROLES: Mapping[str, tuple[str, str | None]] = {
    "admin": ("admin", None),
    "sender": ("sender", None),
    "anna": ("user", "anna"),
    "piotr": ("user", "piotr"),
    "probe": ("probe", None),
}

AsRole = Callable[[str], dict[str, str]]


class Clock:
    """The real time, moved on by the test."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, **by: float) -> None:
        """Move on by ``timedelta(**by)``."""
        self._ahead += timedelta(**by)


# What a door decides is the same on both engines, and the rooms below it are always tested on both:
# every day one is enough. `.ci/run` asks for every engine.
_ENGINES = ("sqlite", "postgres") if "AWIZO_TEST_EVERY_ENGINE" in os.environ else ("sqlite",)


@pytest.fixture(params=_ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of this test alone, empty, with every table."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def clock() -> Clock:
    """The clock of the office under test."""
    return Clock()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """The settings of the service under test; a test that needs others copies them."""
    return Settings(data_dir=tmp_path / "data", database_url=database_url)


@pytest.fixture
async def office(settings: Settings, clock: Clock, anyio_backend: str) -> AsyncIterator[Office]:
    """The tools of one process, closed at the end."""
    opened = replace(open_office(settings), clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def service(settings: Settings, office: Office) -> AsyncIterator[FastAPI]:
    """The running application, without a worker."""
    app = create_app(settings, work=False, office=office)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(service: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running application, on its own host; it carries no credential by itself."""
    transport = httpx.ASGITransport(service)
    async with httpx.AsyncClient(transport=transport, base_url="http://awizo.example") as client:
        yield client


@pytest.fixture
async def keys(office: Office) -> dict[str, str]:
    """API keys: admin, sender, probe, and one each for the users anna and piotr."""
    made = {}
    for name, (role, user) in ROLES.items():
        _, made[name] = await office.db.write(
            create_key, office.vault, SYSTEM, role=role, name=name, user=user,
            expires_at=None, at=office.clock(),
        )  # fmt: skip
    return made


@pytest.fixture
def as_role(keys: dict[str, str]) -> AsRole:
    """Return the header that signs a request with a role's key."""
    return lambda role: {"Authorization": f"Bearer {keys[role]}"}
