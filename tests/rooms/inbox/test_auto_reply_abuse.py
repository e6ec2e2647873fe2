"""The automatic reply under attack: nobody's text or mail keeps others waiting, nor reaches a third."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.configuration.load import load_account
from app.inbox.auto_reply import MOST_FAILED, find_due_replies
from app.inbox.clerk import tidy_up
from app.inbox.reply_preview import Asked, Sample, preview_reply
from app.mime.incoming import read_incoming
from app.outbox.order import Reference
from app.templates_engine.jinja_pool import JinjaPool
from tests.rooms.inbox.letters import LetterBox, write_mail
from tests.rooms.inbox.test_answers import read_raw
from tests.rooms.inbox.test_auto_reply import AWAY, list_replies, open_box, throw

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def throw_many(box: LetterBox, account: str, count: int) -> list[str | None]:
    return [
        box.throw(write_mail(sender=f"a{number}@k.example"), account=account)
        for number in range(count)
    ]


@pytest.mark.parametrize("text", ["{{ '\\ud800' }}", "{{ '\\x00' }}", "{{ {}['\\ud800'].a() }}"])
def test_what_no_database_takes_holds_up_nobody_elses_answer(box: LetterBox, text: str) -> None:
    open_box(box, engine="jinja", subject=text, body=text)
    first = box.throw(write_mail())
    open_box(box)
    box.throw(write_mail(sender="b@klient.example"))
    box.desk.wait_for(tidy_up(box.desk.office))
    assert box.look(first).reply_state == "sent"
    assert len(list_replies(box)) == 2


class Broken(JinjaPool):
    """Renders nothing, in a way that nobody thought of."""

    async def render(self, sources: Any, values: Any) -> dict[str, str]:
        raise ZeroDivisionError


def test_what_breaks_is_noted_and_the_next_one_is_answered(box: LetterBox) -> None:
    open_box(box, engine="jinja", body="A")
    first = box.throw(write_mail())
    office = box.desk.office
    box.desk.office = replace(office, jinja=Broken())
    box.desk.wait_for(tidy_up(box.desk.office))
    box.desk.office = office
    row = box.look(first)
    assert (row.reply_state, row.reply_detail) == ("failed", "An error of Awizo; its log has it.")
    assert throw(box, sender="b@klient.example").reply_state == "sent"


def test_an_account_with_much_mail_lets_the_others_in(box: LetterBox) -> None:
    busy = open_box(box)
    other = box.desk.configure("anna", config={"auto_reply": AWAY})
    throw_many(box, busy, 40)
    (late,) = throw_many(box, other, 1)
    due = box.desk.do(find_due_replies)
    assert late in due[:2]
    assert len(due) < 10


def test_a_text_that_never_ends_is_given_up_until_it_is_saved_anew(box: LetterBox) -> None:
    office, quick = box.desk.office, JinjaPool(deadline_s=0.02)
    box.desk.office = replace(office, jinja=quick)
    account = open_box(box, engine="jinja", body=ENDLESS)
    mails = throw_many(box, account, MOST_FAILED + 2)
    for _ in range(4):
        box.desk.wait_for(tidy_up(box.desk.office))
    states = [box.look(each).reply_state for each in mails]
    assert states == ["failed"] * MOST_FAILED + ["ceiling"] * 2
    box.desk.wait_for(quick.close())
    box.desk.office = office
    open_box(box, engine="jinja", body="A")
    assert throw(box, sender="b@klient.example").reply_state == "sent"


def test_no_preview_keeps_an_answer_waiting(box: LetterBox) -> None:
    account = open_box(box, engine="jinja", body="A")
    box.throw(write_mail())
    trials = JinjaPool(deadline_s=5)
    office = box.desk.office = replace(box.desk.office, jinja_trials=trials)
    stored = box.desk.do(load_account, account)
    endless = Asked({"engine": "jinja", "body": ENDLESS}, Sample())

    async def run() -> None:
        previews = [asyncio.create_task(preview_reply(office, stored, endless)) for _ in range(3)]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(4):
            await tidy_up(office)
        for each in previews:
            each.cancel()
        await asyncio.gather(*previews, return_exceptions=True)
        await trials.close()

    box.desk.wait_for(run())
    assert len(list_replies(box)) == 1


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("<MAILER-DAEMON>", "no_sender"),
        ("garbage", "no_sender"),
        ("<> (null)", "no_sender"),
        ("<faktury+doc-abc@firma.example>", "own_address"),
        ("<Biuro@firma.example>", "own_address"),
    ],
)
def test_a_return_path_that_says_nothing_or_is_ours_has_no_answer(
    box: LetterBox, path: str, state: str
) -> None:
    open_box(box, {"senders": [{"address": "biuro@firma.example"}]})
    assert throw(box, f"Return-Path: {path}").reply_state == state
    assert list_replies(box) == []


def test_old_failures_are_forgotten(box: LetterBox) -> None:
    account = open_box(box, body="{umowa}")
    for each in throw_many(box, account, MOST_FAILED):
        assert box.look(each).reply_state == "due"
    for _ in range(3):
        box.desk.wait_for(tidy_up(box.desk.office))
    assert throw(box, sender="b@klient.example").reply_state == "ceiling"
    later = datetime.now(UTC) + timedelta(hours=2)
    box.desk.office = replace(box.desk.office, clock=lambda: later)
    assert throw(box, sender="c@klient.example").reply_state == "failed"


def test_who_forges_a_customers_address_learns_nothing_of_their_documents(box: LetterBox) -> None:
    open_box(box, body="[{reference type} {reference number}]")
    box.send("anna@klient.example", reference=Reference("reminder", "FV 1234", "K1"))
    mail = throw(box, "Subject: FV 1234", "Return-Path: <spy@evil.example>")
    assert (mail.reference_number, mail.is_verified) == ("FV 1234", False)
    (sent,) = list_replies(box)
    assert list(box.desk.look(sent.id).states) == ["spy@evil.example"]
    assert read_incoming(read_raw(box, sent.id)).text.strip() == "[ ]"
