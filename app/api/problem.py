"""Every error of the API as an RFC 9457 problem document, with all faults at once.

Rooms raise ``app.errors``; pydantic and Starlette raise their own. Here, and only here, they become
``application/problem+json``. Unexpected errors become a 500 that says nothing but the request id;
the log has the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app import errors
from app.errors import AwizoError, Fault

# RFC 9110's names, which Python has since 3.13 only.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
# pydantic's words, in ours; what a validator of ours raises keeps its own code.
_CODES = {
    "extra_forbidden": "unknown_field",
    "missing": "required",
    "json_invalid": "malformed_json",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "too_short": "too_few",
    "too_long": "too_many",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "finite_number": "out_of_range",
    "literal_error": "unknown_value",
    "string_pattern_mismatch": "invalid_format",
    "value_error": "invalid_value",
}
# Where pydantic speaks of Python.
_DETAILS = {
    "extra_forbidden": "There is no such member.",
    "missing": "This is required.",
    "model_type": "Give an object.",
    "model_attributes_type": "Give an object.",
    "dict_type": "Give an object.",
    "list_type": "Give a list.",
    "string_type": "Give text.",
    "bool_type": "Give true or false.",
}
_log = structlog.get_logger()


def pointer(parts: Iterable[object]) -> str:
    """Return the RFC 6901 pointer of a path of names and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def to_faults(found: Sequence[Mapping[str, Any]], skip: int = 0) -> list[Fault]:
    """Return pydantic's errors as faults; ``skip`` leading parts of each location are dropped."""
    return [
        Fault(
            pointer(error["loc"][skip:]),
            _CODES.get(error["type"])
            or ("wrong_type" if error["type"].endswith(("_type", "_parsing")) else error["type"]),
            _DETAILS.get(error["type"]) or f"{error['msg'].rstrip('.')}.",
        )
        for error in found
    ]


def make_problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    faults: Sequence[Fault] = (),
    *,
    retryable: bool = False,
    retry_after_s: float | None = None,
    members: Mapping[str, Any] = MappingProxyType({}),
) -> JSONResponse:
    """Return one problem document as the answer to ``request``; ``members`` extend it."""
    request_id = getattr(request.state, "request_id", None)
    headers = {"Cache-Control": "no-store"}
    if retry_after_s is not None or status in (429, 503):
        headers["Retry-After"] = str(max(1, round(retry_after_s or 5)))
    if status == 401:
        # RFC 6750 §3.1: no error attribute where no credential was given
        why = "" if code == "unauthenticated" else ', error="invalid_token"'
        headers["WWW-Authenticate"] = f'Bearer realm="awizo"{why}'
    return JSONResponse(
        {
            "type": "about:blank",
            "title": _TITLES.get(status) or HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "instance": request.url.path,
            "code": code,
            "errors": [{"pointer": f.pointer, "code": f.code, "detail": f.detail} for f in faults],
            "retryable": retryable,
            "request_id": request_id,
            **members,
        },
        status,
        headers,
        media_type="application/problem+json",
    )


def as_problem(request: Request, error: AwizoError) -> JSONResponse:
    """Return what a room raised."""
    return make_problem(
        request,
        error.status,
        error.code,
        error.detail,
        error.faults,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
    )


def map_errors(app: FastAPI) -> None:
    """Make every error of ``app`` a problem document."""

    @app.exception_handler(AwizoError)
    async def _ours(request: Request, error: AwizoError) -> JSONResponse:
        if isinstance(error, errors.Unavailable):
            app.state.meters.database_errors.inc()
        return as_problem(request, error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        if any(each["type"] == "json_invalid" for each in found):
            return make_problem(request, 400, "malformed_json", "The body is not JSON.")
        in_body = [each for each in found if each["loc"][0] == "body"]
        faults = to_faults(in_body, skip=1) + [
            Fault("", "invalid_parameter", f"{each['loc'][0]} {each['loc'][-1]}: {each['msg']}.")
            for each in found
            if each["loc"][0] != "body"
        ]
        detail = faults[0].detail if len(faults) == 1 else f"{len(faults)} things are wrong."
        return make_problem(request, 422, faults[0].code, detail, faults)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        problem = make_problem(request, error.status_code, code, f"{error.detail}.")
        if error.status_code == 405:
            problem.headers["Allow"] = ", ".join(_list_methods(app, request))
        return problem

    @app.exception_handler(ClientDisconnect)
    async def _gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return make_problem(request, 400, "body_incomplete", "The body ended early.")

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        # Starlette answers this one outside our middleware, so it is marked here.
        request_id = getattr(request.state, "request_id", None)
        _log.error("unexpected_error", path=request.url.path, request_id=request_id, exc_info=error)
        problem = make_problem(
            request, 500, "internal_error", "Something went wrong here; the log has the request id."
        )
        if request_id is not None:
            problem.headers["X-Request-Id"] = request_id
        return problem


def _list_methods(app: FastAPI, request: Request) -> list[str]:
    """Return the methods that the path of ``request`` has (RFC 9110 §15.5.6)."""
    found = []
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        scope = dict(request.scope) | {"method": "GET" if method == "HEAD" else method}
        if any(route.matches(scope)[0] is Match.FULL for route in app.routes):
            found.append(method)
    return found
