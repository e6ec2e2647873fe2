"""The service as ``awizo serve --no-worker`` runs it, with the benches' anchors beside its routes.

``/bench/plain`` reads a message as any FastAPI route does, ``/bench/send`` as ``/send`` does,
``/bench/batch`` as ``/send/batch`` does. All answer 202; nobody signs in, nothing is looked up,
rendered or stored. ``one-by-one``: every write in a transaction of its own (for P7).
Run by bench_accept and bench_fsync: python -m bench.accept_server PORT [one-by-one].
"""

import asyncio
import sys
from typing import Annotated

import uvicorn
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from app import lanes
from app.api.batch_order import BatchBody, read_messages
from app.api.body import read_json
from app.api.collect import collect
from app.api.order import OrderBody, read_order
from app.api.send import IdempotencyKey, _read_request
from app.main import create_app
from app.memory import rest_memory
from app.settings import Settings

router = APIRouter(prefix="/bench")
ANSWER = {
    "id": "0" * 26,
    "status": "queued",
    "message_id": "<" + "0" * 47 + "@firma.example>",
    "recipients": [{"address": "ksiegowosc@klient.example", "kind": "to", "state": "queued"}],
}


@router.post("/plain", status_code=202)
async def take_plain(body: OrderBody) -> JSONResponse:
    """Read one message as FastAPI does by itself, and forget it."""
    return JSONResponse(ANSWER, 202)


@router.post("/send", status_code=202)
async def take(
    request: Request,
    idempotency_key: IdempotencyKey = None,
    wait: Annotated[float, Query(ge=0, le=60)] = 0,
) -> Response:
    """Read one message as ``POST /send`` does, and forget it."""
    raw, files = _read_request(request, await request.body())
    body, faults = collect(OrderBody, raw)
    read_order(body, faults, user=None, files=files)
    return JSONResponse(ANSWER, 202, {"Location": "/messages/0"})


@router.post("/batch", status_code=202)
async def take_batch(request: Request) -> Response:
    """Read a batch as ``POST /send/batch`` does, and forget it."""
    raw = await asyncio.to_thread(read_json, await request.body())
    body, _ = collect(BatchBody, raw)
    batch = await asyncio.to_thread(read_messages, body, user=None, make_key=lambda index: None)
    results = [{"index": each.index, "id": "0" * 26, "status": "queued"} for each in batch.items]
    return JSONResponse({"batch_id": "0" * 26, "results": results}, 202)


def mount(application: FastAPI) -> None:
    """Add the anchors where ``/send`` stands: in front."""
    application.include_router(router)
    routes = application.router.routes
    routes.insert(0, routes.pop())


def main() -> None:
    port = int(sys.argv[1])
    if sys.argv[2:] == ["one-by-one"]:
        lanes._GROUP_MOST = 1
    application = create_app(Settings(), work=False)
    mount(application)
    rest_memory()
    uvicorn.run(
        application, port=port, log_config=None, access_log=False, server_header=False,
        proxy_headers=True, forwarded_allow_ips="127.0.0.1",
    )  # fmt: skip


if __name__ == "__main__":
    main()
