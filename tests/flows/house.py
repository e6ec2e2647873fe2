"""Real processes of Awizo on one database: started, watched, killed.

``House`` knows the environment and every process that it started; leaving it ends them all. What a
process said is in a file, and in the message of whatever assertion fails on it.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
from sqlalchemy import Engine, create_engine, func, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from app.outbox.tables import message, worker
from tests.pg import execute

ROOT = Path(__file__).parent.parent.parent
ADMIN_KEY = "k" * 32
START_S = 40  # on a machine that is busy with other tests
BASE = {
    "AWIZO_ADMIN_KEY": ADMIN_KEY,
    "AWIZO_EHLO_NAME": "awizo.example",
    "AWIZO_LEASE_S": "2",
    "AWIZO_POLL_S": "0.05",
    "AWIZO_RETRY_SCHEDULE": "0.3s",
    "AWIZO_STOP_GRACE_S": "5",
    "AWIZO_CONNECTION_IDLE_S": "1",
}

_IN_TRANSACTION = text(
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and pid <> pg_backend_pid() and backend_xid is not null"
)


class Process:
    """One process; ``said`` is all that it has written."""

    def __init__(self, args: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app", *args],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        return self._log.read_text("utf-8", "replace")

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        if self.lives:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a word, as a power cut does."""
        self.signal(signal.SIGKILL)
        self._process.wait(10)

    async def wait(self, within_s: float = 20) -> int:
        """Wait for its end; return its exit status."""
        await until(lambda: not self.lives, within_s, lambda: self.said)
        return self._process.returncode


class House:
    """One installation: a data directory, a database, a port, and its processes."""

    def __init__(self, folder: Path, url: str, **settings: str) -> None:
        self.url = f"http://127.0.0.1:{find_port()}"
        self.engine: Engine = create_engine(url)
        self._folder = folder
        self._processes: list[Process] = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWIZO_")}
        self._environment = kept | BASE | settings
        self._environment |= {
            "AWIZO_DATA_DIR": str(folder / "data"),
            "AWIZO_DATABASE_URL": url,
            "AWIZO_PORT": self.url.rpartition(":")[2],
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, *args: str, **settings: str) -> Process:
        """Start ``python -m app …``; settings: further environment variables."""
        log = self._folder / f"process-{len(self._processes)}.log"
        process = Process(args, self._environment | settings, log)
        self._processes.append(process)
        return process

    async def serve(self, *args: str) -> Process:
        """Start the API and wait until it answers."""
        process = self.start("serve", *args)
        async with httpx.AsyncClient() as client:

            async def answers() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"{self.url}/healthz")).is_success
                return False

            await until(answers, START_S, lambda: process.said, alive=process)
        return process

    async def work(self) -> Process:
        """Start a worker and wait until it works."""
        process = self.start("worker")
        await self.until_at_work(process)
        return process

    async def until_at_work(self, process: Process) -> None:
        def beats() -> bool:
            return process.pid in self.read(lambda tx: tx.scalars(select(worker.c.pid)).all())

        await until(beats, START_S, lambda: process.said, alive=process)

    async def freeze(self, process: Process) -> None:
        """Stop a process between two transactions: inside one it would keep its locks for ever."""
        while True:
            process.signal(signal.SIGSTOP)
            if not await self._somebody_keeps_locks():
                return
            process.signal(signal.SIGCONT)
            await anyio.sleep(0.01)

    async def _somebody_keeps_locks(self) -> bool:
        for _ in range(5):
            try:
                with self.engine.connect() as tx:
                    if tx.dialect.name == "sqlite":
                        tx.exec_driver_sql("pragma busy_timeout=0")
                        tx.exec_driver_sql("begin immediate")
                        return False
                    if not tx.scalar(_IN_TRANSACTION):
                        return False
            except OperationalError as error:
                assert "locked" in str(error)
            await anyio.sleep(0.02)
        return True

    def read(self, verb: Callable[[Connection], Any]) -> Any:
        """Run a verb that only reads."""
        with self.engine.connect() as tx:
            return verb(tx)

    def count_unfinished(self) -> int:
        query = select(func.count()).where(message.c.ended_at.is_(None))
        return int(self.read(lambda tx: tx.scalar(query)))

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Speak to the API as an admin."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=20) as client:
            yield client

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[None]:
        """Let nobody reach the (PostgreSQL) database."""
        name = self.engine.url.database
        server = self.engine.url.set(database="postgres", drivername="postgresql")
        url = server.render_as_string(hide_password=False)
        self.engine.dispose()
        execute(url, f"alter database {name} allow_connections false")
        execute(
            url, f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        )
        try:
            yield
        finally:
            execute(url, f"alter database {name} allow_connections true")

    def close(self) -> None:
        """End every process, also one that was stopped."""
        for process in self._processes:
            process.kill()
        self.engine.dispose()


@contextlib.contextmanager
def build(folder: Path, url: str, **settings: str) -> Iterator[House]:
    """Have a house, and nothing of it afterwards."""
    house = House(folder, url, **settings)
    try:
        yield house
    finally:
        house.close()


async def until(
    found: Callable[[], Any],
    within_s: float = 20,
    explain: Callable[[], object] = lambda: "",
    *,
    alive: Process | None = None,
) -> None:
    """Wait until ``found()`` (a plain or an async function) is true."""
    end = time.monotonic() + within_s
    while True:
        value = found()
        if hasattr(value, "__await__"):
            value = await value
        if value:
            return
        assert time.monotonic() < end, f"not within {within_s} s: {explain()}"
        assert alive is None or alive.lives, f"it ended: {explain()}"
        await anyio.sleep(0.02)


def find_port() -> int:
    """Return a loopback port that nobody listens on just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def configuration(port: int, **smtp: Any) -> dict[str, Any]:
    """Return the body of ``PUT /config/global`` for a mail server on loopback."""
    return {
        "smtp": {"host": "127.0.0.1", "port": port, "connection": "plaintext", **smtp},
        "sender": {"address": "faktury@firma.example", "name": "Firma"},
    }


def order(number: int = 0, **members: Any) -> dict[str, Any]:
    """Return the body of ``POST /send``."""
    return {
        "to": f"klient{number}@klient.example",
        "subject": f"Faktura {number}",
        "body": "Dzień dobry, w załączeniu faktura.",
        **members,
    }
