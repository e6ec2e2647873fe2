"""Crashes on purpose, and the count afterwards: lost, doubled, explained. Real processes, real kills.

``kills``    kill -9 of workers and API at random moments
``replies``  every tenth final reply is lost: sent again, then with mail held instead
``stopped``  a worker is stopped (SIGSTOP) at its dots until its claims are taken from it, and goes on
``restart``  PostgreSQL crashes and is restarted under load, with fsync
``disk``     the disk is full, then there is room again
``image``    the power goes: what the disk has of the data directory under load is started elsewhere
Prints one line each. A message is missing if it was answered 202 and the mail server never got it;
a second copy is unexplained if no attempt says ``uncertain``.
Run: python -m bench.crash [kills replies …] [--messages 300] [--kills 10] [--engine sqlite]
"""

import argparse
import asyncio
import resource
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.engine import Connection

from app.outbox.tables import message, recipient, worker
from bench.disks import fill_up, lose_power, may_mount, mount_image, mount_small
from bench.stock import list_family, show_load
from tests.flows.crash import Tally, crash, drive, take_tally
from tests.flows.house import House, Process, build, configuration, until
from tests.flows.peer import DROP, Late, Peer, serve
from tests.pg import Server, run_postgres, serve_postgres

_TAKEN = "250 2.0.0 taken"
_FINISH_S = 120


@dataclass(slots=True)
class Scene:
    """An installation at work: an API, workers, a mail server, and what was answered 202."""

    house: House
    peer: Peer
    api: Process
    workers: list[Process]
    driver: "asyncio.Task[None]"
    accepted: set[str]
    refused: Counter[str]

    @property
    def processes(self) -> list[Process]:
        """All that is ours."""
        return [self.api, *self.workers]

    async def accept(self, enough: int) -> None:
        """Wait until so many were answered 202."""
        await until(lambda: len(self.accepted) >= enough, _FINISH_S, lambda: self.api.said[-2000:])

    async def finish(self) -> Tally:
        """Let all be sent and delivered, then count."""
        await self.driver
        await until(lambda: not self.house.count_unfinished(), _FINISH_S)
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
        plan = [DROP if number % 10 == 9 else _TAKEN for number in range(options.messages)]
        fresh = choice == "hold" and not url.startswith("sqlite")
        with run_postgres(durable=True) if fresh else nullcontext(here) as database:
            async with stage(database, own, options.messages, on_uncertain=choice) as scene:
                scene.peer.will("dot", *plan)
                await scene.driver
                await until(lambda scene=scene: _is_at_rest(scene.house), _FINISH_S)
                tally = scene.count()
        said.append(
            f"{choice}: lost replies {plan.count(DROP)}, messages doubled {tally.doubled // 2}, "
            f"missing {tally.missing}, attempts uncertain {tally.uncertain}"
        )
    return "; ".join(said)


def _is_at_rest(house: House) -> bool:
    query = select(message.c.id).where(message.c.status.in_(("queued", "sending", "deferred")))
    return not house.read(lambda tx: tx.execute(query.limit(1)).first())


async def prove_stopped(url: str, folder: Path, options: argparse.Namespace) -> str:
    """Stop a worker beyond its lease (2 s), more than once; once inside a transaction."""
    met = []
    async with stage(url, folder, options.messages, workers=2) as scene:
        scene.peer.always("dot", Late(0.3, _TAKEN))
        for number in range(options.stops):
            await scene.accept((number + 1) * options.messages // (options.stops + 2))
            victim = scene.workers[number % 2]
            met.append(await _stop_at_the_dot(scene.house, victim))
            await until(lambda v=victim: not _count_claims(scene.house, v), 60)
            victim.signal(signal.SIGCONT)
        inside = "" if url.startswith("sqlite") else await _stop_inside(scene)
        tally = await scene.finish()
        fenced = sum(each.said.count('"fenced": true') for each in scene.workers)
    return f"{tally}; stops met {met} marked recipients{inside}, settlings fenced off {fenced}"


async def _stop_at_the_dot(house: House, victim: Process) -> int:
    """Stop a worker while dots of its are out, and locks are not; return of how many recipients."""
    async with asyncio.timeout(_FINISH_S):
        while True:
            await until(lambda: _count_claims(house, victim), _FINISH_S)
            await house.freeze(victim)
            if count := _count_claims(house, victim):
                return count
            victim.signal(signal.SIGCONT)


async def _stop_inside(scene: Scene) -> str:
    """Stop a worker that keeps locks in PostgreSQL; it loses them, and all goes on without it."""
    victim = scene.workers[0]
    async with asyncio.timeout(_FINISH_S):
        while True:
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(0.1)
            if scene.house.read(lambda tx: tx.scalar(_IDLE_INSIDE)):
                break
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await until(lambda: not scene.house.read(lambda tx: tx.scalar(_IDLE_INSIDE)), _FINISH_S)
    await until(lambda: not _count_claims(scene.house, victim), _FINISH_S)
    taken_s = loop.time() - start
    victim.signal(signal.SIGCONT)
    return f", once inside a transaction: all of it was free after {taken_s:.0f} s"


_IDLE_INSIDE = text(
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and state like 'idle in transaction%' and state_change < clock_timestamp() - interval '0.09 s'"
)


def _count_claims(house: House, process: Process) -> int:
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
        scene.peer.always("dot", Late(0.05, _TAKEN))
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


async def prove_disk(server: Server | None, folder: Path, options: argparse.Namespace) -> str:
    """Let there be no room on the disk, until enough was refused for it."""
    url = f"sqlite:///{folder}/disk/awizo.db" if server is None else server.url
    crashed = 0
    with _limited(folder / "disk") as (disk, kind):
        async with stage(url, folder, options.messages) as scene:
            for number in range(options.stops):
                await scene.accept((number + 1) * options.messages // (options.stops + 2))
                before = scene.refused.total()
                with _nothing_left(disk, scene, by_mount=kind == _MOUNTED):
                    await until(lambda n=before: scene.refused.total() > n + 20, _FINISH_S)
                if server is not None and not server.lives:
                    crashed += 1
                    server.restart()
                    await asyncio.to_thread(server.wait_until_ready)
                    scene.house.engine.dispose()
            tally = await scene.finish()
            lives = all(each.lives for each in scene.processes)
    stored = f", PostgreSQL ended {crashed} times" if server is not None else ""
    return (
        f"{tally}; {kind}, full {options.stops} times{stored}, 503 with Retry-After: "
        f"{dict(scene.refused)}, all processes live: {lives}"
    )


_MOUNTED = "disk of its own"


@contextmanager
def _limited(disk: Path) -> Iterator[tuple[Path, str]]:
    """Yield a folder whose disk can be filled, and how."""
    disk.mkdir(exist_ok=True)
    if disk.is_mount():  # PostgreSQL lies on it
        yield disk, _MOUNTED
    elif may_mount():
        with mount_small(disk, 24):
            yield disk, _MOUNTED
    else:
        yield disk, "RLIMIT_FSIZE"


@contextmanager
def _nothing_left(disk: Path, scene: Scene, *, by_mount: bool) -> Iterator[None]:
    """Have no room; or, where nothing can be mounted, let no file grow past what it has."""
    if by_mount:
        ballast = fill_up(disk)
        yield
        ballast.unlink()
        return
    largest = max((disk / name).stat().st_size for name in ("awizo.db", "awizo.db-wal"))
    for limit in (largest // 8, resource.RLIM_INFINITY):  # past that nothing can be written
        for each in scene.processes:
            resource.prlimit(each.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        if limit != resource.RLIM_INFINITY:
            yield


async def prove_image(server: Server | None, folder: Path, options: argparse.Namespace) -> str:
    """Take away the power under load, and start what the disk has."""
    first, again = folder / "disk", folder / "again"
    mounted, image = may_mount(), folder / "disk.img"
    with ExitStack() as stack:
        if server is None and mounted:
            stack.enter_context(mount_image(image, first, 64))
        first.mkdir(exist_ok=True)
        url = f"sqlite:///{first}/awizo.db" if server is None else server.url
        async with stage(url, folder, options.messages) as scene:
            await scene.accept(options.messages // 2)
            frozen = [each.pid for each in scene.processes]
            frozen += list_family(server.pid) if server is not None else []
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            answered = set(scene.accepted)  # what is still on its way to us came after
            if mounted:
                lose_power(image, folder / "copy.img")
            else:
                shutil.copytree(first, again)
            taken = list(scene.peer.taken)
            scene.driver.cancel()
            if server is not None:
                for pid in frozen:
                    os.kill(pid, signal.SIGCONT)
        if mounted:
            stack.enter_context(mount_image(folder / "copy.img", again))
        other = None if server is None else server.restart_from(again / first_data(server, first))
        ...
PROOFS: dict[str, Callable[..., Awaitable[str]]] = {
    "kills": prove_kills, "replies": prove_replies, "stopped": prove_stopped,
    "restart": prove_restart, "disk": prove_disk, "image": prove_image,
}  # fmt: skip
_SQLITE_ONLY = ("disk", "image")


def run(name: str, engine: str, options: argparse.Namespace) -> None:
    """Run one proof on one engine and print its line."""
    prove = PROOFS[name]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if name == "restart":
            with serve_postgres(durable=True) as server:
                said = asyncio.run(prove(server, folder, options))
        elif engine == "sqlite":
            own = folder / "first" if name == "image" else folder
            own.mkdir(exist_ok=True)
            said = asyncio.run(prove(f"sqlite:///{own}/awizo.db", folder, options))
        else:
            with run_postgres(durable=True) as url:
                said = asyncio.run(prove(url, folder, options))
    print(f"{name:8} {engine:9} {said} ({show_load()})", flush=True)


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
            fits = engine == ("postgres" if name == "restart" else "sqlite")
            if options.engine in (engine, "both") and (
                fits or name not in (*_SQLITE_ONLY, "restart")
            ):
                run(name, engine, options)


if __name__ == "__main__":
    main()
