"""``/suppressions``: who is not to be written to, as its callers see it."""

import csv
import io

import pytest

from tests.doors.sending import LETTER, configure, list_faults

pytestmark = pytest.mark.anyio

WHO = "szef@klient.example"


async def put(client, headers, status=201, **members):
    answer = await client.post("/suppressions", json={"address": WHO} | members, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


async def list_all(client, headers, query=""):
    answer = await client.get(f"/suppressions{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return [(each["address"], each["scope"]) for each in answer.json()["data"]]


async def test_a_suppression_is_made_shown_changed_and_lifted(client, as_role):
    admin = as_role("admin")
    made = await put(client, admin, address="Szef <Szef@klient.example>", note=" zadzwonił ")
    assert made["address"] == "Szef@klient.example"
    assert (made["scope"], made["reason"], made["note"]) == ("global", "manual", "zadzwonił")
    assert (made["expires_at"], made["made_by"], made["stopped"]) == (None, "admin", 0)
    changed = await put(client, admin, 200, reason="complaint")  # one address in any case
    assert (changed["id"], changed["reason"], changed["note"]) == (made["id"], "complaint", "")
    path = f"/suppressions/{made['id']}"
    shown = await client.get(path, headers=as_role("sender"))
    assert shown.json() == {key: value for key, value in changed.items() if key != "stopped"}
    assert (await client.delete(path, headers=admin)).status_code == 204
    gone = await client.delete(path, headers=admin)
    assert (gone.status_code, gone.json()["code"]) == (404, "suppression_not_found")
    trail = (await client.get("/audit", headers=admin)).json()["data"]
    assert [each["action"] for each in trail if each["action"].startswith("supp")] == [
        "suppression.delete", "suppression.change", "suppression.create",
    ]  # fmt: skip


async def test_the_list_is_narrowed_and_read_in_pages(client, as_role, clock):
    admin = as_role("admin")
    later = (clock().replace(microsecond=0)).isoformat().replace("+00:00", "Z")
    clock.advance(hours=-1)
    await put(client, admin, expires_at=later)
    clock.advance(hours=1, seconds=2)
    await put(client, admin, scope="users/anna", reason="unsubscribed")
    await put(client, admin, address="inny@klient.example")
    both = [("inny@klient.example", "global"), (WHO, "users/anna")]
    assert await list_all(client, admin) == [*both, (WHO, "global")]
    assert await list_all(client, admin, "?active=true") == both
    assert await list_all(client, admin, "?active=false") == [(WHO, "global")]
    assert await list_all(client, admin, "?scope=users/anna") == [(WHO, "users/anna")]
    assert await list_all(client, admin, "?reason=unsubscribed") == [(WHO, "users/anna")]
    assert len(await list_all(client, admin, f"?address={WHO.upper()}")) == 2
    first = (await client.get("/suppressions?limit=2", headers=admin)).json()
    assert await list_all(client, admin, f"?after={first['next']}") == [(WHO, "global")]


async def test_a_users_key_has_that_users_list_and_no_other(client, as_role):
    admin, anna = as_role("admin"), as_role("anna")
    common = await put(client, admin)
    own = await put(client, anna)
    assert own["scope"] == "users/anna"
    assert await list_all(client, anna) == [(WHO, "users/anna")]
    for scope in ("global", "users/piotr"):
        refused = await client.post(
            "/suppressions", json={"address": WHO, "scope": scope}, headers=anna
        )
        assert (refused.status_code, refused.json()["code"]) == (403, "other_scope")
        assert (await client.get(f"/suppressions?scope={scope}", headers=anna)).status_code == 403
    for method in ("GET", "DELETE"):
        answer = await client.request(method, f"/suppressions/{common['id']}", headers=anna)
        assert answer.status_code == 404
    exported = (await client.get("/suppressions/export", headers=anna)).text
    assert [row["scope"] for row in csv.DictReader(io.StringIO(exported))] == ["users/anna"]


async def test_a_suppressed_recipient_is_shown_and_the_others_get_their_mail(client, as_role):
    admin, sender = as_role("admin"), as_role("sender")
    await configure(client, admin)
    await put(client, admin, reason="unsubscribed")
    letter = LETTER | {"to": [WHO, "inny@klient.example"]}
    answer = (await client.post("/send", json=letter, headers=sender)).json()
    assert answer["status"] == "queued"
    shown = [(each["state"], each["reason"]) for each in answer["recipients"]]
    assert shown == [("suppressed", "unsubscribed"), ("queued", None)]
    assert answer["counts"] == {"suppressed": 1, "queued": 1}
    assert [(each["code"], each["pointer"]) for each in answer["warnings"]] == [
        ("recipient_suppressed", "/to")
    ]
    stored = (await client.get(f"/messages/{answer['id']}", headers=sender)).json()
    assert stored["recipients"] == answer["recipients"]
    events = (await client.get(f"/messages/{answer['id']}/events", headers=sender)).json()["data"]
    assert [each["type"] for each in events] == ["message.accepted", "recipient.suppressed"]
    assert (events[1]["recipient"], events[1]["data"]) == (WHO, {"reason": "unsubscribed"})


async def test_a_message_to_nobody_else_is_suppressed_whole(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    await put(client, admin)
    answer = await client.post("/send?wait=5", json=LETTER | {"to": WHO}, headers=admin)
    assert (answer.status_code, answer.json()["status"]) == (200, "suppressed")
    assert answer.json()["ended_at"] is not None
    path = f"/messages/{answer.json()['id']}"
    for verb in ("retry", "release"):
        refused = await client.post(f"{path}/{verb}", headers=admin)
        assert (refused.status_code, refused.json()["code"]) == (409, "recipient_suppressed")
    again = (await client.post(f"{path}/resend", headers=admin)).json()
    assert again["status"] == "suppressed"
    (held,) = (await client.get("/suppressions", headers=admin)).json()["data"]
    await client.delete(f"/suppressions/{held['id']}", headers=admin)
    again = (await client.post(f"{path}/resend", headers=admin)).json()
    assert (again["status"], again["recipients"][0]["state"]) == ("queued", "queued")


async def test_in_a_batch_each_message_is_looked_at_by_itself(client, as_role):
    admin = as_role("admin")
    await configure(client, admin)
    await put(client, admin)
    batch = {
        "defaults": {"subject": "s", "body": "b"},
        "messages": [{"to": WHO}, {"to": "inny@klient.example"}],
    }
    answer = (await client.post("/send/batch", json=batch, headers=admin)).json()
    assert [each["status"] for each in answer["data"]] == ["suppressed", "queued"]
    assert answer["data"][0]["warnings"][0]["code"] == "recipient_suppressed"


async def test_what_waits_stops_when_a_suppression_is_made(client, as_role, clock):
    admin = as_role("admin")
    await configure(client, admin)
    await configure(client, admin, "users/anna")
    letter = LETTER | {"to": WHO, "send_at": "2099-01-01T00:00:00Z"}
    too_far = await client.post("/send", json=letter, headers=admin)
    assert too_far.status_code == 422
    letter["send_at"] = clock().replace(year=clock().year + 1, day=1).isoformat()
    mine = (await client.post("/send", json=letter | {"as_user": "anna"}, headers=admin)).json()
    common = (await client.post("/send", json=letter, headers=admin)).json()
    assert (await put(client, admin, scope="users/anna"))["stopped"] == 1

    async def look(message):
        return (await client.get(f"/messages/{message['id']}", headers=admin)).json()["status"]

    assert (await look(mine), await look(common)) == ("suppressed", "scheduled")
    assert (await put(client, admin))["stopped"] == 1
    assert await look(common) == "suppressed"


async def test_a_list_is_imported_tried_first_and_exported_as_it_was(client, as_role, clock):
    admin = as_role("admin")
    until = clock().replace(year=clock().year + 1, day=1, microsecond=0).isoformat()
    table = (
        "\ufeffaddress;reason;expires_at;note\r\n"
        "a@klient.example;Hard-Bounce;;\r\n"
        f'b@klient.example;;{until};"=1+1; x"\r\n'
        "a@klient.example;complaint;;last counts\r\n"
    )
    headers = admin | {"Content-Type": "text/csv; charset=utf-8"}
    path = "/suppressions/import"
    tried = await client.post(f"{path}?dry_run=true", content=table.encode(), headers=headers)
    assert tried.json() == {"dry_run": True, "lines": 3, "created": 2, "changed": 0, "stopped": 0}
    assert await list_all(client, admin) == []
    done = await client.post(path, content=table.encode(), headers=headers)
    assert done.json() == {"dry_run": False, "lines": 3, "created": 2, "changed": 0, "stopped": 0}
    exported = await client.get("/suppressions/export", headers=admin)
    assert exported.headers["content-type"].startswith("text/csv")
    rows = {row["address"]: row for row in csv.DictReader(io.StringIO(exported.text))}
    assert rows["a@klient.example"]["reason"] == "complaint"
    assert rows["b@klient.example"]["note"] == "'=1+1; x"  # no formula where it is opened
    before = (await client.get("/suppressions", headers=admin)).json()
    again = await client.post(path, content=exported.content, headers=headers)
    assert (again.json()["created"], again.json()["changed"]) == (0, 0)
    assert (await client.get("/suppressions", headers=admin)).json() == before
    listed = await client.post(
        path, json=[{"address": "a@klient.example", "scope": "users/ola"}], headers=admin
    )
    assert listed.json()["created"] == 1


async def test_every_wrong_line_is_told_and_nothing_is_stored(client, as_role):
    admin = as_role("admin")
    items = [
        {"address": "good@klient.example"},
        {"address": "bad@", "reason": "because", "more": 1},
        7,
        {"address": WHO, "expires_at": "2020-01-01T00:00:00Z"},
        {},
    ]
    answer = await client.post("/suppressions/import", json=items, headers=admin)
    assert answer.status_code == 422
    assert sorted(list_faults(answer)) == [
        ("/1/address", "invalid_address"), ("/1/more", "unknown_field"),
        ("/1/reason", "unknown_value"), ("/2", "wrong_type"),
        ("/3/expires_at", "expires_at_passed"), ("/4/address", "required"),
    ]  # fmt: skip
    scopes = [
        {"address": WHO, "scope": scope}
        for scope in ("users/", "accounts/none", "x", "users/a/b", "global")
    ]
    answer = await client.post("/suppressions/import", json=scopes, headers=admin)
    assert sorted(list_faults(answer)) == [
        ("/0/scope", "invalid_scope"), ("/1/scope", "account_not_found"),
        ("/2/scope", "invalid_scope"), ("/3/scope", "invalid_scope"),
    ]  # fmt: skip
    assert await list_all(client, admin) == []


@pytest.mark.parametrize(
    ("table", "status", "faults"),
    [
        (b"address\n\xff@x.example\n", 400, []),
        (b'address\n"a@x.example\n', 400, []),
        (b"", 422, [("", "columns_missing")]),
        (b"mail,reason\na@x.example,manual\n", 422,
         [("", "columns_missing"), ("", "unknown_column")]),
        (b"address,note\na@x.example\n\nb@x.example,x,y\n", 422,
         [("/0", "wrong_cells"), ("/1", "wrong_cells")]),
        (b"address,address\na@x.example,b@x.example\n", 422, [("", "columns_missing")]),
    ],
)  # fmt: skip
async def test_what_is_no_table_is_refused(client, as_role, table, status, faults):
    headers = as_role("admin") | {"Content-Type": "text/csv"}
    answer = await client.post("/suppressions/import", content=table, headers=headers)
    assert answer.status_code == status, answer.text
    assert sorted(list_faults(answer)) == faults
