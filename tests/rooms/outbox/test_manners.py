"""Manners towards servers: slower when asked to, faster again by the clock, the same for all."""

from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import pytest

from app.outbox import manners
from app.outbox.complaint import Complaint
from app.outbox.find import find_message
from app.outbox.health import RECOVERY, Health, read_health
from app.outbox.manners import Limits, find_limits
from app.outbox.queue import Claimed, Wait, claim, find_ready
from app.outbox.tables import account_state
from tests.rooms.outbox.desk import ADMIN, Desk

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
RATE = Complaint("rate", "450 4.7.1 too much mail")
TOO_MANY = Complaint("connections", "421 too many connections")
MINUTE = timedelta(minutes=1)


def complain(desk: Desk, account: str, complaint: Complaint = RATE, **known: Any) -> bool:
    given = {"claim_id": "w.1.1", "host": "mail.example", "at": AT, **known}
    claim_id = given.pop("claim_id")
    return bool(desk.do(manners.heed, account, claim_id, complaint, **given))


def read(desk: Desk, account: str) -> Health:
    health: Health = desk.wait_for(desk.office.db.read(read_health, account))
    return health


def change(desk: Desk, account: str, **values: Any) -> None:
    desk.change(account_state, account_state.c.account_id == account, **values)


def test_a_complaint_makes_a_pause_and_halves_what_went_in_the_last_minute(desk: Desk) -> None:
    account = desk.configure()
    for _ in range(30):
        desk.send()
    for _ in range(30):
        desk.settle(desk.claim(account), "sent")
    now = datetime.now(UTC)
    assert complain(desk, account, at=now)
    health = read(desk, account)
    assert (health.slow_until, health.slow_hits) == (now + timedelta(seconds=15), 1)
    assert (health.slow_reason, health.slow_detail) == ("rate_limited", RATE.words)
    assert health.slow_rate == 15


def test_what_was_under_way_when_the_pause_began_does_not_lengthen_it(desk: Desk) -> None:
    account = desk.configure()
    for seconds in (0, 0.1, 14.9):
        assert complain(desk, account, at=AT + timedelta(seconds=seconds))
    assert read(desk, account).slow_until == AT + timedelta(seconds=15)


def test_complaints_in_a_row_lengthen_the_pause_and_one_that_comes_later_halves_again(
    desk: Desk,
) -> None:
    account = desk.configure()
    at, waits = AT, []
    for _ in range(8):
        complain(desk, account, at=at)
        until = read(desk, account).slow_until
        assert until is not None
        waits.append((until - at).total_seconds())
        at = until
    assert waits == [15, 30, 60, 120, 300, 600, 900, 900]
    assert read(desk, account).slow_rate == 6  # the least, halved once
    desk.do(manners.note_accepted, account)
    change(desk, account, slow_rate=100)
    assert complain(desk, account, at=at + 10 * MINUTE)  # grown to 200, of which nothing went
    health = read(desk, account)
    assert (health.slow_rate, health.slow_until) == (6, at + 10 * MINUTE + timedelta(seconds=15))


def test_the_pace_grows_by_the_clock_until_all_is_forgotten() -> None:
    slow = Health(slow_until=AT, slow_rate=60, slow_connections=2)

    def at(minutes: float) -> tuple[float | None, int | None]:
        limits = find_limits(slow, "mail.example", AT + minutes * MINUTE)
        return limits.per_minute and round(limits.per_minute), limits.connections

    assert [at(minutes) for minutes in (0, 10, 29)] == [(60, 2), (120, 4), (234, 7)]
    assert find_limits(slow, "mail.example", AT).until == AT + RECOVERY
    assert find_limits(slow, "mail.example", AT + RECOVERY) == Limits()


def test_a_slow_rate_needs_few_connections() -> None:
    slow = Health(slow_until=AT, slow_rate=12)
    assert find_limits(slow, "mail.example", AT).connections == 1


def test_what_a_provider_publishes_holds_from_the_first_message() -> None:
    known = find_limits(Health(), "SMTP.office365.com.", AT)
    assert (known.per_minute, known.connections) == (30, 2)  # two carry 30 a minute
    assert find_limits(Health(), "mail.example", AT) == Limits()
    slow = Health(slow_until=AT, slow_rate=10)
    assert find_limits(slow, "smtp.office365.com", AT).per_minute == 10
    assert find_limits(slow, "smtp.office365.com", AT + 29 * MINUTE).per_minute == 30


@pytest.mark.parametrize("per_minute", [1.5, 6, 30, 100])
def test_no_minute_has_more_turns_than_the_rate(desk: Desk, per_minute: float) -> None:
    account = desk.configure()
    taken: list[datetime] = []
    at = AT
    while at < AT + 3 * MINUTE:
        turns = desk.wait_for(
            desk.office.db.write(manners.take_turns, account, 4, per_minute=per_minute, at=at)
        )
        if isinstance(turns, datetime):
            assert turns > at
            at = turns
        else:
            taken += [at] * turns
    most = max(sum(each <= one < each + MINUTE for one in taken) for each in taken)
    assert most <= ceil(per_minute)
    assert len(taken) >= per_minute * 0.8 * 3
    assert taken[0] == AT


def test_an_account_that_was_asked_to_slow_down_waits_and_then_tries_one_alone(desk: Desk) -> None:
    account = desk.configure()
    for _ in range(3):
        desk.send()
    complain(desk, account, at=datetime.now(UTC))
    assert desk.wait_for(desk.office.db.read(find_ready)) == []
    assert desk.try_claim(account) is None
    change(desk, account, slow_until=datetime.now(UTC))
    assert desk.wait_for(desk.office.db.read(find_ready)) == [account]
    claimed = desk.claim(account, most=3)
    assert claimed.is_trial
    assert desk.try_claim(account) is None
    desk.settle(claimed, "sent")
    desk.do(manners.note_accepted, account)
    assert not desk.claim(account).is_trial
    assert isinstance(desk.try_claim(account), Claimed)


def test_a_paced_account_gives_the_time_of_its_next_turn(desk: Desk) -> None:
    account = desk.configure()
    for _ in range(3):
        desk.send()
    limits = Limits(per_minute=1)
    assert isinstance(desk.try_claim(account, limits=limits, most=3), Claimed)
    waits = desk.try_claim(account, limits=limits)
    assert isinstance(waits, Wait)
    assert 50 < waits.delay_s <= 60


def test_connections_that_are_refused_are_halved_and_those_too_many_have_to_go(desk: Desk) -> None:
    account = desk.configure()
    for _ in range(6):
        desk.send()
    names = [f"w{process}.{carrier}" for process in (1, 2) for carrier in (1, 2)]
    for name in names:
        desk.do(claim_as(name), account)
    assert complain(desk, account, TOO_MANY, claim_id="w2.2.9")
    health = read(desk, account)
    assert (health.slow_connections, health.slow_hits, health.slow_until) == (2, 0, AT)
    most = find_limits(health, "mail.example", AT).connections
    assert most == 2
    may = [
        desk.do(manners.may_claim, account, f"{name}.9", most) for name in (*names, "w0.1", "w3.1")
    ]
    assert may == [True, True, False, False, False, False]
    # The two that were too many are known to be.
    assert complain(desk, account, TOO_MANY, claim_id="w2.1.9")
    assert read(desk, account).slow_connections == 2


def claim_as(name: str) -> Any:
    return lambda tx, account: claim(tx, account, f"{name}.1", lease_s=60)


def test_a_carrier_too_many_is_told_to_leave(desk: Desk) -> None:
    account = desk.configure()
    desk.send()
    desk.send()
    desk.do(claim_as("a.1"), account)
    waits = desk.try_claim(account, limits=Limits(connections=1))
    assert waits == Wait(1, is_leave=True)


def test_who_has_no_other_connection_pauses(desk: Desk) -> None:
    account = desk.configure()
    vague = Complaint("connections", "421 try later", is_plain=False)
    assert not complain(desk, account, vague)  # nothing but a server in trouble
    assert read(desk, account).slow_until is None
    assert complain(desk, account, TOO_MANY)
    health = read(desk, account)
    assert (health.slow_until, health.slow_rate) == (AT + timedelta(seconds=15), None)
    assert health.slow_reason == "too_many_connections"


def test_how_much_a_session_carries_is_kept_for_a_day(desk: Desk) -> None:
    account = desk.configure()
    for messages in (50, 20, 30):
        assert complain(desk, account, Complaint("session", "421 enough", messages))
    health = read(desk, account)
    assert find_limits(health, "mail.example", AT).per_connection == 20
    assert find_limits(health, "mail.example", AT + timedelta(days=1)).per_connection is None
    assert not health.is_slowed(AT)


def test_a_saved_configuration_forgets_what_was_learned(desk: Desk) -> None:
    account = desk.configure()
    complain(desk, account)
    complain(desk, account, Complaint("session", "421 enough", 20))
    desk.do(manners.take_turns, account, 1, per_minute=6, at=AT)
    desk.configure(port=26)
    assert read(desk, account) == Health()


def test_waiting_mail_tells_how_long_its_account_rests(desk: Desk) -> None:
    account, message_id = desk.configure(), desk.send()
    complain(desk, account)
    found = desk.wait_for(desk.office.db.read(find_message, ADMIN, message_id))
    assert found.paused_until == AT + timedelta(seconds=15)
