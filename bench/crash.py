"""Crashes on purpose, and the count afterwards: lost, doubled, explained. Real processes, real kills.

``kills``    kill -9 of workers and API at random moments
``replies``  every tenth final reply is lost: sent again, then with mail held instead
``stopped``  a worker stopped (SIGSTOP) at its dots for longer than its lease, then let go on
``restart``  PostgreSQL crashes and is restarted under load, with fsync
``disk``     files may not grow any more (SQLite), then they may again
``image``    all is frozen under load and the data directory copied; the copy is started (SQLite)
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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from app.outbox.tables import message
from bench.stock import show_load
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
            driver = asyncio.create_task(drive(client, messages, accepted))
            yield Scene(house, peer, api, running, driver, accepted)
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
    """Stop a worker beyond its lease (2 s), more than once."""
    async with stage(url, folder, options.messages, workers=2) as scene:
        scene.peer.always("dot", Late(0.1, _TAKEN))
        for number in range(options.stops):
            await scene.accept((number + 1) * options.messages // (options.stops + 2))
            victim = scene.workers[number % 2]
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(4)
            victim.signal(signal.SIGCONT)
        tally = await scene.finish()
        fenced = sum(each.said.count('"fenced": true') for each in scene.workers)
    return f"{tally}; stops {options.stops}, settlings fenced off {fenced}"


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


async def prove_disk(url: str, folder: Path, options: argparse.Namespace) -> str:
    """Let no file grow past what it has, for two seconds."""
    async with stage(url, folder, options.messages) as scene:
        for number in range(options.stops):
            await scene.accept((number + 1) * options.messages // (options.stops + 2))
            processes = [scene.api, *scene.workers]
            limit = _find_largest(folder) // 8  # past that nothing can be written; logs fit
            for each in processes:
                resource.prlimit(each.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            await asyncio.sleep(2)
            for each in processes:
                resource.prlimit(each.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        tally = await scene.finish()
        lives = all(each.lives for each in (scene.api, *scene.workers))
        full = sum(each.said.count("disk_full") + each.said.count("database_unavailable")
                   for each in (scene.api, *scene.workers))  # fmt: skip
    return (
        f"{tally}; times full {options.stops}, lines about it {full}, all processes live: {lives}"
    )


def _find_largest(folder: Path) -> int:
    """Return the size of the larger of database and WAL."""
    return max((folder / name).stat().st_size for name in ("awizo.db", "awizo.db-wal"))


async def prove_image(url: str, folder: Path, options: argparse.Namespace) -> str:
    """Start a copy of the data directory as it was at one moment."""
    copy = folder / "copy"
    async with stage(url, folder / "first", options.messages) as scene:
        await scene.accept(options.messages // 2)
        for each in (scene.api, *scene.workers):
            each.signal(signal.SIGSTOP)
        answered = set(scene.accepted)  # what is still on its way to us came after
        shutil.copytree(folder / "first", copy)
        taken = list(scene.peer.taken)
        scene.driver.cancel()
    with build(copy, f"sqlite:///{copy}/awizo.db") as house:
        async with serve() as peer:
            peer.taken += taken
            api = await house.serve()
            async with house.client() as client:
                document = configuration(peer.port)
                (await client.put("/config/global", json=document)).raise_for_status()
            await until(lambda: not house.count_unfinished(), _FINISH_S, lambda: api.said[-2000:])
            tally = house.read(lambda tx: take_tally(tx, peer, answered))
            ids = set(house.read(lambda tx: tx.scalars(select(message.c.id)).all()))
    return f"{tally}; answered 202 before the image and not in it: {len(answered - ids)}"


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
