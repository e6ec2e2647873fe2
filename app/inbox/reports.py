"""What a report of ours does to its message: moves by the table of ``docs/states.md``, or events.

The caller locked the message and saw a signed id. A success counts from everywhere, for who has the
mail is not sent it again; a failure only where the server had taken it; the rest is told and moves
nothing. A report may be faster than the worker that still writes down the sending: it waits.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.accounts.audit import SYSTEM
from app.mime.address import Mailbox
from app.mime.headers import strip_controls
from app.outbox.events import Note, record
from app.outbox.rows import Moving, move_all, read_recipients, refresh
from app.outbox.suppressions import NO_SUCH_ADDRESS, find_wish, note_bounces, suppress
from app.outbox.tables import recipient

BOUNCED = "bounced"
_DELIVERED_FROM = frozenset({"queued", "deferred", "held", "sent", "failed"})
_FAILED_FROM = frozenset({"sent"})
