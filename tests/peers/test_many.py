"""Many mailboxes of a real Dovecot, bad ones among them, several workers: nobody waits for another."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.inbox import collect, collector
from app.inbox.mailboxes import enroll
from app.inbox.tables import incoming, mailbox
from app.outbox.office import Office, open_office
from app.settings import Settings
from tests.flows.house import build, until
from tests.peers.collecting import collecting, read, write
from tests.peers.dovecot import PASSWORD, PEOPLE, Dovecot
from tests.rooms.outbox.desk import configure

pytestmark = [pytest.mark.anyio, pytest.mark.peer]


@pytest.fixture(autouse=True)
def emptied(dovecot: Dovecot) -> Iterator[None]:
    yield
    for each in PEOPLE:
        shutil.rmtree(dovecot.folder / "mail" / each.partition("@")[0], ignore_errors=True)


async def set_up_user(office: Office, dovecot: Dovecot, number: int, **more: Any) -> str:
    incoming = {
        "host": "127.0.0.1", "port": dovecot.ports["imap"], "connection": "plaintext",
        "username": PEOPLE[number], "password": PASSWORD, "allow_insecure_auth": True, **more,
    }  # fmt: skip
    return await configure(office, f"user{number}", config={"incoming": incoming})


async def wait_for_count(office: Office, query: Any, count: int, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while (await read(office, query))[0][0] != count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def misbehave(*, drips: bool) -> AsyncIterator[int]:
    """A server that says nothing, or a byte now and then and never a line."""

    meetings: set[asyncio.Task[Any] | None] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meetings.add(asyncio.current_task())
        with contextlib.closing(writer), contextlib.suppress(OSError):
            while not reader.at_eof():
                if drips:
                    writer.write(b"*")
                    await writer.drain()
                await asyncio.sleep(0.05)

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await asyncio.gather(*filter(None, meetings))  # they see that the other side has gone


async def test_of_thirty_mailboxes_the_bad_ones_delay_no_other(
    office: Office, dovecot: Dovecot
) -> None:
    async with misbehave(drips=False) as silent, misbehave(drips=True) as dripping:
        await set_up_user(office, dovecot, 27, port=silent)
        await set_up_user(office, dovecot, 28, port=dripping)
        await set_up_user(office, dovecot, 29, password="falsch")
        for number in range(27):
            await set_up_user(office, dovecot, number, poll_s=3600)
        async with collecting(office):
            well = select(func.count()).where(mailbox.c.synced_at.is_not(None))
            await wait_for_count(office, well, 27, seconds=20)
            for number in range(27):
                dovecot.drop(PEOPLE[number], write(number))
            await wait_for_count(office, select(func.count(incoming.c.id)), 27, seconds=5)
            rows = await read(office, select(mailbox.c.cause, mailbox.c.claimed_by))
    assert Counter(row.cause for row in rows) == {None: 29, "credentials_refused": 1}
    assert sum(row.claimed_by is not None for row in rows) == 29  # two are waited for still


async def test_who_waits_for_news_gives_way_where_more_are_due_than_may_be_held(
    office: Office, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "_MOST_SESSIONS", 2)
    monkeypatch.setattr(collect, "_IDLE_SLICE_S", 0.1)
    for number in range(6):
        dovecot.drop(PEOPLE[number], write(number))
        await set_up_user(office, dovecot, number)
    async with collecting(office):
        await wait_for_count(office, select(func.count(incoming.c.id)), 6, seconds=10)


async def test_servers_that_drip_hold_no_place_that_others_wait_for(
    office: Office, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_MOST_SESSIONS", 2), ("_MOST_TURN_S", 0.2), ("_ENROLL_S", 0.1)):
        monkeypatch.setattr(collector, name, value)
    async with misbehave(drips=True) as dripping:
        for number in (27, 28):
            await set_up_user(office, dovecot, number, port=dripping)
        async with collecting(office):
            held = select(func.count()).where(mailbox.c.claimed_by.is_not(None))
            await wait_for_count(office, held, 2, seconds=10)
            dovecot.drop(PEOPLE[0], write(0))
            await set_up_user(office, dovecot, 0)
            await wait_for_count(office, select(func.count(incoming.c.id)), 1, seconds=10)


async def test_a_mail_that_trips_us_is_not_tried_again_at_once(
    office: Office, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(*_: Any) -> None:
        raise ZeroDivisionError

    dovecot.drop(PEOPLE[0], write(0))
    await set_up_user(office, dovecot, 0)
    monkeypatch.setattr(collect, "understand", trip)
    async with collecting(office):
        failed = select(func.count()).where(mailbox.c.cause == "internal_error")
        await wait_for_count(office, failed, 1, seconds=10)
    (row,) = await read(office, select(mailbox).where(mailbox.c.cause.is_not(None)))
    assert (row.failures, row.detail, row.next_at > row.failed_at) == (1, "ZeroDivisionError", True)


async def test_what_a_killed_worker_held_another_takes_over_and_nothing_comes_twice(
    dovecot: Dovecot, sqlite_url: str, tmp_path: Path
) -> None:
    count, each_gets = 6, 15
    office = open_office(Settings(data_dir=tmp_path / "data", database_url=sqlite_url))
    with build(tmp_path, sqlite_url) as house:
        workers = [house.start("worker") for _ in range(2)]
        for worker in workers:
            await house.until_at_work(worker)
        for number in range(count):
            await set_up_user(office, dovecot, number, after="delete", first_sync="all")
        await office.db.write(enroll)

        def find_holders() -> list[str]:
            held = select(mailbox.c.claimed_by).where(mailbox.c.claimed_by.is_not(None))
            return list(house.read(lambda tx: tx.scalars(held).all()))

        await until(lambda: len(find_holders()) == count)
        victim = next(each for each in workers if f"-{each.pid}-" in find_holders()[0])
        for number in range(count * each_gets):
            dovecot.drop(PEOPLE[number % count], write(number))
        stored = select(func.count(incoming.c.id))
        await until(lambda: house.read(lambda tx: tx.scalar(stored)))
        os.kill(victim.pid, signal.SIGKILL)
        await victim.wait()
        orphaned = [each for each in find_holders() if f"-{victim.pid}-" in each]
        assert orphaned
        past = datetime.now(UTC) - timedelta(seconds=1)  # as if the lease of a minute were over
        await office.db.write(
            lambda tx: tx.execute(
                update(mailbox).where(mailbox.c.claimed_by.in_(orphaned)).values(lease_until=past)
            )
        )
        boxes = range(count)
        await until(lambda: not any(dovecot.read(PEOPLE[each]) for each in boxes), 30)
        (survivor,) = (each for each in workers if each is not victim)
        # Also a mailbox that the victim had emptied before its end.
        await until(lambda: sum(f"-{survivor.pid}-" in each for each in find_holders()) == count)
        names = house.read(lambda tx: tx.scalars(select(incoming.c.message_id)).all())
    await office.close()
    assert sorted(names) == sorted(f"<{each}@klient.example>" for each in range(count * each_gets))
