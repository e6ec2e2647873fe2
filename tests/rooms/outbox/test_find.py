"""Finding messages: what is found, for whom, and how a search goes on."""

from datetime import UTC, datetime, timedelta

import pytest

from app.errors import Missing, Refused
from app.mime.address import Mailbox
from app.outbox import find
from app.outbox.find import Wanted, find_message, find_messages, read_events, read_statuses
from app.outbox.order import Reference
from tests.rooms.outbox.desk import ADMIN, ANNA

DAY = datetime.now(UTC) - timedelta(days=1)
ALL = ["Umowa 3", "ŻÓŁĆ 2", "Faktura 1"]


def search(desk, caller=ADMIN, *, after=None, limit=10, **wanted):
    """Return the subjects of a page, and the whole page."""
    at = datetime.now(UTC)
    page = desk.do(find_messages, caller, Wanted(**wanted), after=after, limit=limit, at=at)
    return [each.row.subject for each in page.found], page


@pytest.fixture
def stored(desk):
    """Three messages, one of them a user's; a copy of each goes to a hidden address."""
    desk.configure(config={"bcc": "archiwum@firma.example"})
    desk.send("jan@klient.example", subject="Faktura 1", reference=Reference(number="FV 1/2026"))
    desk.send("ola@klient.example", subject="ŻÓŁĆ 2", reference=Reference(customer="K-7"))
    desk.send("jan@klient.example", subject="Umowa 3", user="anna")
    return desk


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["Umowa 3", "ŻÓŁĆ 2", "Faktura 1"]),
        ({"to": Mailbox("JAN@klient.example")}, ["Umowa 3", "Faktura 1"]),
        ({"document": "FV 1/2026"}, ["Faktura 1"]),
        ({"document": "K-7"}, ["ŻÓŁĆ 2"]),
        ({"user": "anna"}, ["Umowa 3"]),
        ({"statuses": ("queued",)}, ["Umowa 3", "ŻÓŁĆ 2", "Faktura 1"]),
        ({"statuses": ("sent", "failed")}, []),
        ({"text": "żółć"}, ["ŻÓŁĆ 2"]),
        ({"text": "OLA@"}, ["ŻÓŁĆ 2"]),
        ({"text": "k-7"}, ["ŻÓŁĆ 2"]),
        ({"text": "100%"}, []),
        ({"created_after": DAY, "created_before": DAY + timedelta(days=3)}, ALL),
        ({"created_after": datetime.min.replace(tzinfo=UTC)}, ALL),
        ({"created_before": datetime.max.replace(tzinfo=UTC)}, ALL),
        ({"created_after": DAY + timedelta(days=2)}, []),
        ({"created_before": DAY}, []),
        ({"text": "umowa", "to": Mailbox("ola@klient.example")}, []),
    ],
)
def test_all_that_is_given_must_hold(stored, wanted, found):
    assert search(stored, **wanted)[0] == found


@pytest.mark.parametrize(
    "wanted", [{"to": Mailbox("archiwum@firma.example")}, {"text": "archiwum"}]
)
def test_a_user_finds_nothing_by_a_hidden_recipient(stored, wanted):
    assert search(stored, **wanted)[0] == ["Umowa 3", "ŻÓŁĆ 2", "Faktura 1"]
    assert search(stored, ANNA, **wanted)[0] == []
    assert search(stored, ANNA)[0] == ["Umowa 3"]


def test_a_page_goes_on_where_the_last_one_ended(stored):
    first, page = search(stored, limit=2)
    second, last = search(stored, limit=2, after=page.following)
    assert (first, second, last.following) == (["Umowa 3", "ŻÓŁĆ 2"], ["Faktura 1"], None)


def test_a_search_for_text_goes_on_window_by_window(stored, monkeypatch):
    monkeypatch.setattr(find, "WINDOW", 2)
    found, page = search(stored, text="faktura")
    assert (found, page.is_cut) == ([], True)
    found, page = search(stored, text="faktura", after=page.following)
    assert (found, page.is_cut, page.following) == (["Faktura 1"], False, None)


def test_a_message_of_somebody_else_is_not_there(stored):
    _, page = search(stored)
    own, other = page.found[0].row.id, page.found[1].row.id
    assert [each.address for each in stored.do(find_message, ANNA, own).recipients] == [
        "jan@klient.example"
    ]
    with pytest.raises(Missing):
        stored.do(find_message, ANNA, other)
    events = stored.do(read_events, ANNA, after=(-1, 0), limit=10)
    assert {each.message_id for each in events} == {own}


def test_an_unknown_status_is_refused():
    assert read_statuses("Sent, partially-sent") == ("sent", "partially_sent")
    with pytest.raises(Refused, match="'gone' is no status"):
        read_statuses("gone")
