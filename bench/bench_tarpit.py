"""G11: what a tarpit beside it costs a healthy account: ``python -m bench.bench_tarpit``.

One worker on SQLite delivers a queue of small messages to a healthy server, alone and beside
accounts whose servers hold every connection and never answer; interleaved, medians. CPU per message
is this process's, the receiving server and the driver included.
"""

import argparse
import asyncio
import logging
import statistics
import tempfile
import time
from pathlib import Path

import structlog

from app.configuration.switch import pause, resume
from app.outbox.office import Office, open_office
from app.settings import Settings
from app.worker import Worker
from migrations.run import upgrade
from tests.flows.peer import Late, Peer, serve
from tests.rooms.outbox.desk import ADMIN, configure, send

Figures = tuple[float, float]


async def measure(office: Office, peer: Peer, messages: int) -> Figures:
    """Queue messages while the account is paused, then let go; return messages/s and CPU ms each."""
    await office.db.write(pause, ADMIN, "global", office.clock())
    for number in range(messages):
        await send(office, f"a{number}@klient.example")
    before = len(peer.taken)
    await office.db.write(resume, ADMIN, "global", office.clock())
    start, cpu = time.perf_counter(), time.process_time()
    office.db.ring()
    while len(peer.taken) < before + messages:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    return messages / wall_s, cpu_s / messages * 1000


async def measure_beside(
    office: Office, peer: Peer, messages: int, accounts: int, round_number: int
) -> Figures:
    """Measure while fresh accounts hang at a tarpit with all the connections they may have."""
    async with serve() as tarpit:
        tarpit.always("mail", Late(3600, "250 at last"))
        for number in range(accounts):
            user = f"stuck-{round_number}-{number}"
            await configure(office, user, port=tarpit.port, timeout_ms=60_000)
            for _ in range(office.settings.connections_per_account):
                await send(office, user=user)
        wanted = accounts * office.settings.connections_per_account
        while tarpit.open_sessions < wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return await measure(office, peer, messages)


async def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Measure in turn and print the medians."""
    url = f"sqlite:///{folder}/awizo.db"
    upgrade(url)
    office = open_office(Settings(data_dir=folder, database_url=url, ehlo_name="awizo.example"))
    alone, beside = [], []
    async with serve() as peer, Worker(office).running():
        await configure(office, port=peer.port)
        await measure(office, peer, arguments.messages)  # warm
        for number in range(arguments.rounds):
            alone.append(await measure(office, peer, arguments.messages))
            beside.append(
                await measure_beside(office, peer, arguments.messages, arguments.accounts, number)
            )
    await office.close()
    rates = [statistics.median(rate for rate, _ in each) for each in (alone, beside)]
    costs = [statistics.median(cpu for _, cpu in each) for each in (alone, beside)]
    print(f"{'':24}{'messages/s':>12}{'CPU ms each':>13}")
    for name, rate, cost in zip(
        ("alone", f"beside {arguments.accounts} tarpits"), rates, costs, strict=True
    ):
        print(f"{name:24}{rate:12.0f}{cost:13.2f}")
    print(f"{'ratio':24}{rates[1] / rates[0]:12.2f}{costs[1] / costs[0]:13.2f}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--messages", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--accounts", type=int, default=5)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
