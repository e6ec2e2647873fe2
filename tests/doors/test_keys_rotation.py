"""Rotation: one owner, two keys for a while, no way to be locked out or to outlive an expiry."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.anyio


def _bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def make(client, as_role):
    async def make(role="sender", **more):
        body = {"role": role, "name": "ERP"} | more
        answer = await client.post("/keys", json=body, headers=as_role("admin"))
        assert answer.status_code == 201, answer.text
        return answer.json()

    return make


async def _rotate(client, key, key_id=None, **body):
    path = f"/keys/{key_id or key['id']}/rotate"
    return await client.post(path, headers=_bearer(key["key"]), **({"json": body} if body else {}))


@pytest.mark.parametrize(
    ("role", "more"), [("admin", {}), ("sender", {}), ("user", {"user": "anna"}), ("probe", {})]
)
async def test_a_key_of_any_role_replaces_itself(client, make, clock, role, more):
    old = await make(role, **more)
    answer = await _rotate(client, old)
    assert answer.status_code == 201
    new = answer.json()
    assert (new["role"], new["name"], new["user"]) == (role, "ERP", old["user"])
    assert new["owner"] == old["owner"] == old["id"]
    assert new["key"] != old["key"]
    for key in (old, new):
        assert (await client.get("/limits", headers=_bearer(key["key"]))).status_code == 200
    clock.advance(hours=24)
    answers = [await client.get("/limits", headers=_bearer(key["key"])) for key in (old, new)]
    assert [answer.status_code for answer in answers] == [401, 200]


async def test_the_overlap_is_the_callers_to_choose(client, make, clock):
    old = await make()
    new = (await _rotate(client, old, overlap_s=60)).json()
    clock.advance(seconds=59)
    assert (await client.get("/limits", headers=_bearer(old["key"]))).status_code == 200
    clock.advance(seconds=1)
    assert (await client.get("/limits", headers=_bearer(old["key"]))).status_code == 401
    assert (await client.get("/limits", headers=_bearer(new["key"]))).status_code == 200


@pytest.mark.parametrize("overlap_s", [-1, 1e12, "60", True])
async def test_an_overlap_that_makes_no_sense_is_refused(client, make, overlap_s):
    answer = await _rotate(client, await make(), overlap_s=overlap_s)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/overlap_s")


async def test_nobody_rotates_another_key(client, make, keys):
    key = await make()
    for role in ("admin", "sender", "anna"):
        answer = await client.post(f"/keys/{key['id']}/rotate", headers=_bearer(keys[role]))
        assert (answer.status_code, answer.json()["code"]) == (403, "not_this_key")
        answer = await client.post("/keys/unknown/rotate", headers=_bearer(keys[role]))
        assert answer.status_code == 403  # the same words: nothing is given away


async def test_an_answer_that_got_lost_is_asked_for_again(client, make):
    old = await make()
    lost = (await _rotate(client, old)).json()
    new = (await _rotate(client, old)).json()
    assert (await client.get("/limits", headers=_bearer(lost["key"]))).status_code == 401
    assert (await client.get("/limits", headers=_bearer(new["key"]))).status_code == 200


async def test_a_successor_in_use_is_not_replaced(client, make, office):
    old = await make()
    new = (await _rotate(client, old)).json()
    again = (await _rotate(client, new)).json()  # a use of the new key, like any other
    answer = await _rotate(client, old)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_rotated")
    assert (await client.get("/limits", headers=_bearer(again["key"]))).status_code == 200


async def test_rotating_never_outlives_the_expiry(client, make, clock):
    until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    old = await make(expires_at=until)
    new = (await _rotate(client, old)).json()
    assert new["expires_at"] == old["expires_at"]
    again = (await _rotate(client, old)).json()
    assert again["expires_at"] == old["expires_at"]
    clock.advance(hours=2)
    for key in (old, again):
        assert (await client.get("/limits", headers=_bearer(key["key"]))).status_code == 401


async def test_two_rotations_at_once_leave_one_successor(client, make, as_role):
    old = await make()
    answers = await asyncio.gather(*(_rotate(client, old) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [201] * 4
    works = [
        (await client.get("/limits", headers=_bearer(answer.json()["key"]))).status_code
        for answer in answers
    ]
    assert sorted(works) == [200, 401, 401, 401]


async def test_the_trail_names_the_rotation_and_holds_no_secret(client, make, as_role):
    old = await make()
    new = (await _rotate(client, old)).json()
    query = {"object": f"keys/{old['id']}", "action": "key.rotate"}
    answer = await client.get("/audit", params=query, headers=as_role("admin"))
    [line] = answer.json()["data"]
    assert line["actor"] == "ERP"
    assert line["after"]["id"] == new["id"]
    for key in (old, new):
        assert key["key"].removeprefix(key["prefix"]) not in answer.text
