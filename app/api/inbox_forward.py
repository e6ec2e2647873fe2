"""``POST /inbox/{id}/forward``: a mail that came in goes on to whom it concerns."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.api.body import Addresses, Body, Route, UserId
from app.api.gate import TheOffice
from app.api.inbox import TheMail
from app.api.show import Message, show_accepted
from app.api.sign_in import TheSender
from app.errors import Fault, refuse
from app.inbox.dispatch import dispatch
from app.inbox.find import find_incoming, read_raw
from app.inbox.forward import make_forward
from app.mime.address import parse_mailboxes
from app.outbox.reach import sees_hidden

router = APIRouter(route_class=Route, tags=["inbox"])


class ForwardBody(Body):
    """To whom a mail goes on."""

    to: Addresses = Field(examples=["Ola <ola@firma.example>"])
    note: str = Field("", max_length=10_000, description="Stands above the mail.")
    as_user: UserId | None = Field(None, description="Who forwards it; absent: nobody.")


@router.post("/inbox/{incoming_id}/forward", status_code=202)
async def forward_incoming(
    caller: TheSender,
    office: TheOffice,
    incoming_id: TheMail,
    body: ForwardBody,
    response: Response,
) -> Message:
    """Send a mail on, as a new message of the account that it came to, with the whole mail attached.

    Needs the right to read the account's mail and the right to send with it.
    """

    def read(tx: Connection) -> tuple[Row[Any], bytes]:
        row = find_incoming(tx, caller, incoming_id)
        return row, read_raw(tx, caller, incoming_id)

    user = caller.acts_as(body.as_user)
    row, raw = await office.db.read(read)
    to, faults = parse_mailboxes(body.to, "/to")
    missing = () if to or faults else (Fault("/to", "required", "Say to whom it goes."),)
    refuse((*faults, *missing))
    order = make_forward(row, raw, to=to, note=body.note, user=user)

    def note(tx: Connection) -> bool:
        told = {"to": [each.address for each in to]}
        audit.record(tx, caller, "inbox.forward", f"inbox/{row.id}", None, told, office.clock())
        return True

    prepared = await dispatch(office, caller, order, note)
    assert prepared is not None
    response.headers["Location"] = f"/messages/{prepared.id}"
    return show_accepted(prepared, office.settings.delivery, hidden=sees_hidden(caller))
