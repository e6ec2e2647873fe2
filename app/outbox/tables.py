"""Messages from accepted to the last word.

``message`` is the root: every verb that moves a recipient locks its message row first, and keeps
``status`` (derived from the recipients, contract §4) and ``due_at`` (the earliest moment one of
them may be claimed; null when none may) in the same transaction. ``due_at`` is the queue: the
partial index on it is all that a claim reads.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    text,
)

from app.db import Json, UtcInstant, metadata

STATES = (
    "queued",
    "sending",
    "deferred",
    "held",
    "sent",
    "delivered",
    "failed",
    "suppressed",
    "cancelled",
    "expired",
)

# What is claimed first. A message that a person retries goes even while its account is paused.
FORCED, SINGLE, BATCH = PRIORITIES = (0, 1, 2)

message = Table(
    "message",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner_id", String(200), nullable=False),
    Column("user_id", String(128)),  # as whom it was sent; null: the global scope
    Column("scope", String(140), nullable=False),  # "global", "users/anna"
    # The account whose server carries it: the id, so that a corrected password helps waiting mail.
    Column("account_id", String(32), ForeignKey("account.id")),
    # The account in whose Sent folder a copy is to stand; null: in none.
    Column("copy_account_id", String(32)),
    Column("is_draft", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("message_id", Text),  # RFC 5322, with angle brackets; null in a draft
    Column("reverse_path", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("sender", Json, nullable=False),  # {"address", "name"}
    Column("notify", Json),  # NOTIFY keywords, or null for no parameter
    Column("return_content", String(8), nullable=False),
    Column("needs_smtputf8", Boolean, nullable=False),
    Column("on_uncertain", String(8), nullable=False),
    Column("delivery", Text, nullable=False),  # on, off, redirect:<address>: when last touched
    Column("priority", Integer, nullable=False),  # see PRIORITIES
    Column("batch_id", String(32)),
    Column("reference_type", Text),
    Column("reference_number", Text),
    Column("reference_customer", Text),
    Column("metadata", Json, nullable=False),
    Column("template", Json),  # {"name", "origin", "language"}
    Column("server", Text),  # "smtp.firma.example:587" when it was accepted
    Column("attachments", Json, nullable=False),
    Column("warnings", Json, nullable=False),
    Column("resent_of", String(32)),
    Column("quotes", String(32)),  # whose words it carries: a mail that came in, or a message
    Column("size_bytes", BigInteger, nullable=False),
    Column("smtp_password", LargeBinary),  # sealed; deleted when the message ends
    Column("send_at", UtcInstant),
    Column("not_after", UtcInstant),
    Column("give_up_after_h", Float, nullable=False),
    Column("give_up_at", UtcInstant, nullable=False),
    Column("due_at", UtcInstant),
    Column("created_at", UtcInstant, nullable=False),
    Column("ended_at", UtcInstant),  # every recipient has its last state
    Column("body_erased_at", UtcInstant),
    Column("erase_at_end", Boolean, nullable=False),
)
Index(
    "ix_message_due",
    message.c.account_id,
    message.c.priority,
    message.c.due_at,
    sqlite_where=text("due_at is not null"),
    postgresql_where=text("due_at is not null"),
)
Index("ix_message_status", message.c.status, message.c.id)
Index("ix_message_owner", message.c.owner_id, message.c.id)
Index("ix_message_user", message.c.user_id, message.c.id)
Index("ix_message_number", message.c.reference_number, message.c.id)
Index("ix_message_customer", message.c.reference_customer, message.c.id)
Index(
    "ix_message_expiry",
    message.c.not_after,
    sqlite_where=text("not_after is not null and ended_at is null"),
    postgresql_where=text("not_after is not null and ended_at is null"),
)
Index("ix_message_ended", message.c.ended_at)
Index(
    "ix_message_quotes",
    message.c.quotes,
    sqlite_where=text("quotes is not null"),
    postgresql_where=text("quotes is not null"),
)
Index(
    "ix_message_batch",
    message.c.batch_id,
    message.c.id,
    sqlite_where=text("batch_id is not null"),
    postgresql_where=text("batch_id is not null"),
)

message_body = Table(
    "message_body",
    metadata,
    Column(
        "message_id", String(32), ForeignKey("message.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("raw", LargeBinary, nullable=False),  # RFC 5322, CRLF, byte for byte as it is sent
)

recipient = Table(
    "recipient",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("message_id", String(32), ForeignKey("message.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("kind", String(3), nullable=False),
    Column("address", Text, nullable=False),
    Column("address_key", Text, nullable=False),  # case folded, to find and to erase it
    Column("name", Text, nullable=False),
    # A BCC of the global configuration: users are not shown it (contract §1).
    Column("hidden", Boolean, nullable=False),
    Column("state", String(10), nullable=False),
    Column("reason", Text),
    Column("due_at", UtcInstant),  # when it may be tried (queued, deferred)
    Column("attempts", Integer, nullable=False),
    Column("tries", Integer, nullable=False),  # those that count for the retry schedule
    Column("claimed_by", String(64)),  # the fence: worker.carrier.number
    Column("lease_until", UtcInstant),
    Column("claimed_at", UtcInstant),
    Column("marked_at", UtcInstant),  # the final dot may have gone out
    Column("updated_at", UtcInstant, nullable=False),
    CheckConstraint("kind in ('to', 'cc', 'bcc')", name="kind"),
    CheckConstraint("state in ('" + "', '".join(STATES) + "')", name="state"),
    # G2: a lease exists exactly while sending
    CheckConstraint(
        "(state = 'sending') = (claimed_by is not null and lease_until is not null)"
        " and (claimed_by is null) = (lease_until is null)",
        name="lease",
    ),
    CheckConstraint("marked_at is null or state = 'sending'", name="mark"),
    CheckConstraint("(state in ('queued', 'deferred')) = (due_at is not null)", name="due"),
)
Index("ix_recipient_message", recipient.c.message_id, recipient.c.position)
Index("ix_recipient_address", recipient.c.address_key, recipient.c.message_id)
Index(
    "ix_recipient_lease",
    recipient.c.lease_until,
    sqlite_where=text("lease_until is not null"),
    postgresql_where=text("lease_until is not null"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("message_id", String(32), ForeignKey("message.id", ondelete="CASCADE"), nullable=False),
    Column(
        "recipient_id", String(32), ForeignKey("recipient.id", ondelete="CASCADE"), nullable=False
    ),
    Column("number", Integer, nullable=False),
    Column("started_at", UtcInstant, nullable=False),
    Column("ended_at", UtcInstant, nullable=False),
    Column("verdict", String(16), nullable=False),  # sent, deferred, refused, uncertain, lost
    Column("phase", String(16)),  # where it was decided: connect … rcpt, data, dot
    Column("cause", String(32)),
    Column("code", Integer),
    Column("enhanced", String(16)),
    Column("reply", Text),
    Column("local", Boolean, nullable=False),  # our own words, not the server's
    Column("server", Text),
    Column("tls", Text),  # "TLSv1.3"
    Column("worker", String(64), nullable=False),
)
Index("ix_attempt_message", attempt.c.message_id, attempt.c.id)

sent_copy = Table(
    "sent_copy",
    metadata,
    # The copy of a message that was sent, on its way to a Sent folder; made once for a message.
    Column(
        "message_id", String(32), ForeignKey("message.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("account_id", String(32), ForeignKey("account.id"), nullable=False),
    Column("due_at", UtcInstant),  # when it is tried (again); null: it is there, or given up
    Column("tries", Integer, nullable=False),  # begun; after the first one it may be there already
    Column("claimed_by", String(64)),
    Column("lease_until", UtcInstant),
    Column("folder", Text),
    Column("cause", String(32)),  # of the last try, where it failed
    Column("detail", Text),
    Column("asked_at", UtcInstant, nullable=False),
    Column("ended_at", UtcInstant),
    CheckConstraint("(due_at is null) = (ended_at is not null)", name="due"),
    CheckConstraint("(claimed_by is null) = (lease_until is null)", name="lease"),
)
Index(
    "ix_sent_copy_due",
    sent_copy.c.account_id,
    sent_copy.c.due_at,
    sqlite_where=text("due_at is not null"),
    postgresql_where=text("due_at is not null"),
)

event = Table(
    "event",
    metadata,
    Column(
        "number",
        BigInteger().with_variant(Integer, "sqlite"),
        Identity(),
        primary_key=True,
    ),
    Column("txid", BigInteger, nullable=False),  # see db.commit_horizon
    Column("at", UtcInstant, nullable=False),
    Column("type", String(32), nullable=False),
    # null: it is of no message, see ``events.publish``
    Column("message_id", String(32), ForeignKey("message.id", ondelete="CASCADE")),
    Column("recipient_id", String(32)),
    Column("owner_id", String(200), nullable=False),
    Column("user_id", String(128)),
    Column("data", Json, nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_event_feed", event.c.txid, event.c.number)
Index("ix_event_message", event.c.message_id, event.c.number)

idempotency = Table(
    "idempotency",
    metadata,
    Column("owner_id", String(200), primary_key=True),
    Column("key", String(256), primary_key=True),
    Column("digest", Text, nullable=False),  # Vault.digest of the canonical request
    Column("status", Integer, nullable=False),
    Column("answer", Json, nullable=False),
    Column("message_ids", Json, nullable=False),
    Column("created_at", UtcInstant, nullable=False),
)
Index("ix_idempotency_created_at", idempotency.c.created_at)

account_state = Table(
    "account_state",
    metadata,
    Column("account_id", String(32), ForeignKey("account.id"), primary_key=True),
    # The circuit breaker: set by trouble of the configuration, cleared by success or a saved change.
    Column("failures", Integer, nullable=False),
    Column("paused_until", UtcInstant),
    Column("cause", String(32)),
    Column("detail", Text),
    Column("failed_at", UtcInstant),
    Column("succeeded_at", UtcInstant),
    # What the server could do when last asked: contract §5
    Column("capabilities", Json),
    Column("starttls_seen", Text),  # "host:port" of the server that offered it
    Column("dsn_refused", Text),  # "host:port" of a server that advertises DSN and refuses it
    Column("pipelining_broken", Text),  # "host:port 2026-11-22": where groups failed, that day
    # LIMITE and WAIT
    Column("lot_count", Integer, nullable=False),
    Column("lot_replied_at", UtcInstant),  # last final reply of this lot
    # What the server asked for, see ``manners``: cleared by a saved change.
    Column("slowed_at", UtcInstant),  # last complaint
    Column("slow_until", UtcInstant),  # nothing goes before; from here on it recovers
    Column("slow_reason", String(32)),  # rate_limited, too_many_connections
    Column("slow_detail", Text),
    Column("slow_hits", Integer, nullable=False, server_default="0"),  # in a row
    Column("slow_rate", Float),  # messages a minute, at slow_until
    Column("slow_connections", Integer),  # at slow_until
    Column("turn_at", UtcInstant),  # when the next message has its turn
    Column("session_messages", Integer),  # that one connection carries
    Column("session_learned_at", UtcInstant),
)

worker = Table(
    "worker",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text),
    Column("started_at", UtcInstant, nullable=False),
    Column("seen_at", UtcInstant, nullable=False),
)

allowance = Table(
    "allowance",
    metadata,
    # Rate limits that hold across processes: one row per what is counted and minute.
    Column("subject", String(400), primary_key=True),
    Column("minute", BigInteger, primary_key=True),  # minutes since 1970
    Column("used", Integer, nullable=False),
)

SUPPRESSION_REASONS = ("unsubscribed", "hard_bounce", "complaint", "manual")

suppression = Table(
    "suppression",
    metadata,
    # Who is not to be written to, by whom: everybody (global), users/<id> or accounts/<id>.
    Column("id", String(32), primary_key=True),
    Column("address", Text, nullable=False),
    Column("address_key", Text, nullable=False),  # as in ``recipient``
    Column("scope", String(140), nullable=False),
    Column("reason", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("message_id", String(32)),  # which it came of; it may be pruned
    Column("expires_at", UtcInstant),
    Column("made_by", Text, nullable=False),
    Column("made_at", UtcInstant, nullable=False),
    Column("updated_at", UtcInstant, nullable=False),
    CheckConstraint("reason in ('" + "', '".join(SUPPRESSION_REASONS) + "')", name="reason"),
)
Index("uq_suppression_address", suppression.c.address_key, suppression.c.scope, unique=True)
Index("ix_suppression_scope", suppression.c.scope, suppression.c.id)
