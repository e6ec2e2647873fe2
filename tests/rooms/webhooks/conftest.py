"""What the tests of the webhooks may ask for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.outbox.office import Office, open_office
from app.settings import Settings
from tests.rooms.webhooks.receiver import Receiver, receive


@pytest.fixture
async def receiver(anyio_backend: str) -> AsyncIterator[Receiver]:
    """A program that listens on this machine."""
    async with receive() as running:
        yield running


@pytest.fixture
async def office(database_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Office]:
    """The tools of one process, closed at the end."""
    settings = Settings(data_dir=tmp_path / "data", database_url=database_url, poll_s=0.02)
    opened = open_office(settings)
    yield opened
    await opened.close()
