"""What the tests of the outbox may ask for, on both engines.

``desk``     an office driven one verb at a time, see ``desk.py``
``office``   an office for an async test with a worker of its own: quick retries, short leases
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.outbox.office import Office, open_office
from app.settings import Settings
from tests.rooms.outbox.desk import Desk


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings with waits short enough to watch."""
    return Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        ehlo_name="awizo.example",
        retry_schedule="0.1s",
        poll_s=0.02,
        lease_s=2,
        connection_idle_s=3,
        stop_grace_s=5,
    )


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    """The outbox, one verb at a time."""
    with asyncio.Runner() as runner:
        office = open_office(settings)
        yield Desk(office, runner)
        runner.run(office.close())


@pytest.fixture
async def office(settings: Settings, anyio_backend: str) -> AsyncIterator[Office]:
    """The tools of one process, closed at the end."""
    opened = open_office(settings)
    yield opened
    await opened.close()
