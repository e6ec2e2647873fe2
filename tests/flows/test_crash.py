"""Nothing that was accepted is lost, and nothing is doubled without an attempt that says so."""

import pytest

from tests.flows.crash import crash
from tests.flows.house import House
from tests.flows.peer import Peer

MESSAGES = 120


@pytest.mark.anyio
async def test_killing_workers_and_the_api_loses_nothing(house: House, peer: Peer) -> None:
    tally = await crash(house, peer, messages=MESSAGES, worker_kills=2, api_kills=1, seed=7)
    print(f"\n{house.engine.name}: {tally}")
    assert (tally.accepted, tally.stored) == (MESSAGES, MESSAGES)
    assert (tally.missing, tally.unexplained) == (0, 0)
    assert tally.uncertain + tally.lost > 0  # the kills did hit
