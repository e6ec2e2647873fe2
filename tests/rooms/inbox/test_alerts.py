"""No answer in time: people are told, once; an answer, and only a person's, ends the waiting."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from app.configuration.correspondence import read_minutes
from app.inbox.alerts import alert, find_unanswered
from app.inbox.clerk import tidy_up
from app.inbox.correct import correct_kind
from app.outbox.answer_watch import add_minutes, answer_watch
from app.outbox.order import Reference
from app.outbox.tables import message
from tests.rooms.inbox.letters import LetterBox, tell, write_dsn, write_mail
from tests.rooms.inbox.test_answers import read_raw
from tests.rooms.outbox.desk import ADMIN

ANNA = "anna@klient.example"
ALERT = {"after_min": 60, "to": ["szef@firma.example"]}
OFFICE = {"from": "08:00", "to": "16:00", "days": [1, 2, 3, 4, 5], "timezone": "Europe/Warsaw"}


def find_late(box: LetterBox, *, minutes: int) -> list[str]:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    late: list[str] = box.desk.do(find_unanswered, at)
    return late


def list_alerts(box: LetterBox) -> list[Any]:
    query = select(message.c.id, message.c.subject, message.c.account_id)
    rows = box.desk.do(lambda tx: tx.execute(query.order_by(message.c.id)).all())
    return [row for row in rows if "odpowiedzi" in row.subject]


@pytest.mark.parametrize(
    ("given", "minutes"),
    [("60*24*2", 2880), (" 60 * 8 + 30 ", 510), (5, 5), ("90", 90), ("1+2*3", 7)],
)
def test_minutes_are_calculated(given: Any, minutes: int) -> None:
    faults: list[Any] = []
    assert read_minutes(given, "/after_min", faults) == minutes
    assert faults == []


@pytest.mark.parametrize(
    "given",
    [
        "",
        "60*",
        "2**9",
        "60/2",
        "-5",
        "__import__('os')",
        "9" * 30,
        "999999*999999",
        0,
        525601,
        True,
        1.5,
        [60],
        "1" + "*1" * 30,
    ],
)
def test_what_is_no_number_of_minutes_is_refused(given: Any) -> None:
    faults: list[Any] = []
    read_minutes(given, "/after_min", faults)
    assert [fault.pointer for fault in faults] == ["/after_min"]


def test_people_are_told_once_by_mail_and_event(box: LetterBox) -> None:
    box.open(config={"answer_alert": ALERT})
    sent = box.send(ANNA, reference=Reference("offer", "OF 7"))
    assert find_late(box, minutes=59) == []
    assert find_late(box, minutes=61) == [sent]
    both = asyncio.gather
    office = box.desk.office

    async def alert_twice() -> None:
        await both(alert(office, sent), alert(office, sent))

    box.desk.wait_for(alert_twice())
    (told,) = list_alerts(box)
    assert told.subject == "Brak odpowiedzi: Faktura"
    raw = read_raw(box, told.id)
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in raw
    assert b"\r\nTo: szef@firma.example\r\n" in raw
    assert [(kind, data["subject"]) for kind, data in box.events("message.unanswered")] == [
        ("message.unanswered", "Faktura")
    ]
    assert find_late(box, minutes=10_000) == []  # nobody waits for an answer to the alert


@pytest.mark.parametrize("public_url", [None, "https://awizo.firma.example"])
def test_who_is_told_reads_when_it_went_out_by_their_clock_and_where_it_stands(
    box: LetterBox, public_url: str | None
) -> None:
    hours = {"timezone": "Europe/Warsaw", "from": "00:00", "to": "24:00", "days": [*range(1, 8)]}
    box.open(config={"answer_alert": ALERT | {"hours": hours}})
    sent = box.send(ANNA)
    office = box.desk.office
    settings = office.settings.model_copy(update={"public_url": public_url})
    box.desk.wait_for(alert(replace(office, settings=settings), sent))
    (told,) = list_alerts(box)
    text = message_from_bytes(read_raw(box, told.id), policy=default).get_content()
    written_at = select(message.c.created_at).where(message.c.id == sent)
    at = box.desk.do(lambda tx: tx.scalar(written_at)).astimezone(ZoneInfo("Europe/Warsaw"))
    assert f"Wysłano: {at:%d.%m.%Y %H:%M} (Europe/Warsaw)" in text
    place = f"{public_url}/ui/messages/{sent}" if public_url else sent
    assert f"Wiadomość: {place}" in text


@pytest.mark.parametrize(
    ("more", "sender", "waits"),
    [
        ("X-A: b", ANNA, False),
        ("Auto-Submitted: auto-replied", ANNA, True),
        ("X-A: b", "Faktury@firma.example", True),  # a colleague who writes once more
    ],
)
def test_a_person_ends_the_waiting_a_machine_and_the_account_itself_do_not(
    box: LetterBox, more: str, sender: str, waits: bool
) -> None:
    box.open(config={"answer_alert": ALERT})
    sent = box.send(ANNA)
    id = f"In-Reply-To: <{box.envid(sent)}@firma.example>"
    box.throw(write_mail(id, more, sender=sender))
    assert find_late(box, minutes=61) == ([sent] if waits else [])
    mine = box.throw(write_mail(id, "Auto-Submitted: auto-replied", sender=sender))
    box.desk.do(correct_kind, ADMIN, mine, "human")
    assert find_late(box, minutes=61) == ([sent] if "@firma" in sender else [])


def test_what_has_not_gone_out_waits_for_no_answer_yet(box: LetterBox) -> None:
    box.open(config={"answer_alert": ALERT})
    box.desk.send(ANNA)
    assert find_late(box, minutes=61) == []


@pytest.mark.parametrize(("given", "late"), [(5, True), (0, False), (None, False)])
def test_a_message_may_say_itself_how_long_it_waits(
    box: LetterBox, given: int | None, late: bool
) -> None:
    box.open(config={"answer_alert": ALERT})
    sent = box.send(ANNA, answer_within_min=given)
    assert find_late(box, minutes=6) == ([sent] if late else [])


def test_without_anybody_to_write_to_there_is_the_event(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA, answer_within_min=5)
    box.desk.wait_for(alert(box.desk.office, sent))
    assert list_alerts(box) == []
    assert len(box.events("message.unanswered")) == 1


def test_a_configuration_that_cannot_send_leaves_the_event(box: LetterBox) -> None:
    box.open(config={"answer_alert": ALERT})
    sent = box.send(ANNA)
    box.open(config={"answer_alert": ALERT, "outgoing": False})
    box.desk.wait_for(alert(box.desk.office, sent))
    assert list_alerts(box) == []
    assert len(box.events("message.unanswered")) == 1


@pytest.mark.parametrize(
    ("at", "minutes", "due"),
    [
        ("2026-11-20T14:30", 60, "2026-11-23T07:30"),  # Friday 15:30 there: half an hour is left
        ("2026-11-21T10:00", 30, "2026-11-23T07:30"),  # Saturday
        ("2026-11-23T02:00", 480, "2026-11-23T15:00"),  # the whole Monday
        ("2026-03-27T14:30", 60, "2026-03-30T06:30"),  # over the begin of summer time
    ],
)
def test_only_working_minutes_count(at: str, minutes: int, due: str) -> None:
    begin = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert add_minutes(begin, minutes, OFFICE) == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_hours_that_hardly_exist_end_within_a_year() -> None:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    hours = OFFICE | {"from": "08:00", "to": "08:01", "days": [7]}
    assert add_minutes(at, 525_600, hours) <= at + timedelta(days=366)


def test_a_removed_message_takes_its_waiting_along(box: LetterBox) -> None:
    box.open(config={"answer_alert": ALERT})
    sent = box.send(ANNA)
    box.desk.do(lambda tx: tx.execute(message.delete().where(message.c.id == sent)))
    assert box.desk.do(lambda tx: tx.execute(select(answer_watch)).all()) == []


def test_every_worker_does_by_itself_what_is_due(box: LetterBox) -> None:
    account = box.open(config={"answer_alert": ALERT})
    late = box.send(ANNA, answer_within_min=5)
    past = datetime.now(UTC) - timedelta(minutes=1)
    box.desk.change(answer_watch, answer_watch.c.message_id == late, due_at=past)
    fast = box.desk.send(ANNA)
    claimed = box.desk.claim(account)
    box.throw(write_dsn(tell("delivered", ANNA), envid=box.envid(fast)))
    box.desk.settle(claimed, "sent")
    box.desk.wait_for(tidy_up(box.desk.office))
    assert box.desk.look(fast).status == "delivered"
    assert len(list_alerts(box)) == 1
