"""What a scope has set: accounts (a scope's mail configuration) and templates.

``account`` is the one model of a sending configuration; ``/config/{scope}`` edits the scope's
default account. A removed configuration keeps its row (``removed_at``), because messages name it.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from app.db import Json, UtcInstant, metadata

account = Table(
    "account",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("scope", String(140), nullable=False),  # "global" or "users/<id>"
    Column("user_id", String(128)),
    Column("is_default", Boolean, nullable=False),
    Column("version", Integer, nullable=False),  # the ETag
    Column("settings", Json, nullable=False),  # as stored: absent members inherit; no secrets
    Column("password", LargeBinary),  # sealed; place account:<id>:password, target: see secrets.py
    Column("password_state", String(8), nullable=False),
    Column("password_owner", String(200)),  # who entered it, and may see it again
    # Sealed; explicitly none is `"attachment_password": ""` in the settings.
    Column("attachment_password", LargeBinary),
    Column("paused_at", UtcInstant),  # by a person
    Column("paused_by", Text),
    Column("created_at", UtcInstant, nullable=False),
    Column("updated_at", UtcInstant, nullable=False),
    Column("removed_at", UtcInstant),
    CheckConstraint("(scope = 'global') = (user_id is null)", name="scope_user"),
    # none: no login or asked at sending; stored; awaiting: its owner has still to enter it
    CheckConstraint("password_state in ('none', 'stored', 'awaiting')", name="password_state"),
    CheckConstraint("(password_state = 'stored') = (password is not null)", name="password_stored"),
)
Index(
    "uq_account_default",
    account.c.scope,
    unique=True,
    sqlite_where=text("is_default"),
    postgresql_where=text("is_default"),
)

template = Table(
    "template",
    metadata,
    Column("scope", String(140), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("language", String(35), primary_key=True),
    Column("version", Integer, nullable=False),  # the ETag; numbers go on after a DELETE
    Column("removed_at", UtcInstant),  # DELETE falls back to the wider scope; versions stay
)

template_version = Table(
    "template_version",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("scope", String(140), nullable=False),
    Column("name", String(128), nullable=False),
    Column("language", String(35), nullable=False),
    Column("version", Integer, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("requires", Json, nullable=False),
    Column("strict_macros", Boolean, nullable=False),
    Column("saved_at", UtcInstant, nullable=False),
    Column("saved_by", Text, nullable=False),
    UniqueConstraint("scope", "name", "language", "version"),
)
