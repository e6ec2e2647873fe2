"""Addresses that are not to be written to."""

import sqlalchemy as sa
from alembic import op

from app.db import UtcInstant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "suppression",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("scope", sa.String(length=140), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=True),
        sa.Column("expires_at", UtcInstant(), nullable=True),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", UtcInstant(), nullable=False),
        sa.Column("updated_at", UtcInstant(), nullable=False),
        sa.CheckConstraint(
            "reason in ('unsubscribed', 'hard_bounce', 'complaint', 'manual')",
            name=op.f("ck_suppression_reason"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression")),
    )
    op.create_index("ix_suppression_scope", "suppression", ["scope", "id"])
    op.create_index("uq_suppression_address", "suppression", ["address_key", "scope"], unique=True)


def downgrade() -> None:
    """Forget them: mail goes to them again."""
    op.drop_table("suppression")
