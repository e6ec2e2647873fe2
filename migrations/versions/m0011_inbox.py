"""Mail that came in, mailboxes, answers waited for."""

import sqlalchemy as sa
from alembic import op

from app.db import Json, UtcInstant

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the inbox."""
    op.create_table(
        "mailbox",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=True),
        sa.Column("last_uid", sa.BigInteger(), nullable=True),
        sa.Column("unread", sa.Integer(), nullable=True),
        sa.Column("synced_at", UtcInstant(), nullable=True),
        sa.Column("failed_at", UtcInstant(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("next_at", UtcInstant(), nullable=False),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("lease_until", UtcInstant(), nullable=True),
        sa.CheckConstraint(
            "(claimed_by is null) = (lease_until is null)", name=op.f("ck_mailbox_lease")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_mailbox_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_mailbox")),
    )
    op.create_index("ix_mailbox_next", "mailbox", ["next_at"], unique=False)
    op.create_table(
        "answer_watch",
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("due_at", UtcInstant(), nullable=False),
        sa.Column("answered_at", UtcInstant(), nullable=True),
        sa.Column("alerted_at", UtcInstant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_answer_watch_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
            name=op.f("fk_answer_watch_message_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_answer_watch")),
    )
    op.create_index(
        "ix_answer_watch_due",
        "answer_watch",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("answered_at is null and alerted_at is null"),
        postgresql_where=sa.text("answered_at is null and alerted_at is null"),
    )
    op.create_table(
        "incoming",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("uid", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("in_reply_to", sa.Text(), nullable=True),
        sa.Column("sender_address", sa.Text(), nullable=False),
        sa.Column("sender_key", sa.Text(), nullable=False),
        sa.Column("sender_name", sa.Text(), nullable=False),
        sa.Column("to", Json, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("attachments", Json, nullable=False),
        sa.Column("report", Json, nullable=True),
        sa.Column("sent_at", UtcInstant(), nullable=True),
        sa.Column("received_at", UtcInstant(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("about_id", sa.String(length=32), nullable=True),
        sa.Column("is_verified", sa.Boolean(), nullable=False),
        sa.Column("reference_type", sa.Text(), nullable=True),
        sa.Column("reference_number", sa.Text(), nullable=True),
        sa.Column("reference_customer", sa.Text(), nullable=True),
        sa.Column("handled_at", UtcInstant(), nullable=True),
        sa.Column("handled_by", sa.Text(), nullable=True),
        sa.Column("handled_note", sa.Text(), nullable=True),
        sa.Column("body_erased_at", UtcInstant(), nullable=True),
        sa.CheckConstraint(
            "kind in ('dsn', 'mdn', 'arf', 'auto_reply', 'list', 'human')",
            name=op.f("ck_incoming_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["about_id"], ["message.id"], name=op.f("fk_incoming_about_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_incoming_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incoming")),
        sa.UniqueConstraint("account_id", "uid", name=op.f("uq_incoming_account_id_uid")),
    )
    op.create_index("ix_incoming_about", "incoming", ["about_id", "id"], unique=False)
    op.create_index("ix_incoming_account", "incoming", ["account_id", "id"], unique=False)
    op.create_index("ix_incoming_customer", "incoming", ["reference_customer", "id"], unique=False)
    op.create_index("ix_incoming_number", "incoming", ["reference_number", "id"], unique=False)
    op.create_index(
        "ix_incoming_open",
        "incoming",
        ["id"],
        unique=False,
        sqlite_where=sa.text("handled_at is null"),
        postgresql_where=sa.text("handled_at is null"),
    )
    op.create_table(
        "mailbox_uidl",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("uidl", sa.String(length=128), nullable=False),
        sa.Column("seen_at", UtcInstant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["mailbox.account_id"],
            name=op.f("fk_mailbox_uidl_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "uidl", name=op.f("pk_mailbox_uidl")),
    )
    op.create_table(
        "incoming_body",
        sa.Column("incoming_id", sa.String(length=32), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incoming_id"],
            ["incoming.id"],
            name=op.f("fk_incoming_body_incoming_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("incoming_id", name=op.f("pk_incoming_body")),
    )


def downgrade() -> None:
    """Forget what came in."""
    op.drop_table("incoming_body")
    op.drop_table("mailbox_uidl")
    op.drop_index(
        "ix_incoming_open",
        table_name="incoming",
        sqlite_where=sa.text("handled_at is null"),
        postgresql_where=sa.text("handled_at is null"),
    )
    op.drop_index("ix_incoming_number", table_name="incoming")
    op.drop_index("ix_incoming_customer", table_name="incoming")
    op.drop_index("ix_incoming_account", table_name="incoming")
    op.drop_index("ix_incoming_about", table_name="incoming")
    op.drop_table("incoming")
    op.drop_index(
        "ix_answer_watch_due",
        table_name="answer_watch",
        sqlite_where=sa.text("answered_at is null and alerted_at is null"),
        postgresql_where=sa.text("answered_at is null and alerted_at is null"),
    )
    op.drop_table("answer_watch")
    op.drop_index("ix_mailbox_next", table_name="mailbox")
    op.drop_table("mailbox")
