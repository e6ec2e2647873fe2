"""The figures for people, on both engines."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, update

from app.accounts.caller import Caller
from app.configuration.load import claim_account
from app.configuration.model import name_scope
from app.configuration.tables import account
from app.db import Database, new_id, now
from app.errors import Missing
from app.outbox import figures
from app.outbox.complaint import Complaint
from app.outbox.forecast import forecast, forecast_batch
from app.outbox.health import RECOVERY, note_trouble
from app.outbox.manners import heed
from app.outbox.tables import account_state, message, recipient

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MIDNIGHTS = [datetime(2026, 11, day, tzinfo=UTC) for day in (20, 21, 22, 23)]
ADMIN = Caller(owner_id="o", role="admin", name="admin")
ANNA = Caller(owner_id="a", role="user", name="anna", user="anna")


@pytest.fixture
def tx(database_url):
    db = Database(database_url)
    with db._engine.begin() as connection:
        yield connection
    db.close()


def add(tx, status, made_at, *, user=None, account_id=None, reason=None, due_at=None):
    message_id = new_id(made_at)
    ended = None if status in figures.GROUPS["waiting"] else made_at
    tx.execute(
        insert(message).values(
            id=message_id, owner_id="o", user_id=user, scope="global", account_id=account_id,
            is_draft=False, status=status, reverse_path="", subject="", sender={}, delivery="on",
            return_content="headers", needs_smtputf8=False, on_uncertain="resend", priority=1,
            metadata={}, attachments=[], warnings=[], size_bytes=1, give_up_after_h=72,
            give_up_at=made_at, created_at=made_at, ended_at=ended, due_at=due_at, erase_at_end=False,
        )
    )  # fmt: skip
    if reason:
        tx.execute(
            insert(recipient).values(
                id=new_id(made_at), message_id=message_id, position=0, kind="to", address="k@k.pl",
                address_key="k@k.pl", name="", hidden=False, state="held", reason=reason, attempts=0,
                tries=0, updated_at=made_at,
            )
        )  # fmt: skip


def test_a_days_mail_is_counted_by_what_became_of_it(tx):
    for status, made_at in (
        ("sent", MIDNIGHTS[0]),
        ("delivered", MIDNIGHTS[1] - timedelta(milliseconds=1)),
        ("failed", MIDNIGHTS[1]),
        ("queued", NOON),
        ("held", NOON),
        ("expired", NOON),
        ("draft", NOON),
        ("cancelled", NOON),
        ("sent", MIDNIGHTS[0] - timedelta(milliseconds=1)),
        ("sent", MIDNIGHTS[3]),
    ):
        add(tx, status, made_at)
    days = figures.count_days(tx, ADMIN, MIDNIGHTS)
    assert [(day.sent, day.waiting, day.failed) for day in days] == [
        (2, 0, 0),
        (0, 0, 1),
        (0, 2, 1),
    ]
    assert [day.begins_at for day in days] == MIDNIGHTS[:3]


def test_a_user_is_told_of_their_own_mail_only(tx):
    add(tx, "sent", NOON, user="anna")
    add(tx, "sent", NOON, user="piotr")
    add(tx, "held", NOON, user="piotr", reason="uncertain")
    add(tx, "failed", NOON, user="piotr")
    assert [day.sent for day in figures.count_days(tx, ANNA, MIDNIGHTS)] == [0, 0, 1]
    assert figures.count_queue(tx, ANNA) == []
    assert figures.list_held_reasons(tx, ANNA) == []
    assert figures.count_since(tx, ANNA, ("failed",), MIDNIGHTS[0]) == 0
    assert figures.count_since(tx, ADMIN, ("failed",), MIDNIGHTS[0]) == 1


def test_the_queue_is_shown_by_status_with_its_oldest(tx):
    add(tx, "held", NOON, reason="awaiting_password")
    add(tx, "queued", NOON)
    add(tx, "queued", NOON - timedelta(hours=3))
    assert figures.count_queue(tx, ADMIN) == [
        figures.Queued("queued", 2, NOON - timedelta(hours=3)),
        figures.Queued("held", 1, NOON),
    ]
    assert figures.list_held_reasons(tx, ADMIN) == ["awaiting_password"]


def make_account(tx, user=None, **smtp):
    stored = claim_account(tx, name_scope(user), user, NOON)
    document = {"smtp": {"host": "mail.example", **smtp}, "sender": {"address": "a@b.pl"}}
    tx.execute(
        update(account).where(account.c.id == stored.id).values(settings=document, removed_at=None)
    )
    return stored.id


@pytest.mark.parametrize(("count", "lasts_s"), [(1, 0), (12, 0), (13, 15.5), (36, 31), (37, 46.5)])
def test_lots_tell_how_long_waiting_mail_takes(tx, count, lasts_s):
    account_id = make_account(tx, batch_limit=12, batch_wait_s=15.5)
    for _ in range(count):
        add(tx, "queued", NOON, account_id=account_id, due_at=NOON)
    (line,) = forecast(tx, ADMIN, NOON)
    assert (line.count, line.lasts_s, line.goes_at) == (count, lasts_s, NOON)


def test_mail_of_a_server_in_trouble_goes_at_its_next_try(tx):
    account_id = make_account(tx, "anna")
    add(tx, "deferred", NOON, account_id=account_id, due_at=NOON)
    until = note_trouble(tx, account_id, cause="timeout", detail="", at=NOON)
    (line,) = forecast(tx, ADMIN, NOON)
    assert (line.scope, line.goes_at, line.lasts_s) == ("users/anna", until, None)
    (trouble,) = figures.list_troubles(tx, ADMIN)
    assert (trouble.stored.scope, trouble.state, trouble.health.cause) == (
        "users/anna",
        "trouble",
        "timeout",
    )
    assert figures.list_troubles(tx, ANNA) == [trouble]
    other = Caller(owner_id="p", role="user", name="piotr", user="piotr")
    assert figures.list_troubles(tx, other) == []


def add_batch(tx, account_id, statuses, **members):
    for status in statuses:
        waits = status in figures.GROUPS["waiting"]
        add(tx, status, NOON, account_id=account_id, due_at=NOON if waits else None, **members)
    tx.execute(update(message).values(batch_id="b1", priority=2))


def test_a_batch_ends_after_its_lots_and_what_goes_before_it(tx):
    account_id = make_account(tx, batch_limit=2, batch_wait_s=30)
    add_batch(tx, account_id, ["sent", "queued", "queued", "deferred"])
    add(tx, "queued", NOON, account_id=account_id, due_at=NOON)  # a single one goes before
    add(tx, "queued", NOON, account_id=account_id, due_at=NOON + timedelta(hours=1))
    found = forecast_batch(tx, ADMIN, "b1", NOON)
    assert found.statuses == {"sent": 1, "queued": 2, "deferred": 1}
    assert (found.waiting, found.next_at, found.ended_at) == (3, NOON, None)
    assert found.ends_at == NOON + timedelta(seconds=30)


def test_a_batch_ends_at_the_rate_at_which_its_server_takes_it(tx):
    account_id = make_account(tx)
    add_batch(tx, account_id, ["sent"] * 20 + ["queued"] * 10)
    after = NOON + timedelta(seconds=30)  # all wait since NOON
    tx.execute(update(message).where(message.c.ended_at.is_not(None)).values(ended_at=after))
    assert forecast_batch(tx, ADMIN, "b1", NOON).ends_at is None  # nothing went yet
    assert forecast_batch(tx, ADMIN, "b1", after).ends_at == after + timedelta(seconds=15)
    (line,) = forecast(tx, ADMIN, after)
    assert (line.count, line.lasts_s) == (10, 15)


def test_a_batch_ends_at_the_pace_that_a_provider_allows(tx):
    account_id = make_account(tx, "anna", host="smtp.office365.com")
    add_batch(tx, account_id, ["queued"] * 31, user="anna")
    assert forecast_batch(tx, ANNA, "b1", NOON).ends_at == NOON + timedelta(minutes=1)
    other = Caller(owner_id="p", role="user", name="piotr", user="piotr")
    with pytest.raises(Missing):
        forecast_batch(tx, other, "b1", NOON)


def test_a_batch_that_has_ended_says_when(tx):
    account_id = make_account(tx)
    add_batch(tx, account_id, ["sent", "failed"])
    found = forecast_batch(tx, ADMIN, "b1", NOON + timedelta(hours=1))
    assert (found.waiting, found.next_at, found.ends_at, found.ended_at) == (0, None, None, NOON)


def test_no_end_is_promised_for_a_paused_account(tx):
    account_id = make_account(tx, batch_limit=2, batch_wait_s=30)
    add_batch(tx, account_id, ["queued"] * 4)
    tx.execute(update(account).values(paused_at=NOON))
    assert forecast_batch(tx, ADMIN, "b1", NOON).ends_at is None


def test_an_account_that_was_asked_to_slow_down_needs_attention_until_it_has_recovered(tx):
    account_id = make_account(tx)
    at = now(tx)
    heed(tx, account_id, "w.1.1", Complaint("rate", "450 slow down"), host="mail.example", at=at)
    (trouble,) = figures.list_troubles(tx, ADMIN)
    assert (trouble.state, trouble.health.slow_detail) == ("slowed", "450 slow down")
    add(tx, "queued", at, account_id=account_id, due_at=at)
    (line,) = forecast(tx, ADMIN, at)
    assert line.goes_at == at + timedelta(seconds=15)
    tx.execute(update(account_state).values(slow_until=at - RECOVERY))
    assert figures.list_troubles(tx, ADMIN) == []
