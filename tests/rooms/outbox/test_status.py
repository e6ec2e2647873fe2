"""The message's status: every line of the contract's rule (§4), in its order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.outbox.status import LAST, STATUSES, derive_status
from app.outbox.tables import STATES

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ("sending", "sending"),
        ("sending queued deferred held sent failed", "sending"),
        ("queued", "queued"),
        ("queued deferred held sent failed", "queued"),
        ("deferred held sent", "deferred"),
        ("held sent failed cancelled", "held"),
        ("held", "held"),
        ("sent", "sent"),
        ("sent sent", "sent"),
        ("sent delivered", "sent"),
        ("delivered delivered", "delivered"),
        ("sent failed", "partially_sent"),
        ("delivered suppressed", "partially_sent"),
        ("sent cancelled expired", "partially_sent"),
        ("failed failed", "failed"),
        ("suppressed", "suppressed"),
        ("cancelled cancelled", "cancelled"),
        ("expired", "expired"),
        ("cancelled expired", "failed"),
        ("suppressed failed", "failed"),
    ],
)
def test_the_first_line_that_fits_is_the_status(states: str, status: str) -> None:
    assert derive_status(states.split(), at=AT) == status


def test_a_draft_is_a_draft_whatever_its_recipients_are() -> None:
    assert derive_status(["held"], is_draft=True, at=AT) == "draft"


@pytest.mark.parametrize(
    ("states", "send_at", "status"),
    [
        (["queued", "queued"], LATER, "scheduled"),
        (["queued"], AT, "queued"),
        (["queued", "cancelled"], LATER, "queued"),
        (["held"], LATER, "held"),
        (["cancelled"], LATER, "cancelled"),
    ],
)
def test_it_is_scheduled_while_all_wait_for_send_at(
    states: list[str], send_at: datetime, status: str
) -> None:
    assert derive_status(states, send_at=send_at, at=AT) == status


@given(st.lists(st.sampled_from(STATES), min_size=1, max_size=6))
def test_every_mixture_has_one_status_whatever_its_order(states: list[str]) -> None:
    status = derive_status(states, at=AT)
    assert status in STATUSES
    assert status == derive_status(states[::-1], at=AT)
    assert (status in LAST | {"partially_sent"}) == all(state in LAST for state in states)
