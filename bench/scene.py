"""The scene of a crash: an API, workers and a recording mail server, with mail on its way.

``stage`` sets it, has messages sent all the while, and ends every process afterwards.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.flows.crash import Tally, drive, take_tally
from tests.flows.house import House, Process, build, configuration, until
from tests.flows.peer import Peer, serve

TAKEN = "250 2.0.0 taken"
FINISH_S = 180


@dataclass(slots=True)
class Scene:
    """An installation at work, what was answered 202, and the codes of what was answered 503."""

    house: House
    peer: Peer
    api: Process
    workers: list[Process]
    driver: "asyncio.Task[None]"
    accepted: set[str]
    refused: Counter[str]

    @property
    def processes(self) -> list[Process]:
        """All of Awizo's."""
        return [self.api, *self.workers]

    async def accept(self, enough: int) -> None:
        """Wait until so many were answered 202."""
        await until(lambda: len(self.accepted) >= enough, FINISH_S, lambda: self.api.said[-2000:])

    async def finish(self) -> Tally:
        """Let all be sent and delivered, then count."""
        await self.driver
        await until(lambda: not self.house.count_unfinished(), FINISH_S)
        return self.count()

    def count(self) -> Tally:
        """Hold what the mail server took against what was accepted."""
        return self.house.read(lambda tx: take_tally(tx, self.peer, self.accepted))


@asynccontextmanager
async def stage(
    url: str, folder: Path, messages: int, *, workers: int = 1, **config: object
) -> AsyncIterator[Scene]:
    """Set the scene, and have messages sent."""
    with build(folder, url) as house:
        async with serve() as peer, house.client() as client:
            running = [house.start("worker") for _ in range(workers)]
            api = await house.serve("--no-worker")
            for each in running:
                await house.until_at_work(each)
            document = {**configuration(peer.port), **config}
            (await client.put("/config/global", json=document)).raise_for_status()
            accepted: set[str] = set()
            refused: Counter[str] = Counter()
            driver = asyncio.create_task(drive(client, messages, accepted, refused=refused))
            yield Scene(house, peer, api, running, driver, accepted, refused)
            driver.cancel()
