"""The automatic reply: what became of it for each mail, and whom an account answered lately."""

import sqlalchemy as sa
from alembic import op

from app.db import UtcInstant

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, add the columns and their indexes."""
    op.create_table(
        "auto_reply",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("sender_key", sa.Text(), nullable=False),
        sa.Column("replied_at", UtcInstant(), nullable=False),
        sa.Column("free_at", UtcInstant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_auto_reply_account_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "sender_key", name=op.f("pk_auto_reply")),
    )
    op.create_index(
        "ix_auto_reply_replied", "auto_reply", ["account_id", "replied_at"], unique=False
    )
    op.create_index("ix_auto_reply_free", "auto_reply", ["free_at"], unique=False)
    op.add_column("incoming", sa.Column("reply_state", sa.String(length=16), nullable=True))
    op.add_column("incoming", sa.Column("reply_at", UtcInstant(), nullable=True))
    op.add_column("incoming", sa.Column("reply_id", sa.String(length=32), nullable=True))
    op.add_column("incoming", sa.Column("reply_detail", sa.Text(), nullable=True))
    for name, columns, where in (
        ("ix_incoming_reply_due", ["id"], "reply_state = 'due'"),
        ("ix_incoming_reply", ["account_id", "id"], "reply_state is not null"),
    ):
        op.create_index(
            name,
            "incoming",
            columns,
            unique=False,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )


def downgrade() -> None:
    """Forget all of it."""
    op.drop_index("ix_incoming_reply", table_name="incoming")
    op.drop_index("ix_incoming_reply_due", table_name="incoming")
    for name in ("reply_detail", "reply_id", "reply_at", "reply_state"):
        op.drop_column("incoming", name)
    op.drop_index("ix_auto_reply_free", table_name="auto_reply")
    op.drop_index("ix_auto_reply_replied", table_name="auto_reply")
    op.drop_table("auto_reply")
