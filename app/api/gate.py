"""What every endpoint needs beside the caller (``sign_in``): the office, ETags, paging."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Header, Query, Request
from pydantic import BaseModel, Field

from app.errors import Fault, Refused, Stale
from app.outbox.office import Office


async def get_office(request: Request) -> Office:  # async: a plain one would take a thread
    """Return this process's office."""
    office: Office = request.app.state.office
    return office


T = TypeVar("T")

TheOffice = Annotated[Office, Depends(get_office)]

Limit = Annotated[int, Query(ge=1, le=500, description="How many rows at most.")]
After = Annotated[str | None, Query(description="The `next` of the page before.", max_length=1024)]
IfMatch = Annotated[str | None, Header(description="The ETag that you edited; stale: 412.")]


def check_match(if_match: str | None, version: int) -> None:
    """Raise ``Stale`` where the caller edited another version than the stored one (0: none)."""
    if if_match is None:
        return
    if if_match.strip() == "*":  # RFC 9110 §13.1.1: whatever is stored, but something
        if version == 0:
            raise Stale("Nothing is stored here yet.", code="precondition_failed")
        return
    wanted = {tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")}
    if str(version) not in wanted:
        raise Stale("It was changed since you read it; read it again and repeat your change.")


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    data: list[T]
    next: str | None = Field(description="Give it as `after` to read on; null at the end.")


def cut_page(
    rows: Sequence[T], limit: int, key: Callable[[T], tuple[str | int, ...]]
) -> tuple[Sequence[T], str | None]:
    """Return the page of ``limit`` rows, and its cursor where ``rows`` holds more than that."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode_cursor(*key(rows[limit - 1]))


def encode_cursor(*values: str | int) -> str:
    """Return an opaque cursor of sort values."""
    return (
        base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode())
        .decode()
        .rstrip("=")
    )


def decode_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """Return the values ``encode_cursor`` was given; raise ``Refused`` for anything else."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if [type(value) for value in values] == list(kinds) and all(map(_is_storable, values)):
            return tuple(values)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        values = None
    raise Refused(
        "`after` is no cursor of this list; use the `next` of the page before.",
        faults=[Fault("", "invalid_cursor", "Leave `after` out to begin at the start.")],
    )


def _is_storable(value: str | int) -> bool:
    """Whether the database takes it: a cursor may be forged."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return "\0" not in value and value.isprintable()
