"""A worker tells its version."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; workers of an older version leave it empty."""
    op.add_column("worker", sa.Column("version", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("worker", "version")
