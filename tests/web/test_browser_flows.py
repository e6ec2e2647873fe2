"""Whole ways through the admin page in a real browser, against real mail servers."""

import re

import pytest

from tests.crafts.wire.certificates import make_authority
from tests.crafts.wire.real_server import PASSWORD, USER, serve
from tests.rooms.webhooks.receiver import answer, receive
from tests.web.chromium import find_serious

pytestmark = [pytest.mark.browser, pytest.mark.anyio]


async def test_the_first_run_leads_from_an_address_to_mail_that_works(page, live):
    async with serve(None, clear_auth=True) as mailbox:
        await page.get_by_role("button", name="Set up mail").click()
        await page.get_by_label("From which address").fill(f"Firma <{USER}>")
        await page.get_by_role("button", name="Find the server").click()
        assert (
            await page.get_by_label("Mail server", exact=True).input_value() == "smtp.firma.example"
        )
        assert await page.get_by_label("User name", exact=True).input_value() == USER
        await page.get_by_label("Mail server", exact=True).fill("127.0.0.1")
        await page.get_by_label("Port", exact=True).fill(str(mailbox.port))
        await page.get_by_label("Password", exact=True).fill("a wrong one")
        await page.get_by_role("button", name="Test", exact=True).click()
        await page.get_by_text("It failed at:").wait_for()  # no login over a clear connection
        assert mailbox.received == []
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_label("User name", exact=True).fill("")
        await page.get_by_label("Password", exact=True).fill("")
        await page.get_by_role("button", name="Test", exact=True).click()
        await page.get_by_text("It works: the server took the test message.").wait_for()
        assert mailbox.received[0].rcpt_tos == [USER]
        assert await find_serious(page) == []
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("heading", name="Mail is set up").wait_for()
    await page.goto("/ui/")
    assert await page.get_by_role("button", name="Set up mail").count() == 0


async def test_switching_scopes_loses_nothing(page, live):
    await page.goto("/ui/config/global")
    await page.get_by_label("Mail server", exact=True).fill("smtp.firma.example")
    await page.get_by_label("Sender's address", exact=True).fill("faktury@firma.example")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_text("Saved.", exact=True).wait_for()
    await page.goto("/ui/config/users/anna")
    assert not await page.get_by_label("Mail server", exact=True).is_visible()
    await page.get_by_label("A sender of their own").check()
    await page.get_by_label("Sender's address", exact=True).fill("anna@firma.example")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_text("Saved.", exact=True).wait_for()
    for wanted in ("The common one", "Their own"):
        await page.get_by_role("radio", name=wanted).check()
        await page.get_by_role("button", name="Choose").click()
        await page.get_by_text(re.compile("^From now on .* stays stored")).wait_for()
        assert await page.get_by_role("radio", name=wanted).is_checked()
        assert (
            await page.get_by_label("Sender's address", exact=True).input_value()
            == "anna@firma.example"
        )
    await page.goto("/ui/config/global")
    assert await page.get_by_label("Mail server", exact=True).input_value() == "smtp.firma.example"
    assert (
        await page.get_by_label("Sender's address", exact=True).input_value()
        == "faktury@firma.example"
    )


async def test_the_default_port_follows_the_connection_and_leaves_what_was_typed(page):
    await page.goto("/ui/config/global")
    port, connection = (
        page.get_by_label("Port", exact=True),
        page.get_by_label("Connection", exact=True),
    )
    for mode, expected in (("ssl_tls", "465"), ("plaintext", "25"), ("starttls", "587")):
        await connection.select_option(mode)
        assert await port.get_attribute("placeholder") == expected
        assert await port.input_value() == ""
    await port.fill("2525")
    await connection.select_option("ssl_tls")
    assert await port.input_value() == "2525"


async def test_a_failing_test_shows_every_step_and_its_fix_makes_it_work(page, tmp_path):
    authority = make_authority(tmp_path)
    async with serve(authority.make_server_context()) as mailbox:
        await page.goto("/ui/config/global")
        await page.get_by_label("Mail server", exact=True).fill("127.0.0.1")
        await page.get_by_label("Connection", exact=True).select_option("ssl_tls")
        await page.get_by_label("Port", exact=True).fill(str(mailbox.port))
        await page.get_by_label("User name", exact=True).fill(USER)
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_text("More about the connection").click()
        await page.get_by_label("Certificate authority (PEM)", exact=True).fill(authority.pem)
        await page.get_by_label("Sender's address", exact=True).fill(USER)
        await page.get_by_role("button", name="Test", exact=True).click()
        await page.get_by_text("It failed at:").wait_for()
        assert await page.locator(".steps li.error").count() == 1
        assert await find_serious(page) == []
        await page.get_by_role("button", name="Put it in").click()
        await page.get_by_text("nothing is saved yet").first.wait_for()
        await page.get_by_role("button", name="Test", exact=True).click()
        await page.get_by_text("It works: the server took the test message.").wait_for()
        assert await page.locator(".steps li.error").count() == 0
        assert await page.locator(".steps li.good").count() > 5
    assert [each.rcpt_tos for each in mailbox.received] == [[USER]]


async def test_a_refused_form_has_the_focus_on_what_is_wrong_and_keeps_the_rest(page):
    await page.goto("/ui/config/global")
    await page.get_by_label("Sender's name", exact=True).fill("Firma")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_text(re.compile("2 things are not right")).wait_for()
    assert await page.evaluate("document.activeElement.name") == "smtp.host"
    assert await page.get_by_label("Sender's name", exact=True).input_value() == "Firma"
    assert await find_serious(page) == []


async def test_a_new_key_is_copied_and_gone_on_the_next_visit(page):
    await page.goto("/ui/keys")
    await page.get_by_text("Make a new key").click()
    await page.get_by_label("Name", exact=True).fill("Accounting")
    await page.get_by_role("button", name="Make the key").click()
    key = await page.locator("#fresh").inner_text()
    assert key.startswith("awizo_")
    await page.goto("/ui/keys")
    assert key not in await page.content()


async def test_a_webhook_is_made_once_tried_and_found_in_its_log(page, api):
    async with receive() as receiver:
        receiver.answers = [answer(500)]
        await page.goto("/ui/webhooks")
        await page.get_by_role("link", name="Make the first webhook").click()
        await page.get_by_label("Address (URL)").fill(receiver.url)
        await page.get_by_label("Description").fill("Accounting")
        await page.get_by_label("Everything", exact=True).uncheck()
        await page.get_by_text("Single ones of these: Recipients").click()
        await page.get_by_label("The server took it", exact=True).check()
        await page.get_by_role("button", name="Make the webhook").dblclick()
        secret = await page.locator("#fresh").inner_text()
        assert await find_serious(page) == []
        await page.get_by_role("button", name="Go on to the webhook").click()
        await page.get_by_role("button", name="Send a test").click()
        await page.get_by_text(re.compile("The test failed .* wrong at the receiver")).wait_for()
        await page.get_by_text("Something went wrong at the receiver (500).", exact=True).click()
        await page.get_by_text("The receiver answered 500.").wait_for()
        assert secret not in await page.content()
    (made,) = (await api.get("/webhooks")).json()["data"]
    assert (made["events"], made["name"]) == (["recipient.sent"], "Accounting")


async def test_everything_is_reached_by_keyboard(page):
    await page.goto("/ui/config/global")
    reached = set()
    folded = "document.activeElement.matches('details.group:not([open]) > summary')"
    for _ in range(150):
        await page.keyboard.press("Tab")
        if await page.evaluate(folded):
            await page.keyboard.press("Enter")
        name = await page.evaluate(
            "document.activeElement.name || document.activeElement.innerText"
        )
        if await page.evaluate("document.activeElement === document.body"):
            continue  # past the last one, before the first
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", name
        reached.add(name)
    assert {"smtp.host", "smtp.port", "bcc", "macros", "Save", "Test", "probe.mode"} <= reached


async def test_an_account_is_made_shared_and_its_owner_enters_the_password(page, open_page, api):
    common = {"smtp": {"host": "127.0.0.1"}, "sender": {"address": "faktury@firma.example"}}
    assert (await api.put("/config/global", json=common)).is_success
    await page.goto("/ui/accounts")
    await page.get_by_role("button", name="New account").click()
    await page.get_by_label("Name of the account").fill("Windykacja")
    await page.get_by_label("A mail server of their own").check()
    await page.get_by_label("Mail server", exact=True).fill("smtp.firma.example")
    await page.get_by_label("User name", exact=True).fill("windykacja")
    await page.get_by_label("A sender of their own").check()
    await page.get_by_label("Sender's address", exact=True).fill("windykacja@firma.example")
    assert not await page.get_by_label("Server of the mailbox").is_visible()
    await page.locator("summary", has_text=re.compile("^\\s*Mailbox")).click()
    await page.get_by_label("It has a mailbox").check()
    await page.get_by_label("Server of the mailbox", exact=True).fill("imap.firma.example")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_text("Mail waits for the password of this account.").wait_for()
    assert await find_serious(page) == []
    await page.get_by_text("Let its owner enter the password").click()
    await page.get_by_role("button", name="Make the link").click()
    link = await page.locator("#fresh").inner_text()
    assert await find_serious(page) == []
    owner = await open_page(java_script_enabled=False)
    await owner.context.clear_cookies()
    await owner.goto(link)
    assert "windykacja@firma.example" in await owner.locator("main").inner_text()
    await owner.get_by_label("Password").fill("tajne hasło")
    await owner.keyboard.press("Enter")
    await owner.get_by_text("is stored, and mail that waited for it goes on").wait_for()
    await owner.goto(link)
    await owner.get_by_text("This link is not valid, was used, or is too old.").wait_for()
    await page.get_by_role("link", name="Back to the account").click()
    await page.get_by_role("link", name="Rights").click()
    await page.get_by_label("To whom (user id)").fill("anna")
    await page.get_by_label("Last day").fill("2099-08-31")
    await page.get_by_role("button", name="Grant").click()
    await page.get_by_text("Granted to anna.").wait_for()
    assert await find_serious(page) == []
    await page.get_by_role("button", name="Revoke anna").click()
    await page.get_by_role("button", name="Undo").click()
    await page.get_by_text("Granted to anna.").wait_for()
    (shown,) = (await api.get("/accounts?q=Windykacja")).json()["data"]
    assert (shown["state"], shown["incoming"]) == ("active", True)
    (right,) = (await api.get(f"/accounts/{shown['id']}/rights")).json()["data"]
    assert (right["user"], right["until"]) == ("anna", "2099-08-31T21:59:59.000Z")
