"""``/inbox``: the mail that came in, what it is about, and who took care of it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi import Body as Given
from pydantic import BaseModel, Field, WithJsonSchema
from sqlalchemy import Row

from app.api.body import Body, Route, ShownInstant
from app.api.gate import After, Limit, Page, TheOffice, decode_cursor, encode_cursor
from app.api.shown_report import SHOWN_REPORT
from app.api.sign_in import TheSender
from app.inbox.answerable import Reason
from app.inbox.auto_reply import DUE, SENT
from app.inbox.correct import correct_kind, link
from app.inbox.find import Wanted, find_incoming, list_incoming, mark_handled, read_raw
from app.mime.machine import Kind

router = APIRouter(route_class=Route, tags=["inbox"])

TheMail = Annotated[str, Path(description="The mail's id.")]
TrueOrFalse = Literal["true", "false"]
_FILTER = 256


class Correspondent(BaseModel):
    """An address and the name beside it, as the mail claims them."""

    address: str
    name: str


class ShownReference(BaseModel):
    """The document of the message that a mail is about."""

    type: str | None
    number: str | None
    customer: str | None


class IncomingFile(BaseModel):
    """A file in a mail; it stands in the raw mail."""

    filename: str
    content_type: str
    bytes: int


class IncomingLine(BaseModel):
    """One mail that came in. Everything in it is its sender's claim, except what `verified` says."""

    id: str
    account: str = Field(description="Whose mailbox it came to, see `/accounts`.")
    kind: Kind = Field(
        description="`human`, `auto_reply`, `list`, or a report: on delivery (`dsn`), on reading "
        "(`mdn`), a complaint (`arf`)."
    )
    kind_by: str | None = Field(description="Who corrected the kind.")
    from_: Correspondent | None = Field(serialization_alias="from")
    to: list[Correspondent]
    subject: str
    date: ShownInstant | None = Field(description="As the mail says.")
    received_at: ShownInstant = Field(description="When it was collected.")
    size_bytes: int
    message: str | None = Field(description="The message of yours that it is about.")
    verified: bool = Field(description="An id that Awizo signed says which message it is about.")
    linked_by: str | None = Field(description="Who linked it with the message by hand.")
    reference: ShownReference
    handled_at: ShownInstant | None
    handled_by: str | None
    handled_note: str | None


class ShownAutoReply(BaseModel):
    """What became of the automatic reply."""

    at: ShownInstant | None
    message: str | None = Field(description="The message that answered.")
    not_sent: Reason | None = Field(description="Why there is none.")
    detail: str | None = Field(description="What went wrong.")


class IncomingMail(IncomingLine):
    """One mail with its text."""

    message_id: str | None
    in_reply_to: str | None
    text: str = Field(description="What its sender wrote, without what is quoted. Not HTML.")
    attachments: list[IncomingFile]
    report: Annotated[dict[str, Any] | None, WithJsonSchema(SHOWN_REPORT)] = Field(
        description="What a report says; its sender's claims."
    )
    auto_reply: ShownAutoReply | None = Field(description="null: the account answers nobody.")


class HandledBody(Body):
    """Whether somebody took care of a mail."""

    handled: bool = Field(True, description="`false` opens it again.")
    note: str | None = Field(None, max_length=1000, description="What was done.")


class KindBody(Body):
    """Who wrote a mail, as a person sees it."""

    kind: Literal["human", "auto_reply", "list"]


class LinkBody(Body):
    """Which message a mail is about."""

    message: str | None = Field(
        None, max_length=32, description="The id of a message of yours; `null`: it is about none."
    )


@router.get("/inbox")
async def list_inbox(
    caller: TheSender,
    office: TheOffice,
    limit: Limit = 100,
    after: After = None,
    account: Annotated[str | None, Query(max_length=32, description="An account's id.")] = None,
    kind: Annotated[
        Literal[Kind, "report"] | None,
        Query(description="Only of this kind; `report`: any of `dsn`, `mdn`, `arf`."),
    ] = None,
    message: Annotated[
        str | None, Query(max_length=32, description="About this message of yours.")
    ] = None,
    reference_type: Annotated[str | None, Query(alias="reference.type", max_length=_FILTER)] = None,
    reference_number: Annotated[
        str | None, Query(alias="reference.number", max_length=_FILTER)
    ] = None,
    reference_customer: Annotated[
        str | None, Query(alias="reference.customer", max_length=_FILTER)
    ] = None,
    handled: Annotated[
        TrueOrFalse | None, Query(description="Whether somebody took care of it.")
    ] = None,
    matched: Annotated[
        TrueOrFalse | None, Query(description="Whether it is about a message of yours.")
    ] = None,
    verified: Annotated[
        TrueOrFalse | None, Query(description="Whether a signed id says about which.")
    ] = None,
    q: Annotated[
        str | None,
        Query(
            max_length=_FILTER,
            description="In sender, subject, document or the first 4000 characters of the text, in "
            "any case. 2000 mails are looked through at a time: go on with `next`, also after a "
            "page that is short or empty.",
        ),
    ] = None,
) -> Page[IncomingLine]:
    """List the mail that came in to the accounts you may read, the newest first."""
    wanted = Wanted(
        account, kind, reference_type, reference_number, reference_customer, message,
        handled=_read(handled), matched=_read(matched), verified=_read(verified), text=q or "",
    )  # fmt: skip
    before = decode_cursor(after, str)[0] if after else None
    found = await office.db.read(list_incoming, caller, wanted, before=before, limit=limit)
    following = None if found.following is None else encode_cursor(found.following)
    return Page(data=[IncomingLine(**_show_line(row)) for row in found.rows], next=following)


@router.get("/inbox/{incoming_id}")
async def get_incoming(caller: TheSender, office: TheOffice, incoming_id: TheMail) -> IncomingMail:
    """Return one mail."""
    return _show(await office.db.read(find_incoming, caller, incoming_id))


@router.get(
    "/inbox/{incoming_id}/raw",
    response_class=Response,
    responses={200: {"content": {"message/rfc822": {}}, "description": "The mail."}},
)
async def get_incoming_raw(caller: TheSender, office: TheOffice, incoming_id: TheMail) -> Response:
    """Return the mail byte for byte as it came, for a program that knows how to distrust it."""
    raw = await office.db.read(read_raw, caller, incoming_id)
    return Response(
        raw,
        media_type="message/rfc822",
        headers={
            "Content-Disposition": f'attachment; filename="{incoming_id}.eml"',
            "X-Content-Type-Options": "nosniff",
        },
    )


@router.post("/inbox/{incoming_id}/handled")
async def mark_incoming_handled(
    caller: TheSender,
    office: TheOffice,
    incoming_id: TheMail,
    body: Annotated[HandledBody | None, Given()] = None,
) -> IncomingMail:
    """Say that you took care of a mail, or open it again."""
    given = body or HandledBody()
    return _show(
        await office.db.write(
            mark_handled, caller, incoming_id, handled=given.handled, note=given.note
        )
    )


@router.post("/inbox/{incoming_id}/kind")
async def correct_incoming_kind(
    caller: TheSender, office: TheOffice, incoming_id: TheMail, body: KindBody
) -> IncomingMail:
    """Say that a mail is of another kind than Awizo took it for. Reports stay what they are.

    A person's answer ends the waiting for one; a machine's lets it go on.
    """
    return _show(await office.db.write(correct_kind, caller, incoming_id, body.kind))


@router.post("/inbox/{incoming_id}/message")
async def link_incoming(
    caller: TheSender, office: TheOffice, incoming_id: TheMail, body: LinkBody
) -> IncomingMail:
    """Say which message a mail is about, where no signed id says it; `null` takes that back.

    The mail gets the message's document, stays unverified and moves no recipient. Needs the right to
    read the account's mail, and the message must be one that you see.
    """
    return _show(await office.db.write(link, caller, incoming_id, body.message))


def _read(given: TrueOrFalse | None) -> bool | None:
    return None if given is None else given == "true"


def _show(row: Row[Any]) -> IncomingMail:
    return IncomingMail(
        **_show_line(row),
        message_id=row.message_id,
        in_reply_to=row.in_reply_to,
        text=row.text,
        attachments=[IncomingFile(**each) for each in row.attachments],
        report=row.report,
        auto_reply=_show_reply(row),
    )


def _show_line(row: Row[Any]) -> dict[str, Any]:
    sender = Correspondent(address=row.sender_address, name=row.sender_name)
    return {
        "id": row.id,
        "account": row.account_id,
        "kind": row.kind,
        "kind_by": row.kind_by,
        "from_": sender if row.sender_address else None,
        "to": [Correspondent(**each) for each in row.to],
        "subject": row.subject,
        "date": row.sent_at,
        "received_at": row.received_at,
        "size_bytes": row.size_bytes,
        "message": row.about_id,
        "verified": row.is_verified,
        "linked_by": row.linked_by,
        "reference": ShownReference(
            type=row.reference_type,
            number=row.reference_number,
            customer=row.reference_customer,
        ),
        "handled_at": row.handled_at,
        "handled_by": row.handled_by,
        "handled_note": row.handled_note,
    }


def _show_reply(row: Row[Any]) -> ShownAutoReply | None:
    if row.reply_state is None:
        return None
    return ShownAutoReply(
        at=row.reply_at,
        message=row.reply_id,
        not_sent=None if row.reply_state in (DUE, SENT) else row.reply_state,
        detail=row.reply_detail,
    )
