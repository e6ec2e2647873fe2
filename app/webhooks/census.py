"""How webhooks are doing, as ``/metrics`` shows it; read through indexes of what is counted."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from app.webhooks.tables import GIVEN_UP, webhook, webhook_delivery


@dataclass(frozen=True, slots=True)
class Webhooks:
    """waiting, given_up: deliveries; the latter as long as the log is kept. disabled: webhooks that
    were switched off because their receiver failed for days or wanted no more."""

    waiting: int
    given_up: int
    disabled: int


def count_webhooks(tx: Connection) -> Webhooks:
    """Count deliveries and what stands still."""
    deliveries = select(func.count()).select_from(webhook_delivery)
    disabled = select(func.count()).where(webhook.c.disabled_reason.is_not(None))
    return Webhooks(
        tx.scalar(deliveries.where(webhook_delivery.c.due_at.is_not(None))) or 0,
        tx.scalar(deliveries.where(GIVEN_UP)) or 0,
        tx.scalar(disabled) or 0,
    )
