"""The message's status, derived from its recipients' states (contract §4); pure.

``docs/states.md`` is the same table in words. ``LAST`` are the states nothing waits in.
"""

from collections.abc import Sequence
from datetime import datetime

LAST = frozenset({"sent", "delivered", "failed", "suppressed", "cancelled", "expired"})
WAITING = frozenset({"queued", "deferred"})
SENT = frozenset({"sent", "delivered", "partially_sent"})  # it reached a mail server
STATUSES = (
    "draft",
    "scheduled",
    "queued",
    "sending",
    "deferred",
    "held",
    "sent",
    "delivered",
    "partially_sent",
    "failed",
    "suppressed",
    "cancelled",
    "expired",
)


def derive_status(
    states: Sequence[str],
    *,
    is_draft: bool = False,
    send_at: datetime | None = None,
    at: datetime | None = None,
) -> str:
    """Return the status of a message whose recipients are in ``states``, at the moment ``at``."""
    if is_draft:
        return "draft"
    present = set(states)
    if present == {"queued"} and send_at is not None and at is not None and send_at > at:
        return "scheduled"
    for state in ("sending", "queued", "deferred", "held"):
        if state in present:
            return state
    if present == {"delivered"}:
        return "delivered"
    if present <= {"sent", "delivered"}:
        return "sent"
    if present & {"sent", "delivered"}:
        return "partially_sent"
    return present.pop() if len(present) == 1 else "failed"
