"""The one way to the database: a verb runs in one transaction, in a thread.

``read`` runs it on a snapshot; ``write`` in a transaction of its own. Under load callers share:
``ask`` reads in one snapshot with whatever else is asked, ``write_grouped`` and ``write_merged``
write together with whatever else waits, with one commit and one fsync (``lanes``). Such a verb may
run twice, so ids, clock and randomness are its arguments and it has no effect outside the database.
What was returned is durable.

Where SQLite and PostgreSQL differ it is here: SQLite has one writer thread, WAL, synchronous=FULL
and BEGIN IMMEDIATE; PostgreSQL has pooled connections, synchronous_commit=on, row locks
(``lock_rows``, ``alone``), its own clock (``now``), commit order (``commit_horizon``) and a call to
the other processes (``ring``, see ``bells``).
A database that is away or full raises ``errors.Unavailable``, a closed one too.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Concatenate, ParamSpec

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    DateTime,
    MetaData,
    Select,
    Table,
    make_url,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator

from app.bells import Bells, Kind
from app.chance import draw_bytes
from app.engines import dial_postgres, open_postgres, open_sqlite
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
_HOUSE_LOCK = 0x41575A  # "AWZ": sets our advisory locks apart from others in this database
_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock: the database asks to try again
_LOCKED = "55P03"  # lock_timeout is over
_TOO_BUSY = "The database is too busy; try again shortly."
_TRIES = 5
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


# Ids are given out for the whole server. What this snapshot saw running waits, unless it is known
# to run in another database, where it cannot write our rows; see docs/decisions/0021.
_HORIZON = text("""
    select least(
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
        pg_current_xact_id_if_assigned()::text::bigint,
        (select min(id::text::bigint) from pg_snapshot_xip(pg_current_snapshot()) as id
         where id::xid not in (
             select backend_xid from pg_stat_activity
             where datname <> current_database() and backend_xid is not null
             union all
             select transaction from pg_prepared_xacts where database <> current_database())))
""")


class _TransactionId(ColumnElement[int]):
    inherit_cache = True
    type = BigInteger()


@compiles(_TransactionId)
def _number_one_writer(element: Any, compiler: Any, **kwargs: Any) -> str:
    return "0"


@compiles(_TransactionId, "postgresql")
def _number_transaction(element: Any, compiler: Any, **kwargs: Any) -> str:
    return "pg_current_xact_id()::text::bigint"


# A transaction's place in the order that ``commit_horizon`` speaks of, as a value to be stored.
TRANSACTION_ID = _TransactionId()


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
        dial = None
        if self.is_sqlite:
            most = _POOL_SIZE + 1
            self._engine = open_sqlite(self.url, "BEGIN IMMEDIATE", most=most)
            self._read_engine = open_sqlite(self.url, "BEGIN", "query_only=ON", most=most)
        else:
            most = _POOL_SIZE + _POOL_SIZE // 2 + 1
            self._engine = open_postgres(self.url, most=most)
            self._read_engine = self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            dial = partial(dial_postgres, self._engine)
        self._readers = ThreadPoolExecutor(_POOL_SIZE, thread_name_prefix="db-read")
        self._questions = ReadLane(lambda calls: self.read(run_merged, calls))
        self._lane = WriteLane(
            lambda calls: self._run_alone(self._engine, lambda tx: run_merged(tx, calls))
        )
        # On SQLite every write goes through the one lane; PostgreSQL takes single writes beside it.
        self._writers = None if self.is_sqlite else ThreadPoolExecutor(_POOL_SIZE // 2, "db-write")
        self._bells = Bells(dial)

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

    def ring(self, kind: Kind = "work") -> None:
        """Wake whoever waits, in every process (after a commit, in the event loop).

        kind: ``work`` wakes all; ``verdict`` only those who wait for verdicts.
        """
        self._bells.ring(kind)

    def add_bell(self, bell: asyncio.Event, kind: Kind = "work") -> None:
        """Have ``ring`` set ``bell``; on SQLite only a ``ring`` of this process does."""
        self._bells.add(bell, kind)

    def remove_bell(self, bell: asyncio.Event) -> None:
        """Undo ``add_bell``."""
        self._bells.remove(bell)

    def close(self) -> None:
        """Finish the writes under way and close all connections."""
        self._lane.close()
        self._bells.close()
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
            committing = False
            try:
                with engine.begin() as tx:
                    result = run(tx)
                    committing = engine is self._engine
                return result
            except PoolTimeout as error:
                raise Unavailable(_TOO_BUSY, retry_after_s=2) from error
            except (OperationalError, InterfaceError) as error:
                state = getattr(error.orig, "sqlstate", None)
                if state in _CONFLICTS and attempt + 1 < _TRIES:
                    time.sleep(0.01 * 2**attempt)
                    continue
                if state in _CONFLICTS or state == _LOCKED:
                    raise Unavailable(_TOO_BUSY, retry_after_s=2) from error
                raise _as_unavailable(error, committing) from error
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise _as_unavailable(error, committing) from error
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


def _as_unavailable(error: DBAPIError, committing: bool) -> Unavailable:
    words = str(error.orig).lower()
    if "full" in words or "no space" in words:
        return Unavailable(
            "The disk is full; nothing was stored.", code="disk_full", retry_after_s=60
        )
    if committing:
        detail = (
            "The database went away while it stored this, so it may be stored: look first, or "
            "repeat with the same Idempotency-Key."
        )
    else:
        detail = "The database cannot be reached; nothing was stored."
    return Unavailable(detail, code="database_away", retry_after_s=5)


def new_id(at: datetime | None = None) -> str:
    """Return a fresh opaque id of 26 characters; later ids sort after earlier ones (a ULID)."""
    millis = int((at or datetime.now(UTC)).timestamp() * 1000)
    number = millis << 80 | int.from_bytes(draw_bytes(10))
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


def alone(tx: Connection, verb: Verb[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Run a verb that nobody else runs meanwhile in any process; None where somebody does.

    SQLite has one writer: there the second one runs it after the first.
    """
    if tx.dialect.name != "sqlite":
        name = f"{verb.__module__}.{verb.__qualname__}"
        taken = tx.scalar(
            text("select pg_try_advisory_xact_lock(:house, hashtext(:name))"),
            {"house": _HOUSE_LOCK, "name": name},
        )
        if not taken:
            return None
    return verb(tx, *args, **kwargs)


def commit_horizon(tx: Connection) -> int:
    """Return the first transaction id whose rows may still appear; to be asked in a ``read``.

    Rows are numbered before they are committed: a feed that reads on by number alone would miss
    those of a slow transaction. Read rows with ``txid < commit_horizon`` only.
    """
    return 1 if tx.dialect.name == "sqlite" else int(tx.scalar(_HORIZON) or 0)
