"""``POST /send``: one message, as JSON or as a form with its files."""

import asyncio
import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, ParamSpec, TypeVar

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from app.accounts.caller import Caller
from app.api.batch_order import KEY_PATTERN
from app.api.body import read_json, require_json
from app.api.collect import collect
from app.api.gate import TheOffice
from app.api.messages import read_message
from app.api.multipart import FilePart, read_form
from app.api.order import OrderBody, read_order
from app.api.show import Message, show_accepted
from app.api.sign_in import TheSender
from app.api.templates import show_parts
from app.outbox.accept import Acceptance, accept
from app.outbox.check import ask_ground, await_ground
from app.outbox.idempotency import Answered, Attempted, find_each_replay, make_canonical
from app.outbox.office import Office
from app.outbox.prepare import Prepared, prepare
from app.outbox.reach import sees_hidden
from app.outbox.status import LAST

router = APIRouter(tags=["sending"])

P = ParamSpec("P")
T = TypeVar("T")

_POLL_S = 0.25
_ALONE_BYTES = 1024 * 1024
_IN_THREAD_BYTES = 256 * 1024  # from here on reading a body holds the event loop for milliseconds
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=256,
        pattern=KEY_PATTERN,
        description="The same key and body give the same answer, and one message.",
        examples=["reminder-2/KONTR-0042/2026-11-22"],
    ),
]
_FORM = {
    "type": "object",
    "required": ["message"],
    "description": "File parts are attachments; `attachments` of the message may name them.",
    "properties": {
        "message": {"type": "string", "contentMediaType": "application/json"},
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
    },
}


async def beside(size_bytes: int, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it here, or in a thread where there is much to do."""
    if size_bytes > _IN_THREAD_BYTES:
        return await asyncio.to_thread(do, *args, **kwargs)
    return do(*args, **kwargs)


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
                "application/json": {"schema": {"$ref": "#/components/schemas/OrderBody"}},
                "multipart/form-data": {"schema": _FORM},
            },
        }
    },
)
async def send(
    request: Request,
    caller: TheSender,
    office: TheOffice,
    idempotency_key: IdempotencyKey = None,
    wait: Annotated[
        float, Query(ge=0, le=60, description="Seconds to wait for the first verdicts.")
    ] = 0,
) -> Response:
    """Check, render, protect and store one message; it goes out right after.

    The answer 202 means that it is stored durably, byte for byte as it will be sent.
    """
    content = await request.body()
    size = len(content)
    raw, files = await beside(size, _read_request, request, content)
    body, faults = collect(OrderBody, raw)
    caller.acts_as(body.as_user)
    attempted = asked = None
    if idempotency_key is not None and not body.dry_run:
        parts = [
            each
            for part in files
            for each in (part.filename.encode(), part.media_type.encode(), part.content)
        ]
        canonical = await beside(size, make_canonical, "send", raw, parts)
        attempted = Attempted(idempotency_key, canonical)
        question = (office.vault, caller.owner_id, attempted)
        asked = office.db.ask_merged(find_each_replay, question)
    order = await beside(size, read_order, body, faults, user=caller.user, files=files)
    ground = ask_ground(office, order)  # in the same read
    replay = await asked if asked is not None else None
    if replay is not None:
        return await _answer(office, caller, replay, wait, replayed=True)
    prepared = await prepare(office, order, await await_ground(ground, faults), faults=faults)
    shown = show_accepted(
        prepared, office.settings.delivery, hidden=sees_hidden(caller)
    ).model_dump(mode="json")
    if body.dry_run:
        return JSONResponse(shown | _show_whole(prepared), 200)
    answered = Answered(201 if prepared.is_draft else 202, shown, (prepared.id,))
    replay = await _store(office, caller, prepared, answered, attempted)
    return await _answer(office, caller, replay or answered, wait, replayed=replay is not None)


def _read_request(request: Request, content: bytes) -> tuple[Any, tuple[FilePart, ...]]:
    """Return the JSON of a request and the files beside it."""
    content_type = request.headers.get("content-type", "")
    message: bytes = content
    files: tuple[FilePart, ...] = ()
    if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        message, files = read_form(content, content_type)
    else:
        require_json(request)
    return read_json(message), files


async def _store(
    office: Office,
    caller: Caller,
    prepared: Prepared,
    answered: Answered,
    attempted: Attempted | None,
) -> Answered | None:
    # A large body alone: the acks of others must not wait behind it.
    alone = len(prepared.composed.raw) > _ALONE_BYTES
    acceptance = Acceptance(office, caller, prepared, answered, attempted)
    replay = await office.db.write_merged(accept, acceptance, alone=alone)
    office.db.ring()
    return replay


async def _answer(
    office: Office, caller: Caller, answered: Answered, wait_s: float, *, replayed: bool
) -> Response:
    message_id = answered.message_ids[0]
    status, body = answered.status, answered.body
    if wait_s and status == 202:
        verdicts = await wait_for_verdicts(office, caller, message_id, wait_s)
        status, body = (202, body) if verdicts is None else (200, verdicts)
    response = JSONResponse(body, status, {"Location": f"/messages/{message_id}"})
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


async def wait_for_verdicts(
    office: Office, caller: Caller, message_id: str, wait_s: float
) -> dict[str, Any] | None:
    """Return the message once every recipient has a first verdict; None when time is up.

    Between two looks it holds no thread and no connection; a worker wakes it (see `bells`).
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_s
    bell = asyncio.Event()
    office.db.add_bell(bell, "verdict")
    try:
        while True:
            bell.clear()
            at = office.clock()
            message = await office.db.read(read_message, caller, message_id, at)
            states = message.recipients
            if all(
                each.state in LAST or (each.attempts and each.state != "sending") for each in states
            ):
                return message.model_dump(mode="json")
            left = end - loop.time()
            waits_for_more = (
                message.send_at is not None and (message.send_at - at).total_seconds() > left
            )
            if left <= 0 or waits_for_more or all(each.state == "held" for each in states):
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _POLL_S)):
                    await bell.wait()
    finally:
        office.db.remove_bell(bell)


def _show_whole(prepared: Prepared) -> dict[str, Any]:
    """Return what only a dry run shows."""
    return {
        "dry_run": True,
        "html": prepared.rendered.html,
        "text": prepared.rendered.text,
        "parts": [each.model_dump() for each in show_parts(prepared.rendered.closing)],
        "raw": base64.b64encode(prepared.composed.raw).decode(),
    }
