"""LIMITE and WAIT, to the message and to the microsecond."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.outbox.pace import note_replies, take_places
from app.outbox.queue import Claimed, Lot, Wait
from app.outbox.tables import account_state
from tests.rooms.outbox.desk import Desk

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LOT = {"limit": 3, "wait_s": 15.5}


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def ask(desk: Desk, account: str, at: datetime, **lot: Any) -> datetime | None:
    taken: int | datetime = desk.do(take_places, account, 1, at=at, **(LOT | lot))
    return taken if isinstance(taken, datetime) else None


def reply(desk: Desk, account: str, at: datetime, *, reached_mail: bool = True) -> None:
    counted = {"replied": int(reached_mail), "returned": int(not reached_mail)}
    desk.do(note_replies, account, at=at, **counted)


def test_the_next_lot_starts_a_wait_after_the_last_final_reply(desk: Desk) -> None:
    account = desk.configure()
    for number in range(3):
        assert ask(desk, account, after(number)) is None
        reply(desk, account, after(number + 0.5))
    full_until = after(2.5 + 15.5)
    assert ask(desk, account, after(3)) == full_until
    assert ask(desk, account, full_until - timedelta(microseconds=1)) == full_until
    assert ask(desk, account, full_until) is None


def test_a_lot_that_rested_long_enough_begins_anew(desk: Desk) -> None:
    account = desk.configure()
    for _ in range(4):
        desk.send()
    lot = Lot(limit=2, wait_s=60)
    desk.settle(desk.claim(account, lot=lot), "sent")
    past = datetime.now(UTC) - timedelta(seconds=61)
    desk.change(account_state, account_state.c.account_id == account, lot_replied_at=past)
    assert isinstance(desk.try_claim(account, lot=lot), Claimed)
    assert isinstance(desk.try_claim(account, lot=lot), Claimed)
    assert isinstance(desk.try_claim(account, lot=lot), Wait)


def test_a_place_is_given_back_when_mail_never_went(desk: Desk) -> None:
    account = desk.configure()
    for _ in range(3):
        ask(desk, account, AT)
    reply(desk, account, AT, reached_mail=False)
    assert ask(desk, account, AT) is None


def test_messages_are_counted_and_not_recipients(desk: Desk) -> None:
    account = desk.configure()
    for _ in range(3):
        desk.send("a@x.example", "b@x.example", "c@x.example")
    lot = Lot(limit=2, wait_s=60)
    for _ in range(2):
        claimed = desk.claim(account, lot=lot)
        assert len(claimed.recipients) == 3
        desk.settle(claimed, "sent")
    assert isinstance(desk.try_claim(account, lot=lot), Wait)


def test_while_one_of_a_full_lot_is_under_way_its_reply_is_awaited(desk: Desk) -> None:
    account = desk.configure()
    for _ in range(3):
        desk.send()
    lot = Lot(limit=2, wait_s=0)
    first, second = desk.claim(account, lot=lot), desk.claim(account, lot=lot)
    assert isinstance(desk.try_claim(account, lot=lot), Wait)
    desk.settle(first, "sent")
    assert isinstance(desk.try_claim(account, lot=lot), Wait)
    desk.settle(second, "sent")
    assert isinstance(desk.try_claim(account, lot=lot), Claimed)


def test_a_full_lot_claims_nothing_and_leaves_the_mail_queued(desk: Desk) -> None:
    account = desk.configure()
    lot = Lot(limit=1, wait_s=600)
    first, second = desk.send(), desk.send()
    desk.settle(desk.claim(account, lot=lot), "sent")
    waits = desk.try_claim(account, lot=lot)
    assert isinstance(waits, Wait)
    assert 540 < waits.delay_s <= 600
    assert (desk.look(first).status, desk.look(second).status) == ("sent", "queued")


@pytest.mark.parametrize("marked", [False, True])
def test_the_wait_is_counted_from_the_sweep_when_a_worker_died(desk: Desk, marked: bool) -> None:
    account = desk.configure()
    lot = Lot(limit=1, wait_s=600)
    desk.send()
    desk.send()
    claimed = desk.claim(account, lot=lot)
    if marked:
        desk.mark(claimed)
    desk.lapse(claimed, ago_s=3600)
    desk.sweep()
    waits = desk.try_claim(account, lot=lot)
    assert isinstance(waits, Wait)
    assert waits.delay_s > 300


def test_an_account_without_lots_keeps_no_count(desk: Desk) -> None:
    account = desk.configure()
    desk.send()
    desk.settle(desk.claim(account), "sent")
    assert desk.count(account_state) == 0
