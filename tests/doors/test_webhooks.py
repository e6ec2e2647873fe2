"""``/webhooks``: made, shown without its secret, changed, tried, and its log."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.webhooks.edit import MOST_WEBHOOKS
from tests.doors.sending import LETTER, configure, list_faults
from tests.rooms.webhooks.carrying import carry, happen
from tests.rooms.webhooks.receiver import OK, answer, receive

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
GIVEN: dict[str, Any] = {"url": "https://erp.firma.example/awizo", "events": ["recipient.*"]}


@pytest.fixture
async def receiver(anyio_backend):
    """A program that listens on this machine."""
    async with receive() as running:
        yield running


@pytest.fixture
def admin(as_role):
    """The header of an administrator."""
    return as_role("admin")


async def make(client, admin, **members):
    answered = await client.post("/webhooks", json=GIVEN | members, headers=admin)
    assert answered.status_code == 201, answered.text
    return answered.json()


async def test_a_webhook_is_shown_with_its_secret_once(client, admin):
    answered = await client.post("/webhooks", json=GIVEN | {"name": "ERP"}, headers=admin)
    assert answered.status_code == 201
    assert answered.headers["cache-control"] == "no-store"
    made = answered.json()
    secret = made.pop("secret")
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    assert made["enabled"] and (made["waiting"], made["failures"], made["missed"]) == (0, 0, 0)
    shown = await client.get(f"/webhooks/{made['id']}", headers=admin)
    assert shown.json() == made
    listed = await client.get("/webhooks", headers=admin)
    assert listed.json() == {"data": [made], "next": None}
    trail = (await client.get("/audit?action=webhook.create", headers=admin)).text
    assert secret not in trail and secret.removeprefix("whsec_") not in trail


async def test_a_list_is_read_page_by_page(client, admin):
    ids = [(await make(client, admin))["id"] for _ in range(3)]
    first = (await client.get("/webhooks?limit=2", headers=admin)).json()
    rest = (await client.get(f"/webhooks?after={first['next']}", headers=admin)).json()
    assert sorted(each["id"] for each in first["data"] + rest["data"]) == sorted(ids)
    assert (len(first["data"]), rest["next"]) == (2, None)


async def test_put_takes_what_get_shows_and_patch_changes_members(client, admin):
    made = await make(client, admin, name="ERP", user="anna")
    path = f"/webhooks/{made['id']}"
    shown = await client.get(path, headers=admin)
    same = await client.put(path, json=shown.json(), headers=admin)
    assert same.status_code == 200
    changed = await client.patch(
        path,
        json={"user": None, "events": ["*"]},
        headers=admin | {"If-Match": same.headers["etag"]},
    )
    assert changed.status_code == 200, changed.text
    assert changed.json() | {"updated_at": ""} == same.json() | {
        "user": None,
        "events": ["*"],
        "updated_at": "",
    }
    stale = await client.put(path, json=GIVEN, headers=admin | {"If-Match": shown.headers["etag"]})
    assert stale.status_code == 412
    replaced = (await client.put(path, json=GIVEN, headers=admin)).json()
    assert (replaced["name"], replaced["events"]) == ("", ["recipient.*"])
    trail = (await client.get(f"/audit?object=webhooks/{made['id']}", headers=admin)).json()["data"]
    assert [each["action"] for each in trail] == ["webhook.put"] * 3 + ["webhook.create"]
    assert (trail[1]["before"]["user"], trail[1]["after"]["user"]) == ("anna", None)


async def test_a_patch_that_leaves_nothing_to_tell_is_refused_with_every_fault(client, admin):
    made = await make(client, admin)
    given = {"url": None, "events": ["mail.*"], "colour": 1}
    refused = await client.patch(f"/webhooks/{made['id']}", json=given, headers=admin)
    assert refused.status_code == 422
    assert sorted(list_faults(refused)) == [
        ("/colour", "unknown_field"),
        ("/events/0", "unknown_event"),
        ("/url", "required"),
    ]


async def test_a_deleted_webhook_is_gone(client, admin):
    made = await make(client, admin)
    path = f"/webhooks/{made['id']}"
    assert (await client.delete(path, headers=admin)).status_code == 204
    missing = await client.get(path, headers=admin)
    assert (missing.status_code, missing.json()["code"]) == (404, "webhook_not_found")


async def test_there_is_an_end_to_their_number(client, admin):
    for _ in range(MOST_WEBHOOKS):
        await make(client, admin)
    refused = await client.post("/webhooks", json=GIVEN, headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhooks")


async def test_the_lines_of_the_page_verify_what_comes(client, admin, office, receiver):
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    page: dict[str, Any] = {}
    exec(block, page)
    await configure(client, admin)
    made = await make(client, admin, url=receiver.url, events=["message.*"])
    reference = {"type": "invoice", "number": "FV 12/2026", "customer": "K-42"}
    sent = await client.post("/send", json=LETTER | {"reference": reference}, headers=admin)
    await carry(office)
    (heard,) = receiver.heard
    assert page["verify"](made["secret"], heard.headers, heard.body)
    assert not page["verify"](made["secret"], heard.headers, heard.body + b" ")
    assert not page["verify"]("whsec_" + "AAAA" * 8, heard.headers, heard.body)
    old = heard.headers | {"webhook-timestamp": "1600000000"}
    assert not page["verify"](made["secret"], old, heard.body)
    assert heard.said["type"] == "message.accepted"
    events = (await client.get("/events", headers=admin)).json()["data"]
    assert heard.said["data"] == {
        "event": events[0]["id"],
        "message": sent.json()["id"],
        "recipient": None,
        "user": None,
        "reference": reference,
        "details": events[0]["data"],
    }
    rotated = await client.post(f"/webhooks/{made['id']}/rotate-secret", headers=admin)
    assert rotated.headers["cache-control"] == "no-store"
    await client.post("/send", json=LETTER, headers=admin)
    await carry(office)
    for secret in (made["secret"], rotated.json()["secret"]):
        assert page["verify"](secret, receiver.heard[1].headers, receiver.heard[1].body)


async def test_a_test_answers_what_came_of_it_also_when_it_is_off(client, admin, receiver):
    receiver.answers = [answer(302, "Location: /other"), OK]
    made = await make(client, admin, url=receiver.url, enabled=False)
    path = f"/webhooks/{made['id']}"
    failed = (await client.post(f"{path}/test", headers=admin)).json()
    assert (failed["type"], failed["state"], failed["event"]) == ("webhook.test", "given_up", None)
    assert failed["attempts"][0]["code"] == 302
    assert "not followed" in failed["attempts"][0]["error"]
    worked = (await client.post(f"{path}/test", headers=admin)).json()
    assert (worked["state"], worked["attempts"][0]["error"]) == ("delivered", None)
    assert receiver.heard[1].said["type"] == "webhook.test"
    assert receiver.heard[1].id == worked["id"]
    log = (await client.get(f"{path}/deliveries", headers=admin)).json()["data"]
    assert {each["id"]: each for each in log} == {each["id"]: each for each in (failed, worked)}
    trail = (await client.get("/audit?action=webhook.test", headers=admin)).json()["data"]
    assert len(trail) == 2


async def test_the_log_is_read_page_by_page_and_by_state(client, admin, office, receiver):
    made = await make(client, admin, url=receiver.url, events=["*"])
    receiver.answers = [answer(500), OK]
    for _ in range(3):
        await happen(office, "inbox.received")
        await carry(office)
    path = f"/webhooks/{made['id']}/deliveries"
    first = (await client.get(f"{path}?limit=2", headers=admin)).json()
    rest = (await client.get(f"{path}?after={first['next']}", headers=admin)).json()
    states = [each["state"] for each in first["data"] + rest["data"]]
    assert sorted(states) == ["delivered", "delivered", "waiting"]
    (waiting,) = (await client.get(f"{path}?state=waiting", headers=admin)).json()["data"]
    assert waiting["next_try_at"] and waiting["attempts"][0]["code"] == 500
    again = await client.post(f"{path}/{waiting['id']}/redeliver", headers=admin)
    assert again.status_code == 202
    await carry(office)
    (done,) = [
        each
        for each in (await client.get(path, headers=admin)).json()["data"]
        if each["id"] == waiting["id"]
    ]
    assert (done["state"], [each["code"] for each in done["attempts"]]) == ("delivered", [500, 204])


async def test_a_webhook_that_was_switched_off_is_resumed(client, admin, office, receiver):
    made = await make(client, admin, url=receiver.url, events=["*"])
    receiver.answers = [answer(410), OK]
    await happen(office, "inbox.received")
    await carry(office)
    path = f"/webhooks/{made['id']}"
    off = (await client.get(path, headers=admin)).json()
    assert (off["enabled"], off["disabled_reason"], off["waiting"]) == (False, "gone", 1)
    (waiting,) = (await client.get(f"{path}/deliveries", headers=admin)).json()["data"]
    refused = await client.post(f"{path}/deliveries/{waiting['id']}/redeliver", headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (409, "webhook_disabled")
    on = (await client.post(f"{path}/resume", headers=admin)).json()
    assert (on["enabled"], on["disabled_reason"], on["error"]) == (True, None, None)
    await carry(office)
    assert len(receiver.heard) == 2


async def test_all_that_was_given_up_is_tried_again_and_no_failed_test(
    client, admin, office, receiver
):
    receiver.answers = [answer(500), answer(500), answer(500), OK]
    made = await make(client, admin, url=receiver.url, events=["*"])
    path = f"/webhooks/{made['id']}"
    for _ in range(2):
        await happen(office, "inbox.received")
    await carry(office)
    assert (await client.post(f"{path}/test", headers=admin)).json()["state"] == "given_up"
    await client.post(f"{path}/resume", json={"skip_missed": True}, headers=admin)
    again = await client.post(f"{path}/redeliver", headers=admin)
    assert (again.status_code, again.json()) == (202, {"redelivered": 2})
    await carry(office)
    log = (await client.get(f"{path}/deliveries", headers=admin)).json()["data"]
    assert [each["state"] for each in log] == ["given_up", "delivered", "delivered"]
    assert (await client.post(f"{path}/redeliver", headers=admin)).json() == {"redelivered": 0}
    await client.patch(path, json={"enabled": False}, headers=admin)
    refused = await client.post(f"{path}/redeliver", headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (409, "webhook_disabled")


async def test_another_url_has_what_waits_tried_at_once(client, admin, office, receiver):
    receiver.answers = [answer(404), OK]
    made = await make(client, admin, url=receiver.url, events=["*"])
    await happen(office, "inbox.received")
    await carry(office)
    path = f"/webhooks/{made['id']}"
    await client.patch(path, json={"url": receiver.url + "&new=1"}, headers=admin)
    await carry(office)
    assert receiver.heard[1].line == "POST /hook?a=%20b&new=1 HTTP/1.1"


async def test_an_event_of_no_message_is_in_the_feed_too(client, admin, as_role, office):
    await happen(office, "inbox.received", user="anna", subject="Re: FV 12/2026")
    for role, seen in (("admin", 1), ("anna", 1), ("piotr", 0)):
        events = (await client.get("/events", headers=as_role(role))).json()["data"]
        assert [(each["type"], each["message"]) for each in events] == [
            ("inbox.received", None)
        ] * seen
