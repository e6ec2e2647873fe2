"""What people do to mail: cancel, retry, release, resend; what configuration and time do to it."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any

import pytest

from app.configuration.remove import delete_configuration
from app.errors import Conflict, Missing, Refused
from app.outbox.again import release, retry
from app.outbox.cancel import cancel, cancel_by_reference
from app.outbox.carry import read_body
from app.outbox.expire import expire
from app.outbox.follow import configuration_removed
from app.outbox.health import note_trouble, read_health
from app.outbox.hold import hold_due, hold_queue
from app.outbox.order import Reference
from app.outbox.prune import prune
from app.outbox.resend import resend
from app.outbox.tables import event, idempotency, message, recipient
from tests.rooms.outbox.desk import ADMIN, ANNA, FAR, Desk

TO = "anna@klient.example"


def let_go(desk: Desk, message_id: str, **options: Any) -> None:
    options = {"smtp_password": None, "delivery": "on", **options}
    desk.do(release, desk.office.vault, ADMIN, message_id, **options)


def refused_by(desk: Desk, verb: Any, *args: Any, **options: Any) -> str:
    with pytest.raises((Conflict, Refused, Missing)) as caught:
        desk.do(verb, *args, **options)
    return str(caught.value.code)


# Cancelling


def test_what_was_not_handed_over_is_cancelled(desk: Desk) -> None:
    account = desk.configure()
    both = desk.send("a@x.example", "b@x.example")
    desk.settle(desk.claim(account), "sent", "deferred")
    desk.do(cancel, ADMIN, both)
    seen = desk.look(both)
    assert seen.states == {"a@x.example": "sent", "b@x.example": "cancelled"}
    assert seen.status == "partially_sent"
    assert desk.try_claim(account) is None


def test_it_is_too_late_to_cancel_once_the_envelope_is_on_the_wire(desk: Desk) -> None:
    account = desk.configure()
    going = desk.send()
    claimed = desk.claim(account)
    assert refused_by(desk, cancel, ADMIN, going) == "too_late"
    desk.settle(claimed, "sent")
    assert refused_by(desk, cancel, ADMIN, going) == "too_late"


def test_nobody_cancels_somebody_elses_mail(desk: Desk) -> None:
    desk.configure()
    common = desk.send()
    assert refused_by(desk, cancel, ANNA, common) == "not_found"


def test_mail_about_a_document_is_cancelled_together(desk: Desk) -> None:
    account = desk.configure()
    invoice = Reference(number="FV 12/2026", customer="K-42")
    sent = desk.send(reference=invoice)
    desk.settle(desk.claim(account), "sent")
    going = desk.send(reference=invoice)
    desk.claim(account)
    waiting = desk.send(reference=invoice)
    failed = desk.send(reference=invoice)
    other = desk.send(reference=Reference(number="FV 12/2026", customer="k-42"))
    desk.change(recipient, recipient.c.message_id == failed, state="failed", due_at=None)
    desk.change(
        message, message.c.id == failed, status="failed", due_at=None, ended_at=datetime.now(UTC)
    )
    done = desk.do(cancel_by_reference, ADMIN, invoice)
    assert done.cancelled == (waiting,)
    assert done.too_late == (sent, going)
    assert desk.look(other).status == "queued"


# Retrying


def test_a_retry_sends_the_same_bytes_again_to_those_who_did_not_get_them(desk: Desk) -> None:
    account = desk.configure()
    three = desk.send("a@x.example", "b@x.example", "c@x.example")
    before = desk.wait_for(desk.office.db.read(read_body, three))
    desk.settle(desk.claim(account), "sent", "refused", "deferred")
    desk.do(retry, ADMIN, three)
    again = desk.claim(account)
    assert [each.address for each in again.recipients] == ["b@x.example", "c@x.example"]
    assert all(each.tries == 0 for each in again.recipients)
    assert desk.wait_for(desk.office.db.read(read_body, three)) == before


def test_a_retry_gives_the_message_its_whole_time_again(desk: Desk) -> None:
    account = desk.configure()
    old = desk.send()
    desk.change(message, message.c.id == old, give_up_at=datetime.now(UTC))
    desk.settle(desk.claim(account), "deferred")
    assert desk.look(old).states == {TO: "failed: gave_up"}
    desk.do(retry, ADMIN, old)
    desk.settle(desk.claim(account), "deferred")
    assert desk.look(old).status == "deferred"


@pytest.mark.parametrize("verdict", ["sent", "uncertain"])
def test_what_was_sent_or_is_held_is_not_retried(desk: Desk, verdict: str) -> None:
    account = desk.configure(config={"on_uncertain": "hold"})
    done = desk.send()
    desk.settle(desk.claim(account), verdict)
    assert refused_by(desk, retry, ADMIN, done) == "nothing_to_retry"


# Releasing


def test_a_held_uncertain_message_is_queued_by_a_release(desk: Desk) -> None:
    account = desk.configure(config={"on_uncertain": "hold"})
    held = desk.send()
    desk.settle(desk.claim(account), "uncertain")
    assert desk.look(held).states == {TO: "held: uncertain"}
    let_go(desk, held)
    assert desk.claim(account).message.id == held


def test_a_message_held_longer_than_its_time_is_not_given_up_at_its_first_trouble(
    desk: Desk,
) -> None:
    account = desk.configure(config={"on_uncertain": "hold"})
    held = desk.send()
    desk.settle(desk.claim(account), "uncertain")
    desk.change(message, message.c.id == held, give_up_at=datetime.now(UTC))
    let_go(desk, held)
    desk.settle(desk.claim(account), "deferred")
    assert desk.look(held).status == "deferred"


def test_a_release_waits_for_what_still_holds_the_message(desk: Desk) -> None:
    vault = desk.office.vault
    options = {"smtp_password": None, "delivery": "on"}
    account = desk.configure(username="u", allow_insecure_auth=True, password_mode="awaiting")
    held = desk.send()
    assert desk.look(held).states == {TO: "held: awaiting_password"}
    assert refused_by(desk, release, vault, ADMIN, held, **options) == "awaiting_password"
    options["delivery"] = "off"
    assert refused_by(desk, release, vault, ADMIN, held, **options) == "delivery_off"
    desk.do(remove_configuration)
    options["delivery"] = "on"
    assert refused_by(desk, release, vault, ADMIN, held, **options) == "scope_removed"
    assert desk.try_claim(account) is None


def test_a_refused_password_of_a_message_is_replaced_by_its_release(desk: Desk) -> None:
    account = desk.configure(username="u", allow_insecure_auth=True, password_mode="ask")
    asked = desk.send(smtp_password="stare")
    sealed = desk.look(asked).row.smtp_password
    assert b"stare" not in sealed
    held = {"verdict": "trouble", "cause": "credentials_refused", "hold": "password_refused"}
    desk.settle(desk.claim(account), held)
    vault = desk.office.vault
    wrong = {"smtp_password": None, "delivery": "on"}
    assert refused_by(desk, release, vault, ADMIN, asked, **wrong) == "smtp_password_required"
    let_go(desk, asked, smtp_password="nowe")
    assert desk.look(asked).row.smtp_password not in (None, sealed)
    desk.settle(desk.claim(account), "sent")
    assert desk.look(asked).row.smtp_password is None


# Resending


def test_a_resent_message_is_a_new_one_with_the_same_content(desk: Desk) -> None:
    account = desk.configure()
    old = desk.send("a@x.example", "b@x.example", subject="Żółw")
    desk.settle(desk.claim(account), "sent", "refused")
    vault = desk.office.vault
    new = desk.do(resend, vault, ADMIN, old, "01new0000000000000000000aa", delivery="on")
    first = message_from_bytes(desk.wait_for(desk.office.db.read(read_body, old)))
    second = message_from_bytes(desk.wait_for(desk.office.db.read(read_body, new)))
    assert first["Message-ID"] != second["Message-ID"] == desk.look(new).row.message_id
    assert first["Subject"] == second["Subject"]
    assert first.get_payload() == second.get_payload()
    assert desk.look(new).row.resent_of == old
    assert desk.look(new).states == {"a@x.example": "queued", "b@x.example": "queued"}
    assert desk.look(old).status == "partially_sent"


# The configuration


def remove_configuration(tx: Any) -> None:
    at = datetime.now(UTC)
    removed = delete_configuration(tx, ADMIN, "global", at, lambda version: None)
    configuration_removed(tx, removed.scope, removed.id, at)


def test_mail_that_waits_for_a_password_goes_on_when_it_is_entered(desk: Desk) -> None:
    login = {"username": "u", "allow_insecure_auth": True}
    account = desk.configure(**login, password_mode="awaiting")
    waiting = desk.send()
    later = desk.send(send_at=FAR.replace(year=2027))
    assert desk.try_claim(account) is None
    desk.configure(**login, password="tajne")
    assert desk.look(later).status == "scheduled"
    assert desk.claim(account).message.id == waiting


def test_a_recipient_held_for_a_password_goes_on_though_another_is_deferred(desk: Desk) -> None:
    account = desk.configure()
    both = desk.send("a@x.example", "b@x.example")
    held = {"verdict": "trouble", "cause": "awaiting_password", "hold": "awaiting_password"}
    desk.settle(desk.claim(account), "deferred", held)
    assert desk.look(both).status == "deferred"
    desk.configure()
    assert desk.look(both).states == {"a@x.example": "deferred", "b@x.example": "queued"}


def test_a_saved_change_ends_the_pause(desk: Desk) -> None:
    account = desk.configure()
    desk.do(note_trouble, account, cause="timeout", detail="…", at=datetime.now(UTC))
    desk.configure()
    health = desk.wait_for(desk.office.db.read(read_health, account))
    assert (health.failures, health.paused_until, health.cause) == (0, None, None)


def test_mail_of_a_removed_scope_is_held_and_can_be_released_once_it_is_back(desk: Desk) -> None:
    account = desk.configure()
    waiting = desk.send()
    desk.do(remove_configuration)
    assert desk.look(waiting).states == {TO: "held: scope_removed"}
    assert desk.configure() == account
    let_go(desk, waiting)
    assert desk.claim(account).message.id == waiting


# Delivery off, restore, time


def test_what_is_due_is_held_while_delivery_is_off(desk: Desk) -> None:
    desk.configure()
    due, later = desk.send(), desk.send(send_at=FAR.replace(year=2027))
    desk.do(hold_due)
    assert desk.look(due).states == {TO: "held: delivery_off"}
    assert desk.look(later).status == "scheduled"


def test_after_a_restore_nothing_leaves_before_a_person_says_so(desk: Desk) -> None:
    account = desk.configure()
    claimed_then, marked_then = desk.send(), desk.send()
    desk.claim(account)
    desk.mark(desk.claim(account))
    waiting, later = desk.send(), desk.send(send_at=FAR.replace(year=2027))
    while desk.do(hold_queue):
        pass
    for each in (claimed_then, marked_then, waiting, later):
        assert desk.look(each).states == {TO: "held: queue_held"}
    assert desk.look(marked_then).verdicts == ["uncertain"]
    assert desk.look(claimed_then).verdicts == ["lost"]
    assert desk.sweep() == 0
    assert desk.try_claim(account) is None


def test_what_waits_past_its_not_after_expires(desk: Desk) -> None:
    account = desk.configure()
    going, late, good = desk.send(not_after=FAR), desk.send(not_after=FAR), desk.send()
    claimed = desk.claim(account)
    past = datetime.now(UTC) - timedelta(seconds=1)
    desk.change(message, message.c.id.in_([going, late]), not_after=past)
    assert desk.do(expire) == 1
    assert desk.look(late).states == {TO: "expired: not_after"}
    assert (desk.look(going).status, desk.look(good).status) == ("sending", "queued")
    desk.settle(claimed, "sent")
    assert desk.look(going).status == "sent"
    assert desk.do(expire) == 0


def test_contents_and_records_are_kept_their_time_and_no_longer(desk: Desk) -> None:
    account = desk.configure()
    old, recent, waiting = desk.send(), desk.send(), desk.send()
    for _ in range(2):
        desk.settle(desk.claim(account), "sent")
    long_ago = datetime.now(UTC) - timedelta(days=400)
    desk.change(message, message.c.id == old, ended_at=long_ago)
    desk.change(message, message.c.id == waiting, created_at=long_ago)
    assert desk.do(prune, desk.office.settings) == 1
    assert [desk.has_body(each) for each in (old, recent, waiting)] == [False, True, True]
    assert refused_by(desk, retry, ADMIN, old) == "body_erased"
    desk.change(message, message.c.id == old, ended_at=long_ago - timedelta(days=3650))
    assert desk.do(prune, desk.office.settings) == 1
    assert desk.do(prune, desk.office.settings) == 0
    assert (desk.count(message), desk.count(recipient), desk.count(idempotency)) == (2, 2, 0)
    assert desk.count(event) > 0
