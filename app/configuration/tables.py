"""What a scope has set: accounts (a scope's mail configuration), domains and templates.

``account`` is the one model of a mail account. Each is a scope: ``global`` and ``users/<id>`` are the
default accounts of everybody and of a user, which ``/config/{scope}`` edits; any other is
``accounts/<id>``. Making one the default exchanges two scopes, so ids, mail and secrets stay.
A removed configuration keeps its row (``removed_at``), because messages name it.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
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
    Column("scope", String(140), nullable=False),  # "global", "users/<id>" or "accounts/<id>"
    Column("user_id", String(128)),  # the holder of a personal account; null: a group's
    Column("domain", String(255)),  # of the sender's address: whose server settings may apply
    Column("is_default", Boolean, nullable=False),
    Column("version", Integer, nullable=False),  # the ETag
    Column("settings", Json, nullable=False),  # as stored: absent members inherit; no secrets
    Column("password", LargeBinary),  # sealed; place account:<id>:password, target: see secrets.py
    Column("password_state", String(8), nullable=False),
    Column("password_owner", String(200)),  # who entered it, and may see it again
    Column("incoming_password", LargeBinary),  # sealed; absent: the one of ``password``
    # Sealed; explicitly none is `"attachment_password": ""` in the settings.
    Column("attachment_password", LargeBinary),
    Column("paused_at", UtcInstant),  # by a person
    Column("paused_by", Text),
    Column("created_at", UtcInstant, nullable=False),
    Column("updated_at", UtcInstant, nullable=False),
    Column("removed_at", UtcInstant),
    CheckConstraint(
        "(scope <> 'global' or user_id is null) and (scope not like 'users/%' or user_id is not null)",
        name="scope_user",
    ),
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

account_right = Table(
    "account_right",
    metadata,
    # What somebody who does not hold the account may do with it; ``until`` ends a delegation.
    Column(
        "account_id", String(32), ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("user_id", String(128), primary_key=True),
    Column("may_read", Boolean, nullable=False),
    Column("may_send", Boolean, nullable=False),
    Column("may_manage", Boolean, nullable=False),
    Column("until", UtcInstant),
    Column("granted_by", Text, nullable=False),
    Column("granted_at", UtcInstant, nullable=False),
)
Index("ix_account_right_user", account_right.c.user_id)

password_link = Table(
    "password_link",
    metadata,
    # Lets the owner of an account enter its password, once, without an API key.
    Column("id", String(32), primary_key=True),
    Column("account_id", String(32), ForeignKey("account.id"), nullable=False),
    Column("hash", Text, nullable=False, unique=True),  # Vault.digest of the token
    Column("user_id", String(128)),
    Column("made_by", Text, nullable=False),
    Column("made_at", UtcInstant, nullable=False),
    Column("expires_at", UtcInstant, nullable=False),
    Column("used_at", UtcInstant),
)

consent = Table(
    "consent",
    metadata,
    # OAuth2: what lets an account log in by a token; see consent.py.
    Column(
        "account_id", String(32), ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("provider", String(16), nullable=False),
    Column("grant_type", String(24), nullable=False),
    # pending: asked, never given; needs_consent: it was given and does not count any more
    Column("state", String(16), nullable=False),
    # Sealed with the servers they may be shown to; empty text for client credentials.
    Column("refresh_token", LargeBinary),
    Column("access_token", LargeBinary),
    Column("expires_at", UtcInstant),  # of the access token
    Column("scopes", Text),
    Column("address", Text),  # whose mailbox the provider says it is
    Column("error", Text),
    Column("failed_at", UtcInstant),
    Column("granted_at", UtcInstant),
    Column("refreshed_at", UtcInstant),
    Column("lease_until", UtcInstant),  # somebody asks for a new access token until then
    # An authorization under way; one use.
    Column("pending_hash", Text),  # Vault.digest of the state
    Column("pending_verifier", LargeBinary),  # sealed like the tokens
    Column("pending_provider", String(16)),
    Column("pending_until", UtcInstant),
    Column("asked_by", Text, nullable=False),
    CheckConstraint("state in ('pending', 'granted', 'needs_consent')", name="state"),
    CheckConstraint("(state = 'granted') = (refresh_token is not null)", name="granted"),
)

mail_domain = Table(
    "mail_domain",
    metadata,
    # Server settings for every address of an e-mail domain (Dokos).
    Column("name", String(255), primary_key=True),  # lower case, A-labels
    Column("version", Integer, nullable=False),  # the ETag
    Column("settings", Json, nullable=False),
    Column("created_at", UtcInstant, nullable=False),
    Column("updated_at", UtcInstant, nullable=False),
)

Index("ix_account_domain", account.c.domain)

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
