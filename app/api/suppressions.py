"""``/suppressions``: who is not to be written to; import and export stand in their own file."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.api.body import Addresses, Body, Choice, Instant, Route, ShownInstant
from app.api.collect import gather
from app.api.gate import After, Limit, Page, TheOffice, cut_page, decode_cursor
from app.api.sign_in import Guard, TheSender
from app.errors import Fault, refuse
from app.mime.address import parse_mailbox
from app.outbox import suppressions
from app.outbox.find import read_address
from app.outbox.office import Office
from app.outbox.suppressions import MOST_NOTE_CHARS, Entry, Wished

router = APIRouter(route_class=Route, tags=["suppressions"])

TheKeeper = Annotated[Caller, Depends(Guard("admin", "user"))]
Reason = Literal["unsubscribed", "hard_bounce", "complaint", "manual"]
ScopeText = Annotated[str, Field(max_length=140, examples=["users/anna"])]
_SCOPE = "`global` (everybody), `users/<id>` or `accounts/<id>`"


class SuppressionBody(Body):
    """Who is not to be written to, by whom and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "address": "szef@klient.example",
                    "scope": "global",
                    "reason": "manual",
                    "expires_at": None,
                    "note": "Asked by telephone on 22 November.",
                }
            ]
        }
    )

    address: Addresses = Field(None, description="One mailbox; its name part is not used.")
    scope: ScopeText | None = Field(
        None, description=f"{_SCOPE}; absent: `global`, with a user's key that user."
    )
    reason: Annotated[Reason, Choice] = "manual"
    expires_at: Instant | None = Field(None, description="Until when; absent: for good.")
    note: Annotated[
        str, Field(max_length=MOST_NOTE_CHARS), AfterValidator(lambda text: text.strip())
    ] = ""


class Suppression(BaseModel):
    """An address that is not to be written to."""

    id: str
    address: str = Field(examples=["szef@klient.example"])
    scope: str = Field(description=_SCOPE, examples=["global"])
    reason: Reason
    note: str
    message_id: str | None = Field(description="The message that it came of, if it came of one.")
    expires_at: ShownInstant | None
    made_by: str = Field(description="Who entered it; `recipient` for an unsubscription.")
    made_at: ShownInstant
    updated_at: ShownInstant


class MadeSuppression(Suppression):
    """A suppression, and what it did at once."""

    stopped: int = Field(description="Recipients that waited and are `suppressed` now.")


TheAddress = Annotated[str | None, Query(description="Exactly this address.", max_length=320)]
TheScope = Annotated[str | None, Query(description="Exactly this scope.", max_length=140)]
TheReason = Annotated[Reason | None, Query(description="Exactly this reason.")]
IsActive = Annotated[
    bool | None, Query(description="`true`: without those that have expired; `false`: only those.")
]
TheSuppression = Annotated[str, Path(description="The suppression's id.")]


@router.get("/suppressions")
async def list_suppressions(
    caller: TheSender,
    office: TheOffice,
    limit: Limit = 100,
    after: After = None,
    address: TheAddress = None,
    scope: TheScope = None,
    reason: TheReason = None,
    active: IsActive = None,
) -> Page[Suppression]:
    """List who is not to be written to, the newest first; a user's key sees that user's own."""
    before = None
    faults: list[Fault] = []
    with gather(faults):
        before = None if after is None else decode_cursor(after, str)[0]
    wished = read_wished(caller, office, faults, address, scope, reason, active)
    rows = await office.db.read(
        suppressions.list_suppressions, caller, wished, before=before, limit=limit + 1
    )
    shown, following = cut_page(rows, limit, lambda row: (row.id,))
    return Page(data=[Suppression(**show_row(row)) for row in shown], next=following)


@router.get("/suppressions/{suppression_id}")
async def read_suppression(
    caller: TheSender, office: TheOffice, suppression_id: TheSuppression
) -> Suppression:
    """Show one."""
    row = await office.db.read(suppressions.read_suppression, caller, suppression_id)
    return Suppression(**show_row(row))


@router.post(
    "/suppressions",
    status_code=201,
    responses={200: {"description": "It was there and was changed.", "model": MadeSuppression}},
)
async def put_suppression(
    caller: TheKeeper, office: TheOffice, response: Response, body: SuppressionBody
) -> MadeSuppression:
    """Suppress an address: what waits for it stops at once, what is accepted later is not sent.

    What is there for the same address and scope is replaced (`200`). A sender's key may only read.
    """
    at = office.clock()

    def run(tx: Connection) -> suppressions.Listed:
        faults: list[Fault] = []
        entry = read_entry(body, caller, at, "", faults)
        wrong = suppressions.find_unknown_scopes(tx, {entry.scope} if entry else ())
        refuse([*faults, *(Fault("/scope", each.code, each.detail) for each in wrong.values())])
        assert entry is not None
        return suppressions.put_suppression(tx, caller, entry, at)

    done = await office.db.write(run)
    office.db.ring("verdict")
    (row,) = done.rows
    response.status_code = 201 if done.created else 200
    response.headers["Location"] = f"/suppressions/{row.id}"
    return MadeSuppression(**show_row(row), stopped=done.stopped)


@router.delete("/suppressions/{suppression_id}", status_code=204)
async def lift_suppression(
    caller: TheKeeper, office: TheOffice, suppression_id: TheSuppression
) -> None:
    """Take an address off the list. What it stopped is not sent by itself: `resend` does that."""
    await office.db.write(suppressions.lift, caller, suppression_id, office.clock())


def read_entry(
    body: SuppressionBody, caller: Caller, at: datetime, pointer: str, faults: list[Fault]
) -> Entry | None:
    """Return what a body asks for; None, and ``faults`` under ``pointer``, where it is wrong."""
    scope = suppressions.require_own_scope(caller, body.scope)
    before = len(faults)
    if body.address is None:
        faults.append(Fault(f"{pointer}/address", "required", "This is required."))
        return None
    mailbox, wrong = parse_mailbox(body.address, f"{pointer}/address")
    faults += wrong
    if body.expires_at is not None and body.expires_at <= at:
        detail = "expires_at is past; leave it out to suppress the address for good."
        faults.append(Fault(f"{pointer}/expires_at", "expires_at_passed", detail))
    if mailbox is None or len(faults) > before:
        return None
    return Entry(mailbox, scope, body.reason, body.expires_at, body.note)


def read_wished(
    caller: Caller,
    office: Office,
    faults: list[Fault],
    address: str | None,
    scope: str | None,
    reason: str | None,
    active: bool | None,
) -> Wished:
    """Return what a list is narrowed to; raise ``Refused`` or, for another's scope, ``Denied``."""
    mailbox = None
    with gather(faults):
        mailbox = None if address is None else read_address(address)
    refuse(faults)
    if scope is not None:
        suppressions.require_own_scope(caller, scope)
    return Wished(office.clock(), mailbox, scope, reason, active)


def show_row(row: Row[Any]) -> dict[str, Any]:
    """Return a row as the API shows it."""
    return {name: getattr(row, name) for name in Suppression.model_fields}
