"""Reports that overtook the worker that sends."""

import sqlalchemy as sa
from alembic import op

from app.db import UtcInstant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and its index."""
    op.add_column("incoming", sa.Column("waits_since", UtcInstant(), nullable=True))
    op.create_index(
        "ix_incoming_waiting",
        "incoming",
        ["waits_since"],
        unique=False,
        sqlite_where=sa.text("waits_since is not null"),
        postgresql_where=sa.text("waits_since is not null"),
    )


def downgrade() -> None:
    """Forget which reports wait."""
    op.drop_index("ix_incoming_waiting", table_name="incoming")
    op.drop_column("incoming", "waits_since")
