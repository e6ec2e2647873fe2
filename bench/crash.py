"""Crashes on purpose, and the count afterwards: lost, doubled, explained. Real processes, real kills.

``kills``    kill -9 of workers and API at random moments
``replies``  every tenth final reply is lost: sent again, then with mail held instead
``stopped``  a worker is stopped (SIGSTOP) at its dots until its claims are taken from it, and goes on
``restart``  PostgreSQL crashes and is restarted under load, with fsync
``disk``     the disk is full, then there is room again
``image``    the power goes under load; what the disk was given by then is started
Prints one line each. A message is missing if it was answered 202 and the mail server never got it;
a second copy is unexplained if no attempt says ``uncertain``.
Run: python -m bench.crash [kills replies …] [--messages 300] [--kills 10] [--engine sqlite]
"""

import argparse
import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.engine import Connection

from app.outbox.tables import message, recipient, worker
from bench.crash_disk import prove_disk, prove_image
from bench.disks import may_mount, mount_image, mount_small
from bench.scene import FINISH_S, TAKEN, Scene, stage
from bench.stock import show_load
from tests.flows.crash import crash
from tests.flows.house import House, Process, build, until
from tests.flows.peer import DROP, Late, serve
from tests.pg import Server, make_folder, run_postgres, serve_postgres

_DISK_MB = {("disk", "sqlite"): 24, ("image", "sqlite"): 64}
_DISK_POSTGRES_MB = 300
_IDLE_INSIDE = text(
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and state like 'idle in transaction%' and state_change < clock_timestamp() - interval '90 ms'"
)


async def prove_kills(url: str, folder: Path, options: argparse.Namespace) -> str:
    """Kill -9."""
    with build(folder, url) as house:
        async with serve() as peer:
            kills, api_kills = options.kills, max(1, options.kills // 5)
            tally = await crash(
                house, peer, messages=options.messages, worker_kills=kills, api_kills=api_kills,
                seed=options.seed,
            )  # fmt: skip
    return str(tally)


async def prove_replies(url: str, folder: Path, options: argparse.Namespace) -> str:
    """Lose every tenth final reply."""
    said = []
    for choice in ("resend", "hold"):
        own = folder / choice
        own.mkdir()
        here = f"sqlite:///{own}/awizo.db" if url.startswith("sqlite") else url
        plan = [DROP if number % 10 == 9 else TAKEN for number in range(options.messages)]
        fresh = choice == "hold" and not url.startswith("sqlite")
        with run_postgres(durable=True) if fresh else nullcontext(here) as database:
            async with stage(database, own, options.messages, on_uncertain=choice) as scene:
                scene.peer.will("dot", *plan)
                await scene.driver
                await until(lambda scene=scene: _is_at_rest(scene.house), FINISH_S)
                tally = scene.count()
        said.append(
            f"{choice}: messages {tally.accepted}, lost replies {plan.count(DROP)}, second and third "
            f"copies {tally.copies // 2}, missing {tally.missing}, unexplained {tally.unexplained}"
        )
    return "; ".join(said)


def _is_at_rest(house: House) -> bool:
    query = select(message.c.id).where(message.c.status.in_(("queued", "sending", "deferred")))
    return not house.read(lambda tx: tx.execute(query.limit(1)).first())


async def prove_stopped(url: str, folder: Path, options: argparse.Namespace) -> str:
    """Stop a worker beyond its lease (2 s), more than once; at last inside a transaction."""
    met = []
    async with stage(url, folder, options.messages, workers=2) as scene:
        scene.peer.always("dot", Late(0.3, TAKEN))
        for number in range(options.stops):
            await scene.accept((number + 1) * options.messages // (options.stops + 3))
            victim = scene.workers[number % 2]
            met.append(await _stop_at_the_dot(scene.house, victim))
            await until(lambda each=victim: not _count_marked(scene.house, each), FINISH_S)
            victim.signal(signal.SIGCONT)
        inside = "" if url.startswith("sqlite") else await _stop_inside(scene)
        tally = await scene.finish()
        fenced = sum(each.said.count('"fenced": true') for each in scene.workers)
    return f"{tally}; stopped after the marks of {met} recipients{inside}; fenced off {fenced}"


async def _stop_at_the_dot(house: House, victim: Process) -> int:
    """Stop a worker while dots of its are out and it keeps no locks; return of how many recipients."""
    async with asyncio.timeout(FINISH_S):
        while True:
            await until(lambda: _count_marked(house, victim), FINISH_S)
            await house.freeze(victim)
            if count := _count_marked(house, victim):
                return count
            victim.signal(signal.SIGCONT)


async def _stop_inside(scene: Scene) -> str:
    """Stop a worker that keeps locks in PostgreSQL, until all that it had goes on without it."""
    victim, house, loop = scene.workers[0], scene.house, asyncio.get_running_loop()
    async with asyncio.timeout(FINISH_S):
        while True:
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(0.1)
            if house.read(lambda tx: tx.scalar(_IDLE_INSIDE)):
                break
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(0.01)
    start = loop.time()
    await until(lambda: not house.read(lambda tx: tx.scalar(_IDLE_INSIDE)), FINISH_S)
    await until(lambda: not _count_marked(house, victim), FINISH_S)
    victim.signal(signal.SIGCONT)
    return f", and inside a transaction, whose locks were free after {loop.time() - start:.0f} s"


def _count_marked(house: House, process: Process) -> int:
    """Return to how many recipients a worker may have sent its dots, as the database knows it."""

    def count(tx: Connection) -> int:
        name = select(worker.c.id).where(worker.c.pid == process.pid).scalar_subquery()
        held = recipient.c.claimed_by.like(name.concat(".%"))
        query = select(func.count()).where(held, recipient.c.marked_at.is_not(None))
        return int(tx.scalar(query) or 0)

    return int(house.read(count))


async def prove_restart(server: Server, folder: Path, options: argparse.Namespace) -> str:
    """Crash PostgreSQL under load."""
    async with stage(server.url, folder, options.messages, workers=2) as scene:
        scene.peer.always("dot", Late(0.05, TAKEN))
        for number in range(options.stops):
            await scene.accept((number + 1) * options.messages // (options.stops + 2))
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            await asyncio.sleep(1)
            server.restart()
            await asyncio.to_thread(server.wait_until_ready)
            scene.house.engine.dispose()
        await scene.driver
        tally = await scene.finish()
    return f"{tally}; crashes of PostgreSQL {options.stops}"


PROOFS: dict[str, Callable[..., Awaitable[str]]] = {
    "kills": prove_kills, "replies": prove_replies, "stopped": prove_stopped,
    "restart": prove_restart, "disk": prove_disk, "image": prove_image,
}  # fmt: skip
_ON_DISKS = ("disk", "image")


def run(name: str, engine: str, options: argparse.Namespace) -> None:
    """Run one proof on one engine and print its line."""
    prove = PROOFS[name]
    folder = make_folder("awizo-crash-")
    try:
        if name in _ON_DISKS:
            with (
                _provide_disk(name, engine, folder) as disk,
                _provide_server(engine, disk) as server,
            ):
                said = asyncio.run(prove(server, disk, folder, options))
        elif name == "restart":
            with serve_postgres(durable=True) as server:
                said = asyncio.run(prove(server, folder, options))
        elif engine == "sqlite":
            said = asyncio.run(prove(f"sqlite:///{folder}/awizo.db", folder, options))
        else:
            with run_postgres(durable=True) as url:
                said = asyncio.run(prove(url, folder, options))
    finally:
        shutil.rmtree(folder)
    print(f"{name:8} {engine:9} {said} ({show_load()})", flush=True)


@contextmanager
def _provide_disk(name: str, engine: str, folder: Path) -> Iterator[Path]:
    """Yield the data directory: a disk of its own where this user may have one."""
    disk = folder / "first" / "data"
    disk.mkdir(parents=True)
    size_mb = _DISK_MB.get((name, engine), _DISK_POSTGRES_MB)
    if not may_mount():
        if engine != "sqlite":
            raise SystemExit(f"{name} on PostgreSQL takes root: it wants a disk of its own")
        yield disk
    elif name == "disk":
        with mount_small(disk, size_mb):
            yield disk
    else:
        with mount_image(folder / "disk.img", disk, size_mb):
            yield disk


@contextmanager
def _provide_server(engine: str, disk: Path) -> Iterator[Server | None]:
    """Yield a PostgreSQL that lies on this disk."""
    with ExitStack() as stack:
        if engine == "sqlite":
            yield None
            return
        usual, tempfile.tempdir = tempfile.gettempdir(), str(disk)
        try:
            server = stack.enter_context(serve_postgres(durable=True))
        finally:
            tempfile.tempdir = usual
        os.sync()  # initdb did not
        yield server


def main() -> None:
    """Read the command line and run the proofs one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("proofs", nargs="*", default=list(PROOFS))
    parser.add_argument("-n", "--messages", type=int, default=300)
    parser.add_argument(
        "--kills", type=int, default=10, help="of workers; a fifth of it of the API"
    )
    parser.add_argument("--stops", type=int, default=2, help="stops, restarts, full disks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=["sqlite", "postgres", "both"], default="both")
    options = parser.parse_args()
    for name in options.proofs:
        for engine in ("sqlite", "postgres"):
            fits = engine == "postgres" or name != "restart"
            if options.engine in (engine, "both") and fits:
                run(name, engine, options)


if __name__ == "__main__":
    main()
