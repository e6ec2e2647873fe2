"""``GET /batches/{batch_id}``: how a batch is doing, and when it will have gone out."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from app.api.body import Route, ShownInstant
from app.api.gate import TheOffice
from app.api.sign_in import TheSender
from app.outbox.forecast import forecast_batch

router = APIRouter(route_class=Route, tags=["sending"])


class BatchState(BaseModel):
    """A batch as it stands."""

    batch_id: str
    created_at: ShownInstant
    messages: int
    statuses: dict[str, int] = Field(
        description="Its messages by status.", examples=[{"sent": 180, "queued": 120}]
    )
    waiting: int = Field(description="How many have not ended.")
    next_at: ShownInstant | None = Field(description="When the next one goes; null: none may go.")
    ends_at: ShownInstant | None = Field(
        description="When the last one will have gone, if all goes on as now: counted from what is "
        "due before it, LIMITE and WAIT, the account's pace and what its server took in the last "
        "minute. Null: nothing waits for its turn, the account is paused, or nothing tells yet. "
        "Held messages are not counted."
    )
    ended_at: ShownInstant | None = Field(description="When the last one ended.")


@router.get("/batches/{batch_id}")
async def get_batch(
    caller: TheSender,
    office: TheOffice,
    batch_id: Annotated[str, Path(description="As `POST /send/batch` answered it.")],
) -> BatchState:
    """Show how far a batch is, and when it will end."""
    found = await office.db.read(forecast_batch, caller, batch_id, office.clock())
    return BatchState(
        batch_id=batch_id,
        created_at=found.created_at,
        messages=sum(found.statuses.values()),
        statuses=dict(found.statuses),
        waiting=found.waiting,
        next_at=found.next_at,
        ends_at=found.ends_at,
        ended_at=found.ended_at,
    )
