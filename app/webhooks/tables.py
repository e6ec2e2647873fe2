"""Webhooks, what each still has to be told, and every try to do so.

A webhook keeps its own place in the feed of events, so the feed is the queue: rows of
``webhook_delivery`` are made for what comes next only (see ``collect``). A delivery holds no text of
its own: it is written from the event each time, and what is erased there is never sent.
"""

from sqlalchemy import (
    BigInteger,
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
    text,
)

from app.db import Json, UtcInstant, metadata
from app.outbox.tables import event

webhook = Table(
    "webhook",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Json, nullable=False),  # patterns, see ``wishes``
    Column("user_id", String(128)),  # only what concerns this user; null: everything
    Column("version", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", String(16)),  # gone, failing; null: a person did it
    Column("secret", LargeBinary, nullable=False),  # sealed, as ``old_secret``
    Column("old_secret", LargeBinary),  # signs beside it until old_secret_until
    Column("old_secret_until", UtcInstant),
    Column("feed_txid", BigInteger, nullable=False),  # the last event that was looked at
    Column("feed_number", BigInteger, nullable=False),
    Column("missed", Integer, nullable=False),  # events that were too old when their turn came
    Column("failures", Integer, nullable=False),  # tries in a row
    Column("succeeded_at", UtcInstant),
    Column("failed_at", UtcInstant),
    Column("error", Text),  # of the last try, where it failed
    Column("created_at", UtcInstant, nullable=False),
    Column("updated_at", UtcInstant, nullable=False),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", String(32), primary_key=True),  # the header webhook-id, the same at every try
    Column("webhook_id", String(32), ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
    # null: a test
    Column("event_number", event.c.number.type, ForeignKey("event.number", ondelete="CASCADE")),
    Column("type", String(32), nullable=False),
    Column("message_id", String(32)),  # the event's: those of one message go one after the other
    Column("state", String(10), nullable=False),  # waiting, delivered, given_up
    Column("due_at", UtcInstant),  # when it may be tried
    Column("give_up_at", UtcInstant, nullable=False),
    Column("claimed_by", String(100)),  # the fence of a try under way
    Column("lease_until", UtcInstant),
    Column("tries", Integer, nullable=False),  # failed ones, since it was last asked for
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcInstant, nullable=False),
    Column("ended_at", UtcInstant),
    CheckConstraint("state in ('waiting', 'delivered', 'given_up')", name="state"),
    CheckConstraint("(state = 'waiting') = (due_at is not null)", name="due"),
    CheckConstraint("(claimed_by is null) = (lease_until is null)", name="lease"),
)
_WAITING = text("due_at is not null")
Index(
    "ix_webhook_delivery_due",
    webhook_delivery.c.webhook_id,
    webhook_delivery.c.due_at,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
Index(
    "ix_webhook_delivery_order",
    webhook_delivery.c.message_id,
    webhook_delivery.c.webhook_id,
    webhook_delivery.c.event_number,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
GIVEN_UP = text("state = 'given_up'")
Index(
    "ix_webhook_delivery_given_up",
    webhook_delivery.c.webhook_id,
    webhook_delivery.c.id,
    sqlite_where=GIVEN_UP,
    postgresql_where=GIVEN_UP,
)
Index("ix_webhook_delivery_log", webhook_delivery.c.webhook_id, webhook_delivery.c.id)
Index("ix_webhook_delivery_event", webhook_delivery.c.event_number)
Index("ix_webhook_delivery_ended", webhook_delivery.c.ended_at)

webhook_attempt = Table(
    "webhook_attempt",
    metadata,
    Column(
        "delivery_id",
        String(32),
        ForeignKey("webhook_delivery.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True),
    Column("at", UtcInstant, nullable=False),
    Column("ms", Integer, nullable=False),
    Column("code", Integer),  # the HTTP status; null: there was none
    Column("error", Text),  # in plain words; null: it was taken
)
