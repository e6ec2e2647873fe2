"""The migrations make the tables that the code speaks of, and can be taken back."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

import app.accounts.tables
import app.configuration.tables
import app.inbox.tables
import app.outbox.tables
import app.webhooks.tables  # noqa: F401 - each fills the metadata
from app.db import metadata
from migrations.run import downgrade, upgrade


def find_differences(url):
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            options = {"compare_type": True}
            return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    finally:
        engine.dispose()


def list_tables(url):
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_up_down_and_up_again_gives_the_tables_of_the_code(blank_database_url):
    upgrade(blank_database_url)
    assert find_differences(blank_database_url) == []
    downgrade(blank_database_url, "base")
    assert list_tables(blank_database_url) == {"alembic_version"}
    upgrade(blank_database_url)
    assert find_differences(blank_database_url) == []
