"""What every endpoint needs beside the caller (``sign_in``): the office, ETags, paging."""

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request

from app.errors import Fault, Refused, Stale
from app.outbox.office import Office


def get_office(request: Request) -> Office:
    """Return this process's office."""
    office: Office = request.app.state.office
    return office


TheOffice = Annotated[Office, Depends(get_office)]

Limit = Annotated[int, Query(ge=1, le=500, description="How many rows at most.")]
After = Annotated[str | None, Query(description="The `next` of the page before.", max_length=512)]
IfMatch = Annotated[str | None, Header(description="The ETag that you edited; stale: 412.")]


def check_match(if_match: str | None, version: int) -> None:
    """Raise ``Stale`` where the caller edited another version than the stored one."""
    if if_match is None or if_match.strip() == "*":
        return
    wanted = {tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")}
    if str(version) not in wanted:
        raise Stale("It was changed since you read it; read it again and repeat your change.")


def encode_cursor(*values: str | int) -> str:
    """Return an opaque cursor of sort values."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """Return the values ``encode_cursor`` was given; raise ``Refused`` for anything else."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if [type(value) for value in values] == list(kinds):
            return tuple(values)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        values = None
    raise Refused(
        "`after` is no cursor of this list; use the `next` of the page before.",
        faults=[Fault("", "invalid_cursor", "Leave `after` out to begin at the start.")],
    )
