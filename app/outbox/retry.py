"""The one failure policy: what a verdict makes of a recipient; pure, tested as a table.

Transient unless proved permanent: only a real 5yz reply fails a recipient. Trouble of the
configuration uses up no try; the account's pause decides when it goes on. A claim that is lost comes
back at once, but not for ever: a message that kills its worker each time must not do so all day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Verdict = Literal["sent", "deferred", "refused", "uncertain", "lost", "trouble"]
_CLEAN_LOSSES = 2  # a restart or two; the third is taken for the message's own doing
_JITTER = 0.2  # ± share of a wait, so that a burst that failed together does not return together


@dataclass(frozen=True, slots=True)
class Move:
    """Where a recipient goes. counts: the try counts for the schedule."""

    state: str
    reason: str | None = None
    due_at: datetime | None = None
    counts: bool = True


def decide(
    verdict: Verdict,
    *,
    reason: str | None,
    tries: int,
    losses: int,
    at: datetime,
    give_up_at: datetime,
    not_after: datetime | None,
    schedule_s: Sequence[float],
    jitter: float,
    on_uncertain: str,
) -> Move:
    """Return the next state after one verdict.

    tries: how many tries counted before this one; losses: how many were ``lost``. jitter: a random
    number from 0 to 1. reason: the cause word of what went wrong. ``trouble`` is the configuration's
    fault, ``lost`` a claim that ended before anything was sent.
    """
    if verdict == "sent":
        return Move("sent")
    if verdict == "refused":
        return Move("failed", reason or "refused")
    if verdict == "trouble" or (verdict == "lost" and losses < _CLEAN_LOSSES):
        return Move("deferred", reason, at, counts=False)
    if verdict == "uncertain" and on_uncertain == "hold":
        return Move("held", "uncertain")
    if at >= give_up_at:
        return Move("failed", "gave_up")
    wait_s = schedule_s[min(tries, len(schedule_s) - 1)] * (1 + _JITTER * (2 * jitter - 1))
    # The last try stands at the end of the time, not before it.
    due_at = min(at + timedelta(seconds=wait_s), give_up_at)
    if not_after is not None and due_at > not_after:
        return Move("expired", "not_after")
    return Move("deferred", "uncertain" if verdict == "uncertain" else reason, due_at)
