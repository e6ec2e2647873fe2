"""The one way to the database: a verb runs in one transaction, in a thread.

``read`` runs it on a snapshot; ``write`` in a transaction of its own. Under load callers share:
``ask`` reads in one snapshot with whatever else is asked, ``write_grouped`` and ``write_merged``
write together with whatever else waits, with one commit and one fsync (``lanes``). Such a verb may
run twice, so ids, clock and randomness are its arguments and it has no effect outside the database.
What was returned is durable.

Where SQLite and PostgreSQL differ it is here: SQLite has one writer thread, WAL, synchronous=FULL
and BEGIN IMMEDIATE; PostgreSQL has pooled connections, synchronous_commit=on, row locks
(``lock_rows``), its own clock (``now``) and commit order (``commit_horizon``).
A database that is away or full raises ``errors.Unavailable``, a closed one too.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from sqlalchemy import (
    JSON,
    DateTime,
    MetaData,
    Select,
    Table,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL, Connection, Dialect, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import TypeDecorator

from app.errors import AwizoError, Unavailable
from app.lanes import Item, Merged, ReadLane, T, WriteLane, run_merged

P = ParamSpec("P")
Verb = Callable[Concatenate[Connection, P], T]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

_POOL_SIZE = 8
_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock: the database asks to try again
_TRIES = 5
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


class UtcInstant(TypeDecorator[datetime]):
    """An aware UTC datetime: timestamptz on PostgreSQL, sortable text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Pick a text form of fixed width on SQLite, so that comparing text compares time."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sqlite.DATETIME())  # type: ignore[no-untyped-call]
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes; they are a bug of ours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError("a naive datetime was given to the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware UTC datetime."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """One database; see the module. ``close`` waits for what is under way."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = _create_engine(self.url, "BEGIN IMMEDIATE")
        self._read_engine = (
            _create_engine(self.url, "BEGIN", "query_only=ON")
            if self.is_sqlite
            else self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        )
        self._readers = ThreadPoolExecutor(_POOL_SIZE, thread_name_prefix="db-read")
        self._questions = ReadLane(lambda calls: self.read(run_merged, calls))
        self._lane = WriteLane(
            lambda calls: self._run_alone(self._engine, lambda tx: run_merged(tx, calls))
        )
        # On SQLite every write goes through the one lane; PostgreSQL takes single writes beside it.
        self._writers = None if self.is_sqlite else ThreadPoolExecutor(_POOL_SIZE // 2, "db-write")
        self._bells: set[asyncio.Event] = set()

    async def read(self, verb: Verb[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb that changes nothing; all it reads is of one moment."""
        return await self._in_thread(
            self._readers, self._read_engine, lambda tx: verb(tx, *args, **kwargs)
        )

    def ask(self, verb: Verb[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        """Read as ``read`` does, in one snapshot with what others ask; arguments are hashable.

        The snapshot is taken after the question. Equal questions are put to the database once and
        share the answer. For quick reads only: the next group waits for this one.
        """
        return self._questions.ask(_ask_each, (verb, args, tuple(kwargs.items())))

    def ask_merged(self, verb: Merged[Item, T], item: Item) -> "asyncio.Future[T]":
        """Like ``ask``, for a verb that answers the items of many callers at one stroke."""
        return self._questions.ask(verb, item)

    async def write(self, verb: Verb[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb in a transaction of its own; it is durable when this returns."""
        if self._writers is not None:
            return await self._in_thread(
                self._writers, self._engine, lambda tx: verb(tx, *args, **kwargs)
            )
        return await self._lane.put(_call_each, lambda tx: verb(tx, *args, **kwargs), grouped=False)

    async def write_grouped(self, verb: Verb[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb in a shared transaction; it is durable when this returns, and may run twice."""
        return await self._lane.put(_call_each, lambda tx: verb(tx, *args, **kwargs), grouped=True)

    async def write_merged(self, verb: Merged[Item, T], item: Item, *, alone: bool = False) -> T:
        """Like ``write_grouped``, for a verb that does the items of many callers at one stroke.

        alone: in a transaction of its own, for what is large.
        """
        if alone:
            (result,) = await self.write(verb, (item,))
            if isinstance(result, AwizoError):
                raise result
            return result
        return await self._lane.put(verb, item, grouped=True)

    def ring(self) -> None:
        """Wake every loop of this process that waits for work (after a commit, same event loop)."""
        for bell in self._bells:
            bell.set()

    def add_bell(self, bell: asyncio.Event) -> None:
        """Have ``ring`` set ``bell``."""
        self._bells.add(bell)

    def remove_bell(self, bell: asyncio.Event) -> None:
        """Undo ``add_bell``."""
        self._bells.discard(bell)

    def close(self) -> None:
        """Finish the writes under way and close all connections."""
        self._lane.close()
        self._readers.shutdown()
        if self._writers is not None:
            self._writers.shutdown()
        self._engine.dispose()
        self._read_engine.dispose()

    async def _in_thread(
        self, pool: ThreadPoolExecutor, engine: Engine, run: Callable[[Connection], T]
    ) -> T:
        # Shielded: a caller that goes away must not leave a transaction half counted.
        loop = asyncio.get_running_loop()
        with self._lane.open():
            running = loop.run_in_executor(pool, self._run_alone, engine, run)
        return await asyncio.shield(running)

    def _run_alone(self, engine: Engine, run: Callable[[Connection], T]) -> T:
        for attempt in range(_TRIES):
            try:
                with engine.begin() as tx:
                    return run(tx)
            except PoolTimeout as error:
                raise Unavailable(
                    "The database is too busy; try again shortly.", retry_after_s=2
                ) from error
            except (OperationalError, InterfaceError) as error:
                if getattr(error.orig, "sqlstate", None) in _CONFLICTS and attempt + 1 < _TRIES:
                    time.sleep(0.01 * 2**attempt)
                    continue
                raise _as_unavailable(error) from error
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise _as_unavailable(error) from error
                raise
        raise AssertionError("unreachable")


def _call_each(tx: Connection, runs: Sequence[Callable[[Connection], T]]) -> list[T]:
    return [run(tx) for run in runs]


def _ask_each(tx: Connection, asked: Sequence[tuple[Any, ...]]) -> list[Any]:
    answers: list[Any] = []
    for verb, args, kwargs in asked:
        try:
            answers.append(verb(tx, *args, **dict(kwargs)))
        except AwizoError as error:  # an answer, too: the transaction goes on
            answers.append(error)
    return answers


def _as_unavailable(error: DBAPIError) -> Unavailable:
    words = str(error.orig).lower()
    if "full" in words or "no space" in words:
        return Unavailable(
            "The disk is full; nothing was stored.", code="disk_full", retry_after_s=60
        )
    return Unavailable(
        "The database cannot be reached; nothing was stored.", code="database_away", retry_after_s=5
    )


def new_id(at: datetime | None = None) -> str:
    """Return a fresh opaque id of 26 characters; later ids sort after earlier ones (a ULID)."""
    millis = int((at or datetime.now(UTC)).timestamp() * 1000)
    number = millis << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def now(tx: Connection) -> datetime:
    """Return the database's clock, which leases are measured by (this host's on SQLite)."""
    if tx.dialect.name == "sqlite":
        return datetime.now(UTC)
    instant: datetime = tx.scalar(text("select clock_timestamp()"))
    return instant.astimezone(UTC)


def lock_rows(tx: Connection, query: Select[Any], *, skip_locked: bool = False) -> Select[Any]:
    """Return ``query`` with row locks; SQLite's only writer needs none."""
    return query if tx.dialect.name == "sqlite" else query.with_for_update(skip_locked=skip_locked)


def lock_table(tx: Connection, table: Table) -> None:
    """Let nobody else change ``table`` until this transaction ends; SQLite has one writer anyway."""
    if tx.dialect.name != "sqlite":
        tx.execute(text(f"lock table {table.name} in share row exclusive mode"))


def transaction_id(tx: Connection) -> int:
    """Return this transaction's place in the order that ``commit_horizon`` speaks of."""
    if tx.dialect.name == "sqlite":
        return 0
    return int(tx.scalar(text("select pg_current_xact_id()::text")) or 0)


def commit_horizon(tx: Connection) -> int:
    """Return the first transaction id that may still be uncommitted.

    Rows are numbered before they are committed: a feed that reads on by number alone would miss
    those of a slow transaction. Read rows with ``txid < commit_horizon`` only.
    """
    if tx.dialect.name == "sqlite":
        return 1
    return int(tx.scalar(text("select pg_snapshot_xmin(pg_current_snapshot())::text")) or 0)


def _create_engine(url: URL, begin: str, *pragmas: str) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(
            url,
            pool_size=_POOL_SIZE + _POOL_SIZE // 2 + 1,
            max_overflow=0,
            pool_timeout=10,
            pool_pre_ping=True,
            hide_parameters=True,  # an error ends up in the log: no bodies, no addresses there
            connect_args={
                "connect_timeout": 5,
                "options": "-c synchronous_commit=on -c lock_timeout=20s",
            },
        )
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url, pool_size=_POOL_SIZE + 1, max_overflow=0, pool_timeout=30, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver's own transaction handling would begin late and fail at once with "locked".
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=15000",
            *pragmas,
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
