"""Who may act: users, API keys, the audit trail.

A *owner* is a key together with those rotated from it, or a JWT's issuer and subject; messages,
idempotency keys and passwords belong to an owner, so they outlive a rotation.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from app.db import Json, UtcInstant, metadata

ROLES = ("admin", "sender", "user", "probe")

person = Table(
    "person",  # "user" is a reserved word of SQL
    metadata,
    Column("id", String(128), primary_key=True),  # the ERP's user id, NFC
    Column("name", Text),
    Column("address", Text),
    Column("language", String(35)),
    Column("active_scope", String(8), nullable=False),
    Column("signature", Json),  # {"html", "text"}, each where it was given
    Column("created_at", UtcInstant, nullable=False),
    Column("updated_at", UtcInstant, nullable=False),
    CheckConstraint("active_scope in ('global', 'personal')", name="active_scope"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner_id", String(200), nullable=False),  # id of the first key of the rotation chain
    Column("role", String(8), nullable=False),
    Column("name", Text, nullable=False),
    Column("user_id", String(128)),  # set exactly for role "user"
    Column("prefix", String(32), nullable=False, unique=True),  # public part of the key, to find it
    Column("hash", Text, nullable=False),  # Vault.digest of the whole key
    Column("source", String(16), nullable=False),  # api, first_start, environment
    Column("created_at", UtcInstant, nullable=False),
    Column("expires_at", UtcInstant),
    Column("last_used_at", UtcInstant),
    Column("revoked_at", UtcInstant),
    Column("rotated_to", String(32), ForeignKey("api_key.id")),
    CheckConstraint("role in ('admin', 'sender', 'user', 'probe')", name="role"),
    CheckConstraint("(role = 'user') = (user_id is not null)", name="user_bound"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", UtcInstant, nullable=False),
    Column("owner_id", String(200), nullable=False),
    Column("actor", Text, nullable=False),  # the key's name, as it was then
    Column("role", String(8), nullable=False),
    Column("action", String(64), nullable=False),  # "config.put", "key.create", "password.reveal"
    Column("object", Text, nullable=False),  # "config/users/anna", "keys/01J…"
    Column("before", Json),  # without secrets
    Column("after", Json),
    Column("request_id", String(64)),
)
Index("ix_audit_object", audit.c.object, audit.c.id)

installation = Table(
    "installation",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    # Sealed with the key ring: a database met with another ring is refused at start, plainly,
    # instead of turning up unreadable passwords one by one.
    Column("canary", LargeBinary, nullable=False),
    Column("created_at", UtcInstant, nullable=False),
    CheckConstraint("id = 1", name="only_one"),
)
