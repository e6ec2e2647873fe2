"""The screens of webhooks: made, shown once, tried, changed, switched, their log."""

import re
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

import app
from app.outbox.event_types import EVENT_TYPES
from app.web.screens.webhooks_words import SILENCES
from app.webhooks.wishes import MOST_PATTERNS
from tests.rooms.webhooks.carrying import carry, happen, hurry
from tests.rooms.webhooks.receiver import OK, answer, receive
from tests.web.test_accounts import list_texts, read_page

pytestmark = pytest.mark.anyio
PATH = "/ui/webhooks"
NEW = f"{PATH}/new"
URL = "https://erp.firma.example/awizo"


@pytest.fixture
async def receiver(anyio_backend):
    """A program that listens on this machine."""
    async with receive() as running:
        yield running


async def make(browser, url=URL, *events, **fields):
    ticked = {f"on.{each}": "on" for each in events or ("*",)}
    answered = await browser.submit(NEW, NEW, url=url, **ticked, **fields)
    assert answered.status_code == 200, answered.text
    page = LexborHTMLParser(answered.text)
    link = page.css_first(f"main a[href^='{PATH}/']").attributes["href"]
    return link, page.css_first("#fresh").text()


async def follow(browser, answered):
    assert answered.status_code == 303, answered.text
    return read_page(await browser.get(answered.headers["location"]))


async def test_without_any_the_list_says_what_a_webhook_is_for(signed_in):
    page = read_page(await (await signed_in("admin")).get(PATH))
    assert "tells a program of yours at once" in page.css_first("main").text()
    assert page.css_first(f".empty a[href='{NEW}']")


async def test_a_webhook_is_made_and_its_secret_shown_once_with_how_to_verify(
    signed_in, client, as_role
):
    browser = await signed_in("admin")
    path, secret = await make(
        browser, URL, "recipient.*", "recipient.sent", "inbox.answer", name=" ERP ", user="anna"
    )
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    (shown,) = (await client.get("/webhooks", headers=as_role("admin"))).json()["data"]
    assert (shown["url"], shown["name"], shown["user"]) == (URL, "ERP", "anna")
    assert sorted(shown["events"]) == ["inbox.answer", "recipient.*"]
    for page in (PATH, path, f"/ui/audit?object=webhooks/{shown['id']}"):
        assert secret.removeprefix("whsec_") not in (await browser.get(page)).text


async def test_every_type_of_event_can_be_chosen_and_fits_into_one_webhook(signed_in):
    page = read_page(await (await signed_in("admin")).get(NEW))
    offered = {each.attributes["name"] for each in page.css("input[type=checkbox]")}
    types = {each for types in EVENT_TYPES.values() for each in types}
    assert offered == {
        f"on.{each}" for each in types | {f"{area}.*" for area in EVENT_TYPES} | {"*"}
    }
    assert len(types) <= MOST_PATTERNS
    named = {f"h-on.{each}" for each in types}  # beside its words
    assert named - {each.attributes["id"] for each in page.css("small[id]")} == set()


async def test_what_is_wrong_stands_at_its_field_and_every_value_stays(signed_in, client, as_role):
    browser = await signed_in("admin")
    many = {"name": "x" * 201, "user": "a/b"}
    for fields, wrong in (
        ({"url": ""}, {"url", "events"}),
        ({"url": "ftp://x", **many}, {"url", "events", "name", "user"}),
        ({"url": "https://a:b@firma.example/", "on.*": "on"}, {"url"}),
        ({"url": "http://169.254.169.254/", "on.*": "on"}, {"url"}),
        ({"url": "http://192.0.2.7/", "on.mail.*": "on"}, {"url", "events"}),
        ({"url": "https://x.example/" + "x" * 2000, "on.*": "on"}, {"url"}),
        ({"url": URL, "on.*": "on", "name": "a\nb"}, {"name"}),
    ):
        answered = await browser.submit(NEW, NEW, **fields)
        assert answered.status_code == 422, fields
        page = LexborHTMLParser(answered.text)
        errors = {each.attributes["id"].removeprefix("e-") for each in page.css("small.error")}
        assert errors == wrong, fields
        assert page.css_first("#f-url").attributes["value"] == fields["url"]
        ticked = {each.attributes["name"] for each in page.css("input[checked]")}
        assert ticked == {each for each in fields if each.startswith("on.") and "mail" not in each}
    assert (await client.get("/webhooks", headers=as_role("admin"))).json()["data"] == []


async def test_a_change_is_saved_and_one_of_an_older_page_is_not(signed_in, client, as_role):
    browser = await signed_in("admin")
    path, _ = await make(browser, URL, "message.accepted", name="ERP")
    form = read_page(await browser.get(path)).css_first(f"form[action='{path}'][method=post]")
    assert form.css_first("input[name='on.message.accepted'][checked]")
    version = form.css_first("input[name=version]").attributes["value"]
    changed = {"url": f"{URL}/2", "version": version, "on.inbox.*": "on"}
    page = await follow(browser, await browser.submit(path, path, **changed))
    assert "Saved." in page.css_first(".note.done").text()
    stale = await browser.submit(path, path, **(changed | {"url": f"{URL}/3"}))
    assert stale.status_code == 412
    assert f'value="{URL}/3"' in stale.text
    refused = await browser.submit(path, path, url="", version="2")
    assert (refused.status_code, 'id="e-url"' in refused.text) == (422, True)
    (shown,) = (await client.get("/webhooks", headers=as_role("admin"))).json()["data"]
    assert (shown["url"], shown["events"], shown["name"]) == (f"{URL}/2", ["inbox.*"], "")


async def test_a_test_says_in_plain_words_what_the_receiver_answered(signed_in, receiver):
    browser = await signed_in("admin")
    path, _ = await make(browser, receiver.url)
    receiver.answers = [OK, answer(503), answer(302, "Location: /<b>other"), answer(404)]
    for said in (
        "took the test: it answered 204",
        "Something went wrong at the receiver (503).",
        "leads elsewhere (302)",
        "nothing at this address (404)",
    ):
        page = await follow(browser, await browser.submit(path, f"{path}/test"))
        assert said in page.css_first(".note").text()
    assert receiver.types == ["webhook.test"] * 4
    html = (await browser.get(path)).text
    assert "/&lt;b&gt;other" in html and "<b>other" not in html


async def test_the_log_shows_every_try_filters_and_has_pages(
    signed_in, office, receiver, monkeypatch
):
    monkeypatch.setattr("app.web.screens.webhooks._PAGE", 2)
    browser = await signed_in("admin")
    path, _ = await make(browser, receiver.url)
    receiver.answers = [OK, OK, answer(500), OK]
    for number in (2, 1):
        for _ in range(number):
            await happen(office, "inbox.received")
        await carry(office)
    page = read_page(await browser.get(path))
    assert len(page.css("section .table tbody tr")) == 2
    older = page.css_first("a[href*='after=']").attributes["href"]
    assert len(read_page(await browser.get(older)).css("section .table tbody tr")) == 1
    page = read_page(await browser.get(f"{path}?state=waiting"))
    (line,) = list_texts(page, "section .table tbody tr")
    assert "inbox.received" in line and "500, " in line and "Try 1" in line and "next try" in line
    assert "A mail came in" in line and "Something went wrong at the receiver" in line
    listed = list_texts(read_page(await browser.get(PATH)), "tbody td")
    assert listed[1] == "does not get through" and listed[3:5] == ["1", "0"]
    delivery = page.css_first("input[name=delivery]").attributes["value"]
    page = await follow(browser, await browser.submit(path, f"{path}/redeliver", delivery=delivery))
    assert "tried again now" in page.css_first(".note.done").text()
    await carry(office)
    assert len(receiver.heard) == 4 and receiver.heard[2].id == receiver.heard[3].id
    assert "Nothing in the log is like this" in (await browser.get(f"{path}?state=waiting")).text


async def test_all_that_was_given_up_is_tried_again(signed_in, office, receiver):
    browser = await signed_in("admin")
    path, _ = await make(browser, receiver.url)
    receiver.answers = [answer(500), OK, OK]
    for _ in range(2):
        await happen(office, "inbox.received")
    await carry(office)
    await hurry(office, state="given_up", due_at=None, ended_at=office.clock())
    page = read_page(await browser.get(path))
    assert page.css_first(f"aside form[action='{path}/redeliver']")
    page = await follow(browser, await browser.submit(path, f"{path}/redeliver"))
    assert "1 delivery is tried again now" in page.css_first(".note.done").text()
    await carry(office)
    assert len(receiver.heard) == 3
    assert not read_page(await browser.get(path)).css_first(
        f"aside form[action='{path}/redeliver']"
    )


async def test_one_that_switched_itself_off_says_why_and_is_switched_on_again(
    signed_in, office, receiver
):
    browser = await signed_in("admin")
    path, _ = await make(browser, receiver.url)
    receiver.answers = [answer(410), OK]
    await happen(office, "inbox.received")
    await carry(office)
    for page in (PATH, path):
        assert "the receiver wants nothing more (410)" in (await browser.get(page)).text
    delivery = {"delivery": "x" * 26}
    missing = await browser.submit(path, f"{path}/redeliver", **delivery)
    assert missing.status_code == 404
    page = await follow(browser, await browser.submit(path, f"{path}/switch", on="all"))
    assert "It is switched on" in page.css_first(".note.done").text()
    await carry(office)
    assert len(receiver.heard) == 2
    page = await follow(browser, await browser.submit(path, f"{path}/switch"))
    assert list_texts(page, "h1 + .badge") == ["off"]
    page = await follow(browser, await browser.submit(path, f"{path}/redeliver"))
    assert "is switched off" in page.css_first(".note.warning").text()


async def test_a_new_secret_is_shown_once_and_until_when_the_old_one_counts(
    signed_in, client, as_role
):
    browser = await signed_in("admin")
    path, first = await make(browser)
    for overlap_s, said in (("86400", "counts beside it until"), ("0", "counts no more")):
        answered = await browser.submit(path, f"{path}/rotate", overlap_s=overlap_s)
        secret = LexborHTMLParser(answered.text).css_first("#fresh").text()
        assert secret != first and said in answered.text
        html = (await browser.get(path)).text
        assert secret not in html
        assert ("counts until" in html) == (overlap_s != "0")


async def test_a_deleted_webhook_is_gone(signed_in, client, as_role):
    browser = await signed_in("admin")
    path, _ = await make(browser)
    page = await follow(browser, await browser.submit(path, f"{path}/delete"))
    assert "is deleted" in page.css_first(".note.done").text()
    assert (await browser.get(path)).status_code == 404
    assert (await client.get("/webhooks", headers=as_role("admin"))).json()["data"] == []


@pytest.mark.parametrize("role", ["sender", "anna"])
async def test_webhooks_are_an_admins(signed_in, role):
    admin, other = await signed_in("admin"), await signed_in(role)
    path, _ = await make(admin)
    assert "Webhooks" not in (await other.get("/ui/")).text
    for page in (PATH, NEW, path):
        assert (await other.get(page)).status_code == 403
    for action in ("/test", "/switch", "/rotate", "/delete", "/redeliver", ""):
        answered = await other.submit("/ui/", f"{path}{action}", url=URL, **{"on.*": "on"})
        assert answered.status_code == 403, action
    assert (await other.submit("/ui/", NEW, url=URL, **{"on.*": "on"})).status_code == 403


async def test_no_change_is_made_without_the_pages_token(signed_in):
    browser = await signed_in("admin")
    path, _ = await make(browser)
    for action in ("", "/test", "/switch", "/rotate", "/delete", "/redeliver"):
        assert (await browser.post(f"{path}{action}", data={"csrf": "x"})).status_code == 403
    assert (await browser.get(path)).status_code == 200


def test_every_reason_why_nobody_answered_has_plain_words():
    room = Path(app.__file__).parent / "webhooks"
    source = (room / "post.py").read_text() + (room / "postman.py").read_text()
    said = re.findall(r'(?: error = f?|Answer\(None, )"([^"{]+)', source)
    assert len(said) >= 6
    assert [each for each in said if not each.startswith(tuple(SILENCES))] == []
