"""API keys over HTTP: made, listed, rotated, revoked, refused."""

import asyncio
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from tests.effort import ONE_ENGINE

pytestmark = pytest.mark.anyio


def _bearer(key):
    return {"Authorization": f"Bearer {key}"}


async def _make(client, headers, **body):
    answer = await client.post(
        "/keys", json={"role": "sender", "name": "ERP"} | body, headers=headers
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _list(client, headers, **query):
    answer = await client.get("/keys", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_a_new_key_is_shown_once_and_works(client, as_role):
    answer = await client.post(
        "/keys", json={"role": "Sender", "name": " Accounting "}, headers=as_role("admin")
    )
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert (made["role"], made["name"], made["user"]) == ("sender", "Accounting", None)
    assert made["key"].startswith(made["prefix"])
    assert (await client.get("/limits", headers=_bearer(made["key"]))).status_code == 200
    listed = (await client.get("/keys", headers=as_role("admin"))).text
    assert made["id"] in listed
    assert made["key"] not in listed
    assert made["key"].removeprefix(made["prefix"]) not in listed


async def test_two_keys_share_nothing(client, as_role):
    one, other = [await _make(client, as_role("admin")) for _ in range(2)]
    assert one["prefix"] != other["prefix"]
    assert one["key"][-52:] != other["key"][-52:]


async def test_every_fault_of_a_new_key_is_told_at_once(client, as_role):
    answer = await client.post(
        "/keys",
        json={"role": "king", "name": "", "user": "a/b", "expires_at": "tomorrow", "rights": []},
        headers=as_role("admin"),
    )
    assert answer.status_code == 422
    assert {(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]} == {
        ("/role", "unknown_value"),
        ("/name", "too_short"),
        ("/user", "invalid_user"),
        ("/expires_at", "invalid_time"),
        ("/rights", "unknown_field"),
    }


@ONE_ENGINE
@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"role": "user", "name": "x"}, "/user", "required"),
        ({"role": "sender", "name": "x", "user": "anna"}, "/user", "not_allowed"),
        ({"role": "sender", "name": "x\ny"}, "/name", "invalid_format"),
        ({"role": "sender", "name": "x" * 201}, "/name", "too_long"),
        ({"role": "sender", "name": 7}, "/name", "wrong_type"),
        ({"role": "sender", "name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at",
         "in_the_past"),
        ({"role": "sender", "name": "x", "expires_at": "2099-01-01T00:00:00"}, "/expires_at",
         "offset_missing"),
    ],
)  # fmt: skip
async def test_a_key_that_makes_no_sense_is_refused(client, as_role, body, pointer, code):
    answer = await client.post("/keys", json=body, headers=as_role("admin"))
    assert answer.status_code == 422
    assert [(f["pointer"], f["code"]) for f in answer.json()["errors"]] == [(pointer, code)]


async def test_a_key_for_a_user_makes_the_user(client, as_role):
    await _make(client, as_role("admin"), role="user", user="zofia")
    assert (await client.get("/users/zofia", headers=as_role("admin"))).status_code == 200


@ONE_ENGINE
@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer awizo_x", "Bearer a b", "Bearer é",
        "Bearer environment", "Bearer awizo_" + "a" * 12 + "_" + "b" * 52, "Bearer a.b.c",
        "Bearer " + "x" * 20_000,
    ],
)  # fmt: skip
async def test_what_is_no_key_is_no_credential(client, header):
    headers = {} if header is None else {"Authorization": header.encode()}
    answer = await client.get("/limits", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="awizo"')
    assert answer.json()["code"] in ("unauthenticated", "invalid_token")


async def test_the_right_prefix_with_a_wrong_secret_is_refused(client, keys):
    wrong = keys["sender"][:-1] + ("a" if keys["sender"][-1] != "a" else "b")
    answer = await client.get("/limits", headers=_bearer(wrong))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


async def test_two_credentials_in_one_request_are_refused(client, keys):
    headers = [("Authorization", f"Bearer {keys[role]}") for role in ("admin", "sender")]
    assert (await client.get("/limits", headers=headers)).status_code == 401


async def test_a_key_stops_at_its_expiry(client, as_role, clock):
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = await _make(client, as_role("admin"), expires_at=until)
    assert (await client.get("/limits", headers=_bearer(made["key"]))).status_code == 200
    clock.advance(hours=1)
    answer = await client.get("/limits", headers=_bearer(made["key"]))
    assert (answer.status_code, answer.json()["code"]) == (401, "key_expired")


async def test_a_revoked_key_stops_at_once_and_is_shown_on_request(client, as_role):
    made = await _make(client, as_role("admin"))
    path = f"/keys/{made['id']}"
    assert (await client.get("/limits", headers=_bearer(made["key"]))).status_code == 200
    assert (await client.delete(path, headers=as_role("admin"))).status_code == 204
    answer = await client.get("/limits", headers=_bearer(made["key"]))
    assert (answer.status_code, answer.json()["code"]) == (401, "key_revoked")
    assert (await client.delete(path, headers=as_role("admin"))).status_code == 404
    assert made["id"] not in [each["id"] for each in await _list(client, as_role("admin"))]
    shown = await _list(client, as_role("admin"), include_revoked="true")
    assert [each["revoked_at"] is not None for each in shown if each["id"] == made["id"]] == [True]


async def test_a_key_that_never_was_cannot_be_revoked(client, as_role):
    for key_id in ("01j", "żółć", "a" * 5000, "'; drop table api_key"):
        assert (await client.delete(f"/keys/{key_id}", headers=as_role("admin"))).status_code == 404


async def test_the_last_admin_key_that_works_stays(client, as_role, clock):
    admin, spare = as_role("admin"), await _make(
        client, as_role("admin"), role="admin",
        expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    )  # fmt: skip
    mine = next(each for each in await _list(client, admin) if each["name"] == "admin")
    clock.advance(hours=2)  # the spare one is of no use any more
    answer = await client.delete(f"/keys/{mine['id']}", headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (409, "last_admin_key")
    clock.advance(hours=-2)
    assert (await client.delete(f"/keys/{mine['id']}", headers=admin)).status_code == 204
    assert (await client.get("/keys", headers=_bearer(spare["key"]))).status_code == 200


async def test_two_admins_who_revoke_each_other_leave_one(client, as_role):
    other = await _make(client, as_role("admin"), role="admin")
    mine = next(each for each in await _list(client, as_role("admin")) if each["name"] == "admin")
    answers = await asyncio.gather(
        client.delete(f"/keys/{mine['id']}", headers=_bearer(other["key"])),
        client.delete(f"/keys/{other['id']}", headers=as_role("admin")),
    )
    # The second may have been let in before the first was done (409), or after (401).
    assert sorted(answer.status_code for answer in answers) in ([204, 401], [204, 409])


async def test_the_list_has_pages(client, as_role):
    made = [(await _make(client, as_role("admin"), name=f"key {n}"))["id"] for n in range(5)]
    seen, after = [], None
    while True:
        query = {"limit": 2} | ({"after": after} if after else {})
        page = (await client.get("/keys", params=query, headers=as_role("admin"))).json()
        assert len(page["data"]) <= 2
        seen += [each["id"] for each in page["data"]]
        after = page["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 10  # with the five of the fixture
    assert seen == sorted(seen, reverse=True)
    assert set(made) <= set(seen)


async def test_use_is_noted_once_a_minute(client, as_role, clock):
    made = await _make(client, as_role("admin"))

    async def use():
        assert (await client.get("/limits", headers=_bearer(made["key"]))).status_code == 200

    async def read():
        listed = await _list(client, as_role("admin"))
        return next(each["last_used_at"] for each in listed if each["id"] == made["id"])

    async def wait_until_other_than(known):
        with anyio.fail_after(10):
            while (noted := await read()) == known:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        return noted

    assert await read() is None
    await use()
    first = await wait_until_other_than(None)
    clock.advance(seconds=30)
    await use()
    clock.advance(seconds=31)
    await use()
    second = await wait_until_other_than(first)
    between = datetime.fromisoformat(second) - datetime.fromisoformat(first)
    assert timedelta(seconds=60) < between < timedelta(seconds=80)


async def test_a_crowd_of_requests_is_told_apart(client, keys):
    async def ask(key):
        return (await client.get("/keys", headers=_bearer(key))).status_code

    crowd = [keys["admin"], keys["sender"], "awizo_" + "a" * 12 + "_" + "b" * 52] * 20
    assert await asyncio.gather(*map(ask, crowd)) == [200, 403, 401] * 20
