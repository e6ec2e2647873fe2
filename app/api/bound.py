"""What surrounds every request: its id, the bound on its body, its place in the metrics.

Pure ASGI, so nothing is buffered here. A body over the bound is refused before it is read
(``Content-Length``) or as soon as what arrived passes it (chunked). ``HEAD`` is answered as ``GET``
without the body (RFC 9110 §9.3.2).
"""

import re
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from app.api.meters import Meters
from app.api.problem import as_problem
from app.chance import draw_bytes
from app.errors import TooLarge

# What may stand in a log line and in a header as it is; anything else gets an id of ours.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,64}")


class BoundRequest:
    """The middleware; ``most_bytes`` bounds one request's body."""

    def __init__(self, app: ASGIApp, *, most_bytes: int, meters: Meters) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _take_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        is_head = scope["method"] == "HEAD"
        if is_head:
            scope = {**scope, "method": "GET"}
        started_at = perf_counter()
        status = 500
        received_bytes = 0

        async def receive_bounded() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._most_bytes:
                raise self._too_large()
            return message

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        try:
            with bound_contextvars(request_id=request_id):
                declared = headers.get("content-length", "0")
                if declared.isdecimal() and int(declared[:20]) > self._most_bytes:
                    answer = as_problem(Request(scope), self._too_large())
                    await answer(scope, receive, send_marked)
                else:
                    await self._app(scope, receive_bounded, send_marked)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._meters.observe(scope["method"], route, status, perf_counter() - started_at)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"A request has at most {self._most_bytes} bytes; GET /limits shows every bound."
        )


def _take_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else draw_bytes(12).hex()
