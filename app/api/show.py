"""How the API shows a message: just accepted, in a list, or whole."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema
from sqlalchemy import Row

from app.api.body import ShownInstant
from app.outbox.accept import (
    first_state,
    show_attachments,
    show_status,
    show_template,
    show_warnings,
)
from app.outbox.find import Found, name_present_status
from app.outbox.prepare import Prepared
from app.outbox.status import WAITING


class Sender(BaseModel):
    """Who stands in From."""

    address: str
    name: str


class ShownRecipient(BaseModel):
    """One recipient and what became of it."""

    address: str
    name: str
    kind: str = Field(description="`to`, `cc` or `bcc`.")
    state: str = Field(examples=["queued"])
    reason: str | None = Field(None, description="Why it is deferred, held or failed.")
    attempts: int = 0
    next_attempt_at: ShownInstant | None = None


class ShownTemplate(BaseModel):
    """The template that was used."""

    name: str
    origin: str
    language: str


class Resolution(BaseModel):
    """What the configuration made of the request."""

    scope: str = Field(examples=["users/anna"])
    server: str | None = Field(None, examples=["smtp.firma.example:587"])
    template: ShownTemplate | None = None


class ShownAttachment(BaseModel):
    """One attachment as it goes out."""

    filename: str
    content_type: str
    protection: str = Field(description="`pdf_aes256`, `zip_aes256` or `none`.")
    bytes: int


class Warned(BaseModel):
    """Something to know although the message was accepted."""

    code: str
    detail: str
    pointer: str | None = None


class ShownReference(BaseModel):
    """The business document."""

    type: str | None = None
    number: str | None = None
    customer: str | None = None


class Message(BaseModel):
    """A message."""

    id: str
    status: str = Field(examples=["queued"])
    message_id: str | None = Field(description="RFC 5322 Message-ID; a draft has none.")
    user: str | None = None
    sender: Sender
    subject: str
    recipients: list[ShownRecipient]
    counts: dict[str, int] = Field(description="Recipients by state.")
    resolved: Resolution
    attachments: list[ShownAttachment]
    warnings: list[Warned]
    reference: ShownReference
    metadata: dict[str, Any]
    delivery: str = Field(description="`on`, `off` or `redirect:<address>` when it was accepted.")
    size_bytes: int
    created_at: ShownInstant
    send_at: ShownInstant | None = None
    not_after: ShownInstant | None = None
    next_attempt_at: ShownInstant | None = None
    ended_at: ShownInstant | None = None
    content_available: bool = True
    resent_of: str | None = None
    batch_id: str | None = None


class Attempt(BaseModel):
    """One try to hand the message over to the server, for one recipient."""

    recipient: str
    number: int
    started_at: ShownInstant
    ended_at: ShownInstant
    verdict: str = Field(description="`sent`, `deferred`, `refused`, `uncertain` or `lost`.")
    phase: str | None = None
    cause: str | None = None
    code: int | None = None
    enhanced: str | None = None
    reply: str | None = Field(None, description="The server's words, or ours (see `source`).")
    source: str = Field(description="`remote`: the server said so; `local`: Awizo did.")
    server: str | None = None
    tls: str | None = None


class ShownAnswer(BaseModel):
    """The waiting for an answer."""

    due_at: ShownInstant = Field(description="Until when one is expected.")
    answered_at: ShownInstant | None = Field(description="When a person's answer came.")
    alerted_at: ShownInstant | None = Field(description="When it was told that none came in time.")


class MessageDetail(Message):
    """A message with its attempts."""

    attempts: list[Attempt]
    answer: ShownAnswer | None = Field(
        None, description="Where an answer is waited for: `answer_alert`, `answer_within_min`."
    )


class BatchResult(BaseModel):
    """What became of one message: `id` and `status`, or `problem`."""

    index: int
    id: str | None = None
    status: str | None = Field(None, examples=["queued"])
    problem: Annotated[
        dict[str, Any] | None,
        WithJsonSchema({"anyOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "null"}]}),
    ] = None
    warnings: list[Warned] | None = Field(None, description="Left out where there are none.")
    replayed: bool | None = Field(None, description="`true`: its key was answered before.")


class BatchResults(BaseModel):
    """What became of a batch, in the order of its messages."""

    batch_id: str | None = Field(description="`GET /messages?batch_id=`; null in a dry run.")
    data: list[BatchResult]


def show_accepted(each: Prepared, delivery: str, *, hidden: bool) -> Message:
    """Return a message as it stands right after it was accepted; hidden recipients on request."""
    shown = [addressed for addressed in each.recipients if hidden or not addressed.hidden]
    states = [first_state(each, addressed, delivery) for addressed in shown]
    sender, smtp = each.resolved.sender, each.resolved.smtp
    due_at = each.send_at or each.at
    return Message(
        id=each.id,
        status=show_status(each, delivery),
        message_id=each.message_id,
        user=each.order.user,
        sender=Sender(address=sender.address if sender else "", name=sender.name if sender else ""),
        subject=each.rendered.subject,
        recipients=[
            ShownRecipient(
                address=addressed.mailbox.address,
                name=addressed.mailbox.name,
                kind=addressed.kind,
                state=state,
                reason=reason,
                next_attempt_at=due_at if state == "queued" else None,
            )
            for addressed, (state, reason) in zip(shown, states, strict=True)
        ],
        counts=dict(Counter(state for state, _ in states)),
        resolved=Resolution.model_validate(
            {
                "scope": each.resolved.scope,
                "server": smtp.server if smtp else None,
                "template": show_template(each),
            }
        ),
        attachments=[ShownAttachment(**part) for part in show_attachments(each)],
        warnings=[Warned(**notice) for notice in show_warnings(each)],
        reference=ShownReference(
            type=each.order.reference.type,
            number=each.order.reference.number,
            customer=each.order.reference.customer,
        ),
        metadata=dict(each.order.metadata),
        delivery=delivery,
        size_bytes=len(each.composed.raw),
        created_at=each.at,
        send_at=each.send_at,
        not_after=each.order.not_after,
        next_attempt_at=due_at if any(state == "queued" for state, _ in states) else None,
        batch_id=each.batch_id,
    )


def show_message(found: Found, *, at: datetime) -> Message:
    """Return a stored message."""
    row, recipients, paused_until = found.row, found.recipients, found.paused_until

    def when(due_at: datetime | None) -> datetime | None:
        return max(due_at, paused_until) if due_at and paused_until else due_at

    return Message(
        id=row.id,
        status=name_present_status(row, at),
        message_id=row.message_id,
        user=row.user_id,
        sender=Sender(**row.sender),
        subject=row.subject,
        recipients=[
            ShownRecipient(
                address=each.address,
                name=each.name,
                kind=each.kind,
                state=each.state,
                reason=each.reason,
                attempts=each.attempts,
                next_attempt_at=when(each.due_at) if each.state in WAITING else None,
            )
            for each in recipients
        ],
        counts=dict(Counter(each.state for each in recipients)),
        resolved=Resolution.model_validate(
            {"scope": row.scope, "server": row.server, "template": row.template}
        ),
        attachments=[ShownAttachment(**shown) for shown in row.attachments],
        warnings=[Warned(**shown) for shown in row.warnings],
        reference=ShownReference(
            type=row.reference_type, number=row.reference_number, customer=row.reference_customer
        ),
        metadata=row.metadata,
        delivery=row.delivery,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
        send_at=row.send_at,
        not_after=row.not_after,
        next_attempt_at=when(row.due_at),
        ended_at=row.ended_at,
        content_available=row.body_erased_at is None,
        resent_of=row.resent_of,
        batch_id=row.batch_id,
    )


def show_attempt(row: Row[Any], address: str) -> Attempt:
    """Return one attempt."""
    return Attempt(
        recipient=address,
        number=row.number,
        started_at=row.started_at,
        ended_at=row.ended_at,
        verdict=row.verdict,
        phase=row.phase,
        cause=row.cause,
        code=row.code,
        enhanced=row.enhanced,
        reply=row.reply,
        source="local" if row.local else "remote",
        server=row.server,
        tls=row.tls,
    )
