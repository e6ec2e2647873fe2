"""Collecting from a real mailbox in a test: mail that arrives, and what was stored of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.inbox.collector import Collector
from app.inbox.tables import incoming, mailbox
from app.outbox.office import Office, open_office
from app.settings import Settings
from tests.peers.dovecot import OTHER, PASSWORD, USER, Dovecot
from tests.rooms.outbox.desk import configure


@pytest.fixture
async def office(sqlite_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Office]:
    """An office on a database of its own."""
    opened = open_office(Settings(data_dir=tmp_path, database_url=sqlite_url))
    yield opened
    await opened.close()


def write(number: int | str, *more: str) -> bytes:
    """Write a mail; more: further lines of its header."""
    return "\r\n".join(
        [
            "From: Klient <klient@klient.example>", f"To: {USER}", f"Subject: Mail {number}",
            f"Message-ID: <{number}@klient.example>", *more, "", f"Treść {number}", "",
        ]
    ).encode()  # fmt: skip


def put(dovecot: Dovecot, *numbers: int | str, box: str = "") -> None:
    """Let mail arrive in the mailbox."""
    for number in numbers:
        dovecot.drop(USER, write(number), box)


def empty(dovecot: Dovecot) -> None:
    """Delete all mail in the inboxes."""
    for user in (USER, OTHER):
        dovecot.run("expunge", "-u", user, "mailbox", "INBOX", "all")


async def set_up(office: Office, dovecot: Dovecot, **more: Any) -> str:
    """Collect from the mailbox; more: members of ``incoming``."""
    return await configure(
        office,
        config={
            "incoming": {
                "host": "127.0.0.1", "port": dovecot.ports["imaps"], "connection": "ssl_tls",
                "username": USER, "password": PASSWORD, "ca_pem": dovecot.ca_pem, **more,
            }
        },
    )  # fmt: skip


@asynccontextmanager
async def collecting(office: Office, name: str = "w") -> AsyncIterator[Collector]:
    """Collect as a worker does, with more steps a second."""
    collector = Collector(office, name)
    stopping = asyncio.Event()

    async def run() -> None:
        while not stopping.is_set():
            await collector.step()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(run())
    try:
        yield collector
    finally:
        stopping.set()
        await task
        await collector.stop()


async def read(office: Office, query: Any) -> list[Any]:
    """Run a query."""
    return list(await office.db.read(lambda tx: tx.execute(query).all()))


async def list_subjects(office: Office) -> list[str]:
    """Return of what was stored the subjects, in order."""
    return [row.subject for row in await read(office, select(incoming).order_by(incoming.c.id))]


async def wait_for(office: Office, condition: Callable[[Any], bool], seconds: float = 20) -> Any:
    """Wait until the mailbox's row is as wished."""
    async with asyncio.timeout(seconds):
        while True:
            rows = await read(office, select(mailbox))
            if rows and condition(rows[0]):
                return rows[0]
            await asyncio.sleep(0.02)


async def wait_for_subjects(office: Office, *wanted: str, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while sorted(await list_subjects(office)) != sorted(wanted):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def sync_once(office: Office) -> Any:
    """Collect until the next whole sync is written."""
    rows = await read(office, select(mailbox))
    before = rows[0].synced_at if rows else None
    await office.db.write(lambda tx: tx.execute(mailbox.update().values(next_at=office.clock())))
    async with collecting(office):
        return await wait_for(office, lambda row: row.synced_at not in (None, before))
