"""What the API shows of webhooks and their deliveries."""

from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import Row

from app.api.body import ShownInstant
from app.webhooks import log
from app.webhooks.payload import show_number


class Webhook(BaseModel):
    """A webhook, without its secret."""

    id: str
    url: str
    events: list[str]
    name: str
    user: str | None
    enabled: bool
    disabled_reason: Literal["gone", "failing"] | None = Field(
        description="Why it was switched off by itself: `gone` after a 410, `failing` when nothing "
        "got through for about three days."
    )
    waiting: int = Field(description="Deliveries that are to be tried, or tried again.")
    missed: int = Field(description="Events that were too old when their turn came.")
    failures: int = Field(description="Failed tries in a row.")
    error: str | None = Field(description="Why the last try failed.")
    succeeded_at: ShownInstant | None
    failed_at: ShownInstant | None
    old_secret_until: ShownInstant | None = Field(
        description="Until when the secret before signs, too."
    )
    created_at: ShownInstant
    updated_at: ShownInstant


class ShownWebhook(Webhook):
    """A webhook with its new secret, shown this once."""

    secret: str = Field(examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD7kdXVxzvN0c="])


class Try(BaseModel):
    """One try of a delivery."""

    at: ShownInstant
    ms: int = Field(description="How long it took.")
    code: int | None = Field(description="The HTTP status; null: there was no answer.")
    error: str | None = Field(description="What went wrong, in plain words.")


class Delivery(BaseModel):
    """One event on its way to one receiver."""

    id: str = Field(description="`webhook-id` in the headers, the same at every try.")
    type: str = Field(examples=["recipient.sent"])
    event: str | None = Field(description="The event's id in `/events`; null: a test.")
    message: str | None
    state: Literal["waiting", "delivered", "given_up"]
    next_try_at: ShownInstant | None = Field(
        description="Not before; later while an earlier event of its message waits."
    )
    created_at: ShownInstant
    ended_at: ShownInstant | None
    attempts: list[Try]


class Redelivered(BaseModel):
    """What became of all that was given up."""

    redelivered: int = Field(description="Deliveries that are tried again; 1000 at most.")


def show_webhook(row: Row[Any], waiting: int) -> Webhook:
    """Return a webhook as the API shows it."""
    return Webhook(
        id=row.id,
        url=row.url,
        events=row.events,
        name=row.name,
        user=row.user_id,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        waiting=waiting,
        missed=row.missed,
        failures=row.failures,
        error=row.error,
        succeeded_at=row.succeeded_at,
        failed_at=row.failed_at,
        old_secret_until=row.old_secret_until,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def show_delivery(delivery: log.Delivery) -> Delivery:
    """Return a delivery as the API shows it."""
    row = delivery.row
    return Delivery(
        id=row.id,
        type=row.type,
        event=None if row.event_number is None else show_number(row.event_number),
        message=row.message_id,
        state=row.state,
        next_try_at=row.due_at,
        created_at=row.created_at,
        ended_at=row.ended_at,
        attempts=[
            Try(at=each.at, ms=each.ms, code=each.code, error=each.error)
            for each in delivery.attempts
        ],
    )
