"""The screen that takes the configuration out and brings it in, its difference first."""

import json

import pytest
from selectolax.lexbor import LexborHTMLParser

from tests.web.conftest import _CSRF
from tests.web.test_accounts import list_texts, read_page

pytestmark = pytest.mark.anyio
PATH = "/ui/portable"
GLOBAL = {
    "smtp": {"host": "smtp.firma.example", "username": "f", "password": "tajne"},
    "sender": {"address": "faktury@firma.example"},
}


async def post(browser, file=None, **fields):
    token = _CSRF.search((await browser.get(PATH)).text)[1]
    content = {"file": ("awizo.json", file)} if file is not None else {"file": ("", b"")}
    return await browser.post(f"{PATH}/import", data={"csrf": token, **fields}, files=content)


async def test_what_is_taken_out_changes_nothing_when_it_is_brought_in(signed_in, client, as_role):
    await client.put("/config/global", json=GLOBAL, headers=as_role("admin"))
    browser = await signed_in("admin")
    answer = await browser.get(f"{PATH}/export")
    assert answer.headers["content-disposition"].startswith('attachment; filename="awizo-')
    assert "tajne" not in answer.text and json.loads(answer.text)["awizo_export"] == 1
    page = read_page(await post(browser, answer.text))
    assert "Everything in the file is so already." in page.css_first("main").text()


async def test_the_difference_is_seen_before_it_is_applied(signed_in, client, as_role):
    await client.put("/config/global", json=GLOBAL, headers=as_role("admin"))
    browser = await signed_in("admin")
    document = json.loads((await browser.get(f"{PATH}/export")).text)
    document["accounts"][0]["configuration"]["sender"]["name"] = "Firma <&> Sp. z o.o."
    page = read_page(await post(browser, json.dumps(document)))
    assert list_texts(page, "ins") == ["Firma <&> Sp. z o.o."]
    shown = (await client.get("/config/global", headers=as_role("admin"))).json()
    assert "name" not in shown["sender"]
    hidden = {
        each.attributes["name"]: each.attributes["value"]
        for each in page.css("input[type=hidden][name=document], input[name=seen]")
    }
    assert hidden["seen"], hidden.keys()
    answer = await post(browser, **hidden)
    assert answer.status_code == 303, list_texts(LexborHTMLParser(answer.text), "main")
    shown = (await client.get("/config/global", headers=as_role("admin"))).json()
    assert shown["sender"]["name"] == "Firma <&> Sp. z o.o." and shown["smtp"]["password_set"]
    answer = await post(browser, **hidden)  # the difference is another one now
    assert answer.status_code == 412


async def test_what_is_wrong_with_a_file_is_told_with_its_place(signed_in):
    browser = await signed_in("admin")
    wrong = {"awizo_export": 1, "accounts": [{"scope": "global", "configuration": {"modus": 1}}]}
    answer = await post(browser, json.dumps(wrong))
    assert answer.status_code == 422
    (line, *_) = list_texts(LexborHTMLParser(answer.text), "#trouble li")
    assert line.startswith("/accounts/0/configuration/modus:")
    for content in ("{", "[]", ""):
        assert (await post(browser, content)).status_code in (400, 422)


async def test_only_an_admin_takes_out_or_brings_in(signed_in):
    for role in ("sender", "anna"):
        browser = await signed_in(role)
        assert (await browser.get(PATH)).status_code == 403
        assert (await browser.get(f"{PATH}/export")).status_code == 403
