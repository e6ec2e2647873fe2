"""``/messages``: what became of every mail, and the verbs that move one."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.api.body import Body, Instant, Route, UserId
from app.api.events import Event, read_events, show_event
from app.api.gate import After, Limit, Page, TheOffice, cut_page, decode_cursor
from app.api.order import ReferenceBody
from app.api.show import Message, MessageDetail, show_attempt, show_message
from app.api.sign_in import TheCaller
from app.db import new_id
from app.errors import Fault, Missing, Refused
from app.mime.address import Mailbox, parse_mailbox
from app.outbox import again
from app.outbox.cancel import cancel, cancel_by_reference
from app.outbox.carry import read_body
from app.outbox.erase import erase
from app.outbox.health import read_health
from app.outbox.order import Reference
from app.outbox.reach import narrow_to_visible, sees_hidden
from app.outbox.resend import resend
from app.outbox.rows import read_recipients
from app.outbox.status import STATUSES
from app.outbox.tables import attempt, message, recipient

router = APIRouter(route_class=Route, tags=["messages"])

TheMessage = Annotated[str, Path(description="The message's id.", max_length=64)]


class CancelBody(Body):
    """Which messages: all members that are given must be equal."""

    reference: ReferenceBody


class CancelledMessages(BaseModel):
    """Message ids."""

    cancelled: list[str] = Field(description="At least one recipient was taken back.")
    too_late: list[str] = Field(description="Being handed over, or handed over already.")


class ReleaseBody(Body):
    """What a release may carry."""

    smtp_password: str | None = Field(None, min_length=1, max_length=4096)


class ErasedRecipient(BaseModel):
    """What was erased."""

    messages: int = Field(description="How many messages named the address.")
    pending: int = Field(description="Of them, those whose content goes when they have ended.")


@router.get("/messages")
async def list_messages(
    caller: TheCaller,
    office: TheOffice,
    limit: Limit = 100,
    after: After = None,
    status: Annotated[str | None, Query(description="One or several, with commas.")] = None,
    to: Annotated[str | None, Query(description="A recipient's address.", max_length=320)] = None,
    user: Annotated[UserId | None, Query(description="As whom it was sent.")] = None,
    reference_type: Annotated[str | None, Query(alias="reference.type", max_length=256)] = None,
    reference_number: Annotated[str | None, Query(alias="reference.number", max_length=256)] = None,
    reference_customer: Annotated[
        str | None, Query(alias="reference.customer", max_length=256)
    ] = None,
    created_after: Annotated[Instant | None, Query()] = None,
    created_before: Annotated[Instant | None, Query()] = None,
    batch_id: Annotated[str | None, Query(max_length=64)] = None,
) -> Page[Message]:
    """List messages, the newest first."""
    at = office.clock()
    query = narrow_to_visible(select(message), caller)
    if caller.acts_as(user) is not None:
        query = query.where(message.c.user_id == caller.acts_as(user))
    if status is not None:
        query = _filter_status(query, status, at)
    if to is not None:
        key = _read_address(to).key
        named = select(recipient.c.id).where(
            recipient.c.message_id == message.c.id, recipient.c.address_key == key
        )
        if not sees_hidden(caller):
            named = named.where(~recipient.c.hidden)
        query = query.where(exists(named))
    for column, wanted in (
        (message.c.reference_type, reference_type),
        (message.c.reference_number, reference_number),
        (message.c.reference_customer, reference_customer),
        (message.c.batch_id, batch_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if created_after is not None:
        query = query.where(message.c.created_at > created_after)
    if created_before is not None:
        query = query.where(message.c.created_at < created_before)
    if after is not None:
        query = query.where(message.c.id < decode_cursor(after, str)[0])
    query = query.order_by(message.c.id.desc()).limit(limit + 1)
    shown = await office.db.read(_read_page, query, caller, at)
    page, following = cut_page(shown, limit, lambda each: (each.id,))
    return Page(data=list(page), next=following)


def _filter_status(query: Select[Any], status: str, at: datetime) -> Select[Any]:
    wanted = [each.strip().lower().replace("-", "_") for each in status.split(",")]
    unknown = [each for each in wanted if each not in STATUSES]
    if unknown:
        raise Refused(
            f"{unknown[0]!r} is no status.",
            code="unknown_value",
            faults=[Fault("", "unknown_value", f"A status is one of {', '.join(STATUSES)}.")],
        )
    # What was scheduled is queued once its time has come, without anybody writing it down.
    waits = and_(message.c.status == "scheduled", message.c.send_at > at)
    overdue = and_(message.c.status == "scheduled", message.c.send_at <= at)
    plain = [each for each in wanted if each != "scheduled"]
    choices: list[ColumnElement[bool]] = [message.c.status.in_(plain)]
    if "scheduled" in wanted:
        choices.append(waits)
    if "queued" in wanted:
        choices.append(overdue)
    return query.where(or_(*choices))


def _read_address(text: str) -> Mailbox:
    mailbox, faults = parse_mailbox(text, "")
    if mailbox is None or faults:
        raise Refused("This is no mail address.", faults=faults)
    return mailbox


def _read_page(tx: Connection, query: Select[Any], caller: Caller, at: datetime) -> list[Message]:
    rows = tx.execute(query).all()
    recipients: dict[str, list[Any]] = {row.id: [] for row in rows}
    for each in tx.execute(
        select(recipient)
        .where(recipient.c.message_id.in_(list(recipients)))
        .order_by(recipient.c.message_id, recipient.c.position)
    ):
        if not each.hidden or sees_hidden(caller):
            recipients[each.message_id].append(each)
    pauses = {
        account_id: read_health(tx, account_id).paused_until
        for account_id in {row.account_id for row in rows if row.due_at is not None}
    }
    return [
        show_message(row, recipients[row.id], paused_until=pauses.get(row.account_id), at=at)
        for row in rows
    ]


def read_message(tx: Connection, caller: Caller, message_id: str, at: datetime) -> MessageDetail:
    """Return a message whole; raise ``Missing`` where there is none for this caller."""
    row = tx.execute(
        narrow_to_visible(select(message), caller).where(message.c.id == message_id)
    ).first()
    if row is None:
        raise Missing("There is no such message.")
    recipients = [
        each for each in read_recipients(tx, row.id) if not each.hidden or sees_hidden(caller)
    ]
    paused_until = read_health(tx, row.account_id).paused_until if row.due_at else None
    addresses = {each.id: each.address for each in recipients}
    places = {each.id: each.position for each in recipients}
    attempts = sorted(
        (
            each
            for each in tx.execute(select(attempt).where(attempt.c.message_id == row.id))
            if each.recipient_id in places
        ),
        key=lambda each: (each.ended_at, places[each.recipient_id]),
    )
    shown = show_message(row, recipients, paused_until=paused_until, at=at)
    return MessageDetail(
        **dict(shown),
        attempts=[show_attempt(each, addresses[each.recipient_id]) for each in attempts],
    )


@router.get("/messages/{message_id}")
async def get_message(
    caller: TheCaller, office: TheOffice, message_id: TheMessage
) -> MessageDetail:
    """Show one message: every recipient's state, every attempt with the server's own reply."""
    return await office.db.read(read_message, caller, message_id, office.clock())


@router.get(
    "/messages/{message_id}/raw",
    response_class=Response,
    responses={200: {"content": {"message/rfc822": {}}, "description": "The message."}},
)
async def get_raw(caller: TheCaller, office: TheOffice, message_id: TheMessage) -> Response:
    """Return the `.eml`, byte for byte as it is sent."""
    shown = await office.db.read(read_message, caller, message_id, office.clock())
    raw = await office.db.read(read_body, message_id)
    if raw is None:
        raise Missing("The content of this message was erased.", code="body_erased")
    return Response(
        raw,
        media_type="message/rfc822",
        headers={
            "Content-Disposition": f'attachment; filename="{shown.id}.eml"',
            "X-Content-Type-Options": "nosniff",
        },
    )


@router.get("/messages/{message_id}/events")
async def list_message_events(
    caller: TheCaller,
    office: TheOffice,
    message_id: TheMessage,
    limit: Limit = 100,
    after: After = None,
) -> Page[Event]:
    """Return the time line of one message, the oldest first."""
    await office.db.read(read_message, caller, message_id, office.clock())
    events, following = await office.db.read(
        read_events, caller, after=after, limit=limit, message_id=message_id
    )
    return Page(data=[show_event(each) for each in events], next=following)


@router.post("/messages/cancel")
async def cancel_messages(
    caller: TheCaller, office: TheOffice, body: CancelBody
) -> CancelledMessages:
    """Cancel every own message about a document, as far as it has not been handed over."""
    named = Reference(body.reference.type, body.reference.number, body.reference.customer)
    if named == Reference():
        detail = "Name the type, number or customer of the document."
        raise Refused(detail, faults=[Fault("/reference", "required", detail)])
    done = await office.db.write(cancel_by_reference, caller, named)
    return CancelledMessages(cancelled=list(done.cancelled), too_late=list(done.too_late))


@router.post("/messages/{message_id}/cancel")
async def cancel_message(
    caller: TheCaller, office: TheOffice, message_id: TheMessage
) -> MessageDetail:
    """Take back the recipients not yet handed over; `409` once the envelope is on the wire."""
    await office.db.write(cancel, caller, message_id)
    return await office.db.read(read_message, caller, message_id, office.clock())


@router.post("/messages/{message_id}/retry")
async def retry_message(
    caller: TheCaller, office: TheOffice, message_id: TheMessage
) -> MessageDetail:
    """Send the same bytes again now to unfinished and failed recipients, pauses aside."""
    await office.db.write(again.retry, caller, message_id)
    office.db.ring()
    return await office.db.read(read_message, caller, message_id, office.clock())


@router.post("/messages/{message_id}/release")
async def release_message(
    caller: TheCaller, office: TheOffice, message_id: TheMessage, body: ReleaseBody | None = None
) -> MessageDetail:
    """Queue a held message again; for an account that stores no password with `smtp_password`."""
    await office.db.write(
        again.release,
        office.vault,
        caller,
        message_id,
        smtp_password=body.smtp_password if body else None,
        delivery=office.settings.delivery,
    )
    office.db.ring()
    return await office.db.read(read_message, caller, message_id, office.clock())


@router.post("/messages/{message_id}/resend", status_code=202)
async def resend_message(
    caller: TheCaller, office: TheOffice, message_id: TheMessage, response: Response
) -> MessageDetail:
    """Send it anew: a new message with the same protected parts, a new Message-ID and Date."""
    new = await office.db.write(
        resend,
        office.vault,
        caller,
        message_id,
        new_id(office.clock()),
        delivery=office.settings.delivery,
    )
    office.db.ring()
    response.headers["Location"] = f"/messages/{new}"
    return await office.db.read(read_message, caller, new, office.clock())


@router.delete("/recipients/{address}")
async def erase_recipient(
    caller: TheCaller,
    office: TheOffice,
    address: Annotated[str, Path(description="The person's mail address.", max_length=320)],
) -> ErasedRecipient:
    """Erase a person's data: bodies and addresses go, counts stay; waiting mail is cancelled."""
    caller.require("admin")
    done = await office.db.write(erase, caller, _read_address(address))
    return ErasedRecipient(messages=done.messages, pending=done.pending)
