"""What was sent: listed, filtered and paged; its time line, and the feed of all events."""

import asyncio
from datetime import timedelta

import pytest

from tests.doors.sending import LETTER, configure

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sender(client, as_role):
    """The header of an ERP's key; a global configuration is stored."""
    await configure(client, as_role("admin"))
    return as_role("sender")


async def send(client, headers, **members):
    answer = await client.post("/send", json=LETTER | members, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def list_ids(client, headers, query=""):
    answer = await client.get(f"/messages?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["data"]]


async def test_pages_show_every_message_once_the_newest_first(client, sender):
    sent = [await send(client, sender, subject=str(number)) for number in range(7)]
    seen, after = [], ""
    while True:
        page = (await client.get(f"/messages?limit=3{after}", headers=sender)).json()
        seen += [each["id"] for each in page["data"]]
        if page["next"] is None:
            break
        await send(client, sender)  # what is new meanwhile disturbs nothing
        after = f"&after={page['next']}"
    assert seen == sent[::-1]


async def test_messages_are_found_by_what_they_are_about(client, sender, clock):
    other = await send(
        client, sender, to="x@y.example", reference={"number": "FV 2"}, as_user="anna"
    )
    before = clock()
    clock.advance(minutes=1)
    reference = {"type": "reminder", "number": "FV 12/2026", "customer": "KONTR-0042"}
    wanted = await send(client, sender, reference=reference, as_user="piotr", cc="ÓSMY@x.example")
    for query in (
        {"reference.number": "FV 12/2026"},
        {"reference.customer": "KONTR-0042", "reference.type": "reminder"},
        {"user": "piotr"},
        {"to": "KSIEGOWOSC@klient.example"},
        {"to": "Ósmy <ósmy@X.example>"},
        {"created_after": before.isoformat()},
        {"status": "QUEUED,deferred", "user": "piotr"},
    ):
        answer = await client.get("/messages", params=query, headers=sender)
        assert [each["id"] for each in answer.json()["data"]] == [wanted], query
    for query in (
        {"created_before": before.isoformat()},
        {"to": "x@y.example"},
        {"reference.number": "FV 2"},
    ):
        answer = await client.get("/messages", params=query, headers=sender)
        assert [each["id"] for each in answer.json()["data"]] == [other], query
    for query in ({"reference.number": "fv 2"}, {"status": "sent"}, {"batch_id": "x"}):
        answer = await client.get("/messages", params=query, headers=sender)
        assert answer.json()["data"] == [], query


async def test_a_scheduled_message_is_found_as_queued_once_its_time_has_come(client, sender, clock):
    send_at = (clock() + timedelta(hours=1)).isoformat()
    message_id = await send(client, sender, send_at=send_at)
    assert await list_ids(client, sender, "status=scheduled") == [message_id]
    assert await list_ids(client, sender, "status=queued") == []
    clock.advance(hours=2)
    assert await list_ids(client, sender, "status=scheduled") == []
    assert await list_ids(client, sender, "status=queued") == [message_id]


async def test_a_user_sees_their_own(client, as_role, sender):
    annas = await send(client, sender, as_user="anna")
    await send(client, sender)
    assert await list_ids(client, as_role("anna")) == [annas]
    assert await list_ids(client, as_role("piotr")) == []
    events = (await client.get("/events", headers=as_role("piotr"))).json()
    assert events["data"] == []
    path = f"/messages/{annas}/events"
    assert (await client.get(path, headers=as_role("anna"))).status_code == 200
    assert (await client.get(path, headers=as_role("piotr"))).status_code == 404


async def test_a_user_does_not_see_who_else_reads(client, as_role, sender):
    await configure(client, as_role("admin"), bcc="szef@firma.example")
    anna = as_role("anna")
    answer = await client.post("/send", json=LETTER | {"bcc": "moj@x.example"}, headers=anna)
    assert "szef" not in answer.text
    path = f"/messages/{answer.json()['id']}"
    for each in (path, f"{path}/events", f"{path}/raw", "/messages", "/events"):
        assert "szef" not in (await client.get(each, headers=anna)).text, each
    assert await list_ids(client, anna, "to=szef@firma.example") == []
    shown = (await client.get(path, headers=sender)).json()
    assert shown["recipients"][-1]["address"] == "szef@firma.example"


async def test_the_feed_misses_nothing_and_repeats_nothing_while_others_send(client, sender):
    seen: list[str] = []
    after = ""
    senders = [
        asyncio.create_task(send(client, sender, subject=f"{number}")) for number in range(40)
    ]
    async with asyncio.timeout(30):
        while len(seen) < len(senders):
            page = (await client.get(f"/events?limit=7{after}", headers=sender)).json()
            assert page["next"] is not None  # always a cursor
            after = f"&after={page['next']}"
            seen += [each["message"] for each in page["data"]]
    assert sorted(seen) == sorted(await asyncio.gather(*senders))


async def test_an_empty_feed_has_a_cursor_to_go_on_from(client, sender):
    first = (await client.get("/events", headers=sender)).json()
    assert (first["data"], bool(first["next"])) == ([], True)
    message_id = await send(client, sender)
    page = first
    async with asyncio.timeout(20):  # a transaction elsewhere on the server may hold it back
        while not page["data"]:
            page = (await client.get(f"/events?after={page['next']}", headers=sender)).json()
    assert [each["message"] for each in page["data"]] == [message_id]
    page = (await client.get(f"/events?after={page['next']}", headers=sender)).json()
    assert page["data"] == []


async def test_cancelling_by_reference_compares_exactly_and_takes_own_messages_only(
    client, as_role, sender
):
    annas = await send(client, sender, reference={"number": "FV 1", "type": "x"}, as_user="anna")
    globals_ = await send(client, sender, reference={"number": "FV 1"})
    other = await send(client, sender, reference={"number": "FV 10"})
    body = {"reference": {"number": "FV 1"}}
    answer = await client.post("/messages/cancel", json=body, headers=as_role("anna"))
    assert answer.json() == {"cancelled": [annas], "too_late": []}
    answer = await client.post("/messages/cancel", json=body, headers=sender)
    assert answer.json() == {"cancelled": [globals_], "too_late": []}
    answer = await client.post("/messages/cancel", json=body, headers=sender)
    assert answer.json() == {"cancelled": [], "too_late": []}
    assert await list_ids(client, sender, "status=cancelled") == [globals_, annas]
    assert await list_ids(client, sender, "status=queued") == [other]
    body = {"reference": {"number": "FV 10", "type": "x"}}
    answer = await client.post("/messages/cancel", json=body, headers=sender)
    assert answer.json() == {"cancelled": [], "too_late": []}


async def test_a_cancelled_message_is_not_cancelled_twice(client, sender):
    message_id = await send(client, sender)
    first = await client.post(f"/messages/{message_id}/cancel", headers=sender)
    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    second = await client.post(f"/messages/{message_id}/cancel", headers=sender)
    assert (second.status_code, second.json()["code"]) == (409, "too_late")


async def test_erasing_a_person_leaves_counts_and_takes_the_rest(client, office, as_role, sender):
    message_id = await send(client, sender, cc="inny@klient.example")
    admin = as_role("admin")
    answer = await client.delete("/recipients/KSIEGOWOSC@klient.example", headers=admin)
    assert answer.status_code == 200
    assert answer.json()["messages"] == 1
    shown = await client.get(f"/messages/{message_id}", headers=sender)
    assert "ksiegowosc@" not in shown.text
    assert len(shown.json()["recipients"]) == 2
    events = await client.get("/events", headers=sender)
    assert "ksiegowosc@" not in events.text
    assert await list_ids(client, sender, "to=ksiegowosc@klient.example") == []
    again = await client.delete("/recipients/ksiegowosc@klient.example", headers=admin)
    assert again.json()["messages"] == 0


async def test_a_time_line_is_paged_too(client, sender):
    message_id = await send(client, sender)
    await client.post(f"/messages/{message_id}/cancel", headers=sender)
    seen, after = [], ""
    async with asyncio.timeout(20):
        while len(seen) < 2:
            path = f"/messages/{message_id}/events?limit=1{after}"
            page = (await client.get(path, headers=sender)).json()
            seen += page["data"]
            after = f"&after={page['next']}"
    assert [each["type"] for each in seen] == ["message.accepted", "recipient.cancelled"]
    assert seen[1]["recipient"] == "ksiegowosc@klient.example"


async def test_limits_are_shown_as_they_hold(client, sender, settings):
    assert (await client.get("/limits", headers=sender)).json() == {
        "attachment_bytes": settings.max_attachment_bytes,
        "recipients": settings.max_recipients,
        "request_bytes": settings.max_request_bytes,
        "batch_messages": settings.max_batch_messages,
        "template_bytes": 32_768,
        "rendered_bytes": settings.max_rendered_bytes,
    }
