"""Accounts beside the default ones, rights on them, links to enter a password, e-mail domains."""

import sqlalchemy as sa
from alembic import op

from app.db import Json, UtcInstant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SCOPES = (
    "(scope <> 'global' or user_id is null) and (scope not like 'users/%' or user_id is not null)"
)


def upgrade() -> None:
    """Let an account be neither the global one nor a user's default; make the three tables."""
    with op.batch_alter_table("account") as account:
        account.add_column(sa.Column("domain", sa.String(length=255), nullable=True))
        account.add_column(sa.Column("incoming_password", sa.LargeBinary(), nullable=True))
        account.drop_constraint(op.f("ck_account_scope_user"), type_="check")
        account.create_check_constraint(op.f("ck_account_scope_user"), _SCOPES)
    op.create_index("ix_account_domain", "account", ["domain"])
    op.create_table(
        "account_right",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("may_read", sa.Boolean(), nullable=False),
        sa.Column("may_send", sa.Boolean(), nullable=False),
        sa.Column("may_manage", sa.Boolean(), nullable=False),
        sa.Column("until", UtcInstant(), nullable=True),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("granted_at", UtcInstant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_account_right_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "user_id", name=op.f("pk_account_right")),
    )
    op.create_index("ix_account_right_user", "account_right", ["user_id"])
    op.create_table(
        "password_link",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=True),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", UtcInstant(), nullable=False),
        sa.Column("expires_at", UtcInstant(), nullable=False),
        sa.Column("used_at", UtcInstant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_password_link_account_id_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_link")),
        sa.UniqueConstraint("hash", name=op.f("uq_password_link_hash")),
    )
    op.create_table(
        "mail_domain",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("created_at", UtcInstant(), nullable=False),
        sa.Column("updated_at", UtcInstant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_mail_domain")),
    )


def downgrade() -> None:
    """Forget them; accounts beside the default ones become nobody's, their mail stays."""
    op.drop_table("mail_domain")
    op.drop_table("password_link")
    op.drop_table("account_right")
    beside = "select id from account where scope like 'accounts/%'"
    op.execute(f"update message set account_id = null where account_id in ({beside})")  # noqa: S608
    op.execute(f"delete from account_state where account_id in ({beside})")  # noqa: S608
    op.execute("delete from account where scope like 'accounts/%'")
    op.drop_index("ix_account_domain", "account")
    with op.batch_alter_table("account") as account:
        account.drop_constraint(op.f("ck_account_scope_user"), type_="check")
        account.create_check_constraint(
            op.f("ck_account_scope_user"), "(scope = 'global') = (user_id is null)"
        )
        account.drop_column("incoming_password")
        account.drop_column("domain")
