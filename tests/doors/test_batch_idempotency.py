"""Keys of batches: of the whole and of each message; exactly once after whatever happened."""

import asyncio

import pytest
from sqlalchemy import delete, func, select

from app.outbox.tables import idempotency, message
from tests.doors.sending import LETTER, attach, configure, list_faults

pytestmark = pytest.mark.anyio

KEY = {"Idempotency-Key": "run-7"}
MODES = pytest.mark.parametrize("mode", ["all_or_nothing", "partial"])


@pytest.fixture
async def sender(client, as_role):
    """The header of an ERP's key; a global configuration is stored."""
    await configure(client, as_role("admin"))
    return as_role("sender")


def make_body(mode, count=5, *, keys=False, **members):
    letters = [
        LETTER | {"to": f"k{number}@klient.example"} | ({"idempotency_key": f"k{number}"} if keys else {})
        for number in range(count)
    ]  # fmt: skip
    return {"messages": letters, "mode": mode} | members


async def count_messages(office):
    return await office.db.read(lambda tx: tx.scalar(select(func.count()).select_from(message)))


@MODES
async def test_the_same_batch_again_gives_the_same_answer(client, office, sender, mode):
    body = make_body(mode)
    first = await client.post("/send/batch", json=body, headers=sender | KEY)
    second = await client.post("/send/batch", json=body, headers=sender | KEY)
    assert (second.status_code, second.json()) == (202, first.json())
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    assert await count_messages(office) == 5
    body["messages"][2]["subject"] = "Inny"
    answer = await client.post("/send/batch", json=body, headers=sender | KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await count_messages(office) == 5


@MODES
async def test_the_same_batch_many_times_at_once_is_sent_once(client, office, sender, mode):
    body = make_body(mode, 120)
    answers = await asyncio.gather(
        *(client.post("/send/batch", json=body, headers=sender | KEY) for _ in range(6))
    )
    assert {each.status_code for each in answers} == {202}
    ids = {tuple(one["id"] for one in each.json()["data"]) for each in answers}
    assert len(ids) == 1
    assert await count_messages(office) == 120


@MODES
async def test_a_message_with_its_own_key_is_sent_once(client, office, sender, mode):
    first = await client.post("/send/batch", json=make_body(mode, 3, keys=True), headers=sender)
    second = await client.post("/send/batch", json=make_body(mode, 5, keys=True), headers=sender)
    assert second.status_code == 202
    before, after = first.json()["data"], second.json()["data"]
    assert [each["id"] for each in after[:3]] == [each["id"] for each in before]
    assert [each.get("replayed") for each in after] == [True] * 3 + [None] * 2
    assert await count_messages(office) == 5


@MODES
async def test_batches_that_overlap_send_each_message_once(client, office, sender, mode):
    bodies = [make_body(mode, count, keys=True) for count in (40, 60, 50, 60)]
    for body in bodies[1::2]:
        body["messages"].reverse()
    answers = await asyncio.gather(
        *(client.post("/send/batch", json=body, headers=sender) for body in bodies)
    )
    assert {each.status_code for each in answers} == {202}
    assert await count_messages(office) == 60


async def test_a_used_key_with_another_message_is_that_messages_fault(client, office, sender):
    await client.post("/send/batch", json=make_body("partial", 2, keys=True), headers=sender)
    body = make_body("all_or_nothing", 3, keys=True)
    body["messages"][1]["subject"] = "Inny"
    answer = await client.post("/send/batch", json=body, headers=sender)
    assert answer.status_code == 422
    assert list_faults(answer) == [("/messages/1", "idempotency_key_reused")]
    assert await count_messages(office) == 2
    answer = await client.post("/send/batch", json=body | {"mode": "partial"}, headers=sender)
    first, second, third = answer.json()["data"]
    assert (first["replayed"], third["status"]) == (True, "queued")
    assert second["problem"]["code"] == "idempotency_key_reused"
    assert await count_messages(office) == 3


async def test_a_key_stands_for_one_message_in_a_batch(client, sender):
    body = make_body("partial", 3, keys=True)
    body["messages"][2]["idempotency_key"] = "k0"
    data = (await client.post("/send/batch", json=body, headers=sender)).json()["data"]
    assert [each["code"] for each in data[2]["problem"]["errors"]] == ["duplicate_idempotency_key"]


@MODES
async def test_single_and_batched_messages_share_their_keys(client, office, sender, mode):
    shared = {"attachments": [attach("a.txt", b"x" * 2000)], "language": "pl"}
    body = make_body(mode, 1, keys=True, defaults=shared)
    batched = await client.post("/send/batch", json=body, headers=sender)
    letter = LETTER | {"to": "k0@klient.example"} | shared
    single = await client.post("/send", json=letter, headers=sender | {"Idempotency-Key": "k0"})
    assert single.headers["idempotent-replayed"] == "true"
    assert single.json()["id"] == batched.json()["data"][0]["id"]
    assert single.json()["attachments"][0]["filename"] == "a.txt"
    single = await client.post("/send", json=letter, headers=sender | {"Idempotency-Key": "k1"})
    body["messages"][0]["idempotency_key"] = "k1"
    batched = await client.post("/send/batch", json=body, headers=sender)
    assert batched.json()["data"][0]["id"] == single.json()["id"]
    assert await count_messages(office) == 2


async def test_a_partial_batch_that_broke_off_goes_on_where_it_was(client, office, sender):
    body = make_body("partial", 250)
    first = await client.post("/send/batch", json=body, headers=sender | KEY)
    ids = [each["id"] for each in first.json()["data"]]
    await office.db.write(_forget_from, ids[100:])  # as if the process had died after 100
    second = await client.post("/send/batch", json=body, headers=sender | KEY)
    data = second.json()["data"]
    assert [each["id"] for each in data[:100]] == ids[:100]
    assert [each.get("replayed") for each in data] == [True] * 100 + [None] * 150
    assert await count_messages(office) == 250
    third = await client.post("/send/batch", json=body, headers=sender | KEY)
    assert third.json() == second.json()


def _forget_from(tx, ids):
    tx.execute(delete(message).where(message.c.id.in_(ids)))
    for row in tx.execute(select(idempotency.c.key, idempotency.c.message_ids)).all():
        if set(row.message_ids) & set(ids):
            tx.execute(delete(idempotency).where(idempotency.c.key == row.key))


async def test_what_may_succeed_later_is_not_remembered(client, office, sender):
    body = make_body("partial", 2)
    body["messages"][1] |= {
        "attachments": [attach("a.csv", b"x"), attach("a.pdf", b"%PDF-1.7")],
        "attachment_password": "tajne",
    }
    await office.pool.close()
    first = await client.post("/send/batch", json=body, headers=sender | KEY)
    assert first.json()["data"][1]["problem"]["status"] == 503
    await office.pool.start()
    second = await client.post("/send/batch", json=body, headers=sender | KEY)
    assert second.json()["data"][0]["replayed"] is True
    assert second.json()["data"][1]["problem"]["code"] == "pdf_damaged"
    third = await client.post("/send/batch", json=body, headers=sender | KEY)
    assert third.headers["idempotent-replayed"] == "true"
    assert await count_messages(office) == 1
