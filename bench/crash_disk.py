"""Crashes of the disk: full, and without power. Run by ``python -m bench.crash disk image``."""

import argparse
import asyncio
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import select

from app.outbox.tables import message
from bench.disks import fill_up, is_mount, lose_power, mount_image
from bench.scene import FINISH_S, Scene, stage
from bench.stock import list_family
from tests.flows.crash import take_tally
from tests.flows.house import build, configuration, until
from tests.flows.peer import Taken, serve
from tests.pg import Server

_REFUSALS = 20  # that a full disk is to be met with before there is room again


async def prove_disk(
    server: Server | None, disk: Path, folder: Path, options: argparse.Namespace
) -> str:
    """Let there be no room on the disk, until enough was refused for it."""
    url = f"sqlite:///{disk}/awizo.db" if server is None else server.url
    ended = 0
    async with stage(url, disk.parent, options.messages) as scene:
        for number in range(options.stops):
            await scene.accept((number + 1) * options.messages // (options.stops + 2))
            enough = scene.refused.total() + _REFUSALS
            with _leave_no_room(disk, scene):
                await until(lambda n=enough: scene.refused.total() >= n, FINISH_S)
                ended += server is not None and not server.lives
            if server is not None and not server.lives:
                server.restart()
                await asyncio.to_thread(server.wait_until_ready)
            scene.house.engine.dispose()
        tally = await scene.finish()
        lives = all(each.lives for each in scene.processes)
    how = "a disk of its own" if is_mount(disk) else "RLIMIT_FSIZE"
    stopped = "" if server is None else f", PostgreSQL stopped itself {ended} times"
    return (
        f"{tally}; full {options.stops} times ({how}){stopped}, 503 with Retry-After "
        f"{dict(scene.refused)}, all processes live: {lives}"
    )


@contextmanager
def _leave_no_room(disk: Path, scene: Scene) -> Iterator[None]:
    """Take all the room there is; where nothing can be mounted, let no file grow any more."""
    if is_mount(disk):
        ballast = fill_up(disk)
        yield
        ballast.unlink()
        return
    # Past that nothing can be written; logs fit.
    limit = max((disk / name).stat().st_size for name in ("awizo.db", "awizo.db-wal")) // 8
    for each in scene.processes:
        resource.prlimit(each.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    yield
    for each in scene.processes:
        resource.prlimit(each.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


async def prove_image(
    server: Server | None, disk: Path, folder: Path, options: argparse.Namespace
) -> str:
    """Take away the power under load, and start what the disk has."""
    url = f"sqlite:///{disk}/awizo.db" if server is None else server.url
    with ExitStack() as stack:
        async with stage(url, disk.parent, options.messages) as scene:
            await scene.accept(options.messages // 2)
            frozen = [each.pid for each in scene.processes]
            frozen += [] if server is None else list_family(server.pid)
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            answered = set(scene.accepted)  # what is still on its way to us came after
            again = folder / "again" / "data"
            if is_mount(disk):
                lose_power(folder / "disk.img", folder / "copy.img")
                stack.enter_context(mount_image(folder / "copy.img", again))
            else:
                shutil.copytree(disk, again)
            taken = list(scene.peer.taken)
            scene.driver.cancel()
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        here = f"sqlite:///{again}/awizo.db"
        if server is not None:
            other = server.start_copy(again / server.data.relative_to(disk))
            stack.callback(other.stop)
            other.wait_until_ready()
            here = other.url
        return await _deliver_copy(here, again.parent, answered, taken, disk)


async def _deliver_copy(
    url: str, folder: Path, answered: set[str], taken: list[Taken], disk: Path
) -> str:
    with build(folder, url) as house:
        async with serve() as peer:
            peer.taken += taken
            api = await house.serve()
            async with house.client() as client:
                document = configuration(peer.port)
                (await client.put("/config/global", json=document)).raise_for_status()
            await until(lambda: not house.count_unfinished(), FINISH_S, lambda: api.said[-2000:])
            tally = house.read(lambda tx: take_tally(tx, peer, answered))
            ids = set(house.read(lambda tx: tx.scalars(select(message.c.id)).all()))
    how = "what was synced to an ext4" if is_mount(disk) else "a copy of the folder"
    return f"{tally}; {how}: answered 202 before and not in it: {len(answered - ids)}"
