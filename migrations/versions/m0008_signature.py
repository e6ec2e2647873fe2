"""A user's own signature."""

import sqlalchemy as sa
from alembic import op

from app.db import Json

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("person", sa.Column("signature", Json, nullable=True))


def downgrade() -> None:
    """Forget the signatures; mail goes out without them."""
    op.drop_column("person", "signature")
