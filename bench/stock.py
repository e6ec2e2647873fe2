"""An outbox with accepted mail in it, for the benches: every message stored as the door stores it.

One message is really prepared; the others are it with ids of their own, so that filling takes little
time before the clock starts.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, func, make_url, select, text
from sqlalchemy.engine import Connection

from app.configuration.switch import pause, resume
from app.db import new_id
from app.mime.address import Mailbox
from app.outbox.accept import store
from app.outbox.check import ask_ground
from app.outbox.office import Office, open_office
from app.outbox.order import Order
from app.outbox.prepare import prepare
from app.outbox.tables import attempt, message, recipient
from app.settings import Settings
from migrations.run import upgrade
from tests.pg import run_postgres
from tests.rooms.outbox.desk import ADMIN, configure

LINE = "Szanowni Państwo, prosimy o zapłatę zaległej należności; termin minął przed tygodniem.\n"
_SLICE = 200
_TIMEOUT_S = 300


def open_stock(url: str, folder: Path, **settings: Any) -> Office:
    """Open an office on a fresh or a filled database."""
    upgrade(url)
    return open_office(
        Settings(data_dir=folder, database_url=url, ehlo_name="awizo.example", **settings)
    )


async def hold_back(office: Office, port: int = 25) -> str:
    """Have an account whose mail waits for ``let_go``; return its id."""
    account_id = await configure(office, port=port)
    await office.db.write(pause, ADMIN, "global", office.clock())
    return account_id


async def let_go(office: Office) -> None:
    """Let the account send."""
    await office.db.write(resume, ADMIN, "global", office.clock())
    office.db.ring()


async def fill(
    office: Office, count: int, *, size: int = 5000, html: bool = False, padding: bytes = b""
) -> None:
    """Accept messages to two recipients each, of about ``size`` bytes on the wire and a padding."""
    body = LINE * max(1, size // len(LINE.encode()) - 4)
    if html:
        body = f"<!DOCTYPE html><html><body><p>{body[: size // 2]}</p></body></html>"
    to = tuple(Mailbox(f"{name}@klient.example") for name in ("anna", "jan"))
    order = Order(to=to, subject="Wezwanie do zapłaty", body=body)
    first = await prepare(office, order, await ask_ground(office, order))
    composed = replace(first.composed, raw=first.composed.raw + padding)
    first = replace(first, composed=composed)
    at_once = 20 if padding else _SLICE
    for start in range(0, count, at_once):
        at = office.clock()
        fresh = range(min(at_once, count - start))
        slice_ = [(ADMIN, replace(first, id=new_id(at), at=at)) for _ in fresh]
        await office.db.write(store, office.vault, slice_, "on")


def multiply(tx: Connection, count: int, *, ended: bool, mark: str) -> None:
    """Store ``count`` copies of the first message and its recipients, without bodies; mark: four
    characters that no other call's ids begin with."""
    is_sqlite = tx.dialect.name == "sqlite"
    series = "with recursive s(n) as (select 1 union all select n + 1 from s where n < :count) "
    source = "s" if is_sqlite else "generate_series(1, :count) as s(n)"
    number = f"'{mark}' || " + ("printf('%012d', s.n)" if is_sqlite else "lpad(s.n::text, 12, '0')")
    (first,) = tx.execute(text("select min(id) from message")).one()
    for table in (message, recipient):
        own = number if table is message else f"{number} || position"
        changed = {"id": own, "message_id": number} if table is recipient else {"id": own}
        if ended:
            changed |= {"due_at": "null", "state": "'sent'", "status": "'sent'"}
            changed |= {"ended_at": "created_at"} if table is message else {}
        names = [each.name for each in table.columns]
        values = ", ".join(changed.get(each, f"o.{each}") for each in names)
        key = "id" if table is message else "message_id"
        tx.execute(
            text(
                f"insert into {table.name} ({', '.join(names)}) "
                f"{series if is_sqlite else ''}select {values} from {table.name} o, {source} "
                f"where o.{key} = :first"
            ),
            {"count": count, "first": first},
        )


def count_sent(tx: Connection) -> int:
    """Return how many recipients were sent to, of all time."""
    return int(tx.scalar(select(func.count()).where(attempt.c.verdict == "sent")) or 0)


@contextmanager
def run_databases(wanted: set[str]) -> Iterator[dict[str, str]]:
    """Yield the URL of a fresh, durable database of each kind: ``sqlite``, ``postgres``."""
    urls = {}
    with tempfile.TemporaryDirectory(prefix="awizo-bench-") as folder:
        if "sqlite" in wanted:
            urls["sqlite"] = f"sqlite:///{folder}/awizo.db"
        if "postgres" not in wanted:
            yield urls
            return
        with run_postgres(durable=True) as url:
            yield urls | {"postgres": url}


class Child:
    """A Python process of the benches that is told a line of JSON, and answers with one."""

    def __init__(self, module: str, *args: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | environment,
        )  # fmt: skip

    def tell(self, *said: Any) -> None:
        """Say what to do."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Return the answer."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended")
        return json.loads(line)

    def ask(self, *said: Any) -> Any:
        """Tell and hear."""
        self.tell(*said)
        return self.hear()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)


async def read_line() -> Any:
    """Return what the child is told next, None at the end."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return json.loads(line) if line else None


def answer(value: Any) -> None:
    """Answer as a child."""
    print(json.dumps(value), flush=True)


def show_load() -> str:
    """Return the load average, for the head of a table."""
    return "load average " + " ".join(f"{each:.1f}" for each in os.getloadavg())


def count_postgres_cpu_s(url: str) -> float:
    """Return the CPU of all of a PostgreSQL's processes, user and system."""
    if make_url(url).get_backend_name() == "sqlite":
        return 0.0
    engine = create_engine(url)
    try:
        with engine.connect() as tx:
            (data,) = tx.exec_driver_sql("show data_directory").one()
    finally:
        engine.dispose()
    return _sum_cpu_s(int((Path(data) / "postmaster.pid").read_text().split()[0]))


def list_family(parent: int) -> list[int]:
    """Return a process and its children."""
    return [parent, *(pid for pid, fields in _read_stats() if int(fields[1]) == parent)]


def _sum_cpu_s(parent: int) -> float:
    """Return what a process and its children, also those that ended, have used."""
    ticks = 0
    for pid, fields in _read_stats():
        if pid == parent:
            ticks += sum(map(int, fields[11:15]))
        elif int(fields[1]) == parent:
            ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _read_stats() -> Iterator[tuple[int, list[str]]]:
    """Yield every process and the fields of its ``stat`` from the third on."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
