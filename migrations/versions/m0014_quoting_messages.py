"""Messages that carry somebody's words, found when those are erased."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and its index."""
    op.add_column("message", sa.Column("quotes", sa.String(length=32), nullable=True))
    op.create_index(
        "ix_message_quotes",
        "message",
        ["quotes"],
        unique=False,
        sqlite_where=sa.text("quotes is not null"),
        postgresql_where=sa.text("quotes is not null"),
    )


def downgrade() -> None:
    """Forget whose words a message carries."""
    op.drop_index("ix_message_quotes", table_name="message")
    op.drop_column("message", "quotes")
