"""``/events``: everything that happened to own messages, as a feed to poll."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Row

from app.accounts.caller import Caller
from app.api.body import Route, ShownInstant
from app.api.gate import After, Limit, Page, TheOffice, decode_cursor, encode_cursor
from app.api.sign_in import TheSender
from app.outbox.event_types import EVENT_TYPES
from app.outbox.find import read_events
from app.outbox.office import Office

router = APIRouter(route_class=Route, tags=["messages"])


_TYPES = "One of " + ", ".join(f"`{each}`" for types in EVENT_TYPES.values() for each in types)


class Event(BaseModel):
    """One thing that happened."""

    id: str
    at: ShownInstant
    type: str = Field(description=f"{_TYPES}.", examples=["recipient.sent"])
    message: str | None = Field(description="The message's id, where it is of one.")
    recipient: str | None = Field(None, description="The recipient's address, where it is of one.")
    data: dict[str, Any]


async def read_event_page(
    office: Office, caller: Caller, *, after: str | None, limit: int, message_id: str | None = None
) -> Page[Event]:
    """Return the next events this caller may see, and always the cursor to read on from."""
    cursor = decode_cursor(after, int, int) if after else (-1, 0)
    place = (cursor[0], cursor[1])
    rows = await office.db.read(
        read_events, caller, after=place, limit=limit, message_id=message_id
    )
    last = (rows[-1].txid, rows[-1].number) if rows else place
    return Page(data=[show_event(row) for row in rows], next=encode_cursor(*last))


def show_event(row: Row[Any]) -> Event:
    """Return one event as the API shows it."""
    data = {name: value for name, value in row.data.items() if value is not None}
    return Event(
        id=f"{row.number:016d}",
        at=row.at,
        type=row.type,
        message=row.message_id,
        recipient=data.pop("address", None),
        data=data,
    )


@router.get("/events")
async def list_events(
    caller: TheSender, office: TheOffice, limit: Limit = 100, after: After = None
) -> Page[Event]:
    """Return what happened after a cursor, in order; nothing is missed, nothing comes twice.

    `next` is always a cursor, also when there is nothing new: keep it and ask again later.
    """
    return await read_event_page(office, caller, after=after, limit=limit)
