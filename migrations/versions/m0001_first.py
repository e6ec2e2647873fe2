"""The first schema: accounts, configuration, outbox."""

import sqlalchemy as sa
from alembic import op

from app.db import Json, UtcInstant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "account",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=140), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("password", sa.LargeBinary(), nullable=True),
        sa.Column("password_state", sa.String(length=8), nullable=False),
        sa.Column("password_owner", sa.String(length=200), nullable=True),
        sa.Column("attachment_password", sa.LargeBinary(), nullable=True),
        sa.Column("paused_at", UtcInstant(), nullable=True),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.Column("created_at", UtcInstant(), nullable=False),
        sa.Column("updated_at", UtcInstant(), nullable=False),
        sa.Column("removed_at", UtcInstant(), nullable=True),
        sa.CheckConstraint(
            "(password_state = 'stored') = (password is not null)",
            name=op.f("ck_account_password_stored"),
        ),
        sa.CheckConstraint(
            "(scope = 'global') = (user_id is null)", name=op.f("ck_account_scope_user")
        ),
        sa.CheckConstraint(
            "password_state in ('none', 'stored', 'awaiting')",
            name=op.f("ck_account_password_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
    )
    op.create_index(
        "uq_account_default",
        "account",
        ["scope"],
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )
    op.create_table(
        "allowance",
        sa.Column("subject", sa.String(length=400), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "minute", name=op.f("pk_allowance")),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner_id", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=True),
        sa.Column("prefix", sa.String(length=32), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcInstant(), nullable=False),
        sa.Column("expires_at", UtcInstant(), nullable=True),
        sa.Column("last_used_at", UtcInstant(), nullable=True),
        sa.Column("revoked_at", UtcInstant(), nullable=True),
        sa.Column("rotated_to", sa.String(length=32), nullable=True),
        sa.CheckConstraint(
            "(role = 'user') = (user_id is not null)", name=op.f("ck_api_key_user_bound")
        ),
        sa.CheckConstraint(
            "role in ('admin', 'sender', 'user', 'probe')", name=op.f("ck_api_key_role")
        ),
        sa.ForeignKeyConstraint(["rotated_to"], ["api_key.id"], name=op.f("fk_api_key_rotated_to")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_key_prefix")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("at", UtcInstant(), nullable=False),
        sa.Column("owner_id", sa.String(length=200), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("before", Json, nullable=True),
        sa.Column("after", Json, nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_object", "audit", ["object", "id"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("owner_id", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", Json, nullable=False),
        sa.Column("message_ids", Json, nullable=False),
        sa.Column("created_at", UtcInstant(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "key", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("canary", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcInstant(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_installation_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("language", sa.String(length=35), nullable=True),
        sa.Column("active_scope", sa.String(length=8), nullable=False),
        sa.Column("created_at", UtcInstant(), nullable=False),
        sa.Column("updated_at", UtcInstant(), nullable=False),
        sa.CheckConstraint(
            "active_scope in ('global', 'personal')", name=op.f("ck_person_active_scope")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
    )
    op.create_table(
        "template",
        sa.Column("scope", sa.String(length=140), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("removed_at", UtcInstant(), nullable=True),
        sa.PrimaryKeyConstraint("scope", "name", "language", name=op.f("pk_template")),
    )
    op.create_table(
        "template_version",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=140), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("requires", Json, nullable=False),
        sa.Column("strict_macros", sa.Boolean(), nullable=False),
        sa.Column("saved_at", UtcInstant(), nullable=False),
        sa.Column("saved_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_template_version")),
        sa.UniqueConstraint(
            "scope",
            "name",
            "language",
            "version",
            name=op.f("uq_template_version_scope_name_language_version"),
        ),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcInstant(), nullable=False),
        sa.Column("seen_at", UtcInstant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_table(
        "account_state",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", UtcInstant(), nullable=True),
        sa.Column("cause", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("failed_at", UtcInstant(), nullable=True),
        sa.Column("succeeded_at", UtcInstant(), nullable=True),
        sa.Column("capabilities", Json, nullable=True),
        sa.Column("starttls_seen", sa.Text(), nullable=True),
        sa.Column("dsn_refused", sa.Text(), nullable=True),
        sa.Column("lot_count", sa.Integer(), nullable=False),
        sa.Column("lot_replied_at", UtcInstant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_account_state_account_id")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_account_state")),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner_id", sa.String(length=200), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=True),
        sa.Column("scope", sa.String(length=140), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=True),
        sa.Column("is_draft", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("reverse_path", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("sender", Json, nullable=False),
        sa.Column("notify", Json, nullable=True),
        sa.Column("return_content", sa.String(length=8), nullable=False),
        sa.Column("needs_smtputf8", sa.Boolean(), nullable=False),
        sa.Column("on_uncertain", sa.String(length=8), nullable=False),
        sa.Column("delivery", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.String(length=32), nullable=True),
        sa.Column("reference_type", sa.Text(), nullable=True),
        sa.Column("reference_number", sa.Text(), nullable=True),
        sa.Column("reference_customer", sa.Text(), nullable=True),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("template", Json, nullable=True),
        sa.Column("server", sa.Text(), nullable=True),
        sa.Column("attachments", Json, nullable=False),
        sa.Column("warnings", Json, nullable=False),
        sa.Column("resent_of", sa.String(length=32), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("smtp_password", sa.LargeBinary(), nullable=True),
        sa.Column("send_at", UtcInstant(), nullable=True),
        sa.Column("not_after", UtcInstant(), nullable=True),
        sa.Column("give_up_after_h", sa.Float(), nullable=False),
        sa.Column("give_up_at", UtcInstant(), nullable=False),
        sa.Column("due_at", UtcInstant(), nullable=True),
        sa.Column("created_at", UtcInstant(), nullable=False),
        sa.Column("ended_at", UtcInstant(), nullable=True),
        sa.Column("body_erased_at", UtcInstant(), nullable=True),
        sa.Column("erase_at_end", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_message_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    op.create_index("ix_message_customer", "message", ["reference_customer", "id"], unique=False)
    op.create_index(
        "ix_message_due",
        "message",
        ["account_id", "priority", "due_at"],
        unique=False,
        sqlite_where=sa.text("due_at is not null"),
        postgresql_where=sa.text("due_at is not null"),
    )
    op.create_index("ix_message_ended", "message", ["ended_at"], unique=False)
    op.create_index(
        "ix_message_expiry",
        "message",
        ["not_after"],
        unique=False,
        sqlite_where=sa.text("not_after is not null and ended_at is null"),
        postgresql_where=sa.text("not_after is not null and ended_at is null"),
    )
    op.create_index("ix_message_number", "message", ["reference_number", "id"], unique=False)
    op.create_index("ix_message_owner", "message", ["owner_id", "id"], unique=False)
    op.create_index("ix_message_status", "message", ["status", "id"], unique=False)
    op.create_index("ix_message_user", "message", ["user_id", "id"], unique=False)
    op.create_table(
        "event",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=False),
            nullable=False,
        ),
        sa.Column("txid", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcInstant(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("recipient_id", sa.String(length=32), nullable=True),
        sa.Column("owner_id", sa.String(length=200), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=True),
        sa.Column("data", Json, nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_event_message_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_feed", "event", ["txid", "number"], unique=False)
    op.create_index("ix_event_message", "event", ["message_id", "number"], unique=False)
    op.create_table(
        "message_body",
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
            name=op.f("fk_message_body_message_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_message_body")),
    )
    op.create_table(
        "recipient",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=3), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("due_at", UtcInstant(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("lease_until", UtcInstant(), nullable=True),
        sa.Column("claimed_at", UtcInstant(), nullable=True),
        sa.Column("marked_at", UtcInstant(), nullable=True),
        sa.Column("updated_at", UtcInstant(), nullable=False),
        sa.CheckConstraint(
            "(state = 'sending') = (claimed_by is not null and lease_until is not null) and (claimed_by is null) = (lease_until is null)",
            name=op.f("ck_recipient_lease"),
        ),
        sa.CheckConstraint(
            "(state in ('queued', 'deferred')) = (due_at is not null)",
            name=op.f("ck_recipient_due"),
        ),
        sa.CheckConstraint("kind in ('to', 'cc', 'bcc')", name=op.f("ck_recipient_kind")),
        sa.CheckConstraint(
            "marked_at is null or state = 'sending'", name=op.f("ck_recipient_mark")
        ),
        sa.CheckConstraint(
            "state in ('queued', 'sending', 'deferred', 'held', 'sent', 'delivered', 'failed', 'suppressed', 'cancelled', 'expired')",
            name=op.f("ck_recipient_state"),
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_recipient_message_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipient")),
    )
    op.create_index(
        "ix_recipient_address", "recipient", ["address_key", "message_id"], unique=False
    )
    op.create_index(
        "ix_recipient_lease",
        "recipient",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("lease_until is not null"),
        postgresql_where=sa.text("lease_until is not null"),
    )
    op.create_index("ix_recipient_message", "recipient", ["message_id", "position"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("recipient_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcInstant(), nullable=False),
        sa.Column("ended_at", UtcInstant(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=True),
        sa.Column("cause", sa.String(length=32), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sa.String(length=16), nullable=True),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("local", sa.Boolean(), nullable=False),
        sa.Column("server", sa.Text(), nullable=True),
        sa.Column("tls", sa.Text(), nullable=True),
        sa.Column("worker", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_attempt_message_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"],
            ["recipient.id"],
            name=op.f("fk_attempt_recipient_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
    )
    op.create_index("ix_attempt_message", "attempt", ["message_id", "id"], unique=False)


def downgrade() -> None:
    """Remove every table."""
    op.drop_index("ix_attempt_message", table_name="attempt")
    op.drop_table("attempt")
    op.drop_index("ix_recipient_message", table_name="recipient")
    op.drop_index(
        "ix_recipient_lease",
        table_name="recipient",
        sqlite_where=sa.text("lease_until is not null"),
        postgresql_where=sa.text("lease_until is not null"),
    )
    op.drop_index("ix_recipient_address", table_name="recipient")
    op.drop_table("recipient")
    op.drop_table("message_body")
    op.drop_index("ix_event_message", table_name="event")
    op.drop_index("ix_event_feed", table_name="event")
    op.drop_table("event")
    op.drop_index("ix_message_user", table_name="message")
    op.drop_index("ix_message_status", table_name="message")
    op.drop_index("ix_message_owner", table_name="message")
    op.drop_index("ix_message_number", table_name="message")
    op.drop_index(
        "ix_message_expiry",
        table_name="message",
        sqlite_where=sa.text("not_after is not null and ended_at is null"),
        postgresql_where=sa.text("not_after is not null and ended_at is null"),
    )
    op.drop_index("ix_message_ended", table_name="message")
    op.drop_index(
        "ix_message_due",
        table_name="message",
        sqlite_where=sa.text("due_at is not null"),
        postgresql_where=sa.text("due_at is not null"),
    )
    op.drop_index("ix_message_customer", table_name="message")
    op.drop_table("message")
    op.drop_table("account_state")
    op.drop_table("worker")
    op.drop_table("template_version")
    op.drop_table("template")
    op.drop_table("person")
    op.drop_table("installation")
    op.drop_index("ix_idempotency_created_at", table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_index("ix_audit_object", table_name="audit")
    op.drop_table("audit")
    op.drop_table("api_key")
    op.drop_table("allowance")
    op.drop_index(
        "uq_account_default",
        table_name="account",
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )
    op.drop_table("account")
