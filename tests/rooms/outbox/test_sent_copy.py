"""Copies of sent mail: asked for once, taken by lease, tried again, given up with a warning."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.outbox.again import retry
from app.outbox.sent_copy import (
    MOST_AT_ONCE,
    WAITS_S,
    Copies,
    claim_copies,
    find_due,
    give_back,
    note_copied,
    note_not_copied,
)
from app.outbox.tables import event, recipient, sent_copy
from tests.rooms.outbox.desk import ADMIN, Desk

MAILBOX = {"sent_copy": "folder", "incoming": {"host": "imap.firma.example", "username": "a"}}


def configure(desk: Desk, **config: Any) -> str:
    return desk.configure(config=MAILBOX | config)


def claim(desk: Desk, account: str, fence: str = "w.1") -> Copies:
    found = desk.do(claim_copies, account, fence)
    assert isinstance(found, Copies)
    return found


def make_due(desk: Desk) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    desk.change(sent_copy, sent_copy.c.due_at.is_not(None), due_at=past)


def list_events(desk: Desk, message_id: str) -> list[str]:
    query = select(event.c.type).where(event.c.message_id == message_id).order_by(event.c.number)
    found = desk.wait_for(desk.office.db.read(lambda tx: tx.scalars(query).all()))
    return [each for each in found if each.startswith("message.cop")]


def test_a_copy_is_asked_for_when_the_message_ended_and_something_was_sent(desk: Desk) -> None:
    account = configure(desk)
    sent = desk.send("a@x.example", "b@x.example")
    refused = {"verdict": "refused", "cause": "recipient_refused"}
    desk.settle(desk.claim(account), "sent", "deferred")
    assert desk.do(find_due) == []
    desk.make_due(sent)
    desk.settle(desk.claim(account), refused)
    assert desk.do(find_due) == [account]
    (copy,) = claim(desk, account).copies
    assert (copy.message_id, copy.is_retry) == (sent, False)
    assert copy.raw is not None
    assert copy.rfc_message_id.encode() in copy.raw


def test_nothing_is_copied_of_what_nobody_got(desk: Desk) -> None:
    account = configure(desk)
    desk.send()
    desk.settle(desk.claim(account), {"verdict": "refused", "cause": "recipient_refused"})
    assert desk.count(sent_copy) == 0


@pytest.mark.parametrize(
    "config",
    [
        {"sent_copy": "off"},
        {"sent_copy": None},
        {"incoming": None},
        {"incoming": {"host": "pop.firma.example", "protocol": "pop3"}},
        {"incoming": {"host": "imap.firma.example", "enabled": False}},
        {"smtp": {"host": "smtp.gmail.com"}},
    ],
)
def test_no_copy_without_a_wish_or_a_folder_or_where_the_provider_keeps_one(
    desk: Desk, config: dict[str, Any]
) -> None:
    account = configure(desk, **config)
    desk.send()
    desk.settle(desk.claim(account), "sent")
    assert desk.count(sent_copy) == 0


def test_a_recipient_who_is_retried_later_makes_no_second_copy(desk: Desk) -> None:
    account = configure(desk)
    sent = desk.send("a@x.example", "b@x.example")
    desk.settle(desk.claim(account), "sent", {"verdict": "refused", "cause": "recipient_refused"})
    (copy,) = claim(desk, account).copies
    desk.do(note_copied, copy, "Sent")
    desk.do(retry, ADMIN, sent)
    desk.settle(desk.claim(account), "sent")
    assert desk.look(sent).status == "sent"
    assert desk.do(find_due) == []
    assert list_events(desk, sent) == ["message.copied"]


def test_what_another_worker_holds_is_not_taken_until_its_lease_ran_out(desk: Desk) -> None:
    account = configure(desk)
    desk.send()
    desk.settle(desk.claim(account), "sent")
    (first,) = claim(desk, account, "w.1").copies
    assert desk.do(find_due) == []
    assert desk.do(claim_copies, account, "v.1") is None
    past = datetime.now(UTC) - timedelta(seconds=1)
    desk.change(sent_copy, sent_copy.c.claimed_by == "w.1", lease_until=past)
    (second,) = claim(desk, account, "v.1").copies
    assert second.is_retry  # it looks first whether the copy is there
    desk.do(note_not_copied, first, "timeout", "late")
    desk.do(note_copied, second, "Sent")
    assert desk.count(sent_copy) == 1
    assert list_events(desk, first.message_id) == ["message.copied"]


def test_after_some_days_a_failing_copy_is_a_warning_and_the_mail_stays_sent(desk: Desk) -> None:
    account = configure(desk)
    sent = desk.send()
    desk.settle(desk.claim(account), "sent")
    for number in range(len(WAITS_S) + 1):
        (copy,) = claim(desk, account).copies
        assert copy.is_retry == (number > 0)
        desk.do(note_not_copied, copy, "connection_refused", "no answer")
        assert desk.do(find_due) == []
        make_due(desk)
    assert desk.do(claim_copies, account, "w.9") is None
    seen = desk.look(sent)
    assert (seen.status, len(seen.attempts)) == ("sent", 1)
    assert [each["code"] for each in seen.row.warnings] == ["copy_failed"]
    assert list_events(desk, sent) == ["message.copy_failed"]


def test_of_several_that_are_given_back_only_the_first_counts_as_tried(desk: Desk) -> None:
    account = configure(desk)
    for _ in range(MOST_AT_ONCE + 1):
        desk.send()
        desk.settle(desk.claim(account), "sent")
    copies = claim(desk, account).copies
    assert len(copies) == MOST_AT_ONCE
    desk.do(give_back, copies)
    again = claim(desk, account, "w.2").copies
    assert [each.is_retry for each in again] == [True] + [False] * (MOST_AT_ONCE - 1)


@pytest.mark.parametrize("kind", ["cc", "bcc"])
def test_the_sender_gets_a_copy_by_mail_and_nobody_gets_two(desk: Desk, kind: str) -> None:
    configure(desk, sent_copy=kind)
    sent = desk.send("anna@klient.example")
    kinds = {each.address: each.kind for each in desk.look(sent).recipients}
    assert kinds == {"anna@klient.example": "to", "faktury@firma.example": kind}
    assert not any(each.hidden for each in desk.look(sent).recipients)
    own = desk.send("Faktury@firma.example")
    assert [each.kind for each in desk.look(own).recipients] == ["to"]
    assert desk.count(sent_copy) == 0
    assert desk.count(recipient) == 3
