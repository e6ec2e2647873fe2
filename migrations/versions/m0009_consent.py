"""OAuth2 consents: what lets an account log in by a token."""

import sqlalchemy as sa
from alembic import op

from app.db import UtcInstant

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "consent",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("grant_type", sa.String(length=24), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("refresh_token", sa.LargeBinary(), nullable=True),
        sa.Column("access_token", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", UtcInstant(), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("failed_at", UtcInstant(), nullable=True),
        sa.Column("granted_at", UtcInstant(), nullable=True),
        sa.Column("refreshed_at", UtcInstant(), nullable=True),
        sa.Column("lease_until", UtcInstant(), nullable=True),
        sa.Column("pending_hash", sa.Text(), nullable=True),
        sa.Column("pending_verifier", sa.LargeBinary(), nullable=True),
        sa.Column("pending_provider", sa.String(length=16), nullable=True),
        sa.Column("pending_until", UtcInstant(), nullable=True),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state in ('pending', 'granted', 'needs_consent')", name=op.f("ck_consent_state")
        ),
        sa.CheckConstraint(
            "(state = 'granted') = (refresh_token is not null)", name=op.f("ck_consent_granted")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_consent_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_consent")),
    )


def downgrade() -> None:
    """Forget the consents; their accounts need a password again."""
    op.drop_table("consent")
