"""P4: accepted mail through the real outbox to smtp-sink, against smtp-source in the same run.

claim → durable mark → SMTP → durable settling, two recipients a message; accepting is done before the
clock starts. smtp-source sends messages of the same size, ready in memory, to two recipients over 16
kept connections. CPU is of the sending process alone; PostgreSQL's own is shown beside it.
Needs Postfix's smtp-source and smtp-sink.
Run: python -m bench.bench_delivery [sqlite] [postgres] [-n 1500] [-c 4 8 16] [--only "5 KB"]
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.__main__ import find_loop
from app.configuration.switch import pause
from app.logs import set_up_logs
from app.memory import rest_memory
from app.outbox.office import Office
from app.outbox.tables import message
from app.worker import Worker
from bench.bench_smtp import Load, run_sink
from bench.stock import (
    Child,
    answer,
    count_postgres_cpu_s,
    count_sent,
    fill,
    hold_back,
    let_go,
    open_stock,
    read_line,
    run_databases,
    show_load,
)
from tests.rooms.outbox.desk import ADMIN

SIZES = {"5 KB": (5000, False), "32 KB HTML": (32_000, True)}
Figures = tuple[float, float, float]  # messages a second, µs of CPU each, µs of PostgreSQL's each


def measure_source(port: int, count: int, size_bytes: int, recipients: int) -> Figures:
    """Run Postfix's load generator over kept connections."""
    command = ["smtp-source", "-d", "-s", "16", "-m", str(count), "-r", str(recipients)]
    command += ["-l", str(size_bytes), "-f", "faktury@firma.example", "-t", "jan@klient.example"]
    start = time.perf_counter()
    child = subprocess.Popen([*command, f"127.0.0.1:{port}"])
    _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.perf_counter() - start
    child.returncode = status
    if status:
        raise RuntimeError("smtp-source failed")
    return count / wall_s, (usage.ru_utime + usage.ru_stime) / count * 1e6, 0.0


# Ours, in a process of its own


async def deliver(url: str, port: int, connections: int) -> None:
    """Be a worker that delivers a stock of mail whenever it is told to."""
    with tempfile.TemporaryDirectory() as folder:
        office = open_stock(url, Path(folder), connections_per_account=connections)
        set_up_logs(office.settings)
        await hold_back(office, port)
        async with Worker(office).running():
            rest_memory()
            answer("ready")
            while (told := await read_line()) is not None:
                count, size, html = told
                await office.db.write(pause, ADMIN, "global", office.clock())
                await fill(office, count, size=size, html=html)
                answer(await measure_delivery(office, url, count))
        await office.close()


async def measure_delivery(office: Office, url: str, count: int) -> Figures:
    """Let go, and wait until all is settled."""
    before, database_s = await office.db.read(count_sent), count_postgres_cpu_s(url)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    await let_go(office)
    while await office.db.read(has_due) or await office.db.read(count_sent) < before + 2 * count:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    database_s = count_postgres_cpu_s(url) - database_s
    return count / wall_s, cpu_s / count * 1e6, database_s / count * 1e6


def has_due(tx: Connection) -> bool:
    """Whether anything waits to be claimed."""
    return tx.scalar(select(message.c.id).where(message.c.due_at.is_not(None)).limit(1)) is not None


# The table


def compare(engine: str, name: str, options: argparse.Namespace) -> None:
    """Print one table."""
    size, html = SIZES[name]
    with ExitStack() as stack:
        port = stack.enter_context(run_sink(Load(16, options.messages, size)))
        ours = {}
        for each in options.connections:  # a database each: they are not to share the work
            url = stack.enter_context(run_databases({engine}))[engine]
            ours[f"awizo, {each} connections"] = Child(
                "bench.bench_delivery", "deliver", url, str(port), str(each)
            )
        names = ["smtp-source, 1 recipient", "smtp-source, 2 recipients", *ours]
        taken: dict[str, list[Figures]] = {each: [] for each in names}
        for child in ours.values():
            child.hear()
        for _ in range(options.repetitions):
            for number in (1, 2):
                taken[names[number - 1]].append(
                    measure_source(port, 4 * options.messages, size, number)
                )
            for each, child in ours.items():
                taken[each].append(tuple(child.ask(options.messages, size, html)))
        for child in ours.values():
            child.close()
    print(f"\nP4 {engine}, {name}, {options.messages} messages, {show_load()}")
    print(f"{'':28}{'msg/s':>8}{'µs CPU':>8}{'µs of the database':>20}   ratio to smtp-source (2)")
    for each, found in taken.items():
        rate, cpu_us, database_us = (
            statistics.median(column) for column in zip(*found, strict=True)
        )
        ratios = [mine[0] / other[0] for mine, other in zip(found, taken[names[1]], strict=True)]
        print(
            f"{each:28}{rate:8.0f}{cpu_us:8.0f}{database_us:20.0f}   "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
            flush=True,
        )


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="*", default=["sqlite", "postgres"])
    parser.add_argument("-n", "--messages", type=int, default=1500)
    parser.add_argument("-c", "--connections", type=int, nargs="+", default=[4])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=SIZES)
    options = parser.parse_args()
    if shutil.which("smtp-source") is None:
        raise SystemExit("smtp-source is not installed (Debian: postfix)")
    for name in SIZES:
        if options.only in (None, name):
            for engine in options.engines:
                compare(engine, name, options)


if __name__ == "__main__":
    if sys.argv[1:2] == ["deliver"]:
        with asyncio.Runner(loop_factory=find_loop()) as runner:  # as a worker runs
            runner.run(deliver(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    else:
        main()
