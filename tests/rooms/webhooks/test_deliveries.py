"""From the feed to receivers: what is sent, in which order, how often, and when no more."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app.accounts.audit import SYSTEM, list_audit
from app.mime.address import Mailbox
from app.outbox.cancel import cancel
from app.outbox.erase import erase
from app.outbox.events import Note, record
from app.outbox.office import Office
from app.outbox.tables import recipient
from app.webhooks.edit import delete_webhook, resume_webhook, rotate_secret
from app.webhooks.log import redeliver
from app.webhooks.post import Answer
from app.webhooks.postman import Postman
from app.webhooks.prune import prune
from app.webhooks.queue import MOST_AT_ONCE, has_work, load
from app.webhooks.reseal import reseal_webhooks
from app.webhooks.retry import FALTERING, WAITS_S, wait_after
from app.webhooks.settle import Outcome, settle
from app.webhooks.sign import sign
from app.webhooks.tables import webhook, webhook_delivery
from tests.rooms.outbox.desk import ADMIN, configure, send
from tests.rooms.webhooks.carrying import (
    carry,
    count_deliveries,
    happen,
    hurry,
    look,
    make_webhook,
)
from tests.rooms.webhooks.receiver import OK, Receiver, answer, receive

pytestmark = pytest.mark.anyio
BROKEN = answer(500)


async def test_what_happens_is_told_in_order_with_what_events_show(office, receiver):
    await configure(office)
    await make_webhook(office, receiver.url)
    message_id = await send(office)
    await office.db.write(cancel, ADMIN, message_id)
    await carry(office)
    assert receiver.types == ["message.accepted", "recipient.cancelled"]
    said = receiver.heard[1].said
    assert sorted(said) == ["data", "timestamp", "type"]
    assert said["data"]["message"] == message_id
    assert said["data"]["recipient"] == "anna@klient.example"
    assert said["timestamp"].endswith("Z")
    assert len({each.id for each in receiver.heard}) == 2


async def test_only_what_is_wanted_is_told_and_nothing_from_before(office, receiver):
    await happen(office, "inbox.received")
    webhook_id = await make_webhook(office, receiver.url, "inbox.*", "account.paused")
    for type in ("account.resumed", "inbox.received", "recipient.sent", "account.paused"):
        await happen(office, type)
    await carry(office)
    assert sorted(receiver.types) == ["account.paused", "inbox.received"]
    assert (await look(office, webhook_id))[0].waiting == 0


async def test_a_users_webhook_is_told_what_that_user_may_see(office, receiver):
    await configure(office, config={"bcc": "archiwum@firma.example"})
    await make_webhook(office, receiver.url, "recipient.*", user="anna")
    mine, other = await send(office, user="anna"), await send(office)
    for message_id in (mine, other):
        await office.db.write(cancel, ADMIN, message_id)
    hidden = await office.db.read(
        lambda tx: tx.scalars(select(recipient.c.hidden).where(recipient.c.message_id == mine))
        .all()
    )  # fmt: skip
    assert sorted(hidden) == [False, True]
    await carry(office)
    assert [each.said["data"]["message"] for each in receiver.heard] == [mine]
    assert b"archiwum" not in receiver.heard[0].body


async def test_a_failure_is_tried_again_under_the_same_id_and_shown(office, receiver):
    receiver.answers = [BROKEN, OK]
    webhook_id = await make_webhook(office, receiver.url)
    await happen(office, "inbox.received")
    begun = office.clock()
    await carry(office)
    shown, (waiting,) = await look(office, webhook_id)
    assert (shown.waiting, shown.row.failures) == (1, 1)
    assert shown.row.error == "The receiver answered 500."
    wait = waiting.row.due_at - begun
    assert timedelta(seconds=4.5) <= wait <= timedelta(seconds=8)
    await hurry(office)
    await carry(office)
    shown, (done,) = await look(office, webhook_id)
    assert [each.code for each in done.attempts] == [500, 204]
    assert [each.error for each in done.attempts] == ["The receiver answered 500.", None]
    assert (done.row.state, done.row.due_at) == ("delivered", None)
    assert (shown.row.failures, shown.row.error) == (0, None)
    assert len({each.id for each in receiver.heard}) == 1
    assert receiver.heard[0].body == receiver.heard[1].body


def test_the_waits_grow_and_end():
    assert [wait_after(tries, 0.5).total_seconds() for tries in range(1, 10)] == list(WAITS_S)
    assert wait_after(10, 0.5) is None
    assert wait_after(1, 0.0).total_seconds() == pytest.approx(4.5)
    assert wait_after(1, 1.0).total_seconds() == pytest.approx(5.5)


async def test_a_later_event_of_a_message_waits_for_the_earlier_one(office, receiver):
    await configure(office)
    await make_webhook(office, receiver.url)
    receiver.answers = [BROKEN, OK]
    one = await send(office)
    await carry(office)
    other = await send(office)
    await office.db.write(cancel, ADMIN, one)
    await carry(office)
    told = [(each.said["type"], each.said["data"]["message"]) for each in receiver.heard]
    assert told == [("message.accepted", one), ("message.accepted", other)]
    await hurry(office)
    await carry(office)
    assert receiver.types[2:] == ["message.accepted", "recipient.cancelled"]


async def test_410_switches_the_webhook_off_and_resuming_tells_what_was_missed(office, receiver):
    receiver.answers = [answer(410), OK]
    webhook_id = await make_webhook(office, receiver.url)
    await happen(office, "inbox.received")
    await carry(office)
    await happen(office, "inbox.answered")
    await carry(office)
    shown, _ = await look(office, webhook_id)
    assert (shown.row.enabled, shown.row.disabled_reason) == (False, "gone")
    assert len(receiver.heard) == 1
    trail = await office.db.read(
        list_audit, object=f"webhooks/{webhook_id}", actor="system", action=None,
        before=None, limit=10,
    )  # fmt: skip
    assert trail[0].action == "webhook.disable"
    await office.db.write(resume_webhook, SYSTEM, webhook_id, skip_missed=False, at=office.clock())
    await carry(office)
    assert sorted(receiver.types[1:]) == ["inbox.answered", "inbox.received"]


async def test_resuming_may_leave_out_what_was_missed(office, receiver):
    receiver.answers = [answer(410), OK]
    webhook_id = await make_webhook(office, receiver.url)
    for type in ("inbox.received", "inbox.answered"):
        await happen(office, type)
        await carry(office)
    await office.db.write(resume_webhook, SYSTEM, webhook_id, skip_missed=True, at=office.clock())
    await happen(office, "inbox.handled")
    await carry(office)
    assert receiver.types[1:] == ["inbox.handled"]
    _, (given_up, _) = await look(office, webhook_id)
    assert given_up.row.state == "given_up"


async def test_after_the_last_wait_it_is_given_up_and_the_webhook_switched_off(office, receiver):
    receiver.answers = [BROKEN]
    webhook_id = await make_webhook(office, receiver.url)
    await happen(office, "inbox.received")
    await carry(office)
    await hurry(office, tries=len(WAITS_S))
    await carry(office)
    shown, (last,) = await look(office, webhook_id)
    assert (last.row.state, last.row.due_at) == ("given_up", None)
    assert (shown.row.enabled, shown.row.disabled_reason) == (False, "failing")


async def test_one_given_up_among_others_that_get_through_leaves_it_on(office, receiver):
    receiver.answers = [BROKEN, OK]
    webhook_id = await make_webhook(office, receiver.url)
    await happen(office, "inbox.received")
    await carry(office)
    await happen(office, "inbox.answered")
    await carry(office)
    receiver.answers = [BROKEN]
    await hurry(office, tries=len(WAITS_S))
    await carry(office)
    shown, deliveries = await look(office, webhook_id)
    assert [each.row.state for each in deliveries] == ["given_up", "delivered"]
    assert shown.row.enabled


async def test_a_receiver_that_is_down_is_asked_by_one_and_told_all_when_it_is_back(
    office, receiver
):
    receiver.answers = [BROKEN]
    webhook_id = await make_webhook(office, receiver.url)
    for _ in range(FALTERING):
        await happen(office, "inbox.received")
        await carry(office)
    for _ in range(3):
        await happen(office, "inbox.answered")
    found = await office.db.write(load, "worker-2.1")
    assert len(found.jobs) == 1
    outcome = Outcome(found.jobs[0], office.clock(), Answer(200, None, 1), 0.5)
    await office.db.write_merged(settle, outcome)
    assert {each.row.due_at <= office.clock() for each in (await look(office, webhook_id))[1]
            if each.row.due_at} == {True}  # fmt: skip
    receiver.answers, receiver.heard[:] = [OK], []
    await carry(office)
    assert len(receiver.heard) == FALTERING + 3 - 1


async def test_what_a_dead_worker_held_comes_back_and_its_late_word_changes_nothing(
    office, receiver
):
    webhook_id = await make_webhook(office, receiver.url)
    await happen(office, "inbox.received")
    dead = (await office.db.write(load, "dead.1")).jobs[0]
    assert not await office.db.read(has_work)  # it is the dead one's, while its lease lasts
    await hurry(office, lease_until=office.clock() - timedelta(seconds=1))
    (job,) = (await office.db.write(load, "living.1")).jobs
    assert (job.delivery_id, job.body) == (dead.delivery_id, dead.body)
    late = Outcome(dead, office.clock(), Answer(500, "late", 1), 0.5)
    await office.db.write_merged(settle, late)
    await office.db.write_merged(settle, Outcome(job, office.clock(), Answer(200, None, 1), 0.5))
    shown, (done,) = await look(office, webhook_id)
    assert [each.code for each in done.attempts] == [200]
    assert (done.row.state, shown.row.failures) == ("delivered", 0)


async def test_workers_share_what_is_due_and_send_each_once(office, receiver):
    webhook_id = await make_webhook(office, receiver.url)
    for _ in range(3 * MOST_AT_ONCE):
        await happen(office, "inbox.received")
    postmen = [Postman(office, f"worker-{number}") for number in range(3)]
    async with asyncio.timeout(20):
        while (await look(office, webhook_id))[0].waiting or await office.db.read(has_work):
            await asyncio.gather(*(postman.step() for postman in postmen))
            await asyncio.sleep(0)  # the tries get their turn
    for postman in postmen:
        await postman.stop(10)
    assert len(receiver.heard) == len({each.id for each in receiver.heard}) == 3 * MOST_AT_ONCE


async def test_a_receiver_that_says_nothing_delays_no_other(office, receiver):
    async with receive() as silent:
        silent.answers = [None]
        silent_id = await make_webhook(office, silent.url)
        await make_webhook(office, receiver.url)
        for _ in range(MOST_AT_ONCE + 4):
            await happen(office, "inbox.received")
        postman = Postman(office, "worker-1")
        async with asyncio.timeout(10):
            while len(receiver.heard) < MOST_AT_ONCE + 4:
                await postman.step()
                await asyncio.sleep(0.01)
            while len(silent.heard) < MOST_AT_ONCE:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(silent.heard) == MOST_AT_ONCE
        await postman.stop(0)  # those that wait for the silent one are given back
        again = await office.db.write(load, "worker-2.1")
        # What the other one heard may not have been noted yet, and is then told again.
        assert len([job for job in again.jobs if job.webhook_id == silent_id]) == MOST_AT_ONCE


async def test_a_webhook_has_a_bounded_number_before_it_and_the_feed_keeps_the_rest(
    office, receiver
):
    webhook_id = await make_webhook(office, receiver.url)
    notes = [
        Note("inbox.received", None, "system", None, office.clock(), data={"number": number})
        for number in range(1201)
    ]
    await office.db.write(record, notes)
    while (await office.db.write(load, "dead.1")).more:
        pass
    assert (await look(office, webhook_id))[0].waiting == 1000
    everything = {"state": "delivered", "due_at": None, "claimed_by": None, "lease_until": None}
    await hurry(office, **everything)
    await office.db.write(load, "dead.2")
    assert (await look(office, webhook_id))[0].waiting == 201


async def test_what_is_too_old_when_its_turn_comes_is_counted_not_told(office, receiver):
    webhook_id = await make_webhook(office, receiver.url)
    await happen(office, "inbox.received", at=office.clock() - timedelta(days=5))
    await happen(office, "inbox.received", at=office.clock() - timedelta(days=3))
    await carry(office)
    shown, deliveries = await look(office, webhook_id)
    assert (shown.row.missed, len(deliveries), len(receiver.heard)) == (1, 1, 1)


async def test_what_waits_too_long_is_given_up_and_what_ended_is_forgotten(office, receiver):
    receiver.answers = [BROKEN]
    webhook_id = await make_webhook(office, receiver.url)
    await happen(office, "inbox.received")
    await carry(office)
    assert await office.db.write(prune, 30) == 0
    await hurry(office, give_up_at=office.clock() - timedelta(minutes=1))
    assert await office.db.write(prune, 30) == 1
    _, (late,) = await look(office, webhook_id)
    assert late.row.state == "given_up"
    change = update(webhook_delivery).values(ended_at=office.clock() - timedelta(days=31))
    await office.db.write(lambda tx: tx.execute(change))
    assert await office.db.write(prune, 0) == 0
    assert await office.db.write(prune, 30) == 1
    assert await count_deliveries(office) == 0


async def test_a_delivery_is_repeated_by_hand_under_its_id(office, receiver):
    webhook_id = await make_webhook(office, receiver.url)
    await happen(office, "inbox.received")
    await carry(office)
    _, (done,) = await look(office, webhook_id)
    await office.db.write(redeliver, SYSTEM, webhook_id, done.row.id, office.clock())
    await carry(office)
    assert [each.id for each in receiver.heard] == [done.row.id] * 2
    assert len((await look(office, webhook_id))[1][0].attempts) == 2


async def test_a_person_who_was_erased_is_not_named_by_what_still_waits(office, receiver):
    await configure(office)
    receiver.answers = [BROKEN, OK]
    await make_webhook(office, receiver.url, "recipient.*")
    message_id = await send(office)
    await office.db.write(cancel, ADMIN, message_id)
    await carry(office)
    assert b"anna@klient.example" in receiver.heard[0].body
    await office.db.write(erase, ADMIN, Mailbox("anna@klient.example"))
    await hurry(office)
    await carry(office)
    assert b"anna@klient.example" not in receiver.heard[1].body


async def test_during_the_overlap_of_a_rotation_both_secrets_sign(office, receiver):
    webhook_id = await make_webhook(office, receiver.url)
    secrets = []
    for overlap_s in (0, 3600, 0):
        _, secret = await office.db.write(
            rotate_secret, office.vault, SYSTEM, webhook_id, overlap_s=overlap_s,
            at=office.clock(),
        )  # fmt: skip
        secrets.append(secret)
        await happen(office, "inbox.received")
        await carry(office)
    first, second, third = secrets
    assert [_name_signers(each, secrets) for each in receiver.heard] == [
        [first],
        [second, first],
        [third],
    ]


def _name_signers(heard: Any, secrets: list[str]) -> list[str]:
    timestamp = int(heard.headers["webhook-timestamp"])
    makers = {sign(secret, heard.id, timestamp, heard.body): secret for secret in secrets}
    return [makers[each] for each in heard.headers["webhook-signature"].split(" ")]


async def test_an_old_secret_that_ran_out_signs_no_more(office, receiver):
    webhook_id = await make_webhook(office, receiver.url)
    await office.db.write(
        rotate_secret, office.vault, SYSTEM, webhook_id, overlap_s=60,
        at=office.clock() - timedelta(minutes=5),
    )  # fmt: skip
    await happen(office, "inbox.received")
    await carry(office)
    assert len(receiver.heard[0].headers["webhook-signature"].split(" ")) == 1


async def test_a_new_key_ring_seals_the_secrets_again(office, receiver):
    webhook_id = await make_webhook(office, receiver.url)
    await office.db.write(
        rotate_secret, office.vault, SYSTEM, webhook_id, overlap_s=60, at=office.clock()
    )
    office.vault.rotate()
    assert await office.db.write(reseal_webhooks, office.vault) == 2
    row = await office.db.read(lambda tx: tx.execute(select(webhook)).one())
    assert office.vault.is_current(row.secret) and office.vault.is_current(row.old_secret)
    await happen(office, "inbox.received")
    await carry(office)
    assert (await look(office, webhook_id))[0].row.failures == 0


async def test_a_webhook_that_is_deleted_takes_its_log_along(office, receiver):
    receiver.answers = [BROKEN]
    webhook_id = await make_webhook(office, receiver.url)
    await happen(office, "inbox.received")
    await carry(office)
    await office.db.write(delete_webhook, SYSTEM, webhook_id, office.clock())
    assert await count_deliveries(office) == 0
    assert not await office.db.read(has_work)


async def test_a_secret_that_does_not_open_is_said_and_nothing_is_sent(
    office: Office, receiver: Receiver
):
    webhook_id = await make_webhook(office, receiver.url)
    change = update(webhook).values(secret=office.vault.seal("whsec_AAAA", "webhook:other:secret"))
    await office.db.write(lambda tx: tx.execute(change))
    await happen(office, "inbox.received")
    await carry(office)
    shown, _ = await look(office, webhook_id)
    assert "does not open with this key ring" in (shown.row.error or "")
    assert receiver.heard == []


@pytest.mark.parametrize("delivery", ["off", "redirect:test@firma.example"])
async def test_a_copy_of_the_database_tells_nobody(office, receiver, delivery):
    await make_webhook(office, receiver.url)
    await happen(office, "inbox.received")
    settings = office.settings.model_copy(update={"delivery": delivery})
    await Postman(replace(office, settings=settings), "worker-1").step()
    assert await office.db.read(has_work)
    assert receiver.dialled == 0
