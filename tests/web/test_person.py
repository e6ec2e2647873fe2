"""The screen of a user: name, address, language and signature; what a configuration leaves out."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from tests.web.test_accounts import read_page

pytestmark = pytest.mark.anyio
PATH = "/ui/people/anna"


async def test_a_user_writes_a_signature_and_empties_it(signed_in, client, as_role):
    browser = await signed_in("anna")
    fields = {"name": "Anna Kowalska", "signature.html": "<p>Pozdrawiam,<br>{wysyłający}</p>"}
    answer = await browser.submit(PATH, PATH, **fields)
    assert answer.status_code == 303, answer.text
    shown = (await client.get("/users/anna", headers=as_role("anna"))).json()
    assert (shown["name"], shown["signature"]["html"]) == tuple(fields.values())
    page = read_page(await browser.get(PATH))
    assert page.css_first("[name='signature.html']").text().strip() == fields["signature.html"]
    await browser.submit(PATH, PATH, name="Anna Kowalska")
    assert (await client.get("/users/anna", headers=as_role("anna"))).json()["signature"] is None


async def test_what_is_wrong_stands_at_its_field_and_is_kept(signed_in):
    browser = await signed_in("admin")
    answer = await browser.submit(PATH, PATH, address="x", language="po polsku")
    assert answer.status_code == 422
    page = LexborHTMLParser(answer.text)
    errors = {each.attributes["id"].removeprefix("e-") for each in page.css("small.error")}
    assert errors == {"address", "language"}
    assert page.css_first("[name=address]").attributes["value"] == "x"


async def test_somebody_else_is_not_there_and_an_erp_only_reads(signed_in):
    browser = await signed_in("anna")
    assert (await browser.get("/ui/people/piotr")).status_code == 404
    browser = await signed_in("sender")
    assert "<button>Save" not in (await browser.get(PATH)).text


async def test_a_configuration_leaves_out_what_is_ticked(signed_in, client, as_role):
    admin = as_role("admin")
    sender = {"address": "faktury@firma.example"}
    stored = {"mode": "draft", "sender": sender, "closing": {"product_footer": True}}
    await client.put("/config/global", json=stored, headers=admin)
    browser = await signed_in("admin")
    path = "/ui/config/global"
    fields = {"mode": "draft", "sender.address": sender["address"], "off.closing.signature": "on"}
    answer = await browser.submit(path, path, **fields)
    assert answer.status_code == 303, answer.text
    shown = (await client.get("/config/global", headers=admin)).json()
    assert shown["closing"] == {"product_footer": True, "signature": False}
