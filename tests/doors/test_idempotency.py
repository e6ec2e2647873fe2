"""Idempotency-Key: the same request again is one message and the same answer."""

import asyncio

import pytest

from app.accounts.caller import Caller
from app.errors import Refused
from app.mime.address import Mailbox
from app.outbox.accept import Acceptance, accept
from app.outbox.check import ask_ground
from app.outbox.idempotency import Answered, Attempted
from app.outbox.order import Order
from app.outbox.prepare import prepare
from app.outbox.reseal import reseal_all
from tests.doors.sending import LETTER, attach, configure, encode_form

pytestmark = pytest.mark.anyio

KEY = {"Idempotency-Key": "reminder-2/KONTR-0042/2026-11-22"}


@pytest.fixture
async def sender(client, as_role):
    """The header of an ERP's key; a global configuration is stored."""
    await configure(client, as_role("admin"))
    return as_role("sender")


async def list_ids(client, headers):
    shown = (await client.get("/messages?limit=500", headers=headers)).json()
    return [each["id"] for each in shown["data"]]


def check_same(first, second):
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers


async def test_the_same_request_again_gives_the_same_answer(client, sender):
    first = await client.post("/send", json=LETTER, headers=sender | KEY)
    check_same(first, await client.post("/send", json=LETTER, headers=sender | KEY))
    assert len(await list_ids(client, sender)) == 1


async def test_requests_that_mean_the_same_are_the_same(client, sender):
    first = await client.post("/send", json=LETTER, headers=sender | KEY)
    again = dict(reversed(LETTER.items())) | {"cc": None, "dry_run": None}
    check_same(first, await client.post("/send", json=again, headers=sender | KEY))


@pytest.mark.parametrize(
    "change", [{"subject": "Inny"}, {"to": "x@y.example"}, {"cc": []}, {"metadata": {"a": None, "b": 1}},
               {"attachments": [attach("a.txt", b"x" * 5000)]}],
)  # fmt: skip
async def test_another_request_with_the_same_key_is_refused(client, sender, change):
    await client.post("/send", json=LETTER, headers=sender | KEY)
    answer = await client.post("/send", json=LETTER | change, headers=sender | KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert len(await list_ids(client, sender)) == 1


async def test_one_byte_of_a_file_makes_it_another_request(client, sender):
    def form(content):
        return encode_form(b'{"to": "a@b.example", "subject": "a", "body": "b"}',
                           ("a.bin", "application/octet-stream", content))  # fmt: skip

    for content, status in ((b"x" * 5000, 202), (b"x" * 5000, 202), (b"x" * 4999 + b"y", 422)):
        body, header = form(content)
        answer = await client.post("/send", content=body, headers=sender | KEY | header)
        assert answer.status_code == status
    assert len(await list_ids(client, sender)) == 1


@pytest.mark.parametrize("callers", [2, 20])
async def test_the_same_request_many_times_at_once_is_one_message(client, sender, callers):
    letter = LETTER | {"attachments": [attach("a.csv", b"a")], "attachment_password": "tajne"}
    answers = await asyncio.gather(
        *(client.post("/send", json=letter, headers=sender | KEY) for _ in range(callers))
    )
    assert {each.status_code for each in answers} == {202}
    assert len({each.json()["id"] for each in answers}) == 1
    assert sum("idempotent-replayed" not in each.headers for each in answers) == 1
    assert len(await list_ids(client, sender)) == 1


async def test_different_requests_at_once_with_one_key_are_one_message(client, sender):
    answers = await asyncio.gather(
        *(
            client.post("/send", json=LETTER | {"subject": str(number)}, headers=sender | KEY)
            for number in range(8)
        )
    )
    assert sorted(each.status_code for each in answers) == [202] + [422] * 7
    assert len(await list_ids(client, sender)) == 1


async def test_only_successes_are_remembered(client, sender):
    wrong = LETTER | {"to": "nobody"}
    assert (await client.post("/send", json=wrong, headers=sender | KEY)).status_code == 422
    answer = await client.post("/send", json=LETTER, headers=sender | KEY)
    assert answer.status_code == 202
    assert "idempotent-replayed" not in answer.headers


async def test_a_dry_run_neither_uses_nor_takes_a_key(client, sender):
    dry = LETTER | {"dry_run": True}
    assert (await client.post("/send", json=dry, headers=sender | KEY)).status_code == 200
    assert (await client.post("/send", json=LETTER, headers=sender | KEY)).status_code == 202
    assert (await client.post("/send", json=dry, headers=sender | KEY)).status_code == 200


async def test_a_key_belongs_to_its_owner(client, as_role, sender):
    first = await client.post("/send", json=LETTER, headers=sender | KEY)
    for role in ("admin", "anna"):
        answer = await client.post("/send", json=LETTER, headers=as_role(role) | KEY)
        assert answer.status_code == 202
        assert answer.json()["id"] != first.json()["id"]


async def test_the_answer_is_replayed_though_the_configuration_is_gone(client, as_role, sender):
    first = await client.post("/send", json=LETTER, headers=sender | KEY)
    await client.delete("/config/global", headers=as_role("admin"))
    check_same(first, await client.post("/send", json=LETTER, headers=sender | KEY))


async def test_it_holds_after_the_api_key_was_rotated(client, as_role, sender):
    body = {"role": "sender", "name": "ERP"}
    key = (await client.post("/keys", json=body, headers=as_role("admin"))).json()
    old = {"Authorization": f"Bearer {key['key']}"}
    first = await client.post("/send", json=LETTER, headers=old | KEY)
    fresh = (await client.post(f"/keys/{key['id']}/rotate", headers=old)).json()
    new = {"Authorization": f"Bearer {fresh['key']}"}
    check_same(first, await client.post("/send", json=LETTER, headers=new | KEY))


async def test_it_holds_after_the_key_ring_was_rotated(client, office, sender):
    first = await client.post("/send", json=LETTER, headers=sender | KEY)
    office.vault.rotate()
    await office.db.write(reseal_all, office.vault)
    check_same(first, await client.post("/send", json=LETTER, headers=sender | KEY))
    answer = await client.post("/send", json=LETTER | {"subject": "x"}, headers=sender | KEY)
    assert answer.status_code == 422


async def test_equal_keys_that_are_stored_in_one_stroke_are_one_message(office, client, sender):
    caller = Caller("erp", "sender", "Accounting module")
    order = Order(to=(Mailbox("a@x.example"),), subject="s", body="b")

    async def make(key, canonical):
        prepared = await prepare(office, order, await ask_ground(office, order))
        answered = Answered(202, {"id": prepared.id}, (prepared.id,))
        return Acceptance(office, caller, prepared, answered, Attempted(key, canonical))

    first, again = await make("k", b"one"), await make("k", b"one")
    another, reused = await make("l", b"one"), await make("k", b"two")
    told = await office.db.write(accept, (first, again, another, reused))
    assert told[:3] == [None, first.answered, None]
    assert isinstance(told[3], Refused) and told[3].code == "idempotency_key_reused"
    stored = {first.prepared.id, another.prepared.id}
    assert set(await list_ids(client, sender)) == stored


async def test_a_draft_is_replayed_as_a_draft(client, as_role, sender):
    await configure(client, as_role("admin"), mode="draft")
    first = await client.post("/send", json=LETTER, headers=sender | KEY)
    assert first.status_code == 201
    check_same(first, await client.post("/send", json=LETTER, headers=sender | KEY))


@pytest.mark.parametrize("key", ["", "k" * 257, "a\tb", "\x7f"])
async def test_a_key_that_is_none_is_refused(client, sender, key):
    answer = await client.post("/send", json=LETTER, headers=sender | {"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")


async def test_a_key_may_have_256_characters_of_any_language(client, sender):
    key = {"Idempotency-Key": ("ż" * 128).encode()}
    first = await client.post("/send", json=LETTER, headers=sender | key)
    check_same(first, await client.post("/send", json=LETTER, headers=sender | key))
