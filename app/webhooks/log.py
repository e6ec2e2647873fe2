"""Reading webhooks and what became of their deliveries; a test and a repeat by hand."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, literal_column, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.db import lock_rows, new_id, now
from app.errors import Conflict, Missing
from app.webhooks.collect import MOST_WAITING
from app.webhooks.edit import lock_webhook, missing_webhook
from app.webhooks.payload import TEST, write_test
from app.webhooks.post import Answer
from app.webhooks.queue import Job, list_secrets
from app.webhooks.retry import MOST_AGE
from app.webhooks.settle import note_attempt
from app.webhooks.tables import webhook, webhook_attempt, webhook_delivery

# As the indexes have it: a value that is bound uses none.
_IN_STATE = {
    "waiting": webhook_delivery.c.due_at.is_not(None),
    "given_up": webhook_delivery.c.state == literal_column("'given_up'"),
    "delivered": webhook_delivery.c.state == "delivered",
}
# Of an event: a test that failed waits for nobody.
_IS_GIVEN_UP = _IN_STATE["given_up"] & webhook_delivery.c.event_number.is_not(None)


@dataclass(frozen=True, slots=True)
class Shown:
    """A webhook and how many deliveries wait, were given up; when the next one may be tried."""

    row: Row[Any]
    waiting: int
    given_up: int
    next_try_at: datetime | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery and its tries, the first first."""

    row: Row[Any]
    attempts: tuple[Row[Any], ...]


def list_webhooks(tx: Connection, *, after: str | None, limit: int) -> list[Shown]:
    """Return webhooks, the oldest first; ``after`` is the last id of the page before."""
    query = select(webhook).order_by(webhook.c.id).limit(limit)
    if after is not None:
        query = query.where(webhook.c.id > after)
    return _count(tx, tx.execute(query).all())


def find_webhook(tx: Connection, webhook_id: str) -> Shown:
    """Return a webhook; raise ``Missing`` where there is none."""
    row = tx.execute(select(webhook).where(webhook.c.id == webhook_id)).first()
    if row is None:
        raise missing_webhook()
    return _count(tx, [row])[0]


def list_deliveries(
    tx: Connection, webhook_id: str, *, state: str | None, before: str | None, limit: int
) -> list[Delivery]:
    """Return a webhook's deliveries, the newest first; ``before`` is the last id seen."""
    find_webhook(tx, webhook_id)
    mine = webhook_delivery.c.webhook_id == webhook_id
    query = select(webhook_delivery).where(mine)
    if state == "waiting":  # few, so they are found first and put in order then
        few = select(webhook_delivery.c.id).where(mine, _IN_STATE[state])
        query = query.where(webhook_delivery.c.id.in_(few))
    elif state is not None:
        query = query.where(_IN_STATE[state])
    if before is not None:
        query = query.where(webhook_delivery.c.id < before)
    rows = tx.execute(query.order_by(webhook_delivery.c.id.desc()).limit(limit)).all()
    return _add_attempts(tx, rows)


def redeliver(
    tx: Connection, caller: Caller, webhook_id: str, delivery_id: str, at: datetime
) -> Delivery:
    """Have a delivery tried now and, if need be, all over again; its ``webhook-id`` stays."""
    hook = lock_webhook(tx, webhook_id)
    query = select(webhook_delivery).where(
        webhook_delivery.c.id == delivery_id, webhook_delivery.c.webhook_id == webhook_id
    )
    row = tx.execute(lock_rows(tx, query)).first()
    if row is None:
        raise Missing("There is no such delivery.", code="delivery_not_found")
    _require_enabled(hook)
    moment = now(tx)
    if row.lease_until is not None and row.lease_until > moment:
        raise Conflict("It is being tried at this moment; look again.", code="delivery_under_way")
    changed = tx.execute(
        update(webhook_delivery)
        .where(webhook_delivery.c.id == delivery_id)
        .values(**_begin_anew(moment))
        .returning(webhook_delivery)
    ).all()
    what = {"delivery": delivery_id}
    audit.record(tx, caller, "webhook.redeliver", f"webhooks/{webhook_id}", None, what, at)
    return _add_attempts(tx, changed)[0]


def redeliver_given_up(tx: Connection, caller: Caller, webhook_id: str, at: datetime) -> int:
    """Have the oldest ``MOST_WAITING`` given up deliveries tried all over again; return how many.

    Tests are left alone. Raises ``Conflict`` ``webhook_disabled``.
    """
    _require_enabled(lock_webhook(tx, webhook_id))
    again = (
        select(webhook_delivery.c.id)
        .where(webhook_delivery.c.webhook_id == webhook_id, _IS_GIVEN_UP)
        .order_by(webhook_delivery.c.id)
        .limit(MOST_WAITING)
    )
    changed = tx.execute(
        update(webhook_delivery)
        .where(webhook_delivery.c.id.in_(again))
        .values(**_begin_anew(now(tx)))
        .returning(webhook_delivery.c.id)
    ).all()
    if changed:
        what = {"deliveries": len(changed)}
        audit.record(tx, caller, "webhook.redeliver", f"webhooks/{webhook_id}", None, what, at)
    return len(changed)


def prepare_test(tx: Connection, webhook_id: str, at: datetime) -> Job:
    """Return a test for a webhook, switched off or not; it waits in no queue."""
    hook = find_webhook(tx, webhook_id).row
    secrets = list_secrets(hook, at)
    return Job(new_id(at), webhook_id, "", hook.url, write_test(at), secrets)


def note_test(tx: Connection, caller: Caller, job: Job, answer: Answer, at: datetime) -> Delivery:
    """Write what came of a test into the log and the audit trail. at: when it began."""
    lock_webhook(tx, job.webhook_id)  # it may be gone since
    state = "delivered" if answer.is_success else "given_up"
    rows = tx.execute(
        insert(webhook_delivery)
        .values(
            id=job.delivery_id,
            webhook_id=job.webhook_id,
            type=TEST,
            state=state,
            give_up_at=at,
            tries=0 if answer.is_success else 1,
            attempts=1,
            created_at=at,
            ended_at=at,
        )
        .returning(webhook_delivery)
    ).all()
    note_attempt(tx, job.delivery_id, 1, at, answer)
    what = {"delivery": job.delivery_id, "code": answer.code}
    audit.record(tx, caller, "webhook.test", f"webhooks/{job.webhook_id}", None, what, at)
    return _add_attempts(tx, rows)[0]


def _count(tx: Connection, rows: Sequence[Row[Any]]) -> list[Shown]:
    mine = webhook_delivery.c
    each = mine.webhook_id.in_([row.id for row in rows])
    query = select(
        mine.webhook_id, func.count().label("number"), func.min(mine.due_at).label("due")
    )
    waiting = query.where(each, mine.due_at.is_not(None)).group_by(mine.webhook_id)
    given_up = query.where(each, _IS_GIVEN_UP).group_by(mine.webhook_id)
    queued = {row.webhook_id: (row.number, row.due) for row in tx.execute(waiting)}
    ended = {row.webhook_id: row.number for row in tx.execute(given_up)}
    return [
        Shown(row, number, ended.get(row.id, 0), due)
        for row in rows
        for number, due in (queued.get(row.id, (0, None)),)
    ]


def _require_enabled(hook: Row[Any]) -> None:
    if not hook.enabled:
        raise Conflict("The webhook is switched off; resume it first.", code="webhook_disabled")


def _begin_anew(moment: datetime) -> dict[str, Any]:
    give_up_at = moment + MOST_AGE
    return {
        "state": "waiting",
        "due_at": moment,
        "give_up_at": give_up_at,
        "tries": 0,
        "ended_at": None,
    }


def _add_attempts(tx: Connection, rows: Sequence[Row[Any]]) -> list[Delivery]:
    attempts: dict[str, list[Row[Any]]] = defaultdict(list)
    query = select(webhook_attempt).where(
        webhook_attempt.c.delivery_id.in_([row.id for row in rows])
    )
    for each in tx.execute(query.order_by(webhook_attempt.c.number)):
        attempts[each.delivery_id].append(each)
    return [Delivery(row, tuple(attempts[row.id])) for row in rows]
