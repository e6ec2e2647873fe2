"""P11, P12, G11: several workers, fairness between accounts and mail, lots, memory.

``several``  one, two and four workers on PostgreSQL, a mail server 20 ms away
``tarpit``   an account alone, and beside accounts whose servers hold every connection
``batch``    what single messages wait, alone and beside a batch of --batch messages of their account
             and of another one
``lots``     LIMITE and WAIT over two workers: the fullest lot and the shortest pause that a server saw
``memory``   API and worker while --large messages of 1 MB pass through both
Workers are processes of their own. Run: python -m bench.bench_workers [several tarpit …]
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text, update

from app.__main__ import find_loop
from app.logs import set_up_logs
from app.memory import rest_memory
from app.outbox.office import Office
from app.outbox.tables import BATCH, attempt, message
from app.worker import Worker
from bench.bench_smtp import Load, run_sink
from bench.load import read_cpu_s
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
)  # fmt: skip
from tests.flows.house import Process, build, configuration
from tests.flows.peer import Late, Taken, serve
from tests.rooms.outbox.desk import configure, send


async def work(url: str) -> None:
    """Be a worker for as long as told each time."""
    with tempfile.TemporaryDirectory() as folder:
        office = open_stock(url, Path(folder))
        set_up_logs(office.settings)
        answer(os.getpid())
        while await read_line() is not None:
            async with Worker(office).running():
                rest_memory()
                answer("works")
                await read_line()
            answer("rests")
        await office.close()


@contextmanager
def hire(url: str, count: int) -> Iterator[tuple[list[Child], list[int]]]:
    """Have so many workers, resting."""
    children = [Child("bench.bench_workers", "work", url) for _ in range(count)]
    pids = [child.hear() for child in children]
    try:
        yield children, pids
    finally:
        for child in children:
            child.close()


async def pass_through(office: Office, port: int, children: Sequence[Child], count: int) -> float:
    """Deliver a stock with these workers; return messages a second."""
    await hold_back(office, port)
    await fill(office, count)
    before = await office.db.read(count_sent)
    for child in children:
        child.ask("begin")
    start = time.perf_counter()
    await let_go(office)
    while await office.db.read(count_sent) < before + 2 * count:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    rate = count / (time.perf_counter() - start)
    for child in children:
        child.ask("end")
    return rate


async def bench_several(options: argparse.Namespace) -> None:
    """Print what more workers add."""
    found: dict[int, list[tuple[float, float, float]]] = {1: [], 2: [], 4: []}
    count = options.messages
    with tempfile.TemporaryDirectory() as folder, run_databases({"postgres"}) as urls:
        url = urls["postgres"]
        office = open_stock(url, Path(folder))
        with run_sink(Load(4, 1, 5000, round_trip_ms=20)) as port, hire(url, 4) as (workers, pids):
            for _ in range(options.rounds):
                for several, figures in found.items():
                    used = [sum(map(read_cpu_s, pids)), count_postgres_cpu_s(url)]
                    rate = await pass_through(office, port, workers[:several], count)
                    ours = sum(map(read_cpu_s, pids)) - used[0]
                    theirs = count_postgres_cpu_s(url) - used[1]
                    figures.append((rate, ours / count * 1e3, theirs / count * 1e3))
        await office.close()
    print(f"\nP11 workers on PostgreSQL, 4 connections each, 20 ms round trip, {show_load()}")
    print(f"{'':12}{'msg/s':>8}{'to one':>8}{'ms CPU workers':>16}{'ms CPU PostgreSQL':>19}")
    for several, figures in found.items():
        rate, ours, theirs = (statistics.median(each) for each in zip(*figures, strict=True))
        pairs = zip(figures, found[1], strict=True)
        ratio = statistics.median(mine[0] / one[0] for mine, one in pairs)
        print(f"{several:<12}{rate:8.0f}{ratio:8.2f}{ours:16.2f}{theirs:19.2f}", flush=True)


async def bench_tarpit(options: argparse.Namespace) -> None:
    """Print what tarpits cost a healthy account."""
    for engine in options.engines:
        alone, beside = [], []
        with tempfile.TemporaryDirectory() as folder, run_databases({engine}) as urls:
            office = open_stock(urls[engine], Path(folder))
            with run_sink(Load(4, 1, 5000)) as port, hire(urls[engine], 1) as (workers, pids):
                await pass_through(office, port, workers, options.messages)  # warm
                for number in range(options.rounds):
                    for found, tarpits in ((alone, 0), (beside, 5)):
                        cpu_s = read_cpu_s(pids[0])
                        rate = await _pass_beside(
                            office, port, workers, options.messages, tarpits, number
                        )
                        cpu_s = read_cpu_s(pids[0]) - cpu_s
                        found.append((rate, cpu_s / options.messages * 1e3))
            await office.close()
        ratio = statistics.median(b[0] / a[0] for a, b in zip(alone, beside, strict=True))
        print(f"\nG11 {engine}: a healthy account beside 5 tarpits of 4 connections, {show_load()}")
        for name, found in (("alone", alone), ("beside", beside)):
            rate, cpu_ms = (statistics.median(each) for each in zip(*found, strict=True))
            print(f"{name:10}{rate:8.0f} msg/s, {cpu_ms:.2f} ms CPU each")
        print(f"ratio {ratio:.2f}", flush=True)


async def _pass_beside(
    office: Office, port: int, workers: Sequence[Child], count: int, tarpits: int, number: int
) -> float:
    async with serve() as tarpit:
        tarpit.always("mail", Late(3600, "250 at last"))
        for each in range(tarpits):
            user = f"stuck-{number}-{each}"
            await configure(office, user, port=tarpit.port, timeout_ms=60_000)
            # A carrier that hangs has one message on the wire and the next one in hand.
            for _ in range(2 * office.settings.connections_per_account):
                await send(office, user=user)
        await hold_back(office, port)
        await fill(office, count)
        before = await _count_global(office)
        workers[0].ask("begin")
        while tarpit.open_sessions < 4 * tarpits:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        start = time.perf_counter()
        await let_go(office)
        while await _count_global(office) < before + count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        rate = count / (time.perf_counter() - start)
    workers[0].ask("end")  # the tarpit is gone: it need not wait for it
    return rate


async def _count_global(office: Office) -> int:
    query = select(func.count()).where(message.c.user_id.is_(None), message.c.status == "sent")
    return int(await office.db.read(lambda tx: tx.scalar(query)) or 0)


async def bench_batch(options: argparse.Namespace) -> None:
    """Print what single messages wait while a batch is under way."""
    for engine in options.engines:
        print(f"\nG11 {engine}: s from accepted to settled, {show_load()}")
        print(f"{'single messages':36}{'median':>9}{'p99':>9}{'most':>9}", flush=True)
        with tempfile.TemporaryDirectory() as folder, run_databases({engine}) as urls:
            office = open_stock(urls[engine], Path(folder))
            with run_sink(Load(4, 1, 5000)) as port, hire(urls[engine], 1) as (workers, _):
                await hold_back(office, port)
                await configure(office, "anna", port=port)
                await fill(office, options.batch)
                await office.db.write(lambda tx: tx.execute(update(message).values(priority=BATCH)))
                workers[0].ask("begin")
                await _show_waits(office, "another account, nothing beside", "anna")
                await let_go(office)
                await _show_waits(office, f"another account, batch of {options.batch}", "anna")
                await _show_waits(office, "the batch's own account", None)
                left = select(func.count()).where(message.c.due_at.is_not(None))
                waiting = await office.db.read(lambda tx, left=left: tx.scalar(left))
                print(f"({waiting} of the batch still waited at the end)", flush=True)
                workers[0].ask("end")
            await office.close()


async def _show_waits(office: Office, name: str, user: str | None) -> None:
    ids = []
    for _ in range(100):
        ids.append(await send(office, user=user))
        await asyncio.sleep(0.02)
    if office.db.is_sqlite:
        query = select(
            (func.julianday(attempt.c.ended_at) - func.julianday(message.c.created_at)) * 86400.0
        )
    else:
        query = select(func.extract("epoch", attempt.c.ended_at - message.c.created_at))
    query = query.join(message, message.c.id == attempt.c.message_id)
    query = query.where(attempt.c.verdict == "sent", attempt.c.message_id.in_(ids))
    while True:
        waits = sorted(
            float(row[0]) for row in await office.db.read(lambda tx: tx.execute(query).all())
        )
        if len(waits) == len(ids):
            break
        await asyncio.sleep(0.05)
    print(f"{name:36}{statistics.median(waits):9.3f}{waits[98]:9.3f}{waits[-1]:9.3f}", flush=True)


async def bench_lots(options: argparse.Namespace) -> None:
    """Print how two workers together keep to LIMITE and WAIT."""
    limit, wait_s, count = 10, 1, 150
    for engine in options.engines:
        if engine == "sqlite":
            continue  # one process
        with tempfile.TemporaryDirectory() as folder, run_databases({engine}) as urls:
            office = open_stock(urls[engine], Path(folder))
            async with serve() as peer:
                await hold_back(office, peer.port)
                await configure(office, port=peer.port, batch_limit=limit, batch_wait_s=wait_s)
                await fill(office, count)
                with hire(urls[engine], 2) as (workers, _):
                    for child in workers:
                        child.ask("begin")
                    await let_go(office)
                    while len(peer.taken) < count:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                    for child in workers:
                        child.ask("end")
            used = len({taken.session for taken in peer.taken})
            fullest, shortest = judge_lots(peer.taken, wait_s)
            await office.close()
        print(
            f"\nLIMITE {limit}, WAIT {wait_s} s, {engine}, 2 workers, {count} messages over {used} "
            f"connections: fullest lot {fullest}, shortest pause {shortest:.3f} s, {show_load()}",
            flush=True,
        )


def judge_lots(taken: Sequence[Taken], wait_s: float) -> tuple[int, float]:
    """Return the most messages without a pause between them, and the shortest pause."""
    ordered = sorted(taken, key=lambda each: each.mail_at)
    fullest, size, pauses, last = 0, 0, [], ordered[0].mail_at
    for each in ordered:
        if each.mail_at - last > wait_s / 2:  # by the clock of who heard both
            pauses.append(each.mail_at - last)
            size = 0
        size += 1
        fullest = max(fullest, size)
        last = max(last, each.answered_at)
    return fullest, min(pauses)


async def bench_memory(options: argparse.Namespace) -> None:
    """Print the memory of API and worker as large messages pass through them."""
    content = base64.b64encode(os.urandom(750_000)).decode()
    attachment = {"filename": "faktura.pdf", "content_type": "application/pdf", "content": content}
    order = {
        "to": "jan@klient.example", "subject": "Faktura", "body": "Dzień dobry",
        "attachments": [attachment],
    }  # fmt: skip
    raw = json.dumps(order).encode()
    for engine in options.engines:
        print(
            f"\nP12 {engine}: MB resident, messages of 1 MB through API and worker, {show_load()}"
        )
        print(f"{'':10}{'API':>8}{'worker':>8}{'messages/s':>12}", flush=True)
        with (
            tempfile.TemporaryDirectory() as folder,
            run_databases({engine}) as urls,
            run_sink(Load(4, 1, 1)) as port,
            build(Path(folder), urls[engine], AWIZO_LEASE_S="60", AWIZO_POLL_S="1") as house,
        ):
            api = await house.serve("--no-worker")
            worker = await house.work()
            async with house.client() as client:
                (await client.put("/config/global", json=configuration(port))).raise_for_status()
                for number in range(1, 11):
                    step, start = options.large // 10, time.perf_counter()
                    left = iter(range(step))

                    async def post(left: Any = left) -> None:
                        for _ in left:
                            sent = await client.post(
                                "/send", content=raw, headers={"Content-Type": "application/json"}
                            )
                            assert sent.status_code == 202, sent.text

                    await asyncio.gather(*(post() for _ in range(4)))
                    while house.count_unfinished():  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                    rate = step / (time.perf_counter() - start)
                    shown = "".join(f"{read_memory_mb(each):8.0f}" for each in (api, worker))
                    print(f"{number * step:<10}{shown}{rate:12.0f}", flush=True)
                    _drop_bodies(house)


def _drop_bodies(house: Any) -> None:
    """Make room on the disk, as the retention does later."""
    with house.engine.begin() as tx:
        tx.execute(text("delete from message_body"))


def read_memory_mb(process: Process) -> float:
    """Return a process's resident set."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


BENCHES = {
    "several": bench_several, "tarpit": bench_tarpit, "batch": bench_batch, "lots": bench_lots,
    "memory": bench_memory,
}  # fmt: skip


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benches", nargs="*", default=list(BENCHES))
    parser.add_argument("--engines", nargs="+", default=["sqlite", "postgres"])
    parser.add_argument("-n", "--messages", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=250)
    options = parser.parse_args()
    for name in options.benches:
        asyncio.run(BENCHES[name](options))


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        with asyncio.Runner(loop_factory=find_loop()) as runner:  # as a worker runs
            runner.run(work(sys.argv[2]))
    else:
        main()
