"""An account's manners towards its server: what providers allow, and what servers asked for.

A complaint halves the account's rate or connections and makes a pause, longer with each in a row;
after it one message tries alone. Then the account grows faster by the clock, the same for every
process, until ``RECOVERY`` later all is forgotten. Learned things are a row (``account_state``), so
they hold across processes; a saved configuration forgets them. What one recipient's mailbox says
changes nothing here, and LIMITE and WAIT stand beside it (``pace``).
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.engine import Connection

from app.configuration.providers import find_sending_limits
from app.db import lock_rows
from app.outbox.complaint import Complaint
from app.outbox.health import RECOVERY, Health, ensure_state, read_health
from app.outbox.tables import account_state, message, recipient

SESSION_KEPT = timedelta(days=1)  # what one connection carries; then it is found out again
_WAITS_S = (15, 30, 60, 120, 300, 600, 900)  # after complaints in a row; the last repeats
_GROWTH = 0.1  # of the halved rate, each minute: the old one in 10, twice that at the end
_CONNECTION_EVERY = timedelta(minutes=5)  # one more
_LEAST_PER_MINUTE = 6.0
_ONE_CARRIES_PER_MINUTE = 15  # by one connection at 4 s a message; a slow rate needs no more
_BURST_SHARE = 6  # of a minute's messages a sixth at once, the rest spread over the minute


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for an account now; None: nothing.

    per_minute: messages in any 60 s. connections: at once, of all processes. per_connection:
    messages. until: when what was learned is forgotten if all goes well.
    """

    per_minute: float | None = None
    connections: int | None = None
    per_connection: int | None = None
    until: datetime | None = None


UNLIMITED = Limits()


def find_limits(health: Health, host: str, at: datetime) -> Limits:
    """Return the limits of an account: the narrower of its provider's and of what was learned."""
    known = find_sending_limits(host)
    rate: float | None = None
    connections: float | None = None
    until = None
    if health.slow_until is not None and health.is_slowed(at):
        until = health.slow_until + RECOVERY
        since = max(at - health.slow_until, timedelta(0))
        if health.slow_rate is not None:
            rate = health.slow_rate * (1 + _GROWTH * (since / timedelta(minutes=1)))
        if health.slow_connections is not None:
            connections = health.slow_connections + since // _CONNECTION_EVERY
    learned_at = health.session_learned_at
    is_known = learned_at is not None and at - learned_at < SESSION_KEPT
    rate = _narrow(rate, known.per_minute)
    needed = None if rate is None else math.ceil(rate / _ONE_CARRIES_PER_MINUTE)
    connections = _narrow(_narrow(connections, known.connections), needed)
    return Limits(
        per_minute=rate,
        connections=None if connections is None else int(connections),
        per_connection=health.session_messages if is_known else None,
        until=until,
    )


def _narrow(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)


# Before a claim


def may_claim(tx: Connection, account_id: str, claim_id: str, most: int) -> bool:
    """Tell whether a claim's carrier is among the ``most`` that may work for the account.

    Those that have mail in hand count; where they are too many, the last by name have to go.
    """
    mine = name_carrier(claim_id)
    names = sorted(find_carriers(tx, account_id))
    return names.index(mine) < most if mine in names else len(names) < most


def find_carriers(tx: Connection, account_id: str) -> set[str]:
    """Return the names of all processes' carriers that have mail of the account in hand."""
    query = (
        select(recipient.c.claimed_by)
        .join(message, message.c.id == recipient.c.message_id)
        .where(recipient.c.lease_until.is_not(None), message.c.account_id == account_id)
        .distinct()
    )
    return {name_carrier(claim_id) for claim_id in tx.scalars(query)}


def name_carrier(claim_id: str) -> str:
    """Return whose claim it is: the id without its last number."""
    return claim_id.rpartition(".")[0]


def take_turns(
    tx: Connection, account_id: str, wanted: int, *, per_minute: float, at: datetime
) -> int | datetime:
    """Take the turns of up to ``wanted`` messages; return how many, or when to ask again.

    In no 60 s are there more than ``per_minute``: a burst, and the rest at even distances.
    """
    burst = max(1, int(per_minute / _BURST_SHARE))
    apart = timedelta(minutes=1) / (per_minute - burst + 1) + timedelta.resolution  # rounded up
    ensure_state(tx, account_id)
    query = select(account_state.c.turn_at).where(account_state.c.account_id == account_id)
    known: datetime | None = tx.scalar(lock_rows(tx, query))
    turn_at = max(known, at) if known else at
    free = (at + (burst - 1) * apart - turn_at) // apart + 1
    if free < 1:
        return turn_at - (burst - 1) * apart
    taken = min(wanted, free)
    tx.execute(
        update(account_state)
        .where(account_state.c.account_id == account_id)
        .values(turn_at=turn_at + taken * apart)
    )
    return taken


# After a try


def heed(
    tx: Connection, account_id: str, claim_id: str, complaint: Complaint, *, host: str, at: datetime
) -> bool:
    """Slow the account down as its server asks; False where it was no such wish after all.

    claim_id: of the claim that heard it. Complaints of what was still under way when the pause
    began, and of connections too many that are known to be, change nothing any more.
    """
    ensure_state(tx, account_id)
    key = account_state.c.account_id == account_id
    tx.execute(lock_rows(tx, select(account_state.c.account_id).where(key)))
    health = read_health(tx, account_id)
    limits = find_limits(health, host, at)
    change = update(account_state).where(key)
    if complaint.kind == "session":
        if limits.per_connection is None or complaint.messages < limits.per_connection:
            tx.execute(change.values(session_messages=complaint.messages, session_learned_at=at))
        return True
    said = {"slowed_at": at, "slow_detail": complaint.words}
    if complaint.kind == "connections":
        open_now = len(find_carriers(tx, account_id) | {name_carrier(claim_id)})
        if open_now > 1:
            if limits.connections is None or open_now <= limits.connections:
                until = max(at, health.slow_until or at)
                change = change.values(slow_connections=max(1, open_now // 2), slow_until=until)
                tx.execute(change.values(slow_reason="too_many_connections", **said))
            return True
        if not complaint.is_plain:
            return False
    if health.slow_until is not None and health.slow_until > at:
        return True
    if complaint.kind == "rate" and health.slow_hits == 0:
        change = change.values(slow_rate=_halve(tx, account_id, limits, at))
    wait_s = _WAITS_S[min(health.slow_hits, len(_WAITS_S) - 1)]
    tx.execute(
        change.values(
            slow_hits=health.slow_hits + 1,
            slow_until=at + timedelta(seconds=wait_s),
            slow_reason="rate_limited" if complaint.kind == "rate" else "too_many_connections",
            **said,
        )
    )
    return True


def note_accepted(tx: Connection, account_id: str) -> None:
    """Record that the server took the message that was tried alone."""
    tx.execute(
        update(account_state)
        .where(account_state.c.account_id == account_id, account_state.c.slow_hits > 0)
        .values(slow_hits=0)
    )


def count_accepted(tx: Connection, account_id: str, since: datetime) -> int:
    """Return how many messages of the account ended well after ``since``."""
    query = select(func.count()).where(
        message.c.ended_at > since,
        message.c.account_id == account_id,
        message.c.status.in_(("sent", "delivered")),
    )
    return tx.scalar(query) or 0


def _halve(tx: Connection, account_id: str, limits: Limits, at: datetime) -> float:
    """Return half the rate that was too fast: what went in the last minute, if the limit allowed."""
    went = float(count_accepted(tx, account_id, at - timedelta(minutes=1)))
    return max(_LEAST_PER_MINUTE, (_narrow(went, limits.per_minute) or 0) / 2)
