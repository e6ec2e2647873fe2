"""Copies of sent mail in a Sent folder."""

import sqlalchemy as sa
from alembic import op

from app.db import UtcInstant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Mail accepted before gets no copy."""
    op.add_column("message", sa.Column("copy_account_id", sa.String(length=32), nullable=True))
    op.create_table(
        "sent_copy",
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("due_at", UtcInstant(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("lease_until", UtcInstant(), nullable=True),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("cause", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("asked_at", UtcInstant(), nullable=False),
        sa.Column("ended_at", UtcInstant(), nullable=True),
        sa.CheckConstraint(
            "(due_at is null) = (ended_at is not null)", name=op.f("ck_sent_copy_due")
        ),
        sa.CheckConstraint(
            "(claimed_by is null) = (lease_until is null)", name=op.f("ck_sent_copy_lease")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_sent_copy_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
            name=op.f("fk_sent_copy_message_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_sent_copy")),
    )
    op.create_index(
        "ix_sent_copy_due",
        "sent_copy",
        ["account_id", "due_at"],
        sqlite_where=sa.text("due_at is not null"),
        postgresql_where=sa.text("due_at is not null"),
    )


def downgrade() -> None:
    """Forget the copies that were still to be made."""
    op.drop_table("sent_copy")
    op.drop_column("message", "copy_account_id")
