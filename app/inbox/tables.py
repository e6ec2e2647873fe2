"""Mail that came in, and how far each mailbox was read.

``mailbox`` is one account's mailbox: where collecting stands, under a lease, so that workers share
them. ``incoming`` is one mail as it was understood; its bytes stand beside it (``incoming_body``) and
are never run nor rendered. A mail is stored before the remote mailbox is touched (G9), so its ``uid``
is what keeps it from being stored twice.
"""

from typing import get_args

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
    UniqueConstraint,
    text,
)

from app.db import Json, UtcInstant, metadata
from app.mime.machine import Kind
from app.mime.report import ReportKind
from app.outbox.answer_watch import answer_watch

__all__ = ["answer_watch", "auto_reply", "incoming", "incoming_body", "mailbox", "mailbox_uidl"]

KINDS = get_args(Kind)
REPORTS = get_args(ReportKind)
# What somebody should look at: answers, and reports that found no message. One index each.
UNANSWERED = text("handled_at is null and kind = 'human' and about_id is not null")
UNMATCHED = text("handled_at is null and kind in ('dsn', 'mdn', 'arf') and about_id is null")

mailbox = Table(
    "mailbox",
    metadata,
    Column("account_id", String(32), ForeignKey("account.id"), primary_key=True),
    Column("target", Text),  # server, user and folder that the position below belongs to
    # RFC 9051 §2.3.1.1; above its 32 bits how often it went back. POP3: 0 when it was chosen what is taken.
    Column("uidvalidity", BigInteger),
    Column("last_uid", BigInteger),  # every message up to it was looked at
    Column("unread", Integer),  # last count, for those that only tell
    Column("synced_at", UtcInstant),
    Column("failed_at", UtcInstant),
    Column("failures", Integer, nullable=False),  # in a row
    Column("cause", String(32)),
    Column("detail", Text),
    Column("next_at", UtcInstant, nullable=False),
    Column("claimed_by", String(64)),
    Column("lease_until", UtcInstant),
    CheckConstraint("(claimed_by is null) = (lease_until is null)", name="lease"),
)
Index("ix_mailbox_next", mailbox.c.next_at)

mailbox_uidl = Table(
    "mailbox_uidl",
    metadata,
    # POP3 keeps no position: what was seen is kept by its unique id (RFC 1939 §7) while it is there.
    Column(
        "account_id",
        String(32),
        ForeignKey("mailbox.account_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("uidl", String(128), primary_key=True),
    Column("seen_at", UtcInstant, nullable=False),
)

incoming = Table(
    "incoming",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", String(32), ForeignKey("account.id"), nullable=False),
    Column("uid", String(200), nullable=False),  # "<server>.<uidvalidity>:<uid>", "<server>.<UIDL>"
    Column("kind", String(10), nullable=False),
    Column("message_id", Text),  # RFC 5322, with angle brackets, as the mail says
    Column("in_reply_to", Text),
    Column("sender_address", Text, nullable=False),
    Column("sender_key", Text, nullable=False),  # case folded
    Column("sender_name", Text, nullable=False),
    Column("to", Json, nullable=False),  # [{"address", "name"}], To and Cc
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),  # without what it quotes
    Column("attachments", Json, nullable=False),  # [{"filename", "content_type", "bytes"}]
    Column("report", Json),  # what a DSN, MDN or complaint says
    Column("sent_at", UtcInstant),  # its Date
    Column("received_at", UtcInstant, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # The message of ours that it is about; verified: a signed id of ours said so.
    Column("about_id", String(32), ForeignKey("message.id", ondelete="SET NULL")),
    Column("is_verified", Boolean, nullable=False),
    Column("reference_type", Text),
    Column("reference_number", Text),
    Column("reference_customer", Text),
    Column("waits_since", UtcInstant),  # a report that came before its message was noted as sent
    Column("handled_at", UtcInstant),
    Column("handled_by", Text),
    Column("handled_note", Text),
    Column("kind_by", Text),  # who corrected it
    Column("linked_by", Text),  # who said which message it is about
    Column("body_erased_at", UtcInstant),
    # The automatic reply: null where none is set up, "due", "sent", or why there is none.
    Column("reply_state", String(16)),
    Column("reply_at", UtcInstant),  # when that was so
    Column("reply_id", String(32)),  # the message that answered; it may be pruned
    Column("reply_detail", Text),
    UniqueConstraint("account_id", "uid"),
    CheckConstraint("kind in ('" + "', '".join(KINDS) + "')", name="kind"),
)
Index("ix_incoming_account", incoming.c.account_id, incoming.c.id)
Index(
    "ix_incoming_size", incoming.c.account_id, incoming.c.size_bytes
)  # by which mail is known again
Index("ix_incoming_about", incoming.c.about_id, incoming.c.id)
Index("ix_incoming_number", incoming.c.reference_number, incoming.c.id)
Index("ix_incoming_customer", incoming.c.reference_customer, incoming.c.id)
Index(
    "ix_incoming_open",
    incoming.c.id,
    sqlite_where=text("handled_at is null"),
    postgresql_where=text("handled_at is null"),
)
Index(
    "ix_incoming_unanswered",
    incoming.c.about_id,
    incoming.c.account_id,
    sqlite_where=UNANSWERED,
    postgresql_where=UNANSWERED,
)
Index(
    "ix_incoming_unmatched",
    incoming.c.about_id,
    incoming.c.account_id,
    sqlite_where=UNMATCHED,
    postgresql_where=UNMATCHED,
)
Index(
    "ix_incoming_waiting",
    incoming.c.waits_since,
    sqlite_where=text("waits_since is not null"),
    postgresql_where=text("waits_since is not null"),
)
for _name, _columns, _where in (
    ("ix_incoming_reply_due", (incoming.c.id,), text("reply_state = 'due'")),
    ("ix_incoming_reply", (incoming.c.account_id, incoming.c.id), text("reply_state is not null")),
):
    Index(_name, *_columns, sqlite_where=_where, postgresql_where=_where)

auto_reply = Table(
    "auto_reply",
    metadata,
    # Whom an account answered by itself: remembered with the answer, until it may be answered again.
    Column("account_id", String(32), ForeignKey("account.id"), primary_key=True),
    Column("sender_key", Text, primary_key=True),
    Column("replied_at", UtcInstant, nullable=False),
    Column("free_at", UtcInstant, nullable=False),
)
Index("ix_auto_reply_replied", auto_reply.c.account_id, auto_reply.c.replied_at)
Index("ix_auto_reply_free", auto_reply.c.free_at)

incoming_body = Table(
    "incoming_body",
    metadata,
    Column(
        "incoming_id", String(32), ForeignKey("incoming.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("raw", LargeBinary, nullable=False),
)
