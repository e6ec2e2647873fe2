"""Claiming: what comes first, who may claim, leases and marks."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy.exc import IntegrityError

from app.configuration.switch import pause, resume
from app.outbox.again import retry
from app.outbox.health import note_trouble
from app.outbox.queue import Claimed, Mark, find_ready, mark, renew
from app.outbox.tables import account_state, message, recipient
from tests.rooms.outbox.desk import ADMIN, FAR, Desk

NOW = partial(datetime.now, UTC)


def test_a_claim_takes_every_due_recipient_of_one_message(desk: Desk) -> None:
    account = desk.configure()
    first, second = desk.send("a@x.example", "b@x.example"), desk.send("c@x.example")
    claimed = desk.claim(account)
    assert claimed.message.id == first
    assert [each.address for each in claimed.recipients] == ["a@x.example", "b@x.example"]
    assert desk.look(first).status == "sending"
    assert desk.look(second).status == "queued"


def test_no_two_claims_hold_the_same_message(desk: Desk) -> None:
    account = desk.configure()
    desk.send()
    assert desk.try_claim(account) is not None
    assert desk.try_claim(account) is None


def test_a_retried_message_goes_first_then_single_ones_then_batches(desk: Desk) -> None:
    account = desk.configure()
    batch, single, retried = desk.send(batch=True), desk.send(), desk.send()
    desk.do(retry, ADMIN, retried)
    order = []
    while isinstance(claimed := desk.try_claim(account), Claimed):
        order.append(claimed.message.id)
        desk.settle(claimed, "sent")
    assert order == [retried, single, batch]


def test_scheduled_mail_is_not_claimed_before_its_time(desk: Desk) -> None:
    account = desk.configure()
    later = desk.send(send_at=NOW() + timedelta(hours=1))
    assert desk.look(later).status == "scheduled"
    assert desk.wait_for(desk.office.db.read(find_ready)) == []
    assert desk.try_claim(account) is None


def test_mail_past_its_not_after_is_not_claimed(desk: Desk) -> None:
    account = desk.configure()
    late = desk.send(not_after=FAR)
    desk.change(message, message.c.id == late, not_after=NOW() - timedelta(seconds=1))
    assert desk.try_claim(account) is None


def test_only_accounts_with_due_mail_that_are_not_paused_are_ready(desk: Desk) -> None:
    glob, anna = desk.configure(), desk.configure("anna")
    desk.configure("piotr")
    desk.send()
    desk.send(user="anna")
    assert set(desk.wait_for(desk.office.db.read(find_ready))) == {glob, anna}
    desk.do(pause, ADMIN, "users/anna", NOW())
    assert desk.wait_for(desk.office.db.read(find_ready)) == [glob]


def test_an_account_paused_by_a_person_sends_nothing_until_resumed(desk: Desk) -> None:
    account = desk.configure()
    desk.send()
    desk.do(pause, ADMIN, "global", NOW())
    assert desk.try_claim(account) is None
    desk.do(resume, ADMIN, "global", NOW())
    assert desk.try_claim(account) is not None


def test_an_account_paused_by_trouble_sends_again_when_its_wait_is_over(desk: Desk) -> None:
    account = desk.configure()
    desk.send()
    desk.do(note_trouble, account, cause="timeout", detail="…", at=NOW())
    assert desk.wait_for(desk.office.db.read(find_ready)) == []
    assert desk.try_claim(account) is None
    past = NOW() - timedelta(seconds=1)
    desk.change(account_state, account_state.c.account_id == account, paused_until=past)
    assert desk.wait_for(desk.office.db.read(find_ready)) == [account]
    assert desk.try_claim(account) is not None


@pytest.mark.parametrize("by", ["person", "trouble"])
def test_a_retry_passes_a_pause_once(desk: Desk, by: str) -> None:
    account = desk.configure()
    waiting, wanted = desk.send(), desk.send()
    if by == "person":
        desk.do(pause, ADMIN, "global", NOW())
    else:
        desk.do(note_trouble, account, cause="timeout", detail="…", at=NOW())
    desk.do(retry, ADMIN, wanted)
    assert desk.wait_for(desk.office.db.read(find_ready)) == [account]
    claimed = desk.claim(account)
    assert claimed.message.id == wanted
    assert desk.settle(claimed, "trouble")
    assert desk.try_claim(account) is None
    assert desk.look(waiting).states == {"anna@klient.example": "queued"}


def test_a_retry_given_while_another_recipient_is_on_the_wire_still_passes_the_pause(
    desk: Desk,
) -> None:
    account = desk.configure()
    both = desk.send("a@x.example", "b@x.example")
    desk.settle(desk.claim(account), "deferred", "deferred")
    desk.change(
        recipient,
        recipient.c.address == "a@x.example",
        due_at=NOW() - timedelta(seconds=1),
    )
    desk.change(message, message.c.id == both, due_at=NOW() - timedelta(seconds=1))
    under_way = desk.claim(account)
    assert len(under_way.recipients) == 1
    desk.do(retry, ADMIN, both)
    desk.do(pause, ADMIN, "global", NOW())
    desk.settle(under_way, "sent")
    assert [each.address for each in desk.claim(account).recipients] == ["b@x.example"]


def test_renewing_lengthens_the_lease_of_claims_that_still_stand(desk: Desk) -> None:
    account = desk.configure()
    first, second = desk.send(), desk.send()
    lost, kept = desk.claim(account), desk.claim(account)
    desk.lapse(lost)
    desk.sweep()
    desk.do(renew, (lost.id, kept.id), lease_s=3600)
    assert desk.look(second).recipients[0].lease_until > NOW() + timedelta(minutes=59)
    assert desk.look(first).recipients[0].lease_until is None


def test_a_mark_is_given_for_those_that_the_server_accepted(desk: Desk) -> None:
    account = desk.configure()
    both = desk.send("a@x.example", "b@x.example")
    claimed = desk.claim(account)
    assert desk.do(mark, [Mark(claimed.id, (claimed.recipients[0].id,))]) == [True]
    assert [each.marked_at is not None for each in desk.look(both).recipients] == [True, False]


def test_no_mark_is_given_once_the_lease_ran_out(desk: Desk) -> None:
    account = desk.configure()
    desk.send()
    claimed = desk.claim(account)
    desk.lapse(claimed)
    assert not desk.mark(claimed)


def test_no_mark_is_given_to_a_claim_that_another_took(desk: Desk) -> None:
    account = desk.configure()
    desk.send()
    old = desk.claim(account)
    desk.lapse(old)
    desk.sweep()
    assert desk.claim(account).message.id == old.message.id
    assert not desk.mark(old)


@pytest.mark.parametrize(
    "values",
    [
        {"claimed_by": None},
        {"lease_until": None},
        {"state": "sent"},
        {"due_at": FAR},
    ],
)
def test_the_database_itself_refuses_a_lease_outside_sending(
    desk: Desk, values: dict[str, object]
) -> None:
    account = desk.configure()
    desk.send()
    claimed = desk.claim(account)
    with pytest.raises(IntegrityError):
        desk.change(recipient, recipient.c.claimed_by == claimed.id, **values)


def test_claims_of_different_accounts_do_not_touch_each_other(desk: Desk) -> None:
    glob, anna = desk.configure(), desk.configure("anna")
    common, own = desk.send(), desk.send(user="anna")
    assert desk.claim(anna).message.id == own
    assert desk.claim(glob).message.id == common
