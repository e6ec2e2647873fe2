"""What is remembered of servers where groups of commands do not work."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add ``account_state.pipelining_broken``."""
    op.add_column("account_state", sa.Column("pipelining_broken", sa.Text(), nullable=True))


def downgrade() -> None:
    """Forget it; it is found out again."""
    op.drop_column("account_state", "pipelining_broken")
