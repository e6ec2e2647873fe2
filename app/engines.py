"""Connections as each engine needs them: how sessions are set up, and how long they are waited for.

SQLite: WAL, synchronous=FULL, foreign keys, transactions that begin at once. PostgreSQL:
synchronous_commit=on whatever the server says, checked before each use, and given up in time.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine

if TYPE_CHECKING:  # SQLite does without the driver
    from psycopg import Connection as Psycopg

_POSTGRES: dict[str, Any] = {
    "connect_timeout": 5,
    # A process that stands still inside a transaction (stopped, or its host is gone) loses it before
    # those who wait for its locks give up.
    "options": "-c synchronous_commit=on -c lock_timeout=20s"
    " -c idle_in_transaction_session_timeout=12s",
    # A server that vanished without a word (its host lost power) is given up within a minute,
    # instead of the quarter of an hour and more that the kernel would wait.
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 50_000,
}


def open_sqlite(url: URL, begin: str, *pragmas: str, most: int) -> Engine:
    """Return an engine of ``most`` connections; begin: the statement a transaction starts with."""
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url, pool_size=most, max_overflow=0, pool_timeout=30, hide_parameters=True
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


def open_postgres(url: URL, *, most: int) -> Engine:
    """Return an engine of ``most`` connections."""
    return create_engine(
        url,
        pool_size=most,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        hide_parameters=True,  # an error ends up in the log: no bodies, no addresses there
        connect_args=_POSTGRES,
    )


def dial_postgres(engine: Engine) -> "Psycopg":
    """Open one connection beside those of ``engine``, in autocommit mode."""
    import psycopg

    given, options = engine.dialect.create_connect_args(engine.url)
    return psycopg.connect(*given, **{**options, **_POSTGRES}, autocommit=True)
