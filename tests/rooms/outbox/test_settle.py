"""The end of a claim: attempts, fences, sweeping, and messages that kill their worker."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete

from app.outbox.carry import Tried, settle_tries
from app.outbox.health import read_health
from app.outbox.queue import Mark, mark
from app.outbox.settle import Outcome, Settlement
from app.outbox.tables import account_state, attempt, message
from tests.rooms.outbox.desk import POLICY, Desk

REFUSED = {
    "verdict": "refused",
    "phase": "rcpt",
    "cause": "recipient_refused",
    "code": 550,
    "enhanced": "5.1.1",
    "reply": "no such user",
}


def test_every_recipient_gets_the_verdict_of_its_own_and_the_servers_words(desk: Desk) -> None:
    account = desk.configure()
    three = desk.send("a@x.example", "b@x.example", "c@x.example")
    assert desk.settle(
        desk.claim(account), "sent", REFUSED, "deferred", server="mx.example:25", tls="TLSv1.3"
    )
    seen = desk.look(three)
    assert seen.states == {
        "a@x.example": "sent",
        "b@x.example": "failed: recipient_refused",
        "c@x.example": "deferred",
    }
    assert seen.status == "deferred"
    refused = seen.attempts[1]
    assert (refused.code, refused.enhanced, refused.reply) == (550, "5.1.1", "no such user")
    assert (refused.server, refused.tls, refused.worker) == ("mx.example:25", "TLSv1.3", "w")
    assert refused.started_at <= refused.ended_at


@pytest.mark.parametrize("verdict", ["sent", "deferred", "refused", "uncertain", "lost", "trouble"])
def test_whoever_leaves_sending_leaves_an_attempt(desk: Desk, verdict: str) -> None:
    account = desk.configure()
    sent = desk.send("a@x.example", "b@x.example")
    desk.settle(desk.claim(account), verdict)
    assert len(desk.look(sent).attempts) == 2
    assert all(each.state != "sending" for each in desk.look(sent).recipients)


def test_what_is_handed_back_untried_is_queued_without_an_attempt(desk: Desk) -> None:
    account = desk.configure()
    back = desk.send()
    desk.settle(desk.claim(account), None)
    seen = desk.look(back)
    assert (seen.status, seen.attempts) == ("queued", ())
    assert desk.claim(account).message.id == back


def test_trouble_of_the_configuration_uses_up_no_try(desk: Desk) -> None:
    account = desk.configure()
    tried = desk.send()
    for _ in range(3):
        desk.settle(desk.claim(account), {"verdict": "trouble", "cause": "timeout"})
    seen = desk.look(tried)
    assert (seen.status, seen.recipients[0].tries, seen.recipients[0].attempts) == (
        "deferred",
        0,
        3,
    )


def test_a_lapsed_claim_that_nobody_took_may_still_be_settled(desk: Desk) -> None:
    account = desk.configure()
    sent = desk.send()
    claimed = desk.claim(account)
    desk.lapse(claimed)
    assert desk.settle(claimed, "sent")
    assert desk.look(sent).status == "sent"


@pytest.mark.parametrize("taken_again", [False, True])
def test_a_claim_that_was_swept_settles_nothing(desk: Desk, taken_again: bool) -> None:
    account = desk.configure()
    lost = desk.send()
    old = desk.claim(account)
    desk.lapse(old)
    assert desk.sweep() == 1
    if taken_again:
        desk.claim(account)
    before = desk.look(lost)
    assert not desk.settle(old, "sent")
    assert desk.look(lost) == before


def test_a_claim_lost_before_its_mark_is_a_clean_retry(desk: Desk) -> None:
    account = desk.configure()
    lost = desk.send()
    desk.lapse(desk.claim(account))
    desk.sweep()
    seen = desk.look(lost)
    assert (seen.status, seen.verdicts) == ("deferred", ["lost"])
    assert desk.claim(account).message.id == lost


def test_a_claim_lost_after_its_mark_is_uncertain(desk: Desk) -> None:
    account = desk.configure()
    lost = desk.send()
    claimed = desk.claim(account)
    desk.mark(claimed)
    desk.lapse(claimed)
    desk.sweep()
    seen = desk.look(lost)
    assert seen.states == {"anna@klient.example": "deferred: uncertain"}
    assert seen.verdicts == ["uncertain"]
    assert seen.attempts[0].phase == "dot"
    assert desk.try_claim(account) is None  # it waits its turn


def test_a_recipient_refused_before_the_dot_is_not_uncertain_when_the_worker_dies(
    desk: Desk,
) -> None:
    account = desk.configure(config={"on_uncertain": "hold"})
    both = desk.send("a@x.example", "refused@x.example")
    claimed = desk.claim(account)
    desk.do(mark, [Mark(claimed.id, (claimed.recipients[0].id,))])
    desk.lapse(claimed)
    desk.sweep()
    assert desk.look(both).states == {
        "a@x.example": "held: uncertain",
        "refused@x.example": "deferred: worker_lost",
    }


def test_a_live_lease_is_not_swept(desk: Desk) -> None:
    account = desk.configure()
    desk.send()
    desk.claim(account)
    assert desk.sweep() == 0


def test_a_message_that_kills_its_worker_each_time_is_slowed_down(desk: Desk) -> None:
    account = desk.configure()
    poison = desk.send()
    for _ in range(3):
        desk.lapse(desk.claim(account))
        desk.sweep()
    seen = desk.look(poison)
    assert seen.verdicts == ["lost"] * 3
    assert seen.recipients[0].due_at > datetime.now(UTC) + timedelta(seconds=40)
    assert desk.try_claim(account) is None


def test_a_message_that_is_gone_settles_nothing(desk: Desk) -> None:
    account = desk.configure()
    desk.send()
    claimed = desk.claim(account)
    desk.do(lambda tx: tx.execute(delete(message)))
    assert not desk.settle(claimed, "sent")
    assert desk.count(attempt) == 0


def settle_trouble(desk: Desk, account: str, version: int, **outcome: object) -> object:
    claimed = desk.claim(account)
    given = {"verdict": "trouble", "cause": "credentials_refused", **outcome}
    outcomes = tuple(Outcome(each.id, **given) for each in claimed.recipients)  # type: ignore[arg-type]
    trouble = None if outcome else ("credentials_refused", "535 wrong")
    settlement = Settlement(claimed, outcomes, POLICY, jitter=0.5, reached_mail=False)
    return desk.do(settle_tries, [Tried(settlement, version, trouble=trouble)])


def test_trouble_pauses_the_account_with_growing_waits(desk: Desk) -> None:
    account = desk.configure()
    desk.send()
    waits_s = []
    for _ in range(7):
        at = datetime.now(UTC)
        settle_trouble(desk, account, version=1)
        health = desk.wait_for(desk.office.db.read(read_health, account))
        assert (health.cause, health.detail) == ("credentials_refused", "535 wrong")
        wait_s = (health.paused_until - at).total_seconds()
        waits_s.append(next(each for each in (60, 120, 300, 600, 900) if wait_s < each + 30))
        desk.change(account_state, account_state.c.account_id == account, paused_until=at)
    assert waits_s == [60, 120, 300, 600, 900, 900, 900]


def test_connections_that_fail_together_are_one_trouble(desk: Desk) -> None:
    account = desk.configure()
    for _ in range(2):
        desk.send()
    claims = [desk.claim(account), desk.claim(account)]
    for claimed in claims:
        outcomes = (Outcome(claimed.recipients[0].id, "trouble", cause="timeout"),)
        settlement = Settlement(claimed, outcomes, POLICY, jitter=0.5)
        desk.do(settle_tries, [Tried(settlement, 1, trouble=("timeout", "no answer"))])
    health = desk.wait_for(desk.office.db.read(read_health, account))
    assert health.failures == 1
    assert health.paused_until < datetime.now(UTC) + timedelta(seconds=61)


def test_trouble_of_a_configuration_that_was_saved_meanwhile_pauses_nothing(desk: Desk) -> None:
    account = desk.configure()
    waiting = desk.send()
    desk.configure()
    settle_trouble(desk, account, version=1)
    assert desk.wait_for(desk.office.db.read(read_health, account)).paused_until is None
    assert desk.claim(account).message.id == waiting


def test_a_password_entered_meanwhile_is_not_waited_for(desk: Desk) -> None:
    account = desk.configure()
    waiting = desk.send()
    desk.configure()
    settle_trouble(desk, account, version=1, hold="awaiting_password")
    assert desk.look(waiting).status == "deferred"
    settle_trouble(desk, account, version=2, hold="awaiting_password")
    assert desk.look(waiting).states == {"anna@klient.example": "held: awaiting_password"}
