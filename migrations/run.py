"""Bring a database to the newest schema; safe to start from several processes at once.

All steps of one run are one transaction under a lock (both engines have transactional DDL), so a
crash in the middle leaves the old schema whole. Foreign keys are off on SQLite meanwhile: altering
a table there re-creates it, which would delete the rows that point to it; they are checked after.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text

_LOCK = 0x4157495A4F  # "AWIZO"; any constant that all our processes share


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade to ``revision``; wait while another process does the same."""
    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Go back to ``revision`` ("base" removes everything)."""
    _run(url, lambda config: command.downgrade(config, revision))


def find_newest_revision() -> str | None:
    """Return the revision that ``upgrade`` leads to."""
    return ScriptDirectory(str(Path(__file__).parent)).get_current_head()


def _run(url: str, step: Callable[[Config], None]) -> None:
    engine = create_engine(url)
    sqlite = make_url(url).get_backend_name() == "sqlite"
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    try:
        with engine.connect() as connection:
            if sqlite:
                driver: Any = connection.connection.driver_connection
                driver.isolation_level = None
                connection.exec_driver_sql("PRAGMA busy_timeout=60000")
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection
            step(config)
            if sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
                raise RuntimeError("a migration left rows that point nowhere; nothing was changed")
            connection.commit()
    finally:
        engine.dispose()
