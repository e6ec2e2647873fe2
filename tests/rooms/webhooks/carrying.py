"""What the tests of deliveries share: a webhook, things that happen, and a postman's round."""

import asyncio
from typing import Any

from sqlalchemy import select, update

from app.accounts.audit import SYSTEM
from app.outbox.events import publish
from app.outbox.office import Office
from app.webhooks.edit import create_webhook
from app.webhooks.log import Delivery, Shown, find_webhook, list_deliveries
from app.webhooks.postman import Postman
from app.webhooks.queue import has_work
from app.webhooks.tables import webhook_delivery
from app.webhooks.wishes import Wish


async def make_webhook(office: Office, url: str, *events: str, **members: Any) -> str:
    """Store a webhook, by default for everything; return its id."""
    wish = Wish(url, events or ("*",), **members)
    policy = office.policy(any_port=True)
    row, _ = await office.db.write(
        create_webhook, office.vault, SYSTEM, wish, policy, office.clock()
    )
    return str(row.id)


async def happen(office: Office, type: str, message_id: str | None = None, **data: Any) -> None:
    """Have something happen, as a room writes it down."""
    user = data.pop("user", None)
    at = data.pop("at", office.clock())
    await office.db.write(publish, type, data, at=at, user=user, message_id=message_id)


async def carry(office: Office) -> None:
    """Do what is due, as a worker would, until nothing is."""
    async with asyncio.timeout(20):
        while await office.db.read(has_work):
            postman = Postman(office, "worker-1")
            await postman.step()
            await postman.stop(10)


async def hurry(office: Office, **values: Any) -> None:
    """Let the time pass until everything that waits is due."""
    waiting = webhook_delivery.c.due_at.is_not(None)
    change = update(webhook_delivery).where(waiting)
    values.setdefault("due_at", office.clock())
    await office.db.write(lambda tx: tx.execute(change.values(**values)))


async def look(office: Office, webhook_id: str) -> tuple[Shown, list[Delivery]]:
    """Return a webhook and its deliveries in the order of their events."""
    shown = await office.db.read(find_webhook, webhook_id)
    found = await office.db.read(list_deliveries, webhook_id, state=None, before=None, limit=5000)
    return shown, sorted(found, key=lambda each: each.row.event_number or 0)


async def count_deliveries(office: Office) -> int:
    """Return how many deliveries there are."""
    return len(await office.db.read(lambda tx: tx.execute(select(webhook_delivery.c.id)).all()))
