"""The body of ``POST /send``, and how it becomes an ``Order``.

Every fault is collected: members that are wrong by themselves are set aside, the rest goes on to
be checked for what it means. The messages of a batch are read by the same code.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from app.api.attachments import MOST_ATTACHMENTS, AttachmentBody, read_attachments
from app.api.body import Addresses, Body, Choice, Instant, UserId
from app.api.multipart import FilePart
from app.configuration.correspondence import MINUTES_SCHEMA, read_minutes
from app.configuration.fields import NOTIFICATIONS, read_notifications
from app.configuration.language import read_language
from app.errors import Fault
from app.mime.address import Mailbox, parse_mailbox, parse_mailboxes
from app.mime.protect import Plain
from app.outbox.order import Order, Reference
from app.templates_engine.closing import SWITCHES_SCHEMA, read_wish
from app.templates_engine.documents import parse_documents
from app.templates_engine.values import parse_macros

_METADATA_BYTES = 16_384
EXAMPLE: dict[str, Any] = {
    "as_user": "anna",
    "template": "overdue-reminder",
    "language": "pl",
    "level": 2,
    "to": "Klient <ksiegowosc@klient.example>",
    "macros": {"kontrahent": "Klient Sp. z o.o.", "numer": "FV 12/2026"},
    "attachments": [
        {"filename": "FV 12-2026.pdf", "content_type": "application/pdf", "content": "JVBERi0x…"}
    ],
    "attachment_password": "…",
    "notifications": ["OnSuccess", "OnFailure"],
    "importance": "high",
    "reference": {"type": "reminder", "number": "FV 12/2026", "customer": "KONTR-0042"},
}

Importance = Annotated[Literal["very_low", "low", "normal", "high", "very_high"], Choice]
ShortText = Annotated[str, Field(max_length=256)]


def _check_language(value: str) -> str:
    tag = read_language(value)
    if tag is None:
        raise PydanticCustomError("invalid_language", "A language is a tag such as pl or fr-CH")
    return tag


Language = Annotated[str, AfterValidator(_check_language)]
ClosingWish = Annotated[
    Any, WithJsonSchema({"anyOf": [{"type": "boolean"}, dict(SWITCHES_SCHEMA)]})
]


class ReferenceBody(Body):
    """The business document; what `POST /messages/cancel` and the filters compare exactly."""

    type: ShortText | None = Field(None, examples=["reminder"])
    number: ShortText | None = Field(None, examples=["FV 12/2026"])
    customer: ShortText | None = Field(None, examples=["KONTR-0042"])


class MessageBody(Body):
    """What to send, to whom, from which template."""

    as_user: UserId | None = Field(
        None, description="The ERP's user; absent: the global scope sends.", examples=["anna"]
    )
    account: str | None = Field(
        None, min_length=1, max_length=64, description="Send through this one of `/accounts`."
    )
    from_: Addresses | None = Field(
        None,
        alias="from",
        description="Who stands in From: the account's address, or one of its `senders`.",
        examples=["Windykacja <naleznosci@firma.example>"],
    )
    to: Addresses | None = None
    cc: Addresses | None = None
    bcc: Addresses | None = None
    reply_to: Addresses | None = Field(None, description='Absent: as configured; `""`: none.')
    template: str | None = Field(None, min_length=1, max_length=128, examples=["overdue-reminder"])
    level: int = Field(1, ge=1, le=3, description="Of the built-in `overdue-reminder`.")
    language: Language | None = Field(None, examples=["pl"])
    subject: str | None = Field(None, description="With `body`, instead of `template`.")
    body: str | None = Field(
        None, description="Text, or HTML where it starts with `<html`; macros are filled in."
    )
    strict_macros: bool | None = Field(None, description="Unknown `{words}` are refused.")
    closing: ClosingWish = Field(
        None,
        description="Signatures and footers: `false` none of them; absent: as configured.",
        examples=[False, {"user_signature": False}],
    )
    macros: dict[str, Any] = Field(
        default_factory=dict,
        examples=[{"kontrahent": "Klient Sp. z o.o.", "numer": "FV 12/2026"}],
    )
    documents: Annotated[
        list[Any],
        WithJsonSchema({"type": "array", "items": {"type": "object"}}),
    ] = Field(
        default_factory=list,
        max_length=1000,
        examples=[
            [
                {
                    "number": "FV 12/2026",
                    "issued_on": "2026-10-01",
                    "due_on": "2026-10-31",
                    "amount": "1230.00",
                    "currency": "PLN",
                    "days_overdue": 22,
                }
            ]
        ],
    )
    # Read one by one, so that a wrong one does not hide what is wrong with the others.
    attachments: Annotated[
        list[Any],
        WithJsonSchema({"type": "array", "items": AttachmentBody.model_json_schema()}),
    ] = Field(default_factory=list, max_length=MOST_ATTACHMENTS)
    attachment_password: str | None = Field(None, description="Never stored.")
    # Read as in a configuration: in any case, as a list or a text with commas.
    notifications: Annotated[
        Any,
        WithJsonSchema({"type": "array", "items": {"enum": list(NOTIFICATIONS)}}),
    ] = Field(None, description="Absent: as configured.", examples=[["OnSuccess", "OnFailure"]])
    read_receipt: bool | None = None
    importance: Importance | None = None
    send_at: Instant | None = None
    not_after: Instant | None = Field(None, description="Not handed over by then: `expired`.")
    answer_within_min: Annotated[Any, WithJsonSchema(dict(MINUTES_SCHEMA))] = Field(
        None, description="Alert when no person answers within so many minutes; 0: never."
    )
    smtp_password: str | None = Field(
        None, min_length=1, max_length=4096, description="For `password_mode: ask`."
    )
    reference: ReferenceBody = ReferenceBody()
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Kept and given back as it is; 16 KiB at most."
    )


class OrderBody(MessageBody):
    """One message: what to send, to whom, from which template."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    dry_run: bool = Field(
        False, description="`200` with the finished message (`raw`, base64); nothing is stored."
    )


def read_order(
    body: MessageBody,
    faults: list[Fault],
    *,
    user: str | None,
    files: Sequence[FilePart] = (),
    shared: tuple[Plain, ...] = (),
    whole: bool = True,
) -> Order:
    """Return the order of a body that ``collect`` read, adding what is wrong to ``faults``.

    user: the bound user of the caller, who is then the only one it may be for. shared: attachments
    that come before its own. whole: it is a message, not the defaults of several.
    """
    boxes = {
        name: _read_boxes(getattr(body, name), f"/{name}", faults)
        for name in ("to", "cc", "bcc", "reply_to")
    }
    sender = _read_sender(body.from_, faults)
    macros, macro_faults = parse_macros(body.macros, "/macros")
    documents, document_faults = parse_documents(body.documents, "/documents")
    faults += [*macro_faults, *document_faults]
    attachments = read_attachments(body.attachments, files, len(shared), faults)
    notifications = None
    if body.notifications is not None:
        notifications = read_notifications(body.notifications, "/notifications", faults)
    minutes = None
    if body.answer_within_min is not None:
        minutes = read_minutes(body.answer_within_min, "/answer_within_min", faults, least=0)
    faults += _find_contradictions(body)
    if whole:
        faults += _find_missing(body, boxes, {each.pointer for each in faults})
    return Order(
        to=boxes["to"],
        cc=boxes["cc"],
        bcc=boxes["bcc"],
        reply_to=None if body.reply_to is None else boxes["reply_to"],
        user=user or body.as_user,
        account=body.account,
        sender=sender,
        template=body.template,
        level=body.level,
        language=body.language,
        subject=body.subject,
        body=body.body,
        strict_macros=body.strict_macros,
        closing=read_wish(body.closing, "/closing", faults),
        macros=macros,
        documents=documents,
        attachments=shared + attachments,
        attachment_password=body.attachment_password,
        notifications=None if notifications is None else tuple(notifications),
        read_receipt=body.read_receipt,
        importance=body.importance,
        send_at=body.send_at,
        not_after=body.not_after,
        smtp_password=body.smtp_password,
        reference=Reference(body.reference.type, body.reference.number, body.reference.customer),
        metadata=body.metadata,
        answer_within_min=minutes,
    )


def _read_boxes(value: object, pointer: str, faults: list[Fault]) -> tuple[Mailbox, ...]:
    found, wrong = parse_mailboxes(value, pointer)
    faults += wrong
    return found


def _read_sender(value: object, faults: list[Fault]) -> Mailbox | None:
    if value in (None, ""):
        return None
    sender, wrong = parse_mailbox(value, "/from")
    faults += wrong
    return sender


def _find_contradictions(body: MessageBody) -> Iterator[Fault]:
    if body.template is not None:
        for name in ("subject", "body"):
            if getattr(body, name) is not None:
                detail = f"Give template, or {name}, not both."
                yield Fault(f"/{name}", "template_or_text", detail)
    if body.metadata and len(json.dumps(body.metadata)) > _METADATA_BYTES:
        detail = f"Metadata has at most {_METADATA_BYTES} bytes."
        yield Fault("/metadata", "too_large", detail)


def _find_missing(
    body: MessageBody, boxes: Mapping[str, Sequence[Mailbox]], wrong: Collection[str]
) -> Iterator[Fault]:
    """Yield what a message needs; what was given but is ``wrong`` is not missing."""
    if "" in wrong:
        return
    receivers = ("to", "cc", "bcc")
    if not any(boxes[name] for name in receivers) and not any(
        pointer.startswith(f"/{name}") for name in receivers for pointer in wrong
    ):
        yield Fault("/to", "required", "Name at least one recipient.")
    if body.template is None and "/template" not in wrong:
        for name in ("subject", "body"):
            if getattr(body, name) is None and f"/{name}" not in wrong:
                yield Fault(f"/{name}", "required", "Give a template, or subject and body.")
