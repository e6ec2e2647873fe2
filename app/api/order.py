"""The body of ``POST /send``, and how it becomes an ``Order``.

Every fault is collected: members that are wrong by themselves are set aside, the rest goes on to
be checked for what it means.
"""

import base64
import binascii
import json
import mimetypes
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, WithJsonSchema

from app.api.body import Addresses, Body, Choice, Instant, UserId
from app.api.multipart import FilePart
from app.api.problem import to_faults
from app.errors import Fault
from app.mime.address import Mailbox, parse_mailboxes
from app.mime.outgoing import parse_media_type
from app.mime.protect import Plain
from app.outbox.order import Order, Reference
from app.settings import Settings
from app.templates_engine.documents import parse_documents
from app.templates_engine.values import parse_macros

_METADATA_BYTES = 16_384
_DEFAULT_TYPE = "application/octet-stream"

Importance = Annotated[Literal["very_low", "low", "normal", "high", "very_high"], Choice]
Notification = Annotated[Literal["onsuccess", "onfailure", "delay", "never", "none"], Choice]
ShortText = Annotated[str, Field(max_length=256)]


class AttachmentBody(Body):
    """One file. In a multipart request `content` is left out and `filename` names the file part."""

    filename: str = Field(min_length=1, max_length=255, examples=["FV 12-2026.pdf"])
    content_type: str | None = Field(
        None, max_length=255, description="Absent: by the file name.", examples=["application/pdf"]
    )
    content: str | None = Field(
        None, description="Base64.", json_schema_extra={"contentEncoding": "base64"}
    )
    protect: Annotated[Literal["auto", "zip", "none"], Choice] = Field(
        "auto",
        description="`auto`: PDF → AES-256, others → one AES-256 ZIP; `none` switches it off.",
    )
    content_id: str | None = Field(
        None, max_length=200, description="Makes it an inline image (`cid:`), never protected."
    )


class ReferenceBody(Body):
    """The business document; what `POST /messages/cancel` and the filters compare exactly."""

    type: ShortText | None = Field(None, examples=["reminder"])
    number: ShortText | None = Field(None, examples=["FV 12/2026"])
    customer: ShortText | None = Field(None, examples=["KONTR-0042"])


class OrderBody(Body):
    """What to send, to whom, from which template."""

    as_user: UserId | None = Field(
        None, description="The ERP's user; absent: the global scope sends.", examples=["anna"]
    )
    to: Addresses | None = None
    cc: Addresses | None = None
    bcc: Addresses | None = None
    reply_to: Addresses | None = Field(None, description='Absent: as configured; `""`: none.')
    template: str | None = Field(None, min_length=1, max_length=128, examples=["overdue-reminder"])
    level: int = Field(1, ge=1, le=3, description="Of the built-in `overdue-reminder`.")
    language: str | None = Field(None, min_length=2, max_length=35, examples=["pl"])
    subject: str | None = Field(None, description="With `body`, instead of `template`.")
    body: str | None = Field(
        None, description="Text, or HTML where it starts with `<html`; macros are filled in."
    )
    strict_macros: bool | None = Field(None, description="Unknown `{words}` are refused.")
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
    attachments: list[AttachmentBody] = Field(default_factory=list, max_length=200)
    attachment_password: str | None = Field(None, description="Never stored.")
    notifications: list[Notification] | None = Field(
        None, description="Absent: as configured.", examples=[["OnSuccess", "OnFailure"]]
    )
    read_receipt: bool | None = None
    importance: Importance | None = None
    send_at: Instant | None = None
    not_after: Instant | None = Field(None, description="Not handed over by then: `expired`.")
    smtp_password: str | None = Field(
        None, min_length=1, max_length=4096, description="For `password_mode: ask`."
    )
    reference: ReferenceBody = ReferenceBody()
    metadata: dict[str, Any] = Field(default_factory=dict)
    dry_run: bool = False


Model = TypeVar("Model", bound=BaseModel)


def collect(model: type[Model], raw: object, at: str = "") -> tuple[Model, list[Fault]]:
    """Return ``raw`` as a ``model`` without its faulty members, and the faults (``at``: where)."""
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    faults = [Fault(at + each.pointer, each.code, each.detail) for each in to_faults(found)]
    if not isinstance(raw, Mapping):
        return model.model_construct(), faults
    faulty = {each["loc"][0] for each in found if each["loc"]}
    try:
        return (
            model.model_validate({name: raw[name] for name in raw if name not in faulty}),
            faults,
        )
    except ValidationError:
        return model.model_construct(), faults


def read_order(
    raw: object,
    settings: Settings,
    *,
    user: str | None,
    files: Sequence[FilePart] = (),
    at: str = "",
) -> tuple[Order, OrderBody, list[Fault]]:
    """Return the order that ``raw`` asks for, and every fault of it.

    user: the bound user of the caller, who is then the only one it may be for.
    """
    body, faults = collect(OrderBody, raw, at)
    boxes = {
        name: _read_boxes(getattr(body, name), f"{at}/{name}", faults)
        for name in ("to", "cc", "bcc", "reply_to")
    }
    macros, macro_faults = parse_macros(body.macros, f"{at}/macros")
    documents, document_faults = parse_documents(body.documents, f"{at}/documents")
    faults += [*macro_faults, *document_faults]
    attachments = _read_attachments(body.attachments, files, at, faults)
    known = {each.pointer for each in faults}
    faults += [each for each in _check(body, raw, at, boxes, settings) if each.pointer not in known]
    order = Order(
        to=boxes["to"],
        cc=boxes["cc"],
        bcc=boxes["bcc"],
        reply_to=None if body.reply_to is None else boxes["reply_to"],
        user=user or body.as_user,
        template=body.template,
        level=body.level,
        language=body.language,
        subject=body.subject,
        body=body.body,
        strict_macros=body.strict_macros,
        macros=macros,
        documents=documents,
        attachments=attachments,
        attachment_password=body.attachment_password,
        notifications=None if body.notifications is None else tuple(body.notifications),
        read_receipt=body.read_receipt,
        importance=body.importance,
        send_at=body.send_at,
        not_after=body.not_after,
        smtp_password=body.smtp_password,
        reference=Reference(body.reference.type, body.reference.number, body.reference.customer),
        metadata=body.metadata,
        pointer=at,
    )
    return order, body, faults


def _read_boxes(value: object, pointer: str, faults: list[Fault]) -> tuple[Mailbox, ...]:
    found, wrong = parse_mailboxes(value, pointer)
    faults += wrong
    return found


def _check(
    body: OrderBody,
    raw: object,
    at: str,
    boxes: Mapping[str, Sequence[Mailbox]],
    settings: Settings,
) -> list[Fault]:
    faults: list[Fault] = []
    if not any(boxes[name] for name in ("to", "cc", "bcc")):
        faults.append(Fault(f"{at}/to", "required", "Name at least one recipient."))
    if body.template is not None:
        faults += [
            Fault(f"{at}/{name}", "template_or_text", f"Give template, or {name}, not both.")
            for name in ("subject", "body")
            if getattr(body, name) is not None
        ]
    elif isinstance(raw, Mapping) and raw.get("template") is None:
        faults += [
            Fault(f"{at}/{name}", "required", "Give a template, or subject and body.")
            for name in ("subject", "body")
            if getattr(body, name) is None
        ]
    words = set(body.notifications or ())
    if len(words) > 1 and words & {"none", "never"}:
        faults.append(
            Fault(f"{at}/notifications", "notifications_conflict", "None and Never stand alone.")
        )
    if len(json.dumps(body.metadata)) > _METADATA_BYTES:
        faults.append(
            Fault(f"{at}/metadata", "too_large", f"Metadata has at most {_METADATA_BYTES} bytes.")
        )
    return faults


def _read_attachments(
    bodies: Sequence[AttachmentBody],
    files: Sequence[FilePart],
    at: str,
    faults: list[Fault],
) -> tuple[Plain, ...]:
    """Return inline files and file parts; an entry without content takes the part of its name."""
    waiting = list(files)
    found: list[Plain] = []
    for index, body in enumerate(bodies):
        here = f"{at}/attachments/{index}"
        media_type = body.content_type
        if body.content is None:
            part = next((each for each in waiting if each.filename == body.filename), None)
            if part is None:
                detail = "Give the content in base64, or a file part of this file name."
                faults.append(Fault(f"{here}/content", "required", detail))
                continue
            waiting.remove(part)
            content, media_type = part.content, media_type or part.media_type
        else:
            try:
                content = _decode(body.content)
            except (ValueError, binascii.Error):
                detail = "The content is not base64 (RFC 4648 §4)."
                faults.append(Fault(f"{here}/content", "invalid_base64", detail))
                continue
        media_type = media_type or _guess(body.filename)
        if not _is_media_type(media_type):
            detail = "A media type looks like application/pdf; multipart is none of a file."
            faults.append(Fault(f"{here}/content_type", "invalid_media_type", detail))
            continue
        found.append(Plain(body.filename, media_type, content, body.content_id, body.protect))
    for part in waiting:
        media_type = part.media_type or _guess(part.filename)
        if not _is_media_type(media_type):
            media_type = _DEFAULT_TYPE
        found.append(Plain(part.filename, media_type, part.content))
    return tuple(found)


def _decode(text: str) -> bytes:
    # Line breaks are common in what ERPs produce; anything else outside the alphabet is a mistake.
    compact = (
        text.translate({10: None, 13: None, 32: None, 9: None})
        if len(text.split(None, 1)) > 1
        else text
    )
    return base64.b64decode(compact.strip(), validate=True)


def _guess(filename: str) -> str:
    return mimetypes.guess_type(filename)[0] or _DEFAULT_TYPE


def _is_media_type(media_type: str) -> bool:
    parsed = parse_media_type(media_type)
    return parsed is not None and not parsed[0].startswith("multipart/")
