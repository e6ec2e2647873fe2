"""What people correct of a mail that came in; indexes over what somebody should look at."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_OPEN = {
    "ix_incoming_unanswered": "handled_at is null and kind = 'human' and about_id is not null",
    "ix_incoming_unmatched": (
        "handled_at is null and kind in ('dsn', 'mdn', 'arf') and about_id is null"
    ),
}


def upgrade() -> None:
    """Add the columns and the indexes."""
    op.add_column("incoming", sa.Column("kind_by", sa.Text(), nullable=True))
    op.add_column("incoming", sa.Column("linked_by", sa.Text(), nullable=True))
    for name, condition in _OPEN.items():
        op.create_index(
            name,
            "incoming",
            ["about_id", "account_id"],
            unique=False,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )


def downgrade() -> None:
    """Forget who corrected what."""
    for name in _OPEN:
        op.drop_index(name, table_name="incoming")
    op.drop_column("incoming", "linked_by")
    op.drop_column("incoming", "kind_by")
