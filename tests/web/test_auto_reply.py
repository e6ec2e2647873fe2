"""The automatic reply on an account's pages: written, tried, saved; and what became of the last mails."""

from datetime import UTC, datetime

import pytest
from selectolax.lexbor import LexborHTMLParser
from sqlalchemy import select

from app.configuration.load import load_account
from app.configuration.tables import account as accounts
from app.inbox.clerk import tidy_up
from app.inbox.take_in import take_in
from app.mime.incoming import read_incoming
from tests.doors.sending import configure
from tests.rooms.inbox.letters import write_mail
from tests.web.test_accounts import list_texts, read_page
from tests.web.test_config import FORM as ACCOUNT_FORM

pytestmark = pytest.mark.anyio

FORM = {
    "enabled": "on", "engine": "macros", "subject": "Urlop", "body": "Cześć {from name}!",
    "period_h": "168", "from_at": "", "until_at": "", "version": "",
    "sample_from": "Ewa <ewa@klient.example>", "sample_subject": "Oferta",
}  # fmt: skip


@pytest.fixture
async def account(client, as_role, office) -> str:
    """The id of the common account."""
    box = {"host": "imap.firma.example", "username": "faktury@firma.example", "password": "x"}
    await configure(client, as_role("admin"), incoming=box)
    return await office.db.read(lambda tx: tx.scalar(select(accounts.c.id)))


async def test_it_is_written_saved_and_shown_again_in_the_visitors_time(
    signed_in, client, as_role, account
):
    browser = await signed_in("admin")
    browser.cookies.set("awizo_zone", "Europe/Warsaw")
    path = f"/ui/accounts/{account}/auto-reply"
    page = read_page(await browser.get(path))
    assert "No mail has come" in page.css_first(".empty").text()
    tab = page.css_first("nav.tabs [aria-current=page]")
    assert (tab.text(), tab.attributes["href"]) == ("Automatic reply", path)
    times = {"from_at": "2026-12-24T00:00", "until_at": "2027-07-01T08:30"}
    answer = await browser.submit(path, path, **FORM | times)
    assert answer.headers["location"] == path, answer.text
    page = read_page(await browser.get(path))
    for name, value in times.items():
        assert page.css_first(f"[name={name}]").attributes["value"] == value
    assert page.css_first("textarea[name=body]").text().strip() == "Cześć {from name}!"
    stored = (await client.get("/config/global", headers=as_role("admin"))).json()["auto_reply"]
    assert stored == {
        "enabled": True, "engine": "macros", "subject": "Urlop", "body": "Cześć {from name}!",
        "period_h": 168, "from_at": "2026-12-24T00:00:00+01:00",
        "until_at": "2027-07-01T08:30:00+02:00",
    }  # fmt: skip
    assert (await browser.submit(path, path, **FORM | {"enabled": ""})).status_code == 303
    stored = (await client.get("/config/global", headers=as_role("admin"))).json()["auto_reply"]
    assert not stored["enabled"] and "from_at" not in stored


async def test_the_accounts_own_page_leaves_it_alone(signed_in, client, as_role, account):
    browser, path = await signed_in("admin"), f"/ui/accounts/{account}"
    await browser.submit(f"{path}/auto-reply", f"{path}/auto-reply", **FORM)
    answer = await browser.submit("/ui/config/global", "/ui/config/global", **ACCOUNT_FORM)
    assert answer.status_code == 303, answer.text
    stored = (await client.get("/config/global", headers=as_role("admin"))).json()
    assert stored["auto_reply"]["subject"] == "Urlop"


async def test_what_is_wrong_stands_at_its_field_and_nothing_is_saved(signed_in, account):
    browser, path = await signed_in("admin"), f"/ui/accounts/{account}/auto-reply"
    for fields, wrong in (
        ({"body": ""}, {"body"}),
        ({"engine": "jinja", "subject": "{{", "body": "{% if %}"}, {"subject", "body"}),
        ({"period_h": "0", "from_at": "tomorrow"}, {"period_h", "from_at"}),
        ({"period_h": "x"}, {"period_h"}),
        ({"from_at": "2027-01-01T00:00", "until_at": "2026-01-01T00:00"}, {"until_at"}),
    ):
        answer = await browser.submit(path, path, **FORM | fields)
        assert answer.status_code == 422, fields
        page = LexborHTMLParser(answer.text)
        assert {each.attributes["name"] for each in page.css("[aria-invalid=true]")} == wrong
    answer = await browser.submit(path, path, **FORM | {"version": "99"})
    assert answer.status_code == 412
    assert page.css_first("[name=sample_subject]").attributes["value"] == "Oferta"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, ["It would be answered", "ewa@klient.example", "Urlop", "Cześć Ewa!"]),
        ({"engine": "jinja", "body": "{{ subject }}, {{ nmae }}"}, ["Oferta,", "has no value"]),
        ({"sample_from": "noreply@klient.example"}, ["a machine wrote it"]),
        ({"enabled": ""}, ["switched off", "Cześć Ewa!"]),
        ({"body": "<html><p>{from name}</p></html>"}, ["Ewa", "goes out as HTML"]),
        ({"engine": "jinja", "body": "{{ 1/0 }}"}, ["Line 1: division by zero"]),
        ({"body": ""}, ["What is answered to this mail stands here"]),
        ({"period_h": "0"}, ["Give a number from 1 to 8760"]),
    ],
)
async def test_a_preview_stands_beside_with_scripts_and_without(signed_in, account, fields, said):
    browser, path = await signed_in("admin"), f"/ui/accounts/{account}/auto-reply"
    browser.headers["HX-Request"] = "true"
    part = await browser.submit(path, f"{path}/preview", **FORM | fields)
    assert part.status_code == 200
    assert part.text.lstrip().startswith('<div id="preview"')
    del browser.headers["HX-Request"]
    whole = await browser.submit(path, f"{path}/preview", **FORM | fields)
    for words in said:
        assert words in LexborHTMLParser(part.text).text()
        assert words in LexborHTMLParser(whole.text).text()


async def test_the_last_mails_stand_below_with_what_became_of_them(signed_in, office, account):
    browser, path = await signed_in("admin"), f"/ui/accounts/{account}/auto-reply"
    await browser.submit(path, path, **FORM | {"body": "{umowa}"})
    await receive(office, account, write_mail("Subject: pierwszy", sender="a@klient.example"))
    await browser.submit(path, path, **FORM)
    await receive(office, account, write_mail("Subject: drugi"))
    await receive(office, account, write_mail("Subject: trzeci", "List-Id: <a.b>"))
    page = read_page(await browser.get(path))
    assert [each.text().strip() for each in page.css("tbody td:nth-child(2)")] == [
        "trzeci", "drugi", "pierwszy",
    ]  # fmt: skip
    states = list_texts(page, "tbody td:nth-child(3)")
    assert states[0] == "no answer: a mailing list"
    assert states[1].startswith("answered")
    assert "{umowa} has no value" in states[2]
    link = page.css_first("tbody td:nth-child(3) a").attributes["href"]
    assert "Urlop" in (await browser.get(link)).text
    mails = [each.attributes["href"] for each in page.css("tbody td:nth-child(2) a")]
    said = [list_texts(read_page(await browser.get(each)), "dl.facts dd") for each in mails]
    assert "no answer: a mailing list" in said[0]
    assert "answered the answer" in said[1]
    assert any("{umowa} has no value" in each for each in said[2])


async def test_who_may_only_read_the_account_looks_and_changes_nothing(signed_in, account):
    path = f"/ui/accounts/{account}/auto-reply"
    browser = await signed_in("sender")
    page = read_page(await browser.get(path))
    assert page.css_first("form > fieldset[disabled]")
    assert not page.css("form#auto-reply button")
    for action in (path, f"{path}/preview"):
        assert (await browser.submit(path, action, **FORM)).status_code == 403
    assert (await (await signed_in("anna")).get(path)).status_code == 403
    for language, words in (("pl", "Odpowiadaj automatycznie"), ("fr", "Répondre automatiquement")):
        assert words in (await browser.get(f"{path}?lang={language}")).text


async def receive(office, account, raw: bytes) -> None:
    """Have a mail taken in, and the clerk come by."""

    def run(tx):
        stored = load_account(tx, account)
        read = read_incoming(raw)
        return take_in(tx, office.vault, stored, f"1:{hash(raw)}", raw, read, datetime.now(UTC))

    assert await office.db.write(run)
    await tidy_up(office)
