"""Alembic's entry: runs on the connection that ``migrations.upgrade`` hands over, under its lock."""

from alembic import context

import app.accounts.tables
import app.configuration.tables
import app.inbox.tables
import app.outbox.tables
import app.webhooks.tables  # noqa: F401 - importing them fills the metadata
from app.db import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
