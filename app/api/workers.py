"""``GET /workers``: who delivers, on which host, and what each has in hand."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.body import Route, ShownInstant
from app.api.gate import After, Limit, Page, TheOffice, cut_page, decode_cursor
from app.api.sign_in import TheAdmin
from app.outbox.beat import AtWork, list_workers

router = APIRouter(route_class=Route, tags=["state"])


class Carried(BaseModel):
    """What a worker has claimed now."""

    messages: int
    recipients: int
    since: ShownInstant | None = Field(description="When the oldest of it was claimed.")


class Worker(BaseModel):
    """One worker: embedded in `awizo serve`, or an `awizo worker`."""

    id: str = Field(description="As in `worker` of the log and of attempts.")
    host: str
    pid: int
    version: str | None = Field(description="Awizo's version there.")
    started_at: ShownInstant
    seen_at: ShownInstant = Field(
        description="Its last sign of life; there is one every 5 seconds."
    )
    state: Literal["working", "late"] = Field(
        description="`late`: not heard of for 30 seconds. What it carries comes back when its lease "
        "ends; after a day it is forgotten."
    )
    carries: Carried


@router.get("/workers")
async def read_workers(
    caller: TheAdmin, office: TheOffice, limit: Limit = 100, after: After = None
) -> Page[Worker]:
    """List the workers of this database, by host; one that was stopped in order is gone."""
    found = await office.db.read(
        list_workers, after=decode_cursor(after, str)[0] if after else "", limit=limit + 1
    )
    shown, following = cut_page(found, limit, lambda each: (each.id,))
    return Page(data=[_show(each) for each in shown], next=following)


def _show(each: AtWork) -> Worker:
    return Worker(
        id=each.id,
        host=each.host,
        pid=each.pid,
        version=each.version,
        started_at=each.started_at,
        seen_at=each.seen_at,
        state="late" if each.is_late else "working",
        carries=Carried(
            messages=each.load.messages, recipients=each.load.recipients, since=each.load.since
        ),
    )
