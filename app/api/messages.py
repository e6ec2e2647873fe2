"""``/messages``: what became of every mail, and the verbs that move one."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.api.body import Body, Instant, Route, UserId
from app.api.collect import gather
from app.api.events import Event, read_event_page
from app.api.gate import After, Limit, Page, TheOffice, decode_cursor, encode_cursor
from app.api.order import ReferenceBody
from app.api.show import Message, MessageDetail, ShownAnswer, show_attempt, show_message
from app.api.sign_in import TheAdmin, TheSender
from app.db import new_id
from app.errors import Fault, Missing, refuse
from app.inbox.answers import read_watch
from app.inbox.erase import erase_person
from app.outbox import again
from app.outbox.cancel import cancel, cancel_by_reference
from app.outbox.carry import read_body
from app.outbox.find import (
    Wanted,
    find_message,
    find_messages,
    read_address,
    read_attempts,
    read_statuses,
)
from app.outbox.order import Reference
from app.outbox.resend import resend

router = APIRouter(route_class=Route, tags=["messages"])

TheMessage = Annotated[str, Path(description="The message's id.")]


def _require_member(reference: ReferenceBody) -> ReferenceBody:
    if not any((reference.type, reference.number, reference.customer)):
        raise PydanticCustomError("required", "Name the type, number or customer of the document")
    return reference


class CancelBody(Body):
    """Which messages: all members that are given must be equal."""

    reference: Annotated[ReferenceBody, AfterValidator(_require_member)]


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
    incoming: int = Field(description="Mails that came in and lost their content.")


@router.get("/messages")
async def list_messages(
    caller: TheSender,
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
    statuses: tuple[str, ...] = ()
    address = before = None
    faults: list[Fault] = []
    with gather(faults):
        statuses = () if status is None else read_statuses(status)
    with gather(faults):
        address = None if to is None else read_address(to)
    with gather(faults):
        before = None if after is None else decode_cursor(after, str)[0]
    refuse(faults)
    wanted = Wanted(
        statuses=statuses,
        to=address,
        user=user,
        reference=Reference(reference_type, reference_number, reference_customer),
        batch_id=batch_id,
        created_after=created_after,
        created_before=created_before,
    )
    at = office.clock()
    page = await office.db.read(find_messages, caller, wanted, after=before, limit=limit, at=at)
    following = None if page.following is None else encode_cursor(page.following)
    return Page(data=[show_message(each, at=at) for each in page.found], next=following)


def read_message(tx: Connection, caller: Caller, message_id: str, at: datetime) -> MessageDetail:
    """Return a message whole; raise ``Missing`` where there is none for this caller."""
    found = find_message(tx, caller, message_id)
    addresses = {each.id: each.address for each in found.recipients}
    attempts = [
        show_attempt(each, addresses[each.recipient_id]) for each in read_attempts(tx, found)
    ]
    answer = read_watch(tx, message_id)
    return MessageDetail(
        **dict(show_message(found, at=at)),
        attempts=attempts,
        answer=None if answer is None else ShownAnswer.model_validate(answer, from_attributes=True),
    )


@router.get("/messages/{message_id}")
async def get_message(
    caller: TheSender, office: TheOffice, message_id: TheMessage
) -> MessageDetail:
    """Show one message: every recipient's state, every attempt with the server's own reply."""
    return await office.db.read(read_message, caller, message_id, office.clock())


@router.get(
    "/messages/{message_id}/raw",
    response_class=Response,
    responses={200: {"content": {"message/rfc822": {}}, "description": "The message."}},
)
async def get_raw(caller: TheSender, office: TheOffice, message_id: TheMessage) -> Response:
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
    caller: TheSender,
    office: TheOffice,
    message_id: TheMessage,
    limit: Limit = 100,
    after: After = None,
) -> Page[Event]:
    """Return the time line of one message, the oldest first."""
    await office.db.read(read_message, caller, message_id, office.clock())
    return await read_event_page(office, caller, after=after, limit=limit, message_id=message_id)


@router.post("/messages/cancel")
async def cancel_messages(
    caller: TheSender, office: TheOffice, body: CancelBody
) -> CancelledMessages:
    """Cancel every own message about a document, as far as it has not been handed over."""
    named = Reference(body.reference.type, body.reference.number, body.reference.customer)
    done = await office.db.write(cancel_by_reference, caller, named)
    return CancelledMessages(cancelled=list(done.cancelled), too_late=list(done.too_late))


@router.post("/messages/{message_id}/cancel")
async def cancel_message(
    caller: TheSender, office: TheOffice, message_id: TheMessage
) -> MessageDetail:
    """Take back the recipients not yet handed over; `409` once the envelope is on the wire."""
    await office.db.write(cancel, caller, message_id)
    return await office.db.read(read_message, caller, message_id, office.clock())


@router.post("/messages/{message_id}/retry")
async def retry_message(
    caller: TheSender, office: TheOffice, message_id: TheMessage
) -> MessageDetail:
    """Send the same bytes again now to unfinished and failed recipients, pauses aside."""
    await office.db.write(again.retry, caller, message_id)
    office.db.ring()
    return await office.db.read(read_message, caller, message_id, office.clock())


@router.post("/messages/{message_id}/release")
async def release_message(
    caller: TheSender, office: TheOffice, message_id: TheMessage, body: ReleaseBody | None = None
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
    caller: TheSender, office: TheOffice, message_id: TheMessage, response: Response
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
    caller: TheAdmin,
    office: TheOffice,
    address: Annotated[str, Path(description="The person's mail address.", max_length=320)],
) -> ErasedRecipient:
    """Erase a person's data, of what was sent and of what came in: contents and addresses go, counts
    stay; waiting mail is cancelled."""
    done = await office.db.write(erase_person, caller, read_address(address))
    return ErasedRecipient(messages=done.messages, pending=done.pending, incoming=done.incoming)
