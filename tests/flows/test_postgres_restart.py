"""PostgreSQL crashes, and is restarted, under load: it costs time and nothing else."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from tests.flows.crash import drive, take_tally
from tests.flows.house import build, configuration, until
from tests.flows.peer import Late, Peer
from tests.pg import Server, serve_postgres

pytestmark = pytest.mark.anyio
MESSAGES = 200


@pytest.fixture
async def server(anyio_backend: str) -> AsyncIterator[Server]:
    """A PostgreSQL that keeps what it has committed, whatever happens."""
    if "AWIZO_TEST_POSTGRES_URL" in os.environ:
        pytest.skip("that server is not ours to restart")
    with serve_postgres(durable=True) as running:
        yield running


async def test_restarting_postgres_under_load_loses_nothing(
    server: Server, peer: Peer, tmp_path: Path
) -> None:
    peer.always("dot", Late(0.05, "250 2.0.0 taken"))  # something is always under way
    with build(tmp_path, server.url) as house:
        workers = [house.start("worker"), house.start("worker")]
        api = await house.serve("--no-worker")
        accepted: set[str] = set()
        async with house.client() as client:
            for each in workers:
                await house.until_at_work(each)
            assert (await client.put("/config/global", json=configuration(peer.port))).is_success
            rations = asyncio.Semaphore(
                0
            )  # half of it all for each outage, in the middle of that half
            driver = asyncio.create_task(drive(client, MESSAGES, accepted, rations))

            def has_accepted(enough: int) -> bool:
                return len(accepted) >= enough

            async def is_away() -> bool:
                answer = await client.get("/messages")
                return answer.status_code == 503 and answer.json()["code"] == "database_away"

            def listen_again(outages: int) -> bool:
                return all(each.said.count("bells_connected") == outages for each in workers)

            for outages, how in enumerate((signal.SIGQUIT, signal.SIGINT)):
                # Who is not back yet would take two outages for one.
                await until(partial(listen_again, outages), 20, lambda: workers[0].said[-2000:])
                for _ in range(MESSAGES // 2):
                    rations.release()
                enough = outages * MESSAGES // 2 + MESSAGES // 4
                await until(partial(has_accepted, enough), 20, lambda: api.said[-2000:])
                await asyncio.to_thread(server.stop, how)
                await until(is_away)
                assert (await client.get("/healthz")).is_success
                server.restart()
            await driver
        await asyncio.to_thread(server.wait_until_ready)
        house.engine.dispose()  # its connections are of before
        await until(lambda: not house.count_unfinished(), 20, lambda: workers[0].said[-2000:])
        assert all(each.lives for each in (*workers, api))
        assert "unexpected_error" not in api.said
        assert [each.said.count("bells_disconnected") for each in workers] == [2, 2]
        tally = house.read(lambda tx: take_tally(tx, peer, accepted))
    print(f"\n{tally}")
    assert (tally.accepted, tally.stored) == (MESSAGES, MESSAGES)
    assert (tally.missing, tally.unexplained) == (0, 0)
