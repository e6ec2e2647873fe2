"""``POST /send``: one message, as JSON or as a form with its files."""

import asyncio
import base64
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from app.accounts.caller import Caller
from app.api.body import read_json
from app.api.gate import TheOffice
from app.api.messages import read_message
from app.api.multipart import FilePart, read_form
from app.api.order import OrderBody, read_order
from app.api.show import Message, show_accepted
from app.api.sign_in import TheCaller
from app.errors import Fault, Malformed, TooLarge, Unsupported
from app.outbox.accept import Accepted, accept
from app.outbox.idempotency import Attempted, Replay, find_replay, make_canonical
from app.outbox.office import Office
from app.outbox.prepare import Prepared, prepare
from app.outbox.reach import sees_hidden
from app.outbox.status import LAST

router = APIRouter(tags=["sending"])

_POLL_S = 0.25
_ALONE_BYTES = 1024 * 1024
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=256,
        description="The same key and body give the same answer, and one message.",
        examples=["reminder-2/KONTR-0042/2026-11-22"],
    ),
]


async def read_request(request: Request) -> tuple[Any, tuple[FilePart, ...]]:
    """Return the JSON of a request and the files beside it."""
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    raw = await request.body()
    if not raw:
        raise Malformed("Send the message as JSON.", code="malformed_json")
    if media_type == "multipart/form-data":
        message, files = read_form(raw, content_type)
        return read_json(message), files
    if media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        return read_json(raw), ()
    raise Unsupported("Send application/json, or multipart/form-data with a message part.")


def check_size(office: Office, prepared_bytes: int) -> None:
    """Raise ``TooLarge`` where attachments are over the limit."""
    most = office.settings.max_attachment_bytes
    if prepared_bytes > most:
        raise TooLarge(
            f"The attachments have {prepared_bytes} bytes, at most {most} are taken.",
            code="attachments_too_large",
            faults=[
                Fault("/attachments", "attachments_too_large", f"Stay under {most} bytes together.")
            ],
        )


@router.post(
    "/send",
    status_code=202,
    responses={
        200: {"description": "`wait`: the first verdicts are in. `dry_run`: nothing was stored."},
        201: {"description": "A draft, in draft mode.", "model": Message},
        202: {"description": "Stored durably; it will be sent.", "model": Message},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": OrderBody.model_json_schema()},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["message"],
                        "properties": {
                            "message": {"type": "string", "contentMediaType": "application/json"},
                            "file": {
                                "type": "array",
                                "items": {"type": "string", "format": "binary"},
                            },
                        },
                    }
                },
            },
        }
    },
)
async def send(
    request: Request,
    caller: TheCaller,
    office: TheOffice,
    idempotency_key: IdempotencyKey = None,
    wait: Annotated[
        float, Query(ge=0, le=60, description="Seconds to wait for the first verdicts.")
    ] = 0,
) -> Response:
    """Check, render, protect and store one message; it goes out right after.

    The answer 202 means that it is stored durably, byte for byte as it will be sent.
    """
    caller.require("admin", "sender", "user")
    raw, files = await read_request(request)
    attempted = None
    if idempotency_key is not None:
        canonical = await asyncio.to_thread(
            make_canonical, "send", raw, [part.content for part in files]
        )
        attempted = Attempted(idempotency_key, canonical)
        replay = await office.db.read(find_replay, office.vault, caller.owner_id, attempted)
        if replay is not None:
            return await _answer_replay(office, caller, replay, wait)
    if isinstance(raw, dict) and isinstance(raw.get("as_user"), str):
        caller.acts_as(raw["as_user"])
    order, body, faults = read_order(raw, office.settings, user=caller.user, files=files)
    check_size(office, sum(len(part.content) for part in order.attachments))
    prepared = await prepare(office, order, faults=faults)
    if body.dry_run:
        return JSONResponse(_show_dry_run(office, caller, prepared), 200)
    return await _store(office, caller, prepared, attempted, wait)


async def _store(
    office: Office, caller: Caller, prepared: Prepared, attempted: Attempted | None, wait_s: float
) -> Response:
    delivery = office.settings.delivery
    shown = show_accepted(prepared, delivery, hidden=sees_hidden(caller)).model_dump(mode="json")
    status = 201 if prepared.is_draft else 202
    # A large body alone: the acks of others must not wait behind it.
    alone = len(prepared.composed.raw) > _ALONE_BYTES
    write = office.db.write if alone else office.db.write_grouped
    stored = await write(
        accept,
        office.vault,
        caller,
        (prepared,),
        delivery=delivery,
        answer=shown,
        status=status,
        attempted=attempted,
    )
    if isinstance(stored, Replay):
        return await _answer_replay(office, caller, stored, wait_s)
    office.db.ring()
    return await _answer(office, caller, stored, wait_s)


async def _answer(office: Office, caller: Caller, stored: Accepted, wait_s: float) -> Response:
    headers = {"Location": f"/messages/{stored.ids[0]}"}
    if wait_s and stored.status == 202:
        waited = await wait_for_verdicts(office, caller, stored.ids[0], wait_s)
        if waited is not None:
            return JSONResponse(waited, 200, headers)
    return JSONResponse(stored.answer, stored.status, headers)


async def _answer_replay(office: Office, caller: Caller, replay: Replay, wait_s: float) -> Response:
    answer = await _answer(
        office, caller, Accepted(replay.message_ids, replay.answer, replay.status), wait_s
    )
    answer.headers["Idempotent-Replayed"] = "true"
    return answer


async def wait_for_verdicts(
    office: Office, caller: Caller, message_id: str, wait_s: float
) -> dict[str, Any] | None:
    """Return the message once every recipient has a first verdict; None when time is up.

    Between two looks it holds no thread and no connection; a worker in this process wakes it.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_s
    bell = asyncio.Event()
    office.db.add_bell(bell)
    try:
        while True:
            bell.clear()
            message = await office.db.read(read_message, caller, message_id, office.clock())
            states = message.recipients
            if all(
                each.state in LAST or (each.attempts and each.state != "sending") for each in states
            ):
                return message.model_dump(mode="json")
            left = end - loop.time()
            if left <= 0 or all(each.state == "held" for each in states):
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _POLL_S)):
                    await bell.wait()
    finally:
        office.db.remove_bell(bell)


def _show_dry_run(office: Office, caller: Caller, prepared: Prepared) -> dict[str, Any]:
    delivery = office.settings.delivery
    shown = show_accepted(prepared, delivery, hidden=sees_hidden(caller)).model_dump(mode="json")
    return shown | {
        "dry_run": True,
        "html": prepared.rendered.html,
        "text": prepared.rendered.text,
        "raw": base64.b64encode(prepared.composed.raw).decode(),
    }
