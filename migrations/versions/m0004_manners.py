"""What servers asked of an account's manners; the messages of a batch by their batch."""

import sqlalchemy as sa
from alembic import op

from app.db import UtcInstant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("slowed_at", UtcInstant()),
    ("slow_until", UtcInstant()),
    ("slow_reason", sa.String(length=32)),
    ("slow_detail", sa.Text()),
    ("slow_rate", sa.Float()),
    ("slow_connections", sa.Integer()),
    ("turn_at", UtcInstant()),
    ("session_messages", sa.Integer()),
    ("session_learned_at", UtcInstant()),
)


def upgrade() -> None:
    """Add the columns of ``account_state`` and the index."""
    hits = sa.Column("slow_hits", sa.Integer(), nullable=False, server_default="0")
    op.add_column("account_state", hits)
    for name, kind in _COLUMNS:
        op.add_column("account_state", sa.Column(name, kind, nullable=True))
    where = sa.text("batch_id is not null")
    op.create_index(
        "ix_message_batch",
        "message",
        ["batch_id", "id"],
        sqlite_where=where,
        postgresql_where=where,
    )


def downgrade() -> None:
    """Forget it; it is found out again."""
    op.drop_index("ix_message_batch", "message")
    for name, _ in (*reversed(_COLUMNS), ("slow_hits", None)):
        op.drop_column("account_state", name)
