"""Users over HTTP: the ids of the ERP, and who stands behind them."""

import unicodedata
from urllib.parse import quote

import pytest

from tests.effort import ONE_ENGINE

pytestmark = pytest.mark.anyio

ANNA = {"name": "Anna Kowalska", "address": "anna@firma.example", "language": "pl"}


async def _put(client, headers, user="anna", body=ANNA):
    return await client.put(f"/users/{quote(user, safe='')}", json=body, headers=headers)


async def test_what_was_put_is_shown(client, as_role):
    put = await _put(client, as_role("admin"), "nowak")
    assert put.status_code == 200, put.text
    shown = (await client.get("/users/nowak", headers=as_role("sender"))).json()
    assert shown == put.json()
    assert shown.items() >= ANNA.items()
    assert (shown["id"], shown["active_scope"]) == ("nowak", "global")


async def test_putting_again_replaces_everything(client, as_role):
    await _put(client, as_role("admin"))
    answer = await _put(client, as_role("admin"), body={"language": "fr-CH", "name": None})
    shown = answer.json()
    assert (shown["name"], shown["address"], shown["language"]) == (None, None, "fr-CH")


async def test_what_get_shows_can_be_put_back(client, as_role):
    await _put(client, as_role("admin"))
    shown = (await client.get("/users/anna", headers=as_role("admin"))).json()
    answer = await _put(client, as_role("admin"), body=shown | {"name": "A. Kowalska"})
    assert answer.status_code == 200
    assert answer.json() | {"updated_at": ""} == shown | {"name": "A. Kowalska", "updated_at": ""}


async def test_an_id_exists_from_its_first_use_only(client, as_role):
    answer = await client.get("/users/nobody", headers=as_role("sender"))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_user_knows_only_themself(client, as_role):
    assert (await _put(client, as_role("anna"))).status_code == 200
    assert (await client.get("/users/anna", headers=as_role("anna"))).status_code == 200
    assert (await client.get("/users/piotr", headers=as_role("anna"))).status_code == 404
    assert (await _put(client, as_role("anna"), "piotr")).status_code == 404
    assert (await client.get("/users", headers=as_role("anna"))).status_code == 403


@ONE_ENGINE
@pytest.mark.parametrize(
    "user",
    ["a", "1", "x" * 128, "Łukasz Żółć", "a.b@firma.example", "a b", "日本", "😀" * 128, "%2e",
     "a?b#c&d=e", "' or 1=1 --", "...", "a\\b", "_", "global"],
)  # fmt: skip
async def test_any_name_of_an_erp_is_a_user_id(client, as_role, user):
    answer = await _put(client, as_role("admin"), user)
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == user
    shown = await client.get(f"/users/{quote(user, safe='')}", headers=as_role("admin"))
    assert shown.json()["id"] == user


@ONE_ENGINE
@pytest.mark.parametrize(
    "path",
    ["x" * 129, "%00", "a%00b", "a%0Ab", "%7F", "%C2%85", "%20", "%E3%80%80", "%FF", "a%C3",
     "%ED%A0%80", "%E2%80%A8", "%EF%BF%BD", "x" * 20_000],
)  # fmt: skip
async def test_what_is_no_user_id_is_refused(client, as_role, path):
    answer = await client.put(f"/users/{path}", json=ANNA, headers=as_role("admin"))
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_user"


async def test_a_slash_makes_another_path(client, as_role):
    for path in ("/users/a%2Fb", "/users/a/b", "/users/"):
        answer = await client.put(path, json=ANNA, headers=as_role("admin"))
        assert answer.status_code == 404, path


async def test_case_counts_and_spelling_of_accents_does_not(client, as_role):
    await _put(client, as_role("admin"), "Żółć")
    decomposed = unicodedata.normalize("NFD", "Żółć")
    shown = await client.get(f"/users/{quote(decomposed)}", headers=as_role("admin"))
    assert shown.json()["id"] == "Żółć"
    assert (await client.get("/users/żółć", headers=as_role("admin"))).status_code == 404


@ONE_ENGINE
@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"name": "A\r\nBcc: x@y.example"}, [("/name", "invalid_character")]),
        ({"name": "A" * 257}, [("/name", "too_long")]),
        ({"name": 1, "language": []}, [("/name", "wrong_type"), ("/language", "wrong_type")]),
        ({"address": "a@x.example, b@x.example"}, [("/address", "invalid_address")]),
        ({"address": "nobody", "language": "polski!"},
         [("/language", "invalid_language"), ("/address", "invalid_address")]),
        ({"adress": "a@x.example"}, [("/adress", "unknown_field")]),
        ([], [("", "wrong_type")]),
        ("anna", [("", "wrong_type")]),
    ],
)  # fmt: skip
async def test_what_nobody_can_be_is_refused(client, as_role, body, faults):
    answer = await _put(client, as_role("admin"), body=body)
    assert answer.status_code == 422
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == faults


async def test_the_list_is_in_order_and_has_pages(client, as_role):
    users = ["Zofia", "anna", "łukasz", "ze spacją", "😀" * 128]
    for user in users:
        await _put(client, as_role("admin"), user)
    seen, after = [], None
    while True:
        query = {"limit": 1} | ({"after": after} if after else {})
        page = (await client.get("/users", params=query, headers=as_role("sender"))).json()
        seen += [each["id"] for each in page["data"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == sorted({*users, "anna", "piotr"})
    assert len(seen) == len(set(seen))
