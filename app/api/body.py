"""What all requests share: strict members, null equals absent, tolerant enums and times.

Models of single endpoints live beside the endpoint and derive from ``Body``. JSON is read by
``Route``: malformed JSON, lone surrogates and NUL characters end here, before any model.
"""

import codecs
import math
from collections.abc import Callable, Collection, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json

from app.accounts.people import MOST_CHARACTERS, check_user_id
from app.api.problem import pointer
from app.api.sign_in import Guard
from app.errors import Fault, Malformed, Refused, Unsupported, refuse


class Body(BaseModel):
    """A request body, or an object inside one."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        # Contract §1: null equals absent.
        if isinstance(value, dict):
            return {name: member for name, member in value.items() if member is not None}
        return value


def _fold_choice(value: Any) -> Any:
    return value.strip().lower().replace("-", "_") if isinstance(value, str) else value


Choice = BeforeValidator(_fold_choice)
"""Put beside a lower-case ``Literal``: any case is taken, ``-`` equals ``_``."""


def _parse_instant(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError(
            "wrong_type", "A time is a string such as 2026-11-22T09:30:00+01:00"
        )
    try:
        instant = datetime.fromisoformat(value.strip())
        utc = None if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            "invalid_time", "This is no ISO 8601 time such as 2026-11-22T09:30:00+01:00"
        ) from None
    if utc is None:
        raise PydanticCustomError("offset_missing", "Give the time with its offset, +01:00 or Z")
    return utc


Instant = Annotated[
    datetime,
    BeforeValidator(_parse_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T08:00:00Z"]}),
]
"""A moment: ISO 8601 with offset in, aware UTC inside."""

Addresses = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "anyOf": [
                            {"type": "string"},
                            {
                                "type": "object",
                                "properties": {
                                    "address": {"type": "string"},
                                    "name": {"type": "string"},
                                },
                                "required": ["address"],
                            },
                        ]
                    },
                },
            ],
            "examples": ["Klient <ksiegowosc@klient.example>"],
        }
    ),
]
"""Mailboxes as the caller wrote them; ``mime.address.parse_mailboxes`` reads them."""


def _check_user(value: str) -> str:
    try:
        return check_user_id(value)
    except Refused as error:
        raise PydanticCustomError("invalid_user", error.detail) from None


UserId = Annotated[
    str,
    AfterValidator(_check_user),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS}),
]
"""A user id of the ERP, in a body, a path or a query; NFC inside."""

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00-\x1f\x7f]*$")
]
"""A name that is shown to people: one line, not only blanks."""


def show_instant(instant: datetime | None) -> str | None:
    """Return a moment as the API writes it: ``2026-11-22T08:30:00.123Z``."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


ShownInstant = Annotated[
    datetime,
    PlainSerializer(show_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in an answer."""


def read_json(raw: bytes) -> Any:
    """Return the JSON value in ``raw``; raise ``Malformed`` or ``Refused`` where it is none."""
    try:
        value = from_json(raw.removeprefix(codecs.BOM_UTF8), allow_inf_nan=False)
    except ValueError as error:
        raise Malformed(f"The body is not JSON: {error}.", code="malformed_json") from None
    faults: list[Fault] = []
    _find_unstorable(value, (), faults)
    refuse(faults)
    return value


def _find_unstorable(value: Any, path: tuple[object, ...], faults: list[Fault]) -> None:
    """Collect what no database column takes, wherever it stands."""
    if isinstance(value, str):
        if "\0" in value:
            faults.append(Fault(pointer(path), "invalid_character", "Take the NUL character out."))
    elif isinstance(value, float):
        if not math.isfinite(value):
            faults.append(Fault(pointer(path), "out_of_range", "Give a smaller number."))
    elif isinstance(value, dict):
        for name, member in value.items():
            _find_unstorable(name, (*path, name), faults)
            _find_unstorable(member, (*path, name), faults)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _find_unstorable(member, (*path, index), faults)


class StrictRequest(Request):
    """A request whose JSON was read by ``read_json`` before anything else looked at it."""

    parsed: Any = None

    async def json(self) -> Any:
        """Return what ``Route`` has read."""
        return self.parsed


class Route(APIRoute):
    """A route that takes JSON only, read by ``read_json``; first of all its guards are asked."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Read the body first, so that what is wrong with it is our own problem document."""
        handle = super().get_route_handler()
        known = {each.alias for each in get_flat_params(self.dependant)}
        needs = [each.call for each in self.dependant.dependencies]
        guards = [each for each in needs if isinstance(each, Guard)]

        async def strict(request: Request) -> Response:
            for guard in guards:  # nobody else has a body read into memory
                await guard(request)
            _check_parameters(request, known)
            if request.method == "GET":  # RFC 9110 §9.3.1: content of a GET means nothing
                return await handle(request)
            strict_request = StrictRequest(request.scope, request.receive)
            raw = await strict_request.body()
            if raw:
                require_json(strict_request)
                strict_request.parsed = read_json(raw)
            return await handle(strict_request)

        return strict


def _check_parameters(request: Request, known: Collection[str]) -> None:
    """Raise ``Refused`` for a misspelt parameter, and a NUL, which no database column takes."""
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        detail = f"There is no parameter {unknown[0]!r}; {', '.join(sorted(known)) or 'none'} here."
        raise Refused(detail, faults=[Fault("", "unknown_parameter", detail)])
    if "\0" in request.url.path or "%00" in request.url.query:
        detail = "Take the NUL character out of the URL."
        raise Refused(detail, faults=[Fault("", "invalid_parameter", detail)])


def require_json(request: Request) -> None:
    """Raise ``Unsupported`` unless the body says it is JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise Unsupported("Send the body as application/json.")
