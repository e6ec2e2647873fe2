"""``/webhooks``: events pushed to other programs, signed by Standard Webhooks 1.0."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi import Body as JsonBody
from pydantic import Field, WithJsonSchema
from sqlalchemy import Row

from app.api.body import Body, Name, Route, UserId
from app.api.collect import collect, refer
from app.api.gate import (
    After,
    IfMatch,
    Limit,
    Page,
    TheOffice,
    check_match,
    cut_page,
    decode_cursor,
)
from app.api.sign_in import TheAdmin
from app.api.webhook_answer import (
    Delivery,
    Redelivered,
    ShownWebhook,
    Webhook,
    show_delivery,
    show_webhook,
)
from app.outbox.office import Office
from app.webhooks import edit, log
from app.webhooks.postman import send
from app.webhooks.wishes import MOST_PATTERNS, MOST_URL_CHARACTERS, Wish

router = APIRouter(route_class=Route, tags=["webhooks"])

_MOST_OVERLAP_S = 30 * 86_400
_Ignored = Annotated[Any, Field(description="Shown in answers; ignored here.")]


class WebhookBody(Body):
    """What is told to whom. What an answer shows beyond it is accepted and ignored."""

    url: str = Field(
        min_length=1,
        max_length=MOST_URL_CHARACTERS,
        examples=["https://erp.firma.example/awizo"],
        description="Where to; `http://` only within your own network.",
    )
    events: list[str] = Field(
        min_length=1,
        max_length=MOST_PATTERNS,
        examples=[["recipient.*", "message.accepted"]],
        description="Types of events, areas (`message.*`, `recipient.*`, `inbox.*`, `account.*`), "
        "or `*`.",
    )
    name: Annotated[Name, Field(max_length=200, examples=["Accounting module"])] | None = None
    user: UserId | None = Field(None, description="Only events of this user; absent: of everybody.")
    enabled: bool = True
    id: _Ignored = None
    disabled_reason: _Ignored = None
    waiting: _Ignored = None
    missed: _Ignored = None
    failures: _Ignored = None
    error: _Ignored = None
    succeeded_at: _Ignored = None
    failed_at: _Ignored = None
    old_secret_until: _Ignored = None
    created_at: _Ignored = None
    updated_at: _Ignored = None


Given = Annotated[dict[str, Any], WithJsonSchema(refer(WebhookBody)), JsonBody()]
Patch = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "description": "JSON merge patch (RFC 7396): null removes.",
            "examples": [{"enabled": False}],
        }
    ),
    JsonBody(),
]


class SecretRotation(Body):
    """How a secret is replaced."""

    overlap_s: Annotated[
        float,
        Field(ge=0, le=_MOST_OVERLAP_S, description="Seconds that the old one signs beside it."),
    ] = 86_400


class Resumption(Body):
    """How a webhook goes on."""

    skip_missed: bool = Field(
        False, description="Give up what waits, and what happened meanwhile; go on from now."
    )


@router.post("/webhooks", status_code=201)
async def create_webhook(
    caller: TheAdmin, office: TheOffice, response: Response, given: Given
) -> ShownWebhook:
    """Have events pushed to a URL, from now on. The answer is the only place of the secret."""
    policy = office.policy(any_port=True)
    row, secret = await office.db.write(
        edit.create_webhook, office.vault, caller, _read(given), policy, office.clock()
    )
    return _show_secret(response, row, 0, secret)


@router.get("/webhooks")
async def list_webhooks(
    caller: TheAdmin, office: TheOffice, limit: Limit = 100, after: After = None
) -> Page[Webhook]:
    """List the webhooks, the oldest first."""
    found = await office.db.read(
        log.list_webhooks, after=decode_cursor(after, str)[0] if after else None, limit=limit + 1
    )
    shown, following = cut_page(found, limit, lambda each: (each.row.id,))
    return Page(data=[show_webhook(each.row, each.waiting) for each in shown], next=following)


@router.get("/webhooks/{webhook_id}")
async def read_webhook(
    caller: TheAdmin, office: TheOffice, response: Response, webhook_id: str
) -> Webhook:
    """Show one webhook, and how it is doing."""
    found = await office.db.read(log.find_webhook, webhook_id)
    return _tag(response, found.row, found.waiting)


@router.put("/webhooks/{webhook_id}")
async def put_webhook(
    caller: TheAdmin,
    office: TheOffice,
    response: Response,
    webhook_id: str,
    given: Given,
    if_match: IfMatch = None,
) -> Webhook:
    """Replace a webhook. What is absent takes its default; the secret stays.

    Another URL, or `enabled` again, has all that waits tried at once.
    """
    return await _change(caller, office, response, webhook_id, if_match, lambda row: _read(given))


@router.patch("/webhooks/{webhook_id}")
async def patch_webhook(
    caller: TheAdmin,
    office: TheOffice,
    response: Response,
    webhook_id: str,
    given: Patch,
    if_match: IfMatch = None,
) -> Webhook:
    """Change some members of a webhook, such as `enabled`."""

    def merge(row: Row[Any]) -> Wish:
        present = {
            "url": row.url,
            "events": row.events,
            "name": row.name or None,
            "user": row.user_id,
            "enabled": row.enabled,
        }
        return _read(present | given)  # null equals absent

    return await _change(caller, office, response, webhook_id, if_match, merge)


@router.delete("/webhooks/{webhook_id}", status_code=204)
async def delete_webhook(caller: TheAdmin, office: TheOffice, webhook_id: str) -> None:
    """Forget a webhook and its log. What waits is not sent."""
    await office.db.write(edit.delete_webhook, caller, webhook_id, office.clock())


@router.post("/webhooks/{webhook_id}/rotate-secret")
async def rotate_webhook_secret(
    caller: TheAdmin,
    office: TheOffice,
    response: Response,
    webhook_id: str,
    rotation: SecretRotation | None = None,
) -> ShownWebhook:
    """Make a new secret, shown here only. For `overlap_s` the old one signs beside it."""
    row, secret = await office.db.write(
        edit.rotate_secret,
        office.vault,
        caller,
        webhook_id,
        overlap_s=(rotation or SecretRotation()).overlap_s,
        at=office.clock(),
    )
    found = await office.db.read(log.find_webhook, webhook_id)
    return _show_secret(response, row, found.waiting, secret)


@router.post("/webhooks/{webhook_id}/resume")
async def resume_webhook(
    caller: TheAdmin,
    office: TheOffice,
    response: Response,
    webhook_id: str,
    resumption: Resumption | None = None,
) -> Webhook:
    """Switch a webhook on again. It goes on where it stopped, with what is at most 4 days old."""
    await office.db.write(
        edit.resume_webhook,
        caller,
        webhook_id,
        skip_missed=(resumption or Resumption()).skip_missed,
        at=office.clock(),
    )
    return await read_webhook(caller, office, response, webhook_id)


@router.post("/webhooks/{webhook_id}/test")
async def test_webhook(caller: TheAdmin, office: TheOffice, webhook_id: str) -> Delivery:
    """Send a `webhook.test` now and answer what came of it; also when the webhook is off.

    Always `200` when it was tried: `state` is `delivered` or `given_up`.
    """
    at = office.clock()
    job = await office.db.read(log.prepare_test, webhook_id, at)
    answer = await send(office, job)
    return show_delivery(await office.db.write(log.note_test, caller, job, answer, at))


@router.get("/webhooks/{webhook_id}/deliveries")
async def list_webhook_deliveries(
    caller: TheAdmin,
    office: TheOffice,
    webhook_id: str,
    limit: Limit = 100,
    after: After = None,
    state: Annotated[
        Literal["waiting", "delivered", "given_up"] | None, Query(description="Only these.")
    ] = None,
) -> Page[Delivery]:
    """List what was delivered, what waits and what was given up, the newest first."""
    found = await office.db.read(
        log.list_deliveries,
        webhook_id,
        state=state,
        before=decode_cursor(after, str)[0] if after else None,
        limit=limit + 1,
    )
    shown, following = cut_page(found, limit, lambda each: (each.row.id,))
    return Page(data=[show_delivery(each) for each in shown], next=following)


@router.post("/webhooks/{webhook_id}/redeliver", status_code=202)
async def redeliver_given_up(caller: TheAdmin, office: TheOffice, webhook_id: str) -> Redelivered:
    """Have all that was given up tried again, now: the oldest 1000 of them."""
    return Redelivered(
        redelivered=await office.db.write(
            log.redeliver_given_up, caller, webhook_id, office.clock()
        )
    )


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=202)
async def redeliver(
    caller: TheAdmin, office: TheOffice, webhook_id: str, delivery_id: str
) -> Delivery:
    """Have a delivery tried now, whatever became of it, and again as after the first try."""
    return show_delivery(
        await office.db.write(log.redeliver, caller, webhook_id, delivery_id, office.clock())
    )


async def _change(
    caller: TheAdmin,
    office: Office,
    response: Response,
    webhook_id: str,
    if_match: str | None,
    change: Callable[[Row[Any]], Wish],
) -> Webhook:
    def check(row: Row[Any]) -> Wish:
        check_match(if_match, row.version)
        return change(row)

    policy = office.policy(any_port=True)
    await office.db.write(edit.change_webhook, caller, webhook_id, check, policy, office.clock())
    return await read_webhook(caller, office, response, webhook_id)


def _read(given: dict[str, Any]) -> Wish:
    body, faults = collect(WebhookBody, given)
    # Not from the body: where one of them is missing it has neither.
    url, events = given.get("url"), given.get("events")
    are_patterns = isinstance(events, list) and all(isinstance(each, str) for each in events)
    return Wish(
        url=url if isinstance(url, str) else "",
        events=tuple(events or ()) if are_patterns else (),
        name=body.name or "",
        user=body.user,
        enabled=body.enabled,
        faults=tuple(faults),
    )


def _show_secret(response: Response, row: Row[Any], waiting: int, secret: str) -> ShownWebhook:
    response.headers["Cache-Control"] = "no-store"
    return ShownWebhook(**_tag(response, row, waiting).model_dump(), secret=secret)


def _tag(response: Response, row: Row[Any], waiting: int) -> Webhook:
    response.headers["ETag"] = f'"{row.version}"'
    return show_webhook(row, waiting)
