"""The screens of e-mail domains: whom a change touches is seen before it is saved."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from tests.web.test_accounts import list_texts, read_page

pytestmark = pytest.mark.anyio
EDIT = "/ui/domains/edit"
FIELDS = {
    "name": "Firma.example", "username": "address", "smtp.host": "smtp.firma.example",
    "smtp.connection": "starttls", "smtp.auth": "auto", "smtp.tls_verify": "on",
    "incoming.protocol": "imap", "incoming.connection": "auto", "incoming.auth": "auto",
    "incoming.tls_verify": "on",
}  # fmt: skip


@pytest.fixture
async def account(client, as_role):
    """An account of the domain that names no server of its own."""
    common = {"smtp": {"host": "smtp.x.example"}, "sender": {"address": "a@x.example"}}
    await client.put("/config/global", json=common, headers=as_role("admin"))
    own = {"name": "Windykacja", "sender": {"address": "w@firma.example"}}
    answer = await client.post("/accounts", json=own, headers=as_role("admin"))
    assert answer.status_code == 201, answer.text


async def save(browser, **fields):
    answer = await browser.submit(EDIT, EDIT, **FIELDS | fields)
    seen = read_page(answer).css_first("button[name=seen]").attributes["value"]
    return await browser.submit(EDIT, EDIT, **FIELDS | fields, seen=seen)


async def test_a_change_is_saved_after_it_was_seen_whom_it_touches(
    signed_in, client, as_role, account
):
    browser = await signed_in("admin")
    assert "No domain has settings yet" in (await browser.get("/ui/domains")).text
    page = read_page(await browser.submit(EDIT, EDIT, **FIELDS))
    assert list_texts(page, ".note.warning tbody tr > *") == [
        "Windykacja", "–", "smtp.firma.example:587", "has to be entered again",
    ]  # fmt: skip
    assert (await client.get("/domains/firma.example", headers=as_role("admin"))).status_code == 404
    # What was seen counts, not what was typed after it.
    seen = page.css_first("button[name=seen]").attributes["value"]
    other = FIELDS | {"smtp.host": "smtp2.firma.example", "seen": seen}
    page = read_page(await browser.submit(EDIT, EDIT, **other))
    assert "smtp2.firma.example:587" in page.css_first(".note.warning").text()
    answer = await browser.submit(EDIT, EDIT, **FIELDS, seen=seen)
    assert answer.headers["location"] == "/ui/domains"
    shown = (await client.get("/domains/firma.example", headers=as_role("admin"))).json()
    assert shown["smtp"]["host"] == "smtp.firma.example" and shown["incoming"] is None
    page = read_page(await browser.get("/ui/domains"))
    assert "Windykacja" in page.css_first(".note.warning").text()
    assert list_texts(page, "tbody tr > *")[:3] == ["firma.example", "smtp.firma.example", "–"]


async def test_a_domain_is_removed_and_that_is_undone(signed_in, client, as_role, account):
    browser = await signed_in("admin")
    await save(browser, **{"smtp.batch_wait_s": "1,5", "max_attachment_bytes": "20000000"})
    before = (await client.get("/domains/firma.example", headers=as_role("admin"))).json()
    assert before["smtp"]["batch_wait_s"] == 1.5
    page = read_page(await browser.get(f"{EDIT}?name=firma.example"))
    assert page.css_first("input[name='smtp.batch_wait_s']").attributes["value"] == "1.5"
    answer = await browser.submit(EDIT, "/ui/domains/delete", name="firma.example")
    page = read_page(await browser.get(answer.headers["location"]))
    undo = page.css_first("form.undo")
    fields = {each.attributes["name"]: each.attributes["value"] for each in undo.css("input")}
    answer = await browser.post(undo.attributes["action"], data=fields)
    assert answer.headers["location"] == "/ui/domains", answer.text
    after = (await client.get("/domains/firma.example", headers=as_role("admin"))).json()
    assert {name: after[name] for name in before if name not in ("version", "updated_at")} == {
        name: before[name] for name in before if name not in ("version", "updated_at")
    }


async def test_what_is_wrong_stands_at_its_field_and_nothing_is_saved(signed_in):
    browser = await signed_in("admin")
    for fields, wrong in (
        ({"name": ""}, {"name"}),
        ({"name": "10.0.0.1"}, {"name"}),
        ({"smtp.host": "a b", "incoming.host": "", "incoming.port": "x"},
         {"smtp.host", "incoming.host", "incoming.port"}),
    ):  # fmt: skip
        answer = await browser.submit(EDIT, EDIT, **FIELDS | fields)
        assert answer.status_code == 422, fields
        page = LexborHTMLParser(answer.text)
        assert {each.attributes["name"] for each in page.css("[aria-invalid=true]")} == wrong
    assert "No domain has settings yet" in (await browser.get("/ui/domains")).text


async def test_only_an_admin_changes_a_domain(signed_in, account):
    await save(await signed_in("admin"))
    for role in ("sender", "anna"):
        browser = await signed_in(role)
        page = read_page(await browser.get(f"{EDIT}?name=firma.example"))
        assert page.css_first("form > fieldset[disabled]") and not page.css_first("form .save")
        assert (await browser.submit(EDIT, EDIT, **FIELDS)).status_code == 403
        assert (
            await browser.submit(EDIT, "/ui/domains/delete", name="x.example")
        ).status_code == 403
