"""By what mail is known again in a mailbox that numbers it anew."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Find mail of one size fast."""
    op.create_index("ix_incoming_size", "incoming", ["account_id", "size_bytes"])


def downgrade() -> None:
    """Without it mail is known again as well, slowly."""
    op.drop_index("ix_incoming_size", table_name="incoming")
