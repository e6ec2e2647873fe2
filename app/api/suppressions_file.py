"""``/suppressions/import`` and ``/export``: the list as JSON or as a table (CSV).

What is exported can be imported again. A table's first line names its columns; commas and
semicolons separate, as spreadsheets write them. Every wrong line is told at once, and nothing of a
list with a wrong line is stored. A cell that a spreadsheet would run as a formula goes out behind
an apostrophe, which an import takes off again.
"""

import asyncio
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.api.body import Route, read_json, require_json, show_instant
from app.api.collect import collect
from app.api.gate import TheOffice
from app.api.sign_in import TheSender
from app.api.suppressions import (
    IsActive,
    SuppressionBody,
    TheAddress,
    TheKeeper,
    TheReason,
    TheScope,
    read_entry,
    read_wished,
)
from app.errors import Fault, Malformed, Refused, refuse
from app.outbox import suppressions
from app.outbox.suppressions import Entry, Listed

# Before the router of ``/suppressions/{id}``.
export_router = APIRouter(route_class=Route, tags=["suppressions"])
import_router = APIRouter(tags=["suppressions"])  # reads its body by hand

MOST_ENTRIES = 10_000
_COLUMNS = ("address", "scope", "reason", "expires_at", "note")
_SHOWN = (*_COLUMNS, "message_id", "made_by", "made_at", "updated_at", "id")
_FORMULA = ("=", "+", "-", "@", "\t")
_ITEM = {"$ref": "#/components/schemas/SuppressionBody"}
_TABLE = "address;scope;reason\nszef@klient.example;global;manual\n"


class Imported(BaseModel):
    """What became of a list."""

    dry_run: bool
    lines: int = Field(description="Entries that were read.")
    created: int
    changed: int = Field(description="Were there, and differed.")
    stopped: int = Field(description="Recipients that waited and are `suppressed` now.")


@export_router.get(
    "/suppressions/export",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "The list, the newest first."}},
)
async def export_suppressions(
    caller: TheSender,
    office: TheOffice,
    address: TheAddress = None,
    scope: TheScope = None,
    reason: TheReason = None,
    active: IsActive = None,
) -> Response:
    """Return the whole list as CSV."""
    wished = read_wished(caller, office, [], address, scope, reason, active)
    rows = await office.db.read(suppressions.list_suppressions, caller, wished)
    return Response(
        await asyncio.to_thread(write_table, rows),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="suppressions.csv"'},
    )


@import_router.post(
    "/suppressions/import",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "array", "items": _ITEM, "maxItems": MOST_ENTRIES}
                },
                "text/csv": {"schema": {"type": "string"}, "example": _TABLE},
            },
        }
    },
)
async def import_suppressions(
    request: Request,
    caller: TheKeeper,
    office: TheOffice,
    dry_run: Annotated[bool, Query(description="Only say what would be done.")] = False,
) -> Imported:
    """Suppress many addresses: all of the list, or none and every wrong line is told.

    A JSON list, or CSV whose first line names the columns (`address`, and any of `scope`,
    `reason`, `expires_at`, `note`; those that an export has beside them are ignored).
    """
    raw = await request.body()
    at = office.clock()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "text/csv":
        require_json(request)
    entries = await asyncio.to_thread(read_entries, media_type, raw, caller, at)

    def run(tx: Connection) -> Listed:
        wrong = suppressions.find_unknown_scopes(tx, {each.scope for each in entries})
        refuse(
            Fault(f"/{index}/scope", fault.code, fault.detail)
            for index, each in enumerate(entries)
            if (fault := wrong.get(each.scope)) is not None
        )
        if dry_run:
            return suppressions.count_import(tx, entries)
        return suppressions.import_suppressions(tx, caller, entries, at)

    done = await (office.db.read(run) if dry_run else office.db.write(run))
    office.db.ring("verdict")
    return Imported(
        dry_run=dry_run,
        lines=len(entries),
        created=done.created,
        changed=done.changed,
        stopped=done.stopped,
    )


def read_entries(media_type: str, raw: bytes, caller: Caller, at: datetime) -> list[Entry]:
    """Return the entries of a list, a table (``text/csv``) or JSON; raise ``Refused`` with all faults."""
    if media_type == "text/csv":
        items: Sequence[Any] = _read_table(raw)
    else:
        items = read_json(raw)
    if not isinstance(items, list):
        detail = "Give a list of suppressions."
        raise Refused(detail, faults=[Fault("", "wrong_type", detail)])
    if len(items) > MOST_ENTRIES:
        detail = f"A list has at most {MOST_ENTRIES} entries, not {len(items)}."
        raise Refused(detail, faults=[Fault("", "too_many", detail)])
    entries: list[Entry] = []
    faults: list[Fault] = []
    for index, item in enumerate(items):
        body, wrong = collect(SuppressionBody, item, f"/{index}")
        faults += wrong
        is_object = isinstance(item, Mapping)
        if is_object and (entry := read_entry(body, caller, at, f"/{index}", faults)):
            entries.append(entry)
    refuse(faults)
    return entries


def _read_table(raw: bytes) -> list[dict[str, str | None]]:
    """Return the lines of a table as objects; empty cells are absent members."""
    try:
        text = raw.decode("utf-8-sig")
        head = text.partition("\n")[0]
        delimiter = ";" if head.count(";") > head.count(",") else ","
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except UnicodeDecodeError:
        raise Malformed("Save the table as UTF-8.", code="malformed_csv") from None
    except csv.Error as error:
        raise Malformed(f"The table cannot be read: {error}.", code="malformed_csv") from None
    names = [name.strip().lower() for name in lines[0]] if lines else []
    faults = [
        Fault("", "unknown_column", f"There is no column {name!a}; {', '.join(_COLUMNS)} are.")
        for name in names
        if name not in _SHOWN
    ]
    if "address" not in names or len(set(names)) < len(names):
        detail = "The first line names the columns, each once; one of them is address."
        faults.append(Fault("", "columns_missing", detail))
    rows = [(number, line) for number, line in enumerate(lines[1:], 2) if any(line)]
    faults += [
        Fault(f"/{index}", "wrong_cells", f"Line {number}: {len(names)} cells are expected.")
        for index, (number, line) in enumerate(rows)
        if len(line) != len(names)
    ]
    refuse(faults)
    return [
        {name: _read_cell(cell) for name, cell in zip(names, line, strict=True) if name in _COLUMNS}
        for _, line in rows
    ]


def _read_cell(cell: str) -> str | None:
    cell = cell.strip(" ")
    return (cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell) or None


def write_table(rows: Sequence[Row[Any]]) -> str:
    """Return suppressions as a table that an import takes."""
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(_SHOWN)
    writer.writerows(_write_cells(row) for row in rows)
    return written.getvalue()


def _write_cells(row: Row[Any]) -> Iterator[str]:
    for name in _SHOWN:
        value = getattr(row, name)
        cell = (show_instant(value) if isinstance(value, datetime) else value) or ""
        yield f"'{cell}" if cell.startswith(_FORMULA) else cell
