"""The screen of suppressions: searched, added, taken off and put back, brought in and out."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from tests.web.conftest import _CSRF
from tests.web.test_accounts import list_texts, read_page

pytestmark = pytest.mark.anyio
PATH = "/ui/suppressions"


async def add(browser, address, **fields):
    answer = await browser.submit(PATH, PATH, address=address, reason="manual", **fields)
    assert answer.status_code == 303, answer.text


async def upload(browser, name, content):
    token = _CSRF.search((await browser.get(PATH)).text)[1]
    return await browser.post(
        f"{PATH}/import", data={"csrf": token}, files={"file": (name, content)}
    )


async def test_an_address_is_suppressed_and_the_search_finds_it(signed_in, client, as_role):
    browser = await signed_in("admin")
    assert "Nobody is suppressed" in (await browser.get(PATH)).text
    await add(browser, "Szef <szef@klient.example>", note="Na prośbę", until="2099-12-31")
    await add(browser, "inny@klient.example", scope="users/anna")
    (other, shown) = (await client.get("/suppressions", headers=as_role("admin"))).json()["data"]
    assert (shown["address"], shown["scope"], shown["note"]) == (
        "szef@klient.example", "global", "Na prośbę",
    )  # fmt: skip
    assert shown["expires_at"].startswith("2099-12-31T23:59:59") and other["expires_at"] is None
    for query, found in (
        ("address=SZEF@klient.example", ["szef@klient.example"]),
        ("scope=users/anna", ["inny@klient.example"]),
        ("state=ended", []),
        ("reason=complaint", []),
        ("", ["inny@klient.example", "szef@klient.example"]),
    ):
        page = read_page(await browser.get(f"{PATH}?{query}"))
        assert list_texts(page, "tbody th") == found, query
    page = read_page(await browser.get(f"{PATH}?address=nobody"))
    assert page.css_first("#search-address[aria-invalid=true]")


async def test_what_is_wrong_with_an_entry_stands_at_its_field(signed_in):
    browser = await signed_in("admin")
    for fields, wrong in (
        ({"address": ""}, {"address"}),
        ({"address": "a@", "until": "2020-01-01", "scope": "nowhere"}, {"address", "until"}),
        ({"address": "a@b.example", "scope": "accounts/none"}, {"scope"}),
        ({"address": "a@b.example", "until": "soon"}, {"until"}),
        ({"address": "a@b.example", "reason": "mood"}, {"reason"}),
    ):
        answer = await browser.submit(PATH, PATH, **{"reason": "manual", **fields})
        assert answer.status_code == 422, fields
        page = LexborHTMLParser(answer.text)
        errors = {each.attributes["id"].removeprefix("e-") for each in page.css("small.error")}
        assert errors == wrong, fields


async def test_taking_an_address_off_is_undone(signed_in, client, as_role):
    browser = await signed_in("admin")
    await add(browser, "szef@klient.example", until="2099-12-31", note="n")
    (before,) = (await client.get("/suppressions", headers=as_role("admin"))).json()["data"]
    answer = await browser.submit(PATH, f"{PATH}/{before['id']}/lift")
    page = read_page(await browser.get(answer.headers["location"]))
    assert page.css("tbody tr") == []
    undo = page.css_first("form.undo")
    fields = {each.attributes["name"]: each.attributes["value"] for each in undo.css("input")}
    await browser.post(undo.attributes["action"], data=fields)
    (after,) = (await client.get("/suppressions", headers=as_role("admin"))).json()["data"]
    changes = ("id", "made_at", "updated_at")
    assert [after[name] for name in after if name not in changes] == [
        before[name] for name in before if name not in changes
    ]


async def test_a_list_is_brought_in_whole_or_not_at_all_and_taken_out_again(signed_in):
    browser = await signed_in("admin")
    answer = await upload(browser, "lista.csv", "address;scope\na@b.example;global\nb@;nowhere\n")
    assert answer.status_code == 422
    page = LexborHTMLParser(answer.text)
    assert any(line.startswith("1/address:") for line in list_texts(page, "ul.note li"))
    assert "Nobody is suppressed" in (await browser.get(PATH)).text
    answer = await upload(browser, "lista.csv", "address;note\na@b.example;x\nc@b.example;\n")
    assert answer.status_code == 303, answer.text
    assert "2 new, 0 changed, of 2" in (await browser.get(PATH)).text
    answer = await browser.get(f"{PATH}/export?address=a@b.example")
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(answer.text.splitlines()) == 2 and "a@b.example" in answer.text
    assert (await upload(browser, "wieder.csv", answer.text)).status_code == 303
    assert (await upload(browser, "x.json", '[{"address": "d@b.example"}]')).status_code == 303
    for name, content in (("x.json", "{"), ("x.csv", b"\xff\xfe"), ("x.csv", "who\n")):
        assert (await upload(browser, name, content)).status_code in (400, 422)


async def test_a_user_sees_and_changes_their_own_a_sender_only_reads(signed_in, client, as_role):
    for scope in ("global", "users/anna"):
        given = {"address": f"{scope[0]}@klient.example", "scope": scope}
        await client.post("/suppressions", json=given, headers=as_role("admin"))
    anna, sender = await signed_in("anna"), await signed_in("sender")
    page = read_page(await anna.get(f"{PATH}?scope=global"))
    assert list_texts(page, "tbody th") == ["u@klient.example"]
    await add(anna, "x@klient.example")
    answer = await anna.submit(
        PATH, PATH, address="y@klient.example", reason="manual", scope="global"
    )
    assert answer.status_code == 403
    page = read_page(await sender.get(PATH))
    assert len(page.css("tbody tr")) == 3 and not page.css("main form[method=post]")
    assert (await sender.submit(PATH, PATH, address="z@klient.example")).status_code == 403
