"""The audit trail over HTTP."""

import pytest

pytestmark = pytest.mark.anyio


async def _read(client, headers, **query):
    answer = await client.get("/audit", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_a_change_is_told_from_what_to_what_by_whom(client, as_role):
    headers = as_role("admin") | {"X-Request-Id": "ticket-17"}
    await client.put("/users/anna", json={"name": "Anna"}, headers=as_role("anna"))
    await client.put("/users/anna", json={"name": "Anna Nowak", "language": "pl"}, headers=headers)
    newest, older = await _read(client, as_role("admin"), object="users/anna")
    assert newest["action"] == "user.put"
    assert newest["before"] == {
        "name": "Anna",
        "address": None,
        "language": None,
        "signature": None,
    }
    assert newest["after"] == {
        "name": "Anna Nowak",
        "address": None,
        "language": "pl",
        "signature": None,
    }
    assert (newest["actor"], newest["role"]) == ("admin", "admin")
    assert newest["request_id"] == "ticket-17"
    assert (older["actor"], older["role"], older["before"]["name"]) == ("anna", "user", None)


async def test_what_was_refused_leaves_no_line(client, as_role):
    before = await _read(client, as_role("admin"))
    await client.put("/users/anna", json={"language": "!"}, headers=as_role("admin"))
    await client.delete("/keys/unknown", headers=as_role("admin"))
    assert await _read(client, as_role("admin")) == before


async def test_lines_are_found_by_object_actor_and_action(client, as_role):
    for role in ("anna", "piotr"):
        await client.put(f"/users/{role}", json={}, headers=as_role(role))
    admin = as_role("admin")
    assert [each["object"] for each in await _read(client, admin, actor="piotr")] == ["users/piotr"]
    assert len(await _read(client, admin, action="user.put")) == 2
    assert await _read(client, admin, action="user.put", actor="nobody") == []
    created = await _read(client, admin, action="key.create")
    assert [each["actor"] for each in created] == ["system"] * 5


async def test_the_trail_has_pages_newest_first(client, as_role):
    for name in ("one", "two", "three"):
        await client.put("/users/anna", json={"name": name}, headers=as_role("anna"))
    query = {"limit": 2, "object": "users/anna"}
    first = (await client.get("/audit", params=query, headers=as_role("admin"))).json()
    assert [each["after"]["name"] for each in first["data"]] == ["three", "two"]
    query["after"] = first["next"]
    second = (await client.get("/audit", params=query, headers=as_role("admin"))).json()
    assert [each["after"]["name"] for each in second["data"]] == ["one"]
    assert second["next"] is None


async def test_no_line_holds_a_key(client, as_role, keys):
    made = await client.post("/keys", json={"role": "probe", "name": "x"}, headers=as_role("admin"))
    trail = (await client.get("/audit", headers=as_role("admin"))).text
    for key in (*keys.values(), made.json()["key"]):
        assert key.rpartition("_")[2] not in trail
