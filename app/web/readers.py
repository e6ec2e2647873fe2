"""How files are read and written that the API takes too: there is one way, and it is the API's.

The two doors know nothing of each other; ``main`` hands these over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.portable import Given
from app.outbox.suppressions import Entry


@dataclass(frozen=True, slots=True)
class Readers:
    """portable: a whole configuration, and what writes one. suppressions: a list, by its media type;
    table: one as CSV."""

    portable: Callable[[bytes], Given]
    write_portable: Callable[[Connection, datetime], Mapping[str, Any]]
    suppressions: Callable[[str, bytes, Caller, datetime], list[Entry]]
    table: Callable[[Sequence[Row[Any]]], str]
