"""P10, P11: claim and settling without SMTP; claim time as the queue grows; two workers against one.

``rate``    claim, mark and settle, each committed, in batches of 100 and one by one; against
            procrastinate's jobs that do nothing (--procrastinate: the Python that has it)
``growth``  a claim of 32 and its rollback with 10³ … --most messages queued, and with ended ones
``workers`` one and two workers on PostgreSQL, a mail server 20 ms away
``space``   bytes and write-ahead log of a message, accepted and delivered, on PostgreSQL
``memory``  a worker's memory while --large messages of 1 MB pass through it
Run: python -m bench.bench_queue [rate growth workers space memory] [--most 1000000] [--procrastinate PYTHON]
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text

from app.logs import set_up_logs
from app.outbox.carry import Batch, Tried, claim_batch, settle_tries
from app.outbox.office import Office
from app.outbox.queue import Mark, mark
from app.outbox.settle import Outcome, Policy, Settlement
from app.worker import Worker
from bench.bench_smtp import Load, run_sink
from bench.stock import (
    Child,
    answer,
    count_sent,
    fill,
    hold_back,
    let_go,
    multiply,
    open_stock,
    read_line,
    run_databases,
    show_load,
)

REPETITIONS = 5
_POLICY = Policy((60.0,))
_JOBS = """
import asyncio, sys, time
import procrastinate, uvloop
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=sys.argv[1]))
@app.task(name="nothing")
async def nothing(number): pass
async def main(count):
    async with app.open_async():
        try:
            await app.schema_manager.apply_schema_async()
        except procrastinate.exceptions.ConnectorException:
            pass  # it is there
        await nothing.batch_defer_async(*({"number": number} for number in range(count)))
        start = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=10, listen_notify=False,
                                   install_signal_handlers=False)
        print(count / (time.perf_counter() - start))
uvloop.run(main(int(sys.argv[2])))
"""


def claim_next(office: Office, account_id: str, most: int, tx: Any) -> Any:
    """Claim as a carrier does."""
    claim_id = f"bench.{time.perf_counter_ns()}"
    return claim_batch(tx, account_id, claim_id, lease_s=60, delivery="on", most=most)


def drain(office: Office, account_id: str, most: int, count: int) -> float:
    """Claim, mark and settle so many messages without an event loop; return messages a second."""

    def run(verb: Callable[[Any], Any]) -> Any:
        with office.db._engine.begin() as tx:
            return verb(tx)

    start, done = time.perf_counter(), 0
    while done < count:
        batch = run(partial(claim_next, office, account_id, most))
        assert isinstance(batch, Batch)
        marks = [Mark(each.id, tuple(one.id for one in each.recipients)) for each in batch.claimed]
        assert all(run(lambda tx, marks=marks: mark(tx, marks)))
        tried = [
            Tried(Settlement(each, outcomes, _POLICY, 0.5), batch.carriage.stored.version)
            for each in batch.claimed
            for outcomes in [
                tuple(Outcome(one.id, "sent", "dot", code=250) for one in each.recipients)
            ]
        ]
        assert all(run(lambda tx, tried=tried: settle_tries(tx, tried)))
        done += len(batch.claimed)
    return count / (time.perf_counter() - start)


async def bench_rate(options: argparse.Namespace) -> None:
    """Print P10."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, run_databases({"sqlite", "postgres"}) as urls:
        offices = {name: open_stock(url, Path(folder)) for name, url in urls.items()}
        accounts = {name: await hold_back(office) for name, office in offices.items()}
        for office in offices.values():
            await let_go(office)
        for _ in range(REPETITIONS):
            if options.procrastinate:
                jobs = [options.procrastinate, "-c", _JOBS, urls["postgres"], "500"]
                done = await asyncio.to_thread(
                    subprocess.run, jobs, capture_output=True, check=True
                )
                found.setdefault("procrastinate (PostgreSQL)", []).append(float(done.stdout))
            for name, office in offices.items():
                for most, count in ((1, 60), (100, 1000)):
                    await fill(office, count)
                    rate = drain(office, accounts[name], most, count)
                    found.setdefault(f"{name}, {most} at a time", []).append(rate)
        for office in offices.values():
            await office.close()
    print(f"\nP10, 2 recipients, 5 KB read with the claim, one process, {show_load()}")
    print(f"{'':32}{'messages/s':>12}{'to procrastinate':>18}{'to one by one':>15}")
    for name, rates in found.items():
        columns = ""
        for anchor in ("procrastinate (PostgreSQL)", f"{name.partition(',')[0]}, 1 at a time"):
            others = found.get(anchor)
            ratio = "" if others is None else statistics.median(
                mine / other for mine, other in zip(rates, others, strict=True)
            )  # fmt: skip
            columns += f"{ratio:>15.1f}" if ratio else " " * 15
        print(f"{name:32}{statistics.median(rates):12.0f}   {columns}", flush=True)


async def bench_growth(options: argparse.Namespace) -> None:
    """Print the claim times of P11."""
    for name in options.engines:
        with tempfile.TemporaryDirectory() as folder, run_databases({name}) as urls:
            office = open_stock(urls[name], Path(folder))
            account_id = await hold_back(office)
            await fill(office, 1)
            await let_go(office)
            print(f"\nP11 {name}: 31 claims of 32, ms, {show_load()}")
            print(f"{'':32}{'median':>9}{'least':>9}{'CPU':>9}", flush=True)
            queued = 1
            for count in (10**3, 10**5, 10**6):
                if count <= options.most:
                    await office.db.write(
                        multiply, count - queued, ended=False, mark=f"q{len(str(count)):03}"
                    )
                    queued = count
                    shown = f"{queued:>9} queued"
                    print(f"{shown:<32}{measure_claim(office, account_id)}", flush=True)
            await office.db.write(multiply, queued, ended=True, mark="zzzz")
            shown = f"{queued:>9} queued, as many ended"
            print(f"{shown:<32}{measure_claim(office, account_id)}", flush=True)
            await office.close()


def measure_claim(office: Office, account_id: str) -> str:
    """Return median and least ms, and ms of this process's CPU, of a claim that is not kept."""
    engine, taken = office.db._engine, []
    if not office.db.is_sqlite:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as tx:
            tx.execute(text("vacuum analyze"))  # what autovacuum does soon after
    for _ in range(31):
        start, cpu = time.perf_counter(), time.thread_time()
        with engine.connect() as tx:
            batch = claim_next(office, account_id, 32, tx)
            tx.rollback()
        taken.append(((time.perf_counter() - start) * 1e3, (time.thread_time() - cpu) * 1e3))
        assert len(batch.claimed) == 32
    walls, cpus = zip(*taken, strict=True)
    return f"{statistics.median(walls):9.1f}{min(walls):9.1f}{statistics.median(cpus):9.1f}"


async def bench_space(options: argparse.Namespace) -> None:
    """Print what a message takes on disk, for ``docs/scale.md``."""
    count = 2000
    with tempfile.TemporaryDirectory() as folder, run_databases({"postgres"}) as urls:
        office = open_stock(urls["postgres"], Path(folder))
        account_id = await hold_back(office)
        await let_go(office)

        def read(statement: str) -> Any:
            with office.db._engine.connect() as tx:
                return tx.execute(text(statement)).all()

        written = [read("select pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0]]
        await fill(office, count)
        written.append(read("select pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0])
        drain(office, account_id, 32, count)
        written.append(read("select pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0])
        print(f"\nBytes of one message of 5 KB to 2 recipients, of {count}, {show_load()}")
        for name, before, after in zip(
            ("WAL, accepted", "WAL, delivered"), written, written[1:], strict=False
        ):
            print(f"{name:28}{(after - before) / count:8.0f}")
        for name, table, indexes in read(
            "select relname, pg_table_size(oid), pg_indexes_size(oid) from pg_class "
            "where relname in ('message', 'message_body', 'recipient', 'attempt', 'event') "
            "and relkind = 'r' order by relname"
        ):
            print(f"{name:28}{table / count:8.0f} and indexes{indexes / count:8.0f}")
        await office.close()


# Workers in processes of their own


async def work(url: str) -> None:
    """Be a worker for as long as told each time."""
    with tempfile.TemporaryDirectory() as folder:
        office = open_stock(url, Path(folder))
        set_up_logs(office.settings)
        answer("ready")
        while await read_line() is not None:
            async with Worker(office).running():
                answer("works")
                await read_line()
            answer(_read_memory_mb())
        await office.close()


def _read_memory_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def bench_workers(options: argparse.Namespace) -> None:
    """Print what a second worker adds."""
    found: dict[int, list[float]] = {1: [], 2: []}
    load = Load(4, 1, 5000, round_trip_ms=20)
    with tempfile.TemporaryDirectory() as folder, run_databases({"postgres"}) as urls:
        url = urls["postgres"]
        office = open_stock(url, Path(folder))
        with run_sink(load) as port:
            await hold_back(office, port)
            children = [Child("bench.bench_queue", "work", url) for _ in range(2)]
            for child in children:
                child.hear()
            for _ in range(REPETITIONS):
                for several in found:
                    rate, _ = await pass_through(office, port, children[:several], 600)
                    found[several].append(rate)
            for child in children:
                child.close()
        await office.close()
    one, two = (statistics.median(rates) for rates in found.values())
    ratio = statistics.median(b / a for a, b in zip(found[1], found[2], strict=True))
    print(f"\nP11 workers on PostgreSQL, 4 connections each, 20 ms round trip, {show_load()}")
    print(f"one {one:.0f} messages/s, two {two:.0f} messages/s, ratio {ratio:.2f}", flush=True)


async def pass_through(
    office: Office, port: int, children: list[Child], count: int, padding: bytes = b""
) -> tuple[float, float]:
    """Deliver a stock with these workers; return messages a second, and the most MB of one."""
    await hold_back(office, port)
    await fill(office, count, padding=padding)
    before = await office.db.read(count_sent)
    for child in children:
        child.ask("begin")
    start = time.perf_counter()
    await let_go(office)
    while await office.db.read(count_sent) < before + 2 * count:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    rate = count / (time.perf_counter() - start)
    return rate, max(child.ask("end") for child in children)


async def bench_memory(options: argparse.Namespace) -> None:
    """Print a worker's memory as large messages pass through it."""
    padding = (b"X" * 76 + b"\r\n") * 13_000
    step = options.large // 5
    print(f"\nP12 memory of a worker, messages of 1 MB, SQLite, {show_load()}")
    with tempfile.TemporaryDirectory() as folder, run_databases({"sqlite"}) as urls:
        office = open_stock(urls["sqlite"], Path(folder))
        with run_sink(Load(4, 1, 1)) as port:
            child = Child("bench.bench_queue", "work", urls["sqlite"])
            child.hear()
            for number in range(1, 6):
                rate, mb = await pass_through(office, port, [child], step, padding)
                print(f"{number * step:>7} passed: {mb:6.0f} MB, {rate:.0f}/s", flush=True)
            child.close()
        await office.close()


BENCHES = {
    "rate": bench_rate, "growth": bench_growth, "workers": bench_workers, "space": bench_space,
    "memory": bench_memory,
}  # fmt: skip


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benches", nargs="*", default=list(BENCHES))
    parser.add_argument("--engines", nargs="+", default=["sqlite", "postgres"])
    parser.add_argument("--most", type=int, default=10**5)
    parser.add_argument("--large", type=int, default=250)
    parser.add_argument("--procrastinate", metavar="PYTHON")
    options = parser.parse_args()
    for name in options.benches:
        asyncio.run(BENCHES[name](options))


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        asyncio.run(work(sys.argv[2]))
    else:
        main()
