"""A day as somebody typed it, by their own clock."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.errors import Fault

if TYPE_CHECKING:
    from app.web.visit import Guest


def read_last_day(visit: "Guest", given: str, pointer: str) -> tuple[datetime | None, list[Fault]]:
    """Return the end of a day such as 2027-01-31, and what is wrong with it; None where none is given.

    A moment with its zone, which only a page of ours writes (an undo), is taken as it is.
    """
    if not given.strip():
        return None, []
    try:
        if "T" in given:
            return datetime.fromisoformat(given).astimezone(UTC), []
        day = datetime.strptime(given.strip(), "%Y-%m-%d")
        end = day.replace(hour=23, minute=59, second=59, tzinfo=visit.zone)
        return end.astimezone(UTC), []
    except (ValueError, OverflowError):
        detail = visit._("Give a day as 2027-01-31.")
        return None, [Fault(pointer, "invalid_day", detail)]
