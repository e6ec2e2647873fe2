"""The failure policy as a table: what each verdict makes of a recipient."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.outbox.retry import Move, decide

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SCHEDULE_S = (60.0, 300.0, 3600.0)


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def judge(verdict: Any, **changes: Any) -> Move:
    given: dict[str, Any] = {
        "reason": "why",
        "tries": 0,
        "losses": 0,
        "at": AT,
        "give_up_at": after(72 * 3600),
        "not_after": None,
        "schedule_s": SCHEDULE_S,
        "jitter": 0.5,
        "on_uncertain": "resend",
    }
    return decide(verdict, **given | changes)


GIVEN_UP = {"give_up_at": AT}
TOO_LATE = {"not_after": after(30)}


@pytest.mark.parametrize(
    ("verdict", "changes", "move"),
    [
        ("sent", {}, Move("sent")),
        ("sent", GIVEN_UP | TOO_LATE, Move("sent")),
        ("refused", {}, Move("failed", "why")),
        ("refused", {"reason": None}, Move("failed", "refused")),
        ("refused", GIVEN_UP, Move("failed", "why")),
        ("deferred", {}, Move("deferred", "why", after(60))),
        ("deferred", {"tries": 1}, Move("deferred", "why", after(300))),
        ("deferred", {"tries": 2}, Move("deferred", "why", after(3600))),
        ("deferred", {"tries": 99}, Move("deferred", "why", after(3600))),
        # The last try stands at the end of the time.
        ("deferred", {"give_up_at": after(20)}, Move("deferred", "why", after(20))),
        ("deferred", GIVEN_UP, Move("failed", "gave_up")),
        ("deferred", TOO_LATE, Move("expired", "not_after")),
        ("deferred", {"not_after": after(60)}, Move("deferred", "why", after(60))),
        ("uncertain", {}, Move("deferred", "uncertain", after(60))),
        ("uncertain", GIVEN_UP, Move("failed", "gave_up")),
        ("uncertain", TOO_LATE, Move("expired", "not_after")),
        ("uncertain", {"on_uncertain": "hold"}, Move("held", "uncertain")),
        ("uncertain", {"on_uncertain": "hold"} | GIVEN_UP, Move("held", "uncertain")),
        # The configuration's trouble uses up nothing and never gives up.
        ("trouble", {"tries": 3}, Move("deferred", "why", AT, counts=False)),
        ("trouble", GIVEN_UP, Move("deferred", "why", AT, counts=False)),
        # A worker that was lost: at once, but not for ever.
        ("lost", {}, Move("deferred", "why", AT, counts=False)),
        ("lost", {"losses": 1}, Move("deferred", "why", AT, counts=False)),
        ("lost", {"losses": 2}, Move("deferred", "why", after(60))),
        ("lost", {"losses": 7, "tries": 1}, Move("deferred", "why", after(300))),
        ("lost", {"losses": 2} | GIVEN_UP, Move("failed", "gave_up")),
        ("lost", {"losses": 2, "on_uncertain": "hold"}, Move("deferred", "why", after(60))),
    ],
)
def test_a_verdict_moves_the_recipient(verdict: str, changes: dict[str, Any], move: Move) -> None:
    assert judge(verdict, **changes) == move


@given(st.floats(0, 1), st.integers(0, 10))
def test_waits_are_spread_by_a_fifth_at_most(jitter: float, tries: int) -> None:
    wait_s = SCHEDULE_S[min(tries, 2)]
    due_at = judge("deferred", jitter=jitter, tries=tries).due_at
    assert due_at is not None
    assert after(0.8 * wait_s) <= due_at <= after(1.2 * wait_s)
