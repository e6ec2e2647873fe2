"""What the flows may ask for.

``house``   an installation on an empty database without a schema, on each engine; see ``house.py``
``peer``    a recording mail server
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.flows.house import House, build
from tests.flows.peer import Peer, serve


@pytest.fixture
def house(blank_database_url: str, tmp_path: Path) -> Iterator[House]:
    """An installation; its processes end with the test."""
    with build(tmp_path, blank_database_url) as built:
        yield built


@pytest.fixture
async def peer(anyio_backend: str) -> AsyncIterator[Peer]:
    """A mail server."""
    async with serve() as running:
        yield running
