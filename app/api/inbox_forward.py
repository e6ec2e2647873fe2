"""``POST /inbox/{id}/forward``: a mail that came in goes on to whom it concerns."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi import Body as JsonBody
from pydantic import Field, WithJsonSchema

from app.api.body import Addresses, Body, Route, UserId
from app.api.collect import collect, refer
from app.api.gate import TheOffice
from app.api.inbox import TheMail
from app.api.show import Message, show_accepted
from app.api.sign_in import TheSender
from app.inbox.forward import forward
from app.outbox.reach import sees_hidden

router = APIRouter(route_class=Route, tags=["inbox"])


class ForwardBody(Body):
    """To whom a mail goes on."""

    to: Addresses = Field(examples=["Ola <ola@firma.example>"])
    note: str = Field("", max_length=10_000, description="Stands above the mail.")
    as_user: UserId | None = Field(None, description="Who forwards it; absent: nobody.")


Given = Annotated[dict[str, Any], WithJsonSchema(refer(ForwardBody)), JsonBody()]


@router.post("/inbox/{incoming_id}/forward", status_code=202)
async def forward_incoming(
    caller: TheSender,
    office: TheOffice,
    incoming_id: TheMail,
    given: Given,
    response: Response,
) -> Message:
    """Send a mail on, as a new message of the account that it came to, with the whole mail attached.

    Needs the right to read the account's mail and the right to send with it.
    """
    body, faults = collect(ForwardBody, given)
    to = given.get("to")  # not the body's: where another member is missing it has none
    prepared = await forward(
        office, caller, incoming_id, to=to, note=body.note, as_user=body.as_user, faults=faults
    )
    response.headers["Location"] = f"/messages/{prepared.id}"
    return show_accepted(prepared, office.settings.delivery, hidden=sees_hidden(caller))
