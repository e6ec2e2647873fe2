"""P10, P11: claim and settling without SMTP; claim time as the queue grows; bytes of a message.

``rate``    claim, mark and settle, each committed, in batches of 100 and one by one; against
            procrastinate's jobs that do nothing (--procrastinate: the Python that has it)
``growth``  a claim of 32 and its rollback with 10³ … --most messages queued, with --ended ones
            beside, and after half of the queue has gone since the last vacuum
``space``   bytes and write-ahead log of a message, accepted and delivered, on PostgreSQL
Run: python -m bench.bench_queue [rate growth space] [--most 1000000] [--procrastinate PYTHON]
"""

import argparse
import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from app.outbox.carry import Batch, Tried, claim_batch, settle_tries
from app.outbox.office import Office
from app.outbox.queue import Mark, mark
from app.outbox.settle import Outcome, Policy, Settlement
from bench.stock import (
    fill,
    hold_back,
    let_go,
    multiply,
    open_stock,
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
            print(f"{'':36}{'median':>9}{'least':>9}{'CPU':>9}{'pages':>9}", flush=True)
            queued = 1
            for count in (10**3, 10**5, 10**6):
                if count <= options.most:
                    await multiply_all(office, count - queued, mark=f"q{len(str(count))}")
                    queued = count
                    show_claim(office, account_id, f"{queued:>9} queued")
            ended = 0
            while ended < options.ended:
                step = min(10**6, options.ended - ended)
                await multiply_all(office, step, mark=f"z{ended // 10**6:02}", ended=True)
                ended += step
            show_claim(office, account_id, f"{queued:>9} queued, {ended} ended")
            with office.db._engine.connect() as old:
                if not office.db.is_sqlite:  # a backup: vacuum may remove nothing that it could see
                    old.execute(text("set transaction isolation level repeatable read"))
                    old.execute(text("set local idle_in_transaction_session_timeout = 0"))
                    old.execute(text("select count(*) from account"))
                    await office.db.write(pass_half)
                    show_claim(office, account_id, f"{queued // 2:>9} gone, under a backup")
            if office.db.is_sqlite:
                await office.db.write(pass_half)
            show_claim(office, account_id, f"{queued // 2:>9} gone, before a vacuum")
            show_claim(office, account_id, "          after it", vacuum=True)
            await office.close()


async def multiply_all(office: Office, count: int, *, mark: str, ended: bool = False) -> None:
    """Store copies in transactions of at most 10⁵; mark: three characters of their own."""
    for number, start in enumerate(range(0, count, 10**5)):
        step = min(10**5, count - start)
        own = f"{mark:z<3}"[:3] + chr(ord("a") + number)
        await office.db.write(multiply, step, ended=ended, mark=own)
    if not office.db.is_sqlite:
        with office.db._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as tx:
            tx.execute(text("vacuum analyze"))  # what autovacuum does soon after


def pass_half(tx: Connection) -> None:
    """Let the older half of what waits be gone, as far as the index of due mail knows."""
    tx.execute(
        text(
            "update message set due_at = null where id in (select id from message "
            "where due_at is not null order by id limit "
            "(select count(*) / 2 from message where due_at is not null))"
        )
    )


def show_claim(office: Office, account_id: str, shown: str, *, vacuum: bool = False) -> None:
    """Print median and least ms, ms of this process's CPU, and on PostgreSQL the pages of tables and
    indexes that one claim touched, of claims that are not kept."""
    engine, taken = office.db._engine, []
    if vacuum and not office.db.is_sqlite:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as tx:
            tx.execute(text("vacuum analyze"))
    pages = 0
    for _ in range(31):
        start, cpu = time.perf_counter(), time.thread_time()
        with engine.connect() as tx:
            batch = claim_next(office, account_id, 32, tx)
            taken.append(((time.perf_counter() - start) * 1e3, (time.thread_time() - cpu) * 1e3))
            tx.rollback()
        assert len(batch.claimed) == 32
    if not office.db.is_sqlite:
        with engine.connect() as tx:
            before = tx.scalar(_PAGES)
            claim_next(office, account_id, 32, tx)
            pages = int(tx.scalar(_PAGES)) - int(before)
            tx.rollback()
    walls, cpus = zip(*taken, strict=True)
    print(
        f"{shown:<36}{statistics.median(walls):9.1f}{min(walls):9.1f}{statistics.median(cpus):9.1f}"
        f"{pages or '':>9}",
        flush=True,
    )


# Of this transaction alone.
_PAGES = text(
    "select sum(pg_stat_get_xact_blocks_fetched(c.oid)) from pg_class c where relkind in ('r', 'i')"
    " and relnamespace = 'public'::regnamespace"
)


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


BENCHES = {"rate": bench_rate, "growth": bench_growth, "space": bench_space}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benches", nargs="*", default=list(BENCHES))
    parser.add_argument("--engines", nargs="+", default=["sqlite", "postgres"])
    parser.add_argument("--most", type=int, default=10**5)
    parser.add_argument("--ended", type=int, default=10**5, help="messages beside, in growth")
    parser.add_argument("--procrastinate", metavar="PYTHON")
    options = parser.parse_args()
    for name in options.benches:
        asyncio.run(BENCHES[name](options))


if __name__ == "__main__":
    main()
