"""Webhooks; events that belong to no message."""

import sqlalchemy as sa
from alembic import op

from app.db import Json, UtcInstant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WAITING = sa.text("due_at is not null")


def upgrade() -> None:
    """Let an event be without a message; make the three tables."""
    _let_events_be_loose(True)
    op.create_table(
        "webhook",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", Json, nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(length=16), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret", sa.LargeBinary(), nullable=True),
        sa.Column("old_secret_until", UtcInstant(), nullable=True),
        sa.Column("feed_txid", sa.BigInteger(), nullable=False),
        sa.Column("feed_number", sa.BigInteger(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("succeeded_at", UtcInstant(), nullable=True),
        sa.Column("failed_at", UtcInstant(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcInstant(), nullable=False),
        sa.Column("updated_at", UtcInstant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("webhook_id", sa.String(length=32), nullable=False),
        sa.Column("event_number", _NUMBER, nullable=True),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("due_at", UtcInstant(), nullable=True),
        sa.Column("give_up_at", UtcInstant(), nullable=False),
        sa.Column("claimed_by", sa.String(length=100), nullable=True),
        sa.Column("lease_until", UtcInstant(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcInstant(), nullable=False),
        sa.Column("ended_at", UtcInstant(), nullable=True),
        sa.CheckConstraint(
            "state in ('waiting', 'delivered', 'given_up')",
            name=op.f("ck_webhook_delivery_state"),
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (due_at is not null)", name=op.f("ck_webhook_delivery_due")
        ),
        sa.CheckConstraint(
            "(claimed_by is null) = (lease_until is null)", name=op.f("ck_webhook_delivery_lease")
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhook.id"],
            name=op.f("fk_webhook_delivery_webhook_id_webhook"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["event_number"],
            ["event.number"],
            name=op.f("fk_webhook_delivery_event_number_event"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
    )
    for name, columns in (
        ("due", ["webhook_id", "due_at"]),
        ("order", ["message_id", "webhook_id", "event_number"]),
    ):
        op.create_index(
            f"ix_webhook_delivery_{name}",
            "webhook_delivery",
            columns,
            sqlite_where=_WAITING,
            postgresql_where=_WAITING,
        )
    op.create_index("ix_webhook_delivery_log", "webhook_delivery", ["webhook_id", "id"])
    op.create_index("ix_webhook_delivery_event", "webhook_delivery", ["event_number"])
    op.create_index("ix_webhook_delivery_ended", "webhook_delivery", ["ended_at"])
    op.create_table(
        "webhook_attempt",
        sa.Column("delivery_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", UtcInstant(), nullable=False),
        sa.Column("ms", sa.Integer(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["webhook_delivery.id"],
            name=op.f("fk_webhook_attempt_delivery_id_webhook_delivery"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_webhook_attempt")),
    )


def downgrade() -> None:
    """Forget the webhooks, and the events of no message."""
    op.drop_table("webhook_attempt")
    op.drop_table("webhook_delivery")
    op.drop_table("webhook")
    op.execute("delete from event where message_id is null")
    _let_events_be_loose(False)


def _let_events_be_loose(loose: bool) -> None:
    """Change ``message_id``; on SQLite the table is copied, and goes on counting where it was."""
    tx = op.get_bind()
    sqlite = tx.dialect.name == "sqlite"
    seen = sqlite and tx.scalar(sa.text("select seq from sqlite_sequence where name = 'event'"))
    with op.batch_alter_table("event", table_kwargs={"sqlite_autoincrement": True}) as event:
        event.alter_column("message_id", existing_type=sa.String(length=32), nullable=loose)
    if seen:  # a cursor of the feed never meets a number again
        tx.execute(sa.text("delete from sqlite_sequence where name = 'event'"))
        row = sa.text("insert into sqlite_sequence (name, seq) values ('event', :seen)")
        tx.execute(row, {"seen": seen})
