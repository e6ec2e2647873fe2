"""The first page: what needs somebody, what waits, what went out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.load import find_account
from app.configuration.model import GLOBAL
from app.inbox.census import Open, count_open
from app.inbox.standing import Box, list_boxes
from app.outbox.census import read_readiness
from app.outbox.figures import (
    GROUPS,
    Day,
    Queued,
    Trouble,
    count_days,
    count_queue,
    count_since,
    list_held_reasons,
    list_troubles,
)
from app.outbox.forecast import Line, forecast
from app.outbox.health import RECOVERY
from app.web.screens.config import name_account
from app.web.screens.scope import parse_scope
from app.web.visit import TheVisit
from app.web.words import mark

router = APIRouter()
_DAYS = 14
_FAILED_FOR = timedelta(days=7)
# The chart's own units.
WIDTH, HEIGHT, BAR = 560, 120, 28
STATUSES = {
    "scheduled": mark("for later"),
    "queued": mark("waiting"),
    "sending": mark("going out"),
    "deferred": mark("to be tried again"),
    "held": mark("held"),
}
REASONS = {
    "awaiting_password": mark("the account's password is missing"),
    "consent_needed": mark("the mailbox's owner has to consent again"),
    "password_refused": mark("the given password was refused"),
    "uncertain": mark("the server's last answer was lost"),
    "delivery_off": mark("delivery was off"),
    "scope_removed": mark("the configuration was removed"),
    "queue_held": mark("the queue was held at a start"),
}
LABELS = {"sent": mark("sent"), "waiting": mark("waiting"), "failed": mark("failed")}


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the page shows, read at one moment. unread: mailboxes that cannot be read."""

    is_set_up: bool
    workers: int
    troubles: list[Trouble]
    queue: list[Queued]
    lines: list[Line]
    held: list[str]
    failed: int
    days: list[Day]
    came: Open
    unread: list[Box]


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of the chart, in its units from the top left."""

    group: str
    x: float
    y: float
    height: float


@router.get("/")
async def show_overview(visit: TheVisit) -> Response:
    """Show how the post office is doing."""
    bounds = list_midnights(visit.at, visit.zone)
    found = await visit.office.db.read(_read, visit.caller, bounds, visit.at)
    return visit.render(
        "overview.html",
        found=found,
        today=found.days[-1],
        bars=draw(found.days),
        any_mail=any(day.sent + day.waiting + day.failed for day in found.days),
        statuses=STATUSES,
        reasons=REASONS,
        labels=LABELS,
        at=visit.at,
        recovery=RECOVERY,
        parse_scope=parse_scope,
        name_account=name_account,
        chart={"width": WIDTH, "height": HEIGHT, "step": WIDTH / _DAYS, "bar": BAR},
    )


def list_midnights(at: datetime, zone: tzinfo) -> list[datetime]:
    """Return the beginnings of the last 14 days by the viewer's clock, and of tomorrow."""
    today = at.astimezone(zone).date()
    days = [today + timedelta(days=number) for number in range(1 - _DAYS, 2)]
    return [datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) for day in days]


def draw(days: Sequence[Day]) -> list[Bar]:
    """Return the chart's bars: a day is a column, what failed stands on what waits and was sent."""
    most = max(1, *(day.sent + day.waiting + day.failed for day in days))
    bars = []
    for index, day in enumerate(days):
        base = float(HEIGHT)
        for group in GROUPS:
            height = getattr(day, group) / most * HEIGHT
            base -= height
            if height:
                x = index * WIDTH / _DAYS + (WIDTH / _DAYS - BAR) / 2
                bars.append(Bar(group, round(x, 1), round(base, 1), round(height, 1)))
    return bars


def _read(tx: Connection, caller: Caller, bounds: Sequence[datetime], at: datetime) -> Overview:
    caller.require("admin", "sender", "user")
    queue = count_queue(tx, caller)
    return Overview(
        is_set_up=find_account(tx, GLOBAL) is not None,
        workers=read_readiness(tx).workers_alive,
        troubles=list_troubles(tx, caller),
        queue=queue,
        lines=forecast(tx, caller, at),
        held=list_held_reasons(tx, caller) if any(each.status == "held" for each in queue) else [],
        failed=count_since(tx, caller, GROUPS["failed"], at - _FAILED_FOR),
        days=count_days(tx, caller, bounds),
        came=count_open(tx, caller),
        unread=list_boxes(tx, caller, only_failing=True),
    )
