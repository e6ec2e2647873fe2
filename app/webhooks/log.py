"""Reading webhooks and what became of their deliveries; a test and a repeat by hand."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.db import lock_rows, new_id, now
from app.errors import Conflict, Missing
from app.webhooks.edit import lock_webhook, missing_webhook
from app.webhooks.payload import TEST, write_test
from app.webhooks.post import Answer
from app.webhooks.queue import Job, list_secrets
from app.webhooks.retry import MOST_AGE
from app.webhooks.settle import note_attempt
from app.webhooks.tables import webhook, webhook_attempt, webhook_delivery


@dataclass(frozen=True, slots=True)
class Shown:
    """A webhook and how many deliveries wait."""

    row: Row[Any]
    waiting: int


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
    rows = tx.execute(query).all()
    counted = tx.execute(
        select(webhook_delivery.c.webhook_id, func.count().label("number"))
        .where(webhook_delivery.c.due_at.is_not(None))
        .group_by(webhook_delivery.c.webhook_id)
    )
    waiting = {each.webhook_id: each.number for each in counted}
    return [Shown(row, waiting.get(row.id, 0)) for row in rows]


def find_webhook(tx: Connection, webhook_id: str) -> Shown:
    """Return a webhook; raise ``Missing`` where there is none."""
    row = tx.execute(select(webhook).where(webhook.c.id == webhook_id)).first()
    if row is None:
        raise missing_webhook()
    waiting = tx.scalar(
        select(func.count()).where(
            webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.due_at.is_not(None)
        )
    )
    return Shown(row, waiting or 0)


def list_deliveries(
    tx: Connection, webhook_id: str, *, state: str | None, before: str | None, limit: int
) -> list[Delivery]:
    """Return a webhook's deliveries, the newest first; ``before`` is the last id seen."""
    find_webhook(tx, webhook_id)
    query = select(webhook_delivery).where(webhook_delivery.c.webhook_id == webhook_id)
    if state is not None:
        query = query.where(webhook_delivery.c.state == state)
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
    if not hook.enabled:
        raise Conflict("The webhook is switched off; resume it first.", code="webhook_disabled")
    moment = now(tx)
    if row.lease_until is not None and row.lease_until > moment:
        raise Conflict("It is being tried at this moment; look again.", code="delivery_under_way")
    changed = tx.execute(
        update(webhook_delivery)
        .where(webhook_delivery.c.id == delivery_id)
        .values(
            state="waiting", due_at=moment, give_up_at=moment + MOST_AGE, tries=0, ended_at=None
        )
        .returning(webhook_delivery)
    ).all()
    what = {"delivery": delivery_id}
    audit.record(tx, caller, "webhook.redeliver", f"webhooks/{webhook_id}", None, what, at)
    return _add_attempts(tx, changed)[0]


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


def _add_attempts(tx: Connection, rows: Sequence[Row[Any]]) -> list[Delivery]:
    attempts: dict[str, list[Row[Any]]] = defaultdict(list)
    query = select(webhook_attempt).where(
        webhook_attempt.c.delivery_id.in_([row.id for row in rows])
    )
    for each in tx.execute(query.order_by(webhook_attempt.c.number)):
        attempts[each.delivery_id].append(each)
    return [Delivery(row, tuple(attempts[row.id])) for row in rows]
