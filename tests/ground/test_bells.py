"""Bells between processes: quick, few, back by themselves, gone with the process."""

import asyncio
import statistics
import threading
import time
from collections.abc import AsyncIterator
from contextlib import contextmanager

import anyio
import psycopg
import pytest
from structlog.testing import capture_logs

from app.db import Database
from tests.pg import execute, name_database

pytestmark = pytest.mark.anyio
LIMIT_S = 20


@pytest.fixture
async def here(postgres_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    opened = Database(postgres_url)
    yield opened
    opened.close()


@pytest.fixture
async def there(postgres_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    opened = Database(postgres_url)
    yield opened
    opened.close()


@pytest.fixture
async def bell(here: Database, there: Database) -> asyncio.Event:
    """A bell here that a ring there is known to reach."""
    bell = asyncio.Event()
    here.add_bell(bell)
    await be_rung(bell, there)
    return bell


async def be_rung(bell: asyncio.Event, there: Database) -> None:
    """Ring there until it is heard here."""
    with anyio.fail_after(LIMIT_S):
        bell.clear()
        while not bell.is_set():
            there.ring()
            await anyio.sleep(0.01)


async def be_still(bell: asyncio.Event) -> None:
    """Wait until nothing more comes of what was rung before."""
    bell.set()
    while bell.is_set():
        bell.clear()
        await anyio.sleep(0.4)


def count_threads() -> int:
    return sum(thread.name == "bells" for thread in threading.enumerate())


@contextmanager
def cut_off(server_url: str, database: str):
    """Let nobody reach the database."""
    execute(server_url, f"alter database {database} allow_connections false")
    execute(
        server_url,
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'",
    )
    try:
        yield
    finally:
        execute(server_url, f"alter database {database} allow_connections true")


async def test_a_ring_reaches_another_process_at_once(bell, there):
    took_s = []
    for _ in range(9):
        await be_still(bell)
        rung_at = time.perf_counter()
        there.ring()
        with anyio.fail_after(LIMIT_S):
            await bell.wait()
        took_s.append(time.perf_counter() - rung_at)
    assert statistics.median(took_s) < 0.05


async def test_nobody_is_woken_by_his_own_call(bell, here, there):
    await be_still(bell)
    here.ring()
    bell.clear()
    with psycopg.connect(here.url.render_as_string(hide_password=False)) as listener:
        listener.autocommit = True
        listener.execute("listen awizo")
        heard = asyncio.create_task(asyncio.to_thread(list, listener.notifies(timeout=0.15)))
        here.ring()
        bell.clear()
        assert await heard
    assert not bell.is_set()


async def test_a_verdict_wakes_only_those_who_wait_for_verdicts(bell, here, there):
    waiting = asyncio.Event()
    here.add_bell(waiting, "verdict")
    await be_still(bell)
    waiting.clear()
    for db in (here, there):
        db.ring("verdict")
        with anyio.fail_after(LIMIT_S):
            await waiting.wait()
        assert not bell.is_set()
        waiting.clear()
    there.ring()
    with anyio.fail_after(LIMIT_S):
        await bell.wait()
    assert waiting.is_set()


async def test_many_rings_are_few_calls(bell, there, postgres_url):
    await be_still(bell)
    with psycopg.connect(postgres_url, autocommit=True) as listener:
        listener.execute("listen awizo")
        began_at = time.perf_counter()
        for _ in range(300):
            there.ring()
            await anyio.sleep(0.0005)
        most = (time.perf_counter() - began_at) / 0.05 + 2
        calls = await asyncio.to_thread(list, listener.notifies(timeout=0.15))
    assert 1 <= len(calls) <= most


async def test_after_the_database_was_away_it_rings_again_and_the_log_has_one_line(
    bell, here, there, postgres_server_url
):
    with capture_logs() as logged:
        with cut_off(postgres_server_url, here.url.database):
            with anyio.fail_after(LIMIT_S):
                while len(logged) < 2:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            await anyio.sleep(0.15)  # long enough for tries that fail, too
            assert [line["event"] for line in logged] == ["bells_disconnected"] * 2  # here, there
        await be_rung(bell, there)
    assert sum(line["event"] == "bells_disconnected" for line in logged) == 2


async def test_whoever_was_away_is_rung_when_the_database_is_back(bell, here, postgres_server_url):
    await be_still(bell)
    with cut_off(postgres_server_url, here.url.database):
        pass
    with anyio.fail_after(LIMIT_S):
        await bell.wait()


async def test_the_bells_end_with_the_database(postgres_url, anyio_backend):
    before = count_threads()
    db = Database(postgres_url)
    db.add_bell(asyncio.Event())
    assert count_threads() == before + 1
    await asyncio.to_thread(db.close)
    db.ring()
    assert count_threads() == before


async def test_the_bells_end_while_the_database_is_away(postgres_server_url, anyio_backend):
    before = count_threads()
    with capture_logs() as logged:
        db = Database(name_database(postgres_server_url, "nowhere"))
        db.ring()
        with anyio.fail_after(LIMIT_S):
            while not logged:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        await asyncio.to_thread(db.close)
    assert count_threads() == before


async def test_on_sqlite_there_is_nobody_to_call(sqlite_url, anyio_backend):
    before = count_threads()
    db = Database(sqlite_url)
    db.ring()
    assert count_threads() == before
    db.close()
