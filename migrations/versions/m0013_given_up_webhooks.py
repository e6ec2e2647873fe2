"""The deliveries of a webhook that were given up, found without reading its log."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index(
        "ix_webhook_delivery_given_up",
        "webhook_delivery",
        ["webhook_id", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'given_up'"),
        postgresql_where=sa.text("state = 'given_up'"),
    )


def downgrade() -> None:
    """Read the log again."""
    op.drop_index("ix_webhook_delivery_given_up", table_name="webhook_delivery")
