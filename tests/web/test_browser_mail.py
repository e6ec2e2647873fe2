"""Templates, messages and compose in a real browser; mail goes to a real server."""

import asyncio
import re

import pytest

from tests.crafts.wire.real_server import serve
from tests.web.chromium import find_serious

pytestmark = [pytest.mark.browser, pytest.mark.anyio]
SENDER = {"address": "faktury@firma.example", "name": "Firma Sp. z o.o."}
HTML = "<html><body><p>Dokument {numer} dla {kontrahent}</p></body></html>"


@pytest.fixture
async def mailbox(api):
    """A mail server that the common configuration sends by."""
    async with serve(None) as opened:
        smtp = {"host": "127.0.0.1", "port": opened.port, "connection": "plaintext"}
        answer = await api.put("/config/global", json={"smtp": smtp, "sender": SENDER})
        assert answer.status_code == 201, answer.text
        yield opened


@pytest.fixture
async def waiting(api, mailbox):
    """Three messages that wait, because their account is paused."""
    await api.post("/config/global/pause")
    for name in ("anna", "ola", "jan"):
        letter = {"to": f"{name}@klient.example", "subject": f"Do {name}", "body": "Dzień dobry"}
        assert (await api.post("/send", json=letter)).status_code == 202
    return mailbox


async def arrive(mailbox, count):
    """Wait until so much mail has come; return the addresses it is for."""
    for _ in range(500):
        if len(mailbox.received) >= count:
            return sorted(each.rcpt_tos[0] for each in mailbox.received)
        await asyncio.sleep(0.02)
    raise AssertionError(f"{len(mailbox.received)} came")


async def test_the_editor_shows_what_it_does_as_one_types(page, api):
    await api.put(
        "/config/global/templates/document?language=pl", json={"subject": "{numer}", "body": HTML}
    )
    await page.goto("/ui/templates/edit?name=document&language=pl")
    preview = page.frame_locator("#frames iframe:not(.is-loading)")
    await preview.get_by_text("Dokument FV 12/2026 dla").wait_for()
    text = page.get_by_role("textbox", name="Text", exact=True)
    await text.click()
    await page.keyboard.press("Control+End")
    await page.keyboard.insert_text("\n<!-- {numre} -->\n{numre}\n")
    await page.get_by_role("button", name="{umowa}").click()
    await page.get_by_role("button", name="Line 3").wait_for()
    assert "the nearest is {numer}" in await page.locator("#check").inner_text()
    assert await page.locator(".cm-macro").all_inner_texts() == [
        "{numer}",
        "{kontrahent}",
        "{umowa}",
    ]
    await page.locator(".cm-lint-marker-warning").first.wait_for()
    await preview.get_by_text("{numre}").wait_for()
    assert await find_serious(page) == []


async def test_an_older_version_is_compared_and_restored(page, api):
    for subject in ("Pierwszy", "Drugi"):
        await api.put(
            "/config/global/templates/document?language=pl", json={"subject": subject, "body": HTML}
        )
    await page.goto("/ui/templates/edit?name=document&language=pl")
    await page.get_by_role("link", name="Compare and restore").click()
    assert await page.locator("pre.diff .gone").inner_text() == "− Pierwszy\n"
    await page.get_by_role("button", name="Restore this version").click()
    await page.get_by_text("version 3").first.wait_for()
    assert await page.get_by_label("Subject", exact=True).input_value() == "Pierwszy"


async def test_messages_are_searched_filtered_and_paged(page, waiting, monkeypatch):
    monkeypatch.setattr("app.web.screens.messages.PAGE", 2)
    await page.goto("/ui/messages")
    subjects = page.locator("table.messages tbody th a")
    assert await subjects.all_inner_texts() == ["Do jan", "Do ola"]
    await page.get_by_role("link", name="Older").click()
    await page.get_by_role("link", name="Newest").wait_for()
    assert await subjects.all_inner_texts() == ["Do anna"]
    await page.get_by_label("Search").fill("to:ola@klient.example")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Show all").wait_for()
    assert await subjects.all_inner_texts() == ["Do ola"]
    await page.get_by_label("Status").select_option("done")
    await page.get_by_role("button", name="Search").click()
    await page.get_by_text("Nothing was found.").wait_for()


async def test_several_messages_are_tried_again_at_once(page, waiting):
    await page.goto("/ui/messages?q=do")
    await page.get_by_role("checkbox", name="Tick all").check()
    await page.get_by_role("checkbox", name="Tick Do ola").uncheck()
    await page.get_by_role("button", name="Try again").click()
    await page.get_by_text("Done for 2 messages.").wait_for()
    assert page.url.endswith("/ui/messages?q=do")
    assert await arrive(waiting, 2) == ["anna@klient.example", "jan@klient.example"]


async def test_a_message_is_followed_to_its_end_without_loading_again(page, waiting):
    await page.goto("/ui/messages?q=to:anna@klient.example")
    await page.get_by_role("link", name="Do anna").click()
    await page.get_by_text("What happened").wait_for()
    await page.evaluate("window.isTheSame = true")
    message_id = re.search(r"[0-9a-z]{26}", page.url)[0]
    await page.evaluate(
        """async (id) => {
            const form = document.querySelector(`form[action$="${id}/retry"]`);
            await fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form))});
        }""",
        message_id,
    )
    await page.locator("#progress .badge.good").first.wait_for()
    assert await page.evaluate("window.isTheSame")
    await page.get_by_text("The server's own words").click()
    assert "kept" in await page.locator("ol.line pre").inner_text()
    assert await find_serious(page) == []


async def test_a_template_is_filled_seen_changed_and_sent(page, mailbox):
    await page.goto("/ui/compose")
    await page.get_by_label("Template").select_option("document")  # its fields come by themselves
    await page.get_by_label("numer", exact=True).fill("FV 7/2026")
    await page.get_by_label("To", exact=True).fill("Anna <anna@klient.example>")
    await page.get_by_role("button", name="See it").click()
    preview = page.frame_locator("#frames iframe:not(.is-loading)")
    await preview.get_by_text("FV 7/2026").first.wait_for()
    await page.get_by_role("button", name="Change the text").click()
    subject = page.get_by_label("Subject", exact=True)
    assert "FV 7/2026" in await subject.input_value()
    await subject.fill("Zmieniony temat")
    await page.get_by_label("Attachments", exact=True).set_input_files(
        {"name": "FV 7.txt", "mimeType": "text/plain", "buffer": b"zapis"}
    )
    assert await find_serious(page) == []
    await page.get_by_role("button", name="Send", exact=True).click()
    await page.get_by_role("heading", name="Zmieniony temat").wait_for()
    await arrive(mailbox, 1)
    assert b"FV 7.txt" in mailbox.received[0].content


async def test_a_draft_is_a_file_for_the_mail_program(page, mailbox):
    await page.goto("/ui/compose")
    await page.get_by_label("To", exact=True).fill("anna@klient.example")
    await page.get_by_label("Subject", exact=True).fill("Szkic")
    await page.get_by_label("Text", exact=True).fill("Treść")
    await page.get_by_role("button", name="Save as a draft").click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name=re.compile(r"\(\.eml\)")).click()
    saved = (await (await download.value).path()).read_bytes()
    assert b"X-Unsent: 1" in saved and mailbox.received == []


async def test_without_scripts_a_configuration_is_saved(open_page, api):
    page = await open_page(java_script_enabled=False)
    await page.goto("/ui/config/global")
    await page.get_by_label("Mail server", exact=True).fill("smtp.firma.example")
    await page.get_by_label("Sender's address", exact=True).fill("faktury@firma.example")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_text("Saved.", exact=True).wait_for()
    stored = (await api.get("/config/global")).json()
    assert stored["smtp"]["host"] == "smtp.firma.example"


async def test_without_scripts_a_template_is_checked_seen_and_saved(open_page, api):
    page = await open_page(java_script_enabled=False)
    await page.goto("/ui/templates/edit?name=document&language=pl")
    await page.locator("#f-body").fill("<html>{numre}")
    await page.get_by_role("button", name="Check").click()
    await page.locator("span.no-script", has_text="Line 1").wait_for()
    await page.locator("#f-body").fill(HTML)
    await page.get_by_role("button", name="Refresh").click()
    await page.frame_locator("#frames iframe").get_by_text("Dokument FV 12/2026").wait_for()
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_text("Saved as version 1.").wait_for()
    stored = await api.get("/config/global/templates/document?language=pl")
    assert stored.json()["body"] == HTML


async def test_without_scripts_a_mail_is_sent_and_followed(open_page, mailbox):
    page = await open_page(java_script_enabled=False)
    await page.goto("/ui/compose")
    await page.get_by_label("Template").select_option("document")
    await page.get_by_role("button", name="Take this template").click()
    await page.get_by_label("To", exact=True).fill("anna@klient.example")
    await page.get_by_label("numer", exact=True).fill("FV 7/2026")
    await page.get_by_role("button", name="Send", exact=True).click()
    await page.get_by_text("Accepted: see what becomes of it.").wait_for()
    await arrive(mailbox, 1)
    await page.reload()
    assert await page.get_by_text("The server's own words").count() == 1
