"""The screens of mail accounts: list, form, rights, the default, the link for the password's owner."""

import asyncio
import re

import pytest
from selectolax.lexbor import LexborHTMLParser

from tests.web.test_config import FORM, read_fields

pytestmark = pytest.mark.anyio
GLOBAL = {
    "smtp": {"host": "smtp.firma.example"},
    "sender": {"address": "faktury@firma.example", "name": "Firma"},
}
GROUP = {
    "name": "Windykacja",
    "smtp": {"host": "smtp.firma.example", "username": "windykacja"},
    "sender": {"address": "windykacja@firma.example"},
    "senders": "naleznosci@firma.example",
}


@pytest.fixture
async def group(client, as_role):
    """A group's account whose password is missing; its id."""
    answer = await client.put("/config/global", json=GLOBAL, headers=as_role("admin"))
    assert answer.is_success, answer.text
    answer = await client.post("/accounts", json=GROUP, headers=as_role("admin"))
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def read_page(answer):
    assert answer.status_code == 200, answer.text
    return LexborHTMLParser(answer.text)


def list_texts(page, selector):
    return [" ".join(each.text().split()) for each in page.css(selector)]


async def grant(client, as_role, account, user, **given):
    answer = await client.put(
        f"/accounts/{account}/rights/{user}", json=given, headers=as_role("admin")
    )
    assert answer.is_success, answer.text


async def test_without_any_account_the_list_says_what_to_do(signed_in):
    for role, path in (("admin", "/ui/start"), ("anna", "/ui/accounts/new")):
        page = read_page(await (await signed_in(role)).get("/ui/accounts"))
        assert page.css_first(f".empty a[href='{path}']")


async def test_everybody_sees_the_accounts_that_are_theirs_and_what_they_may(
    signed_in, client, as_role, group
):
    await client.put(
        "/config/users/piotr",
        json={"sender": {"address": "piotr@firma.example"}},
        headers=as_role("admin"),
    )
    await grant(client, as_role, group, "anna", send=True)
    seen = {}
    for role in ("admin", "sender", "anna", "piotr"):
        page = read_page(await (await signed_in(role)).get("/ui/accounts"))
        seen[role] = [
            (texts[0].split()[0], texts[-1])
            for row in page.css("tbody tr")
            if (texts := [" ".join(each.text().split()) for each in row.css("th, td")])
        ]
    assert sorted(seen["admin"]) == [
        ("Windykacja", "everything"),
        ("faktury@firma.example", "everything"),
        ("piotr@firma.example", "everything"),
    ]
    assert {may for _, may in seen["sender"]} == {"read its mail"}
    assert sorted(seen["anna"]) == [
        ("Windykacja", "send with it"),
        ("faktury@firma.example", "send with it"),
    ]
    assert sorted(name for name, _ in seen["piotr"]) == [
        "faktury@firma.example",
        "piotr@firma.example",
    ]


async def test_the_list_is_narrowed_by_kind_and_words(signed_in, group):
    browser = await signed_in("admin")
    for query, count in (
        ("q=WINDYK", 1),
        ("kind=personal", 0),
        ("holder=anna", 0),
        ("kind=group", 2),
    ):
        page = read_page(await browser.get(f"/ui/accounts?{query}"))
        assert len(page.css("tbody tr")) == count, query
        assert bool(page.css_first(".empty")) == (count == 0)


async def test_an_account_is_made_changed_and_removed_with_the_form_of_every_configuration(
    signed_in, client, as_role, group
):
    browser = await signed_in("admin")
    page = read_page(await browser.get("/ui/accounts/new"))
    assert page.css_first("input[name=holder]")
    fields = FORM | {
        "name": "Sklep", "holder": "anna", "own.smtp": "on", "own.sender": "on", "senders": "b@firma.example",
        "always_use_name": "on", "sent_copy": "bcc", "own.incoming": "on",
        "incoming.host": "imap.firma.example",
        "incoming.protocol": "imap", "incoming.connection": "ssl_tls", "incoming.tls_verify": "on",
        "unsubscribe": "on", "unsubscribe.text.pl": "Nie chcę", "suppress_hard_bounces": "true",
    }  # fmt: skip
    answer = await browser.submit("/ui/accounts/new", "/ui/accounts/new", **fields)
    assert answer.status_code == 303, answer.text
    path = answer.headers["location"]
    shown = (await client.get(path.removeprefix("/ui"), headers=as_role("admin"))).json()
    assert (shown["name"], shown["holder"], shown["is_default"]) == ("Sklep", "anna", False)
    assert shown["incoming"]["host"] == "imap.firma.example" and shown["sent_copy"] == "bcc"
    assert shown["unsubscribe"] == {"enabled": True, "text": {"pl": "Nie chcę"}}
    assert shown["always_use_name"] is True and shown["suppress_hard_bounces"] is True
    assert [each["address"] for each in shown["senders"]] == ["b@firma.example"]
    before = read_fields((await browser.get(path)).text)
    assert (
        before["incoming.host"] == "imap.firma.example" and before["senders"] == "b@firma.example"
    )
    answer = await browser.submit(path, path, **before | {"off.outgoing": "on"})
    assert answer.headers["location"] == path
    shown = (await client.get(path.removeprefix("/ui"), headers=as_role("admin"))).json()
    assert shown["outgoing"] is False and shown["incoming"]["password_set"] is True
    answer = await browser.submit(path, f"{path}/delete")
    assert answer.headers["location"] == "/ui/accounts"
    assert (await browser.get(path)).status_code == 404


async def test_what_is_wrong_with_a_new_account_stands_at_its_field(signed_in, group):
    browser = await signed_in("admin")
    fields = {"holder": "a/b"}
    answer = await browser.submit("/ui/accounts/new", "/ui/accounts/new", **fields)
    assert answer.status_code == 422
    page = LexborHTMLParser(answer.text)
    assert page.css_first("input[name=holder][aria-invalid=true]").attributes["value"] == "a/b"
    fields = {
        "own.incoming": "on",
        "incoming.tls_verify": "on",
        "incoming.host": "a b",
        "senders": "@",
    }
    answer = await browser.submit("/ui/accounts/new", "/ui/accounts/new", **fields)
    page = LexborHTMLParser(answer.text)
    wrong = {each.attributes["name"] for each in page.css("[aria-invalid=true]")}
    assert wrong == {"incoming.host", "senders"}


async def test_a_user_makes_accounts_of_their_own_alone(signed_in, client, as_role, group):
    browser = await signed_in("anna")
    fields = FORM | {"own.sender": "on", "name": "Moje", "holder": "piotr"}
    answer = await browser.submit("/ui/accounts/new", "/ui/accounts/new", **fields)
    path = answer.headers["location"].removeprefix("/ui")
    assert (await client.get(path, headers=as_role("admin"))).json()["holder"] == "anna"
    assert (await (await signed_in("sender")).get("/ui/accounts/new")).status_code == 403


async def test_the_page_of_an_account_is_as_much_as_the_rights_allow(
    signed_in, client, as_role, group
):
    path = f"/ui/accounts/{group}"
    browser = await signed_in("anna")
    assert (await browser.get(path)).status_code == 404
    await grant(client, as_role, group, "anna", send=True)
    page = read_page(await browser.get(path))
    assert page.css_first("form#config") is None
    assert page.css_first(f"a[href='/ui/compose?account={group}']")
    assert (await browser.submit("/ui/accounts/new", path, **FORM)).status_code == 403
    assert (await browser.get(f"{path}/rights")).status_code == 403
    await grant(client, as_role, group, "anna", manage=True)
    page = read_page(await browser.get(path))
    assert page.css_first("form#config fieldset:not([disabled])")
    assert (await browser.submit(path, f"{path}/default")).status_code == 403
    page = read_page(await (await signed_in("sender")).get(path))
    assert page.css_first("form#config fieldset[disabled]")


async def test_rights_are_granted_until_a_day_and_revoked_and_that_is_undone(
    signed_in, client, as_role, group
):
    browser = await signed_in("admin")
    path = f"/ui/accounts/{group}/rights"
    assert "Nothing is granted" in (await browser.get(path)).text
    answer = await browser.submit(path, path, user="anna", send="on", until="2099-08-31")
    assert answer.headers["location"] == path
    (shown,) = (await client.get(f"/accounts/{group}/rights", headers=as_role("admin"))).json()[
        "data"
    ]
    assert (shown["user"], shown["read"], shown["send"], shown["manage"]) == (
        "anna",
        False,
        True,
        False,
    )
    assert shown["until"].startswith("2099-08-31T23:59:59")
    answer = await browser.submit(path, f"{path}/revoke", user="anna")
    page = read_page(await browser.get(answer.headers["location"]))
    assert page.css("tbody tr") == []
    undo = page.css_first("form.undo")
    fields = {each.attributes["name"]: each.attributes["value"] for each in undo.css("input")}
    await browser.post(undo.attributes["action"], data=fields)
    again = (await client.get(f"/accounts/{group}/rights", headers=as_role("admin"))).json()["data"]
    assert again == [shown | {"granted_at": again[0]["granted_at"]}]


async def test_a_grant_that_is_wrong_says_so_at_each_field(signed_in, group):
    browser = await signed_in("admin")
    path = f"/ui/accounts/{group}/rights"
    for fields, wrong in (
        ({"user": "", "until": "soon"}, {"user", "until", "rights"}),
        ({"user": "anna", "read": "on", "until": "2020-01-01"}, {"until"}),
        ({"user": "a/b", "read": "on"}, {"user"}),
    ):
        answer = await browser.submit(path, path, **fields)
        assert answer.status_code == 422
        page = LexborHTMLParser(answer.text)
        assert {
            each.attributes["id"].removeprefix("e-") for each in page.css("small.error")
        } == wrong
        assert page.css_first("input[name=user]").attributes["value"] == fields["user"]


async def test_another_default_account_is_chosen_and_that_is_undone(
    signed_in, client, as_role, group
):
    browser = await signed_in("admin")
    answer = await browser.submit(f"/ui/accounts/{group}", f"/ui/accounts/{group}/default")
    page = read_page(await browser.get(answer.headers["location"]))
    headers = as_role("admin")
    assert (await client.get("/config/global", headers=headers)).json()["name"] == "Windykacja"
    undo = page.css_first("form.undo")
    fields = {each.attributes["name"]: each.attributes["value"] for each in undo.css("input")}
    await browser.post(undo.attributes["action"], data=fields)
    assert "name" not in (await client.get("/config/global", headers=headers)).json()


async def test_the_owner_enters_the_password_by_a_link_once_without_signing_in(
    signed_in, browser, client, as_role, group
):
    admin = await signed_in("admin")
    answer = await admin.submit(f"/ui/accounts/{group}", f"/ui/accounts/{group}/password-link")
    link = read_page(answer).css_first("#fresh").text()
    assert re.fullmatch(r"http://awizo\.example/ui/password/\S+", link)
    page = read_page(await browser.get(link))
    words = " ".join(page.css_first("main").text().split())
    assert "windykacja@firma.example" in words and "smtp.firma.example:587" in words
    assert page.css_first("nav.menu") is None
    assert (await browser.submit(link, link, password="")).status_code == 422
    answer = await browser.submit(link, link, password="tajne hasło")
    assert answer.status_code == 200 and "is stored" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    shown = (await client.get(f"/accounts/{group}", headers=as_role("admin"))).json()
    assert shown["smtp"]["password_set"] is True and shown["state"] == "active"
    for used in (link, link[:-3] + "abc", "/ui/password/nonsense"):
        answer = await browser.get(used)
        assert answer.status_code == 404 and "not valid, was used, or is too old" in answer.text
    page = read_page(await admin.get(f"/ui/accounts/{group}"))
    assert page.css_first("#reveal") is None  # nobody's to read


async def test_an_account_that_has_trouble_is_named_in_the_overview(signed_in, group):
    page = read_page(await (await signed_in("admin")).get("/ui/"))
    (line,) = list_texts(page, ".note.warning b")
    assert line == "Account Windykacja:"
    assert page.css_first(f"a[href='/ui/accounts/{group}']")


async def test_a_test_of_an_account_tries_that_account(signed_in, group):
    browser = await signed_in("admin")
    path = f"/ui/accounts/{group}"
    fields = read_fields((await browser.get(path)).text)
    fields |= {
        "smtp.host": "127.0.0.1",
        "smtp.port": "1",
        "smtp.username": "",
        "probe.mode": "connect",
    }
    answer = await browser.submit(path, f"{path}/test", **fields)
    assert answer.status_code == 200, answer.text
    assert "It failed at:" in answer.text


async def test_a_button_that_is_pressed_twice_makes_one_account(signed_in, client, as_role):
    browser = await signed_in("admin")
    await client.put("/config/global", json=GLOBAL, headers=as_role("admin"))
    page = read_page(await browser.get("/ui/accounts/new"))
    once = page.css_first("form#config input[name=once]").attributes["value"]
    fields = {"name": "Windykacja", "once": once}
    first, second = await asyncio.gather(
        *(browser.submit("/ui/accounts/new", "/ui/accounts/new", **fields) for _ in range(2))
    )
    assert first.status_code == second.status_code == 303
    assert first.headers["location"] == second.headers["location"]
    path = first.headers["location"]
    await browser.submit(path, f"{path}/default")
    third = await browser.submit("/ui/accounts/new", "/ui/accounts/new", **fields)
    assert third.headers["location"] == path
    assert "was made already" in (await browser.get(path)).text
    found = (await client.get("/accounts?q=Windykacja", headers=as_role("admin"))).json()["data"]
    assert [each["version"] for each in found] == [1]


async def test_the_form_of_a_removed_account_makes_it_again(signed_in, client, as_role):
    await client.put("/config/global", json=GLOBAL, headers=as_role("admin"))
    browser = await signed_in("admin")
    page = read_page(await browser.get("/ui/accounts/new"))
    fields = {"once": page.css_first("form#config input[name=once]").attributes["value"]}
    path = (await browser.submit("/ui/accounts/new", "/ui/accounts/new", **fields)).headers[
        "location"
    ]
    await browser.submit(path, f"{path}/delete")
    again = await browser.submit("/ui/accounts/new", "/ui/accounts/new", **fields)
    assert again.headers["location"] == path
    assert "Saved." in (await browser.get(path)).text


async def test_a_form_of_another_session_makes_an_account_of_its_own(signed_in, client, as_role):
    await client.put("/config/global", json=GLOBAL, headers=as_role("admin"))
    admin, anna = await signed_in("admin"), await signed_in("anna")
    page = read_page(await admin.get("/ui/accounts/new"))
    once = page.css_first("form#config input[name=once]").attributes["value"]
    made = {
        (await browser.submit("/ui/accounts/new", "/ui/accounts/new", once=each)).headers[
            "location"
        ]
        for browser, each in ((admin, once), (anna, once), (anna, f"{once[:26]}."), (anna, "żółć"))
    }
    assert len(made) == 4
    assert f"/ui/accounts/{once[:26]}" in made


async def test_a_badge_fits_what_it_stands_beside_in_every_language(signed_in, client, as_role):
    """The same badge stands beside a configuration, an account and a server: no word with a gender."""
    await client.put("/config/global", json=GLOBAL, headers=as_role("admin"))
    browser = await signed_in("admin")
    for language, said in (("pl", "działa"), ("fr", "en service"), ("en", "ready")):
        for path in ("/ui/accounts", "/ui/config/global", "/ui/config"):
            page = read_page(await browser.get(f"{path}?lang={language}"))
            assert said in list_texts(page, ".badge"), (language, path)
