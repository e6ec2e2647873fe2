"""The automatic reply: planned with the mail, sent once to a sender and period, remembered with it."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Row, insert, select, update

from app.inbox.auto_reply import MOST_AN_HOUR, find_due_replies, reply
from app.inbox.clerk import tidy_up
from app.inbox.tables import auto_reply, incoming, mailbox
from app.mime.address import Mailbox
from app.mime.incoming import read_incoming
from app.outbox.order import Reference
from app.outbox.suppressions import suppress
from app.outbox.tables import message
from app.templates_engine.jinja_pool import JinjaPool
from tests.crafts.mime.mutate_reports import damage
from tests.rooms.inbox.letters import LetterBox, write_dsn, write_mail
from tests.rooms.inbox.test_answers import read_raw
from tests.rooms.outbox.desk import ADMIN

AWAY = {"enabled": True, "subject": "Nieobecność: {subject}", "body": "Dzień dobry, {from name}!"}


def open_box(box: LetterBox, config: dict[str, Any] | None = None, **members: Any) -> str:
    """The common account, with an automatic reply."""
    return box.open(config={"auto_reply": AWAY | members, **(config or {})})


def throw(box: LetterBox, *fields: str, **mail: str) -> Row[Any]:
    """Throw a person's mail in, and have the clerk come by; return the mail as it stands then."""
    mail_id = box.throw(write_mail(*fields, **mail))
    box.desk.wait_for(tidy_up(box.desk.office))
    return box.look(mail_id)


def list_replies(box: LetterBox) -> list[Row[Any]]:
    query = select(message).where(message.c.reverse_path == "").order_by(message.c.id)
    rows: list[Row[Any]] = box.desk.do(lambda tx: tx.execute(query).all())
    return rows


def test_a_person_is_answered_once_and_the_answer_is_as_rfc_3834_wants_it(box: LetterBox) -> None:
    open_box(box)
    fields = (
        "Return-Path: <anna@klient.example>",
        "Message-ID: <q-2@k.example>",
        "Subject: Oferta",
    )
    mail = throw(
        box, *fields, "References: <q-0@k.example> <q-1@k.example>", "Reply-To: a@b.example"
    )
    (sent,) = list_replies(box)
    assert (mail.reply_state, mail.reply_id) == ("sent", sent.id)
    assert sent.reverse_path == ""
    assert sent.notify is None
    raw = read_raw(box, sent.id)
    read = read_incoming(raw)
    assert read.subject == "Nieobecność: Oferta"
    assert read.text.strip() == "Dzień dobry, Anna!"
    assert [each.address for each in (*read.to, *read.cc)] == ["anna@klient.example"]
    assert read.headers.get("auto-submitted") == "auto-replied"
    assert read.in_reply_to == ("<q-2@k.example>",)
    assert read.references == ("<q-0@k.example>", "<q-1@k.example>", "<q-2@k.example>")
    for name in ("list-unsubscribe", "disposition-notification-to", "precedence", "list-id"):
        assert not read.headers.has(name)
    assert read.kind == "auto_reply"
    assert throw(box, *fields).reply_state == "recent"
    assert len(list_replies(box)) == 1
    assert [data["message"] for _, data in box.events("inbox.auto_reply")] == [sent.id]


def test_the_reply_is_filed_with_the_document_of_the_mail(box: LetterBox) -> None:
    open_box(box, body="Sprawa {reference number}: {our name} <{our address}>, {subject}, {until}.")
    asked = box.send("anna@klient.example", reference=Reference("offer", "OF 7", "K1"))
    throw(box, f"In-Reply-To: <{box.envid(asked)}@firma.example>")
    (sent,) = list_replies(box)
    assert (sent.reference_type, sent.reference_number) == ("offer", "OF 7")
    assert b"Sprawa OF 7: Firma <faktury@firma.example>, Re: Faktura, ." in read_raw(box, sent.id)


def test_copies_and_ways_out_of_the_configuration_are_not_the_replys(box: LetterBox) -> None:
    config = {
        "cc": "szef@firma.example",
        "bcc": "archiwum@firma.example",
        "read_receipt": True,
        "notifications": ["OnSuccess"],
        "unsubscribe": {"enabled": True, "mailto": "wypisz@firma.example"},
        "answer_alert": {"after_min": 5, "to": "szef@firma.example"},
    }
    open_box(box, config)
    throw(box)
    (sent,) = list_replies(box)
    assert list(box.desk.look(sent.id).states) == ["anna@klient.example"]
    assert sent.notify is None
    head = read_incoming(read_raw(box, sent.id)).headers
    assert not head.has("list-unsubscribe")
    assert not head.has("disposition-notification-to")


def test_without_a_subject_it_says_auto_and_the_mails_own(box: LetterBox) -> None:
    open_box(box, subject="", body="Jutro.")
    throw(box, "Subject: =?utf-8?q?Za=C5=BC=C3=B3=C5=82=C4=87?=")
    assert [each.subject for each in list_replies(box)] == ["Auto: Zażółć"]


def test_jinja_writes_the_text_and_a_strangers_words_are_never_a_template(box: LetterBox) -> None:
    body = "{% if from_name %}Cześć {{ from_name }}{% endif %}: {{ subject }} {{ nothing }}|"
    open_box(box, {"macros": {"tajne": "hasło"}}, engine="jinja", subject="", body=body)
    throw(box, "Subject: {tajne} {{ 7*7 }} {numer}")
    (sent,) = list_replies(box)
    read = read_incoming(read_raw(box, sent.id))
    assert read.subject == "Auto: {tajne} {{ 7*7 }} {numer}"
    assert read.text.strip() == "Cześć Anna: {tajne} {{ 7*7 }} {numer} |"


def test_html_of_the_macros_escapes_what_a_stranger_writes(box: LetterBox) -> None:
    open_box(box, body="<html><body><p>{from name}: {subject}</p></body></html>")
    throw(box, "Subject: <script>x</script>")
    read = read_incoming(read_raw(box, list_replies(box)[0].id))
    assert "&lt;script&gt;" in read.html
    assert "<script>" not in read.html


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"engine": "jinja", "body": "{{ 1 / 0 }}"}, "Line 1: division by zero"),
        ({"body": "{umowa}"}, "{umowa} has no value."),
    ],
)
def test_a_text_that_fails_is_no_reply_and_says_so(
    box: LetterBox, wish: dict[str, str], told: str
) -> None:
    open_box(box, **wish)
    mail = throw(box)
    assert list_replies(box) == []
    assert mail.reply_state == "failed"
    assert told in mail.reply_detail
    ((_, data),) = box.events("inbox.auto_reply")
    assert told in data["failed"]
    assert box.desk.do(find_due_replies) == []


def test_a_configuration_that_cannot_send_is_no_reply_and_says_so(box: LetterBox) -> None:
    open_box(box, {"outgoing": False})
    mail = throw(box)
    assert (mail.reply_state, "switched off" in mail.reply_detail) == ("failed", True)
    open_box(box, {"mode": "draft"})
    assert throw(box).reply_state == "failed"
    assert list_replies(box) == []


def test_without_a_process_to_write_it_there_is_no_reply_and_the_others_go_on(
    box: LetterBox,
) -> None:
    box.desk.office = replace(box.desk.office, jinja=JinjaPool(memory_bytes=1 << 20))
    open_box(box, engine="jinja", body="A")
    first = box.throw(write_mail())
    assert throw(box, sender="b@klient.example").reply_detail == "Templates cannot be rendered now."
    assert box.look(first).reply_state == "failed"


def test_what_the_header_forbids_is_noted_and_nothing_is_sent(box: LetterBox) -> None:
    open_box(box)
    assert throw(box, "Auto-Submitted: auto-replied").reply_state == "machine"
    assert throw(box, "List-Id: <a.b>").reply_state == "list"
    report = box.throw(write_dsn("Final-Recipient: rfc822; a@b.example\nAction: failed"))
    assert box.look(report).reply_state == "report"
    assert list_replies(box) == []


def test_nobody_is_answered_where_nothing_is_switched_on(box: LetterBox) -> None:
    box.open()
    assert throw(box).reply_state is None
    open_box(box, enabled=False)
    assert throw(box).reply_state is None
    assert list_replies(box) == []


@pytest.mark.parametrize(
    ("from_h", "until_h", "state"),
    [
        (-1, 1, "sent"),
        (None, 1, "sent"),
        (-1, None, "sent"),
        (1, None, "not_now"),
        (-2, -1, "not_now"),
    ],
)
def test_it_begins_and_ends_when_it_is_told(
    box: LetterBox, from_h: int | None, until_h: int | None, state: str
) -> None:
    at = datetime.now(UTC)
    bounds = {"from_at": from_h, "until_at": until_h}
    open_box(box, **{
        name: (at + timedelta(hours=hours)).isoformat()
        for name, hours in bounds.items() if hours is not None
    })  # fmt: skip
    assert throw(box).reply_state == state


def test_the_end_is_written_in_the_zone_in_which_it_was_given(box: LetterBox) -> None:
    open_box(box, body="Wracam {until}.", until_at="2099-12-24T00:00:00+01:00")
    throw(box)
    assert b"Wracam 24.12.2099." in read_raw(box, list_replies(box)[0].id)
    open_box(box, body="Wracam {until}.", until_at="2099-12-24T08:30:00+01:00")
    throw(box, sender="b@klient.example")
    assert b"Wracam 24.12.2099 08:30." in read_raw(box, list_replies(box)[1].id)


def test_mail_that_was_there_before_the_account_is_not_answered(box: LetterBox) -> None:
    account = open_box(box)
    values = {"account_id": account, "failures": 0, "next_at": datetime.now(UTC)}
    box.desk.do(lambda tx: tx.execute(insert(mailbox).values(values)))
    assert throw(box).reply_state == "first_sync"
    box.desk.change(mailbox, mailbox.c.account_id == account, synced_at=datetime.now(UTC))
    assert throw(box).reply_state == "sent"


def test_an_address_of_ours_is_never_answered(box: LetterBox) -> None:
    open_box(box)
    box.desk.configure(
        "jan", username="login@firma.example", allow_insecure_auth=True,
        config={
            "sender": {"address": "Jan@firma.example"},
            "incoming": {"host": "imap.firma.example", "username": "poczta@firma.example"},
        },
    )  # fmt: skip
    for own in ("faktury", "JAN", "login", "poczta"):
        assert throw(box, sender=f"{own}@firma.example").reply_state == "own_address"
    path = "Return-Path: <jan@firma.example>"
    assert throw(box, path).reply_state == "own_address"
    assert list_replies(box) == []


def test_who_is_suppressed_is_not_answered(box: LetterBox) -> None:
    open_box(box)
    at = datetime.now(UTC)
    whom = Mailbox("anna@klient.example")
    box.desk.do(suppress, whom, "global", "manual", caller=ADMIN, at=at)
    assert throw(box).reply_state == "suppressed"


def test_after_the_period_a_sender_is_answered_again(box: LetterBox) -> None:
    account = open_box(box, period_h=2)
    throw(box)
    (kept,) = box.desk.do(lambda tx: tx.execute(select(auto_reply)).all())
    assert kept.free_at - kept.replied_at == timedelta(hours=2)
    assert throw(box, sender="ANNA@klient.example").reply_state == "recent"
    past = datetime.now(UTC) - timedelta(seconds=1)
    box.desk.change(auto_reply, auto_reply.c.account_id == account, free_at=past)
    assert throw(box).reply_state == "sent"
    assert len(list_replies(box)) == 2


def test_who_may_be_answered_again_is_forgotten(box: LetterBox) -> None:
    account = open_box(box)
    throw(box)
    past = datetime.now(UTC) - timedelta(seconds=1)
    box.desk.change(auto_reply, auto_reply.c.account_id == account, free_at=past)
    box.desk.wait_for(tidy_up(box.desk.office))
    assert box.desk.do(lambda tx: tx.execute(select(auto_reply)).all()) == []


def test_one_sender_behind_many_return_paths_is_one_sender(box: LetterBox) -> None:
    open_box(box)
    states = [throw(box, f"Return-Path: <x{n}@klient.example>").reply_state for n in range(3)]
    assert states == ["sent", "recent", "recent"]


def test_two_workers_answer_two_mails_of_one_sender_once(box: LetterBox) -> None:
    open_box(box)
    both = [box.throw(write_mail()) for _ in range(2)]
    office = box.desk.office

    async def answer() -> None:
        await asyncio.gather(*(reply(office, each) for each in (*both, *both) if each))

    box.desk.wait_for(answer())
    assert sorted(box.look(each).reply_state for each in both) == ["recent", "sent"]
    assert len(list_replies(box)) == 1


def test_what_a_crash_left_behind_is_answered_once(box: LetterBox) -> None:
    open_box(box)
    mail = box.throw(write_mail())
    assert box.desk.do(find_due_replies) == [
        mail
    ]  # it came in with the mail; nobody lived to answer
    for _ in range(3):
        box.desk.wait_for(tidy_up(box.desk.office))
    assert len(list_replies(box)) == 1


def test_a_mail_that_waited_for_a_day_is_not_answered_any_more(box: LetterBox) -> None:
    open_box(box)
    mail = box.throw(write_mail())
    long_ago = datetime.now(UTC) - timedelta(hours=25)
    box.desk.do(lambda tx: tx.execute(
        update(incoming).where(incoming.c.id == mail).values(received_at=long_ago)
    ))  # fmt: skip
    box.desk.wait_for(tidy_up(box.desk.office))
    assert box.look(mail).reply_state == "late"


def test_switching_it_off_ends_what_waits(box: LetterBox) -> None:
    open_box(box)
    mail = box.throw(write_mail())
    box.open()
    box.desk.wait_for(tidy_up(box.desk.office))
    assert box.look(mail).reply_state == "off"
    assert list_replies(box) == []


def test_a_storm_of_ever_new_senders_is_answered_so_often_an_hour(box: LetterBox) -> None:
    account = open_box(box)
    at = datetime.now(UTC)
    rows = [
        {
            "account_id": account,
            "sender_key": f"{number}@storm.example",
            "replied_at": at - timedelta(minutes=59),
            "free_at": at + timedelta(days=1),
        }
        for number in range(MOST_AN_HOUR - 1)
    ]
    box.desk.do(lambda tx: tx.execute(insert(auto_reply), rows))
    assert throw(box, sender="one@storm.example").reply_state == "sent"
    assert throw(box, sender="two@storm.example").reply_state == "ceiling"
    hour_ago = at - timedelta(minutes=61)
    box.desk.change(auto_reply, auto_reply.c.account_id == account, replied_at=hour_ago)
    assert throw(box, sender="three@storm.example").reply_state == "sent"


def test_a_reply_that_has_not_gone_out_in_a_day_does_not_go_at_all(box: LetterBox) -> None:
    open_box(box)
    throw(box)
    (sent,) = list_replies(box)
    assert timedelta(hours=23) < sent.not_after - datetime.now(UTC) <= timedelta(hours=24)


def test_a_server_that_takes_no_null_path_fails_the_reply_and_nothing_follows(
    box: LetterBox,
) -> None:
    account = open_box(box)
    throw(box)
    (sent,) = list_replies(box)
    box.desk.settle(box.desk.claim(account), "refused")
    assert box.desk.look(sent.id).status == "failed"
    box.desk.wait_for(tidy_up(box.desk.office))
    assert len(list_replies(box)) == 1
    assert throw(box).reply_state == "recent"


@pytest.mark.parametrize("engine", ["macros", "jinja"])
def test_a_damaged_mail_is_answered_or_not_and_stops_nobody(box: LetterBox, engine: str) -> None:
    body = {"macros": "{from} {subject}", "jinja": "{{ from }} {{ subject }}"}[engine]
    open_box(box, engine=engine, body=body, subject="")
    chance = random.Random(7)
    for number in range(60):
        sender = f"Anna {number} <anna{number}@klient.example>"
        fields = (
            "Return-Path: <anna@klient.example>",
            "References: <a@b> <c@d>",
            "Message-ID: <e@f>",
        )
        raw = write_mail(*fields[: number % 4], "Subject: =?utf-8?q?=C5=BB?= {x}", sender=sender)
        box.throw(damage(chance, [raw]))
    for _ in range(3):  # a few at a time
        box.desk.wait_for(tidy_up(box.desk.office))
    query = select(incoming.c.reply_state, incoming.c.reply_detail)
    states = box.desk.do(lambda tx: tx.execute(query).all())
    told = {each.reply_state for each in states}
    assert len(states) == 60
    assert {"sent"} <= told
    assert told.isdisjoint({"due", "failed", None}), [each.reply_detail for each in states]
