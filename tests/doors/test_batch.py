"""``POST /send/batch``: all or nothing, or as many as can be sent."""

import asyncio

import pytest
from sqlalchemy import select

from app.outbox.tables import BATCH, SINGLE, message
from app.settings import Settings
from tests.doors.sending import LETTER, attach, configure, list_faults, make_pdf

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sender(client, as_role):
    """The header of an ERP's key; a global configuration is stored."""
    await configure(client, as_role("admin"))
    return as_role("sender")


def make_letters(count, **members):
    return [LETTER | {"to": f"k{number}@klient.example"} | members for number in range(count)]


async def count_messages(client, headers):
    return len((await client.get("/messages?limit=500", headers=headers)).json()["data"])


@pytest.mark.parametrize("mode", ["all_or_nothing", "partial", "All-Or-Nothing", None])
async def test_all_messages_of_a_right_batch_are_stored_in_order(client, sender, mode):
    body = {"messages": make_letters(250), "mode": mode}
    answer = await client.post("/send/batch", json=body, headers=sender)
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert [each["index"] for each in shown["data"]] == list(range(250))
    assert {each["status"] for each in shown["data"]} == {"queued"}
    assert answer.headers["location"] == f"/messages?batch_id={shown['batch_id']}"
    listed = (await client.get(f"{answer.headers['location']}&limit=500", headers=sender)).json()
    by_id = {each["id"]: each["recipients"][0]["address"] for each in listed["data"]}
    assert [by_id[each["id"]] for each in shown["data"]] == [
        f"k{number}@klient.example" for number in range(250)
    ]
    ids = [each["id"] for each in shown["data"]]
    assert ids == sorted(ids)
    assert [each["id"] for each in listed["data"]] == ids[::-1]


async def test_one_wrong_message_keeps_all_from_being_sent_and_every_fault_is_told(client, sender):
    letters = make_letters(120)
    letters[3] |= {"to": "nobody", "wrong": 1}
    letters[7] |= {"body": "{numer}", "send_at": "tomorrow"}
    letters[119] = 5
    answer = await client.post("/send/batch", json={"messages": letters}, headers=sender)
    assert answer.status_code == 422
    assert list_faults(answer) == [
        ("/messages/3/wrong", "unknown_field"),
        ("/messages/3/to", "invalid_address"),
        ("/messages/7/send_at", "invalid_time"),
        ("/messages/7/macros/numer", "macro_missing"),
        ("/messages/119", "wrong_type"),
    ]
    assert await count_messages(client, sender) == 0


async def test_partial_sends_what_can_be_sent(client, sender):
    letters = make_letters(4)
    letters[1] |= {"to": "nobody"}
    letters[3] |= {"attachments": [attach("a.pdf", b"%PDF-nonsense")], "attachment_password": "x"}
    body = {"messages": letters, "mode": "partial"}
    answer = await client.post("/send/batch", json=body, headers=sender)
    assert answer.status_code == 202
    first, second, third, fourth = answer.json()["data"]
    assert (first["index"], first["status"]) == (0, "queued")
    assert set(second) == {"index", "problem"}
    assert second["problem"]["status"] == 422
    assert [(each["pointer"], each["code"]) for each in second["problem"]["errors"]] == [
        ("/messages/1/to", "invalid_address")
    ]
    assert third["status"] == "queued"
    assert [(each["pointer"], each["code"]) for each in fourth["problem"]["errors"]] == [
        ("/messages/3/attachments/0/content", "pdf_damaged")
    ]
    assert await count_messages(client, sender) == 2


async def test_a_batch_goes_out_after_single_messages(client, office, sender):
    await client.post("/send/batch", json={"messages": make_letters(2)}, headers=sender)
    await client.post("/send", json=LETTER, headers=sender)
    rows = await office.db.read(lambda tx: tx.scalars(select(message.c.priority)).all())
    assert sorted(rows) == [SINGLE, BATCH, BATCH]


async def test_a_dry_run_checks_and_stores_nothing(client, sender):
    letters = make_letters(3)
    body = {"messages": letters, "dry_run": True}
    answer = await client.post("/send/batch", json=body, headers=sender | {"Idempotency-Key": "k"})
    assert answer.status_code == 200
    assert answer.json() == {
        "batch_id": None,
        "data": [{"index": number, "status": "queued"} for number in range(3)],
    }
    letters[1]["to"] = ""
    answer = await client.post("/send/batch", json=body, headers=sender)
    assert (answer.status_code, list_faults(answer)) == (422, [("/messages/1/to", "required")])
    answer = await client.post("/send/batch", json=body | {"mode": "partial"}, headers=sender)
    assert answer.status_code == 200
    assert [set(each) for each in answer.json()["data"]] == [
        {"index", "status"}, {"index", "problem"}, {"index", "status"},
    ]  # fmt: skip
    assert await count_messages(client, sender) == 0


async def test_warnings_stand_beside_their_message(client, sender):
    letters = make_letters(2)
    letters[1]["body"] = "{coś takiego}"
    shown = (await client.post("/send/batch", json={"messages": letters}, headers=sender)).json()
    assert set(shown["data"][0]) == {"index", "id", "status"}
    assert [each["code"] for each in shown["data"][1]["warnings"]] == ["unknown_macro"]


@pytest.mark.parametrize("mode", ["all_or_nothing", "partial"])
async def test_a_batch_needs_smtp_as_a_whole(client, as_role, sender, mode):
    await configure(client, as_role("admin"), "users/anna", mode="draft")
    letters = make_letters(3)
    letters[1]["as_user"] = "anna"
    body = {"messages": letters, "mode": mode}
    answer = await client.post("/send/batch", json=body, headers=sender)
    assert answer.status_code == 422
    assert list_faults(answer) == [("/messages/1/as_user", "smtp_required")]
    await configure(client, as_role("admin"), mode="draft")
    answer = await client.post(
        "/send/batch", json={"messages": make_letters(3), "mode": mode}, headers=sender
    )
    assert list_faults(answer) == [("", "smtp_required")]  # once, not for every message
    assert await count_messages(client, sender) == 0


async def test_no_configuration_is_a_conflict_of_the_whole(client, as_role):
    body = {"messages": make_letters(2)}
    answer = await client.post("/send/batch", json=body, headers=as_role("sender"))
    assert (answer.status_code, answer.json()["code"]) == (409, "no_configuration")
    letters = make_letters(2)
    letters[1]["to"] = ""
    answer = await client.post("/send/batch", json={"messages": letters}, headers=as_role("sender"))
    assert answer.status_code == 422
    assert list_faults(answer) == [
        ("/messages/0", "no_configuration"),
        ("/messages/1/to", "required"),
        ("/messages/1", "no_configuration"),
    ]


async def test_a_user_may_not_send_a_batch_as_somebody_else(client, as_role, sender):
    letters = make_letters(2)
    letters[1]["as_user"] = "piotr"
    for mode in ("all_or_nothing", "partial"):
        body = {"messages": letters, "mode": mode}
        answer = await client.post("/send/batch", json=body, headers=as_role("anna"))
        assert (answer.status_code, answer.json()["code"]) == (403, "other_user")
    assert await count_messages(client, sender) == 0


async def test_only_json_is_taken(client, sender):
    answer = await client.post(
        "/send/batch", content=b"--x--", headers=sender | {"Content-Type": "multipart/form-data; boundary=x"}
    )  # fmt: skip
    assert answer.status_code == 415


class TestLimits:
    """Bounds of a batch."""

    @pytest.fixture(name="settings")
    def small_settings(self, database_url, tmp_path) -> Settings:
        """Small bounds keep the tests small."""
        return Settings(
            data_dir=tmp_path / "data", database_url=database_url, max_batch_messages=3,
            max_attachment_bytes=1000,
        )  # fmt: skip

    async def test_too_many_messages(self, client, sender):
        body = {"messages": make_letters(3)}
        assert (await client.post("/send/batch", json=body, headers=sender)).status_code == 202
        body = {"messages": make_letters(4), "wrong": 1}
        answer = await client.post("/send/batch", json=body, headers=sender)
        assert answer.status_code == 422
        assert list_faults(answer) == [
            ("/wrong", "unknown_field"),
            ("/messages", "too_many_messages"),
        ]

    async def test_attachments_are_counted_per_message_with_those_of_the_defaults(
        self, client, sender
    ):
        letters = make_letters(2)
        letters[1]["attachments"] = [attach("b.txt", b"x" * 401)]
        body = {"defaults": {"attachments": [attach("a.txt", b"x" * 600)]}, "messages": letters}
        answer = await client.post("/send/batch", json=body, headers=sender)
        assert answer.status_code == 413
        assert list_faults(answer) == [("/messages/1/attachments", "attachments_too_large")]
        answer = await client.post("/send/batch", json=body | {"mode": "partial"}, headers=sender)
        first, second = answer.json()["data"]
        assert (first["status"], second["problem"]["status"]) == ("queued", 413)


async def test_protection_that_is_unavailable_keeps_all_from_being_stored(client, office, sender):
    await office.pool.close()
    letters = make_letters(3)
    letters[1] |= {"attachments": [attach("a.pdf", make_pdf())], "attachment_password": "tajne"}
    body = {"messages": letters}
    answer = await client.post("/send/batch", json=body, headers=sender)
    assert (answer.status_code, answer.json()["code"]) == (503, "protection_failed")
    assert answer.headers["retry-after"]
    assert await count_messages(client, sender) == 0
    answer = await client.post("/send/batch", json=body | {"mode": "partial"}, headers=sender)
    first, second, third = answer.json()["data"]
    assert (first["status"], third["status"]) == ("queued", "queued")
    assert second["problem"]["retryable"] is True
    assert await count_messages(client, sender) == 2


async def test_a_great_batch_lets_a_single_message_through(client, office, sender):
    shared = [attach("a.bin", bytes(600_000))]
    body = {"defaults": {"attachments": shared}, "messages": make_letters(150), "mode": "partial"}
    batch = asyncio.create_task(client.post("/send/batch", json=body, headers=sender))
    while await count_messages(client, sender) == 0:
        assert not batch.done()
    single = await client.post("/send", json=LETTER, headers=sender)
    assert single.status_code == 202
    assert not batch.done()
    assert len((await batch).json()["data"]) == 150


async def test_a_batch_tells_how_far_it_is(client, sender, as_role):
    body = {"messages": make_letters(3)}
    batch_id = (await client.post("/send/batch", json=body, headers=sender)).json()["batch_id"]
    answer = await client.get(f"/batches/{batch_id}", headers=sender)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["batch_id"], shown["messages"], shown["waiting"]) == (batch_id, 3, 3)
    assert shown["statuses"] == {"queued": 3}
    assert shown["next_at"] and shown["ends_at"] is None and shown["ended_at"] is None
    missing = await client.get("/batches/none", headers=sender)
    assert (missing.status_code, missing.json()["code"]) == (404, "batch_not_found")
    assert (await client.get(f"/batches/{batch_id}")).status_code == 401
