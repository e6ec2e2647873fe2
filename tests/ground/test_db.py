"""The way to the database: groups share a commit, failures stay with their own, nothing hangs."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from app.accounts.tables import person
from app.db import (
    TRANSACTION_ID,
    Database,
    alone,
    commit_horizon,
    lock_rows,
    lock_table,
    new_id,
    now,
)
from app.errors import Conflict, Unavailable

pytestmark = pytest.mark.anyio


@pytest.fixture
async def db(database_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
async def postgres(postgres_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    opened = Database(postgres_url)
    yield opened
    opened.close()


@pytest.fixture
async def sqlite(sqlite_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    opened = Database(sqlite_url)
    yield opened
    opened.close()


def add(tx, name):
    at = now(tx)
    tx.execute(insert(person).values(id=name, active_scope="global", created_at=at, updated_at=at))
    return name


def add_and_show(tx, name):
    add(tx, name)
    return tx  # the connection: the same object for all that share a transaction


def add_and_fail(tx, name):
    add(tx, name)
    raise Conflict("no")


def names(tx):
    return sorted(tx.scalars(select(person.c.id)))


def transaction_id(tx):
    return tx.scalar(select(TRANSACTION_ID))


class Plug:
    """A grouped verb that keeps the lane busy until it is pulled, so that others gather."""

    def __init__(self, db):
        self._pulled = threading.Event()
        self._begun = threading.Event()
        self._task = asyncio.ensure_future(db.write_grouped(self._block))

    def _block(self, tx):
        self._begun.set()
        assert self._pulled.wait(20)

    async def begun(self):
        assert await asyncio.to_thread(self._begun.wait, 20)

    async def pull(self):
        self._pulled.set()
        await self._task


async def test_verbs_that_wait_together_share_one_transaction(db):
    plug = Plug(db)
    await plug.begun()
    tasks = [asyncio.ensure_future(db.write_grouped(add_and_show, f"p{n}")) for n in range(20)]
    await asyncio.sleep(0)  # each has asked by now
    await plug.pull()
    connections = await asyncio.gather(*tasks)
    assert len({id(connection) for connection in connections}) == 1
    assert len(await db.read(names)) == 20


async def test_a_member_that_fails_takes_nobody_with_it(db):
    plug = Plug(db)
    await plug.begun()
    verbs = [add, add_and_fail, add, add]
    arguments = ["a", "b", "c", "a"]  # the last one breaks the primary key
    tasks = [
        asyncio.ensure_future(db.write_grouped(verb, name))
        for verb, name in zip(verbs, arguments, strict=True)
    ]
    await asyncio.sleep(0)
    await plug.pull()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [str, Conflict, str, IntegrityError]
    assert await db.read(names) == ["a", "c"]


async def test_a_single_write_among_groups_has_its_own_transaction(sqlite):
    plug = Plug(sqlite)
    await plug.begun()
    tasks = [
        asyncio.ensure_future(write(add_and_show, f"p{n}"))
        for n, write in enumerate((sqlite.write_grouped, sqlite.write, sqlite.write_grouped))
    ]
    await asyncio.sleep(0)
    await plug.pull()
    before, single, after = await asyncio.gather(*tasks)
    assert single is not before
    assert single is not after


async def test_a_merged_verb_gets_the_items_of_all_callers_at_once(db):
    asked = []

    def add_all(tx, items):
        asked.append(len(items))
        return [add(tx, item) for item in items]

    plug = Plug(db)
    await plug.begun()
    tasks = [asyncio.ensure_future(db.write_merged(add_all, f"p{n:02}")) for n in range(20)]
    other = asyncio.ensure_future(db.write_grouped(add, "q"))
    await asyncio.sleep(0)
    await plug.pull()
    assert await asyncio.gather(*tasks, other) == [f"p{n:02}" for n in range(20)] + ["q"]
    assert asked == [20]
    assert len(await db.read(names)) == 21


async def test_a_merged_verb_that_fails_is_repeated_item_by_item(db):
    def add_all(tx, items):
        return [add(tx, item) for item in items]

    calls = [db.write_merged(add_all, name) for name in ("a", "b", "a", "c")]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [str, str, IntegrityError, str]
    assert await db.read(names) == ["a", "b", "c"]


async def test_a_merged_verb_may_refuse_one_item_and_store_the_others(db):
    def add_most(tx, items):
        return [Conflict("no") if item == "b" else add(tx, item) for item in items]

    calls = [db.write_merged(add_most, name) for name in ("a", "b", "c")]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [str, Conflict, str]
    assert await db.read(names) == ["a", "c"]


def count(tx, seen, *wanted):
    seen.append(wanted)
    return [tx.scalar(select(person.c.id).where(person.c.id == name)) for name in wanted]


class Seen(list):
    """A list that can be an argument of a question."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


async def test_questions_of_one_moment_share_a_snapshot_and_equal_ones_an_answer(db):
    seen = Seen()
    await db.write(add, "anna")
    asked = [db.ask(count, seen, name) for name in ("anna", "anna", "piotr")]
    assert await asyncio.gather(*asked) == [["anna"], ["anna"], [None]]
    assert seen == [("anna",), ("piotr",)]


async def test_a_question_sees_all_that_was_committed_before_it(db):
    seen = Seen()
    for n in range(50):
        absent = db.ask(count, seen, f"p{n}")  # its answer must not serve the next question
        await db.write(add, f"p{n}")
        assert await db.ask(count, seen, f"p{n}") == [f"p{n}"]
        await absent


async def test_a_question_that_fails_leaves_the_others_their_answers(db):
    def fail(tx, error):
        raise error

    seen = Seen()
    for error in (Conflict("no"), ZeroDivisionError()):
        asked = [db.ask(fail, error), db.ask(count, seen, "a")]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert results == [error, [None]]


async def test_who_goes_away_takes_no_answer_from_the_others(db):
    seen = Seen()
    leaving, staying = db.ask(count, seen, "a"), db.ask(count, seen, "a")
    leaving.cancel()
    assert await staying == [None]
    assert len(seen) == 1


async def test_more_than_one_group_fits_are_all_done(db):
    await asyncio.gather(*(db.write_grouped(add, f"p{n}") for n in range(300)))
    assert len(await db.read(names)) == 300


async def test_who_stands_still_inside_a_transaction_loses_it(postgres):
    """A process that was stopped, or whose host is gone, keeps nobody waiting for its locks."""
    assert (
        await postgres.read(lambda tx: tx.scalar(text("show idle_in_transaction_session_timeout")))
        == "12s"
    )

    def stand_still(tx):
        tx.execute(text("set local idle_in_transaction_session_timeout = '20ms'"))
        add(tx, "anna")
        with psycopg.connect(postgres.url.render_as_string(hide_password=False)) as other:
            ours = other.execute(
                "select count(*) from pg_stat_activity where state = 'idle in transaction'"
                " and datname = current_database()"
            )
            assert ours.fetchone() == (1,)
            other.execute("select pg_sleep(0.1)")
        tx.execute(text("select 1"))

    with pytest.raises(Unavailable):
        await postgres.write(stand_still)
    await postgres.write(add, "jan")
    assert await postgres.read(names) == ["jan"]


@pytest.mark.parametrize("way", ["write", "write_grouped"])
async def test_what_was_returned_is_seen_by_another_process(db, database_url, way):
    other = Database(database_url)
    try:
        await getattr(db, way)(add, "anna")
        assert await other.read(names) == ["anna"]
    finally:
        other.close()


@pytest.mark.parametrize("way", ["write", "write_grouped"])
async def test_a_verb_that_fails_leaves_nothing(db, way):
    with pytest.raises(Conflict):
        await getattr(db, way)(add_and_fail, "anna")
    assert await db.read(names) == []


async def test_an_error_does_not_tell_what_was_to_be_stored(db):
    def store(tx):
        values = {
            "id": "a",
            "active_scope": "nowhere",
            "created_at": now(tx),
            "updated_at": now(tx),
        }
        tx.execute(insert(person).values(values | {"name": "Anna Kowalska"}))

    with pytest.raises(IntegrityError) as broken:
        await db.write(store)
    assert "Anna Kowalska" not in str(broken.value).partition("DETAIL:")[0]


async def test_a_read_changes_nothing(db):
    with pytest.raises((DBAPIError, Unavailable)):
        await db.read(add, "anna")
    assert await db.read(names) == []
    await db.write(add, "anna")


async def test_a_read_is_of_one_moment(db):
    read_once, written = threading.Event(), threading.Event()

    def look_twice(tx):
        before = names(tx)
        read_once.set()
        assert written.wait(20)
        return before, names(tx)

    looking = asyncio.ensure_future(db.read(look_twice))
    assert await asyncio.to_thread(read_once.wait, 20)
    await db.write(add, "anna")
    written.set()
    assert await looking == ([], [])
    assert await db.read(names) == ["anna"]


@pytest.mark.parametrize("way", ["write", "write_grouped"])
async def test_a_caller_that_goes_away_stops_nobody(db, way):
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx):
        begun.set()
        assert go_on.wait(20)
        add(tx, "anna")

    task = asyncio.ensure_future(getattr(db, way)(slow))
    assert await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await db.write_grouped(add, "piotr")
    db.close()  # waits for what is under way
    reopened = Database(db.url.render_as_string(hide_password=False))
    assert await reopened.read(names) == ["anna", "piotr"]
    reopened.close()


async def test_closing_finishes_what_was_asked_and_refuses_the_rest(db):
    plug = Plug(db)
    await plug.begun()
    waiting = asyncio.ensure_future(db.write_grouped(add, "anna"))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(asyncio.to_thread(db.close))
    await plug.pull()
    await closing
    assert await waiting == "anna"
    for way in (db.read, db.write, db.write_grouped):
        with pytest.raises(Unavailable) as refused:
            await way(names)
        assert refused.value.code == "stopping"
    db.close()  # once more does no harm


async def test_postgres_that_cannot_be_reached_is_unavailable(anyio_backend):
    away = Database("postgresql://nobody:secret@127.0.0.1:1/none")
    for way in (away.read, away.write, away.write_grouped):
        with pytest.raises(Unavailable) as refused:
            await way(names)
        assert refused.value.code == "database_away"
        assert refused.value.retryable
        assert "secret" not in refused.value.detail
    away.close()


async def test_a_connection_that_was_cut_costs_one_call_at_most(postgres):
    def cut(tx):
        tx.execute(text("select pg_terminate_backend(pg_backend_pid())"))

    for way in (postgres.read, postgres.write, postgres.write_grouped):
        with pytest.raises(Unavailable):
            await way(cut)
        assert await way(names) == []


async def test_a_group_whose_commit_broke_off_is_not_repeated(postgres):
    ran = []

    def count_and_cut(tx, cut):
        ran.append(cut)
        if cut:
            tx.execute(text("select pg_terminate_backend(pg_backend_pid())"))

    plug = Plug(postgres)
    await plug.begun()
    calls = [asyncio.ensure_future(postgres.write_grouped(count_and_cut, cut)) for cut in (0, 0, 1)]
    await asyncio.sleep(0)
    await plug.pull()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 3
    assert ran == [0, 0, 1]


async def test_who_waits_for_a_lock_in_vain_takes_nobody_with_it(postgres, postgres_url):
    await postgres.write(add, "held")

    def touch(tx, name):
        tx.execute(text("set local lock_timeout = '50ms'"))
        tx.execute(update(person).where(person.c.id == name).values(name="new"))

    with psycopg.connect(postgres_url) as other:
        other.execute("select 1 from person where id = 'held' for update")
        plug = Plug(postgres)
        await plug.begun()
        verbs = [(add, "a"), (touch, "held"), (add, "b")]
        calls = [asyncio.ensure_future(postgres.write_grouped(verb, name)) for verb, name in verbs]
        await asyncio.sleep(0)
        await plug.pull()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [str, Unavailable, str]
    assert "busy" in results[1].detail
    assert await postgres.read(names) == ["a", "b", "held"]


@pytest.mark.parametrize("way", ["write", "write_grouped"])
async def test_who_may_have_stored_something_is_told_so(postgres, way):
    def cut_before_the_commit(tx):
        mine = tx.scalar(text("select pg_backend_pid()"))
        with psycopg.connect(postgres.url.render_as_string(hide_password=False)) as other:
            other.execute("select pg_terminate_backend(%s, 5000)", [mine])

    with pytest.raises(Unavailable) as refused:
        await getattr(postgres, way)(cut_before_the_commit)
    assert "may be stored" in refused.value.detail


async def test_a_deadlock_is_tried_again(postgres):
    await postgres.write(add, "a")
    await postgres.write(add, "b")
    both = threading.Barrier(2)
    tried = []

    def touch(tx, first, second):
        tried.append(first)
        for name in (first, second):
            tx.execute(update(person).where(person.c.id == name).values(name=first))
            if len(tried) <= 2 and name == first:
                both.wait(20)
        return first

    crossed = (postgres.write(touch, "a", "b"), postgres.write(touch, "b", "a"))
    assert await asyncio.gather(*crossed) == ["a", "b"]
    assert len(tried) == 3


async def test_a_full_disk_says_so_and_passes(sqlite):
    def fill(tx):
        pages = tx.scalar(text("pragma page_count"))
        tx.exec_driver_sql(f"pragma max_page_count={pages + 2}")
        for n in range(2000):
            add(tx, f"{n:0128}")

    with pytest.raises(Unavailable) as refused:
        await sqlite.write(fill)
    assert refused.value.code == "disk_full"
    await sqlite.write(lambda tx: tx.exec_driver_sql("pragma max_page_count=4294967294"))
    await sqlite.write_grouped(add, "anna")
    assert await sqlite.read(names) == ["anna"]


async def test_sqlite_is_durable_and_keeps_foreign_keys(sqlite):
    def read(tx):
        return {
            name: tx.exec_driver_sql(f"pragma {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    for way in (sqlite.read, sqlite.write, sqlite.write_grouped):
        assert await way(read) == wanted


async def test_postgres_is_durable_whatever_the_database_says(postgres):
    await postgres.write(
        lambda tx: tx.exec_driver_sql(
            f'alter database "{postgres.url.database}" set synchronous_commit = off'
        )
    )
    fresh = Database(postgres.url.render_as_string(hide_password=False))
    for way in (fresh.write, fresh.write_grouped):
        assert await way(lambda tx: tx.scalar(text("show synchronous_commit"))) == "on"
    fresh.close()


async def test_an_instant_comes_back_in_utc_and_sorts_by_time(db):
    warsaw = timezone(timedelta(hours=2))
    instants = {
        "c": datetime(2026, 10, 25, 3, 0, 0, 1, tzinfo=warsaw),
        "b": datetime(2026, 10, 25, 1, 0, 0, 0, tzinfo=UTC),
        "a": datetime(2026, 10, 24, 23, 59, 59, 999_999, tzinfo=UTC),
    }

    def store(tx):
        for name, at in instants.items():
            tx.execute(
                insert(person).values(id=name, active_scope="global", created_at=at, updated_at=at)
            )

    await db.write(store)
    query = select(person.c.id, person.c.created_at).order_by(person.c.created_at)
    rows = await db.read(lambda tx: tx.execute(query).all())
    assert [row[0] for row in rows] == ["a", "b", "c"]
    assert {row[0]: row[1] for row in rows} == instants
    assert {row[1].tzinfo for row in rows} == {UTC}


async def test_a_naive_instant_is_refused(db):
    at = datetime(2026, 11, 22)
    with pytest.raises(StatementError, match="naive"):
        await db.write(
            lambda tx: tx.execute(
                insert(person).values(id="a", active_scope="global", created_at=at, updated_at=at)
            )
        )


async def test_the_clock_is_utc_and_runs_within_a_transaction(db):
    before, after = await db.write(lambda tx: (now(tx), now(tx)))
    assert before.tzinfo is UTC
    assert before <= after < before + timedelta(seconds=5)
    assert abs(before - datetime.now(UTC)) < timedelta(seconds=30)


async def test_the_horizon_stops_before_a_slow_writer(postgres):
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx):
        mine = transaction_id(tx)
        begun.set()
        assert go_on.wait(20)
        return mine

    slow_one = asyncio.ensure_future(postgres.write(slow))
    assert await asyncio.to_thread(begun.wait, 20)
    quick_one = await postgres.write(transaction_id)
    horizon = await postgres.read(commit_horizon)
    go_on.set()
    assert horizon <= await slow_one < quick_one
    assert quick_one < await postgres.read(commit_horizon)


async def is_past_the_horizon(postgres):
    """Write something; say whether a feed would still hold it back."""
    mine = await postgres.write(transaction_id)
    return mine >= await postgres.read(commit_horizon)


async def test_what_hangs_in_another_database_does_not_hold_the_horizon_back(
    postgres, postgres_server_url
):
    with psycopg.connect(postgres_server_url) as hanging:
        hanging.execute("select pg_current_xact_id()")
        assert not await is_past_the_horizon(postgres)


async def test_a_role_without_rights_sees_the_same_horizon(postgres, postgres_server_url):
    horizons = []

    def look_as_nobody(tx):
        tx.execute(text("create role awizo_nobody"))
        tx.execute(text("set local role awizo_nobody"))
        horizons.append(commit_horizon(tx))
        raise Conflict("no")  # a role belongs to the whole server: nothing may stay of it

    with psycopg.connect(postgres_server_url) as hanging:
        hanging.execute("select pg_current_xact_id()")
        mine = await postgres.write(transaction_id)
        with pytest.raises(Conflict):
            await postgres.write(look_as_nobody)
    assert mine < horizons[0]


async def test_a_forgotten_prepared_transaction_elsewhere_does_not_hold_the_horizon_back(
    postgres, postgres_server_url
):
    with psycopg.connect(postgres_server_url) as other:
        if other.execute("show max_prepared_transactions").fetchone() == ("0",):
            pytest.skip("this server prepares no transactions")
        other.rollback()
        forgotten = other.xid(1, postgres.url.database, "forgotten")
        other.tpc_begin(forgotten)
        other.execute("create table forgotten ()")
        other.tpc_prepare()
        try:
            assert not await is_past_the_horizon(postgres)
        finally:
            other.tpc_rollback()


async def test_one_at_a_time_does_what_is_to_be_done_alone(db):
    begun, go_on = threading.Event(), threading.Event()

    def clean(tx, name):
        begun.set()
        assert name != "first" or go_on.wait(20)
        return add(tx, name)

    first = asyncio.ensure_future(db.write(alone, clean, "first"))
    assert await asyncio.to_thread(begun.wait, 20)
    second = asyncio.ensure_future(db.write(alone, clean, "second"))
    if db.is_sqlite:  # its only writer is busy
        go_on.set()
        assert await second == "second"
    else:
        assert await second is None
        assert await db.write(alone, add, "other") == "other"
        go_on.set()
    assert await first == "first"
    assert await db.write(alone, clean, "third") == "third"


async def test_on_sqlite_everything_written_is_before_the_horizon(sqlite):
    assert await sqlite.write(transaction_id) < await sqlite.read(commit_horizon)


async def test_locked_rows_are_skipped_by_those_who_ask_for_that(postgres):
    for name in ("a", "b"):
        await postgres.write(add, name)
    held, go_on = threading.Event(), threading.Event()
    query = select(person.c.id).order_by(person.c.id).limit(1)

    def hold(tx):
        tx.execute(lock_rows(tx, query)).all()
        held.set()
        assert go_on.wait(20)

    holding = asyncio.ensure_future(postgres.write(hold))
    assert await asyncio.to_thread(held.wait, 20)
    free = await postgres.write(lambda tx: tx.scalar(lock_rows(tx, query, skip_locked=True)))
    go_on.set()
    await holding
    assert free == "b"


async def test_a_locked_table_has_one_writer_at_a_time(db):
    def add_next(tx):
        lock_table(tx, person)
        name = f"{len(names(tx)):03}"
        add(tx, name)
        return name

    done = await asyncio.gather(*(db.write(add_next) for _ in range(20)))
    assert sorted(done) == [f"{n:03}" for n in range(20)]


async def test_a_ring_wakes_every_bell_until_it_is_removed(db):
    bells = [asyncio.Event(), asyncio.Event()]
    for bell in bells:
        db.add_bell(bell)
    db.ring()
    assert [bell.is_set() for bell in bells] == [True, True]
    bells[0].clear()
    db.remove_bell(bells[0])
    db.remove_bell(bells[0])
    db.ring()
    assert not bells[0].is_set()


async def test_ids_sort_by_time_and_never_repeat():
    at = datetime(2026, 11, 22, tzinfo=UTC)
    instants = [at + timedelta(milliseconds=n) for n in range(1000)]
    ids = [new_id(each) for each in instants]
    assert ids == sorted(ids)
    assert {len(each) for each in ids} == {26}
    assert len({new_id(at) for _ in range(10_000)}) == 10_000
