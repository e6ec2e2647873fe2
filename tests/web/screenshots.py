"""Pictures of every screen, in three languages, 1280 and 390 pixels wide, to be looked at.

Run: python -m tests.web.screenshots FOLDER [LANGUAGE …]. A service with the mail of an invented company, a
mail server that takes it, and one that refuses the login.
"""

import asyncio
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Page, async_playwright
from sqlalchemy import insert, select, update

from app.accounts.first_key import ensure_admin_key
from app.db import new_id
from app.main import create_app
from app.outbox.office import Office, open_office
from app.outbox.tables import message, recipient
from app.settings import Settings
from app.webhooks.log import find_webhook
from app.webhooks.tables import webhook, webhook_delivery
from migrations.run import upgrade
from tests.crafts.wire.real_server import USER, serve
from tests.rooms.webhooks.receiver import OK, Receiver, answer, receive
from tests.web.chromium import CHROMIUM, FLAGS
from tests.web.chromium import serve as serve_app
from tests.web.pictured_mail import let_come_in

KEY = "key-of-the-screenshots-0123456789"
WIDTHS = (1280, 390)
CUSTOMERS = (
    "Klient Sp. z o.o.",
    "Boulangerie Dupont",
    "Hurtownia Żółw",
    "Atelier Léman SA",
    "Kowalski",
)
HTML = """<html>
<head><style>.kwota { color: #0b6e5f; font-weight: bold }</style></head>
<body>
  <h1>Faktura {numer}</h1>
  <p>Szanowni Państwo,</p>
  <p>w załączeniu przesyłamy dokument <b>{numer}</b> z dnia {z dnia}.</p>
  <p>Z poważaniem<br>{firma}</p>
</body>
</html>
"""
GLOBAL = {
    "sender": {"address": USER, "name": "Firma Sp. z o.o."},
    "bcc": "archiwum@firma.example",
    "notifications": ["OnFailure", "Delay"],
    "macros": {"firma": "Firma Sp. z o.o."},
    "incoming": {"host": "imap.firma.example", "username": USER, "password": "imap-hasło"},
}


async def tell(api: httpx.AsyncClient, port: int, receiver: Receiver) -> dict[str, str]:
    """Configure the company, write templates, send mail; return ids."""
    smtp = {"host": "127.0.0.1", "port": port, "connection": "plaintext", "batch_limit": 60}
    await _put(api, "/config/global", GLOBAL | {"smtp": smtp})
    own = {"smtp": {"host": "smtp.firma.example", "username": "anna@firma.example"}}
    await _put(api, "/config/users/anna", own | {"sender": {"address": "anna@firma.example"}})
    answers = {"after_min": "60*24*2", "to": "szef@firma.example"}
    given = {"sender": {"address": "piotr@firma.example"}, "document_address": True}
    await _put(api, "/config/users/piotr", given | {"answer_alert": answers})
    await _put(api, "/users/piotr", {"name": "Piotr Nowak", "language": "pl"})
    group = {
        "name": "Windykacja",
        "smtp": {"host": "smtp.firma.example", "username": "windykacja@firma.example"},
        "sender": {"address": "windykacja@firma.example"},
        "senders": "naleznosci@firma.example",
        "incoming": {"host": "imap.firma.example"},
    }
    made = (await api.post("/accounts", json=group)).json()["id"]
    await _put(api, f"/accounts/{made}/rights/piotr", {"manage": True})
    until = {"send": True, "until": "2099-08-31T21:59:59Z"}
    await _put(api, f"/accounts/{made}/rights/anna", until)
    hook = {
        "url": receiver.url,
        "name": "Moduł księgowy",
        "events": ["recipient.*", "inbox.answer"],
    }
    hooked = (await api.post("/webhooks", json=hook)).json()["id"]
    shop = {"url": "https://sklep.firma.example/powiadomienia", "events": ["*"], "enabled": False}
    (await api.post("/webhooks", json=shop)).raise_for_status()
    for each in (
        {"address": "szef@klient.example", "note": "Telefonicznie, 22 listopada"},
        {"address": "biuro@dawny.example", "reason": "hard_bounce"},
        {"address": "anna@sklep.example", "scope": "users/anna", "reason": "unsubscribed"},
    ):
        (await api.post("/suppressions", json=each)).raise_for_status()
    for subject in ("Faktura {numer}", "Dokument {numer} z dnia {z dnia}"):
        given = {"subject": subject, "body": HTML.replace("Faktura", subject.partition(" ")[0])}
        await _put(api, "/config/global/templates/document?language=pl", given)
    letter = {
        "to": "Klient Sp. z o.o. <ksiegowosc@klient.example>",
        "cc": "Anna <anna@firma.example>",
        "template": "document",
        "as_user": "piotr",
        "macros": {
            "numer": "FV 12/2026",
            "z_dnia": "2026-11-02",
            "kontrahent": "Klient Sp. z o.o.",
        },
        "reference": {"type": "invoice", "number": "FV 12/2026", "customer": "K-0042"},
        "attachments": [{"filename": "FV 12-2026.txt", "content": "RmFrdHVyYQ=="}],
        "attachment_password": "tajne hasło",
    }
    answer = await api.post("/send", json=letter)
    answer.raise_for_status()
    sent: str = answer.json()["id"]
    for _ in range(300):
        if (await api.get(f"/messages/{sent}")).json()["status"] == "sent":
            break
        await asyncio.sleep(0.05)
    servers = {"smtp": {"host": "smtp.firma.example", "connection": "starttls"}}
    await _put(api, "/domains/firma.example", servers)
    for _ in range(100):
        if len(receiver.heard) > 1:
            break
        await asyncio.sleep(0.05)
    await api.post(f"/webhooks/{hooked}/test")
    return {"sent": sent, "account": made, "webhook": hooked}


async def rename_webhook(office: Office, id: str) -> None:
    """Show a webhook with a real name instead of this machine's port, and try no more."""
    for _ in range(100):
        if (await office.db.read(find_webhook, id)).waiting <= 1:
            break
        await asyncio.sleep(0.05)

    def change(tx: Any) -> None:
        url = "https://erp.firma.example/awizo"
        tx.execute(update(webhook).where(webhook.c.id == id).values(url=url))
        waiting = webhook_delivery.c.due_at.is_not(None)
        later = datetime.now(UTC) + timedelta(minutes=27)
        tx.execute(update(webhook_delivery).where(waiting).values(due_at=later))

    await office.db.write(change)


async def _put(api: httpx.AsyncClient, path: str, given: dict[str, Any]) -> None:
    answer = await api.put(path, json=given)
    assert answer.is_success, answer.text


def repeat(tx: Any, pattern: str, count: int) -> None:
    """Repeat a message over the last 14 days, with other customers and other endings."""
    rng = random.Random(5)
    row = tx.execute(select(message).where(message.c.id == pattern)).mappings().one()
    to = tx.execute(select(recipient).where(recipient.c.message_id == pattern)).mappings().first()
    for number in range(count):
        at = datetime.now(UTC) - timedelta(days=13.5 * (1 - (number / count) ** 0.7), minutes=5)
        state = rng.choices(("sent", "delivered", "failed", "held"), (70, 20, 4, 1))[0]
        id, name = new_id(at), rng.choice(CUSTOMERS)
        tx.execute(
            insert(message).values(
                dict(row) | {
                    "id": id, "status": state, "created_at": at, "batch_id": None,
                    "user_id": rng.choice((None, "anna", "piotr")), "message_id": f"<{id}@x.example>",
                    "subject": f"Dokument FV {number}/2026", "reference_number": f"FV {number}/2026",
                    "ended_at": None if state == "held" else at,
                }
            )
        )  # fmt: skip
        tx.execute(
            insert(recipient).values(
                dict(to) | {
                    "id": new_id(at), "message_id": id, "state": state, "updated_at": at, "name": name,
                    "reason": "uncertain" if state == "held" else None,
                }
            )
        )  # fmt: skip
    tx.execute(update(message).where(message.c.id == pattern).values(created_at=datetime.now(UTC)))


async def take_all(page: Page, folder: Path, language: str, ids: dict[str, str], port: int) -> None:
    """Take every screen in one language."""

    async def shoot(name: str, path: str | None = None) -> None:
        if path is not None:
            await page.goto(f"{path}{'&' if '?' in path else '?'}lang={language}")
        for width in WIDTHS:
            # As high as the page: what sticks to the edge and what is drawn when seen is as it is.
            await page.set_viewport_size({"width": width, "height": 800})
            high = await page.evaluate("document.documentElement.scrollHeight")
            await page.set_viewport_size({"width": width, "height": min(high, 6000)})
            await page.wait_for_load_state("networkidle")
            await page.evaluate("new Promise(done => setTimeout(done, 150))")
            target = folder / f"{name}-{language}-{width}.png"
            await page.screenshot(path=target, animations="disabled")
        await page.set_viewport_size({"width": WIDTHS[0], "height": 800})

    await shoot("01-sign-in", "/ui/sign-in")
    await page.locator("#f-key").fill(KEY)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/ui/")
    await shoot("03-overview", "/ui/")
    await shoot("02-first-run", "/ui/start")
    await page.locator("#f-address").fill("Firma <jan@gmail.com>")
    await page.locator("main form button").first.click()
    await page.locator("[name='smtp.host']").wait_for()
    await shoot("02-first-run-server")
    await shoot("04-configuration", "/ui/config/global")
    await shoot("04-scopes", "/ui/config")
    await shoot("04-user", "/ui/config/users/anna")
    await shoot("04-effective", "/ui/config/effective?user=anna")
    await shoot("04-compare", "/ui/config/compare?left=global&right=users/anna")
    await page.goto("/ui/config/global")
    await page.locator("[data-probe]").first.click()
    await page.locator(".steps li.good").nth(3).wait_for()
    await page.locator("[data-probe]:not([disabled])").first.wait_for()
    await shoot("05-test")
    await page.locator("[name='smtp.port']").fill(str(port + 1 if port < 65535 else 1))
    await page.locator("[data-probe]").first.click()
    await page.locator(".steps li.error").wait_for()
    await shoot("05-test-failed")
    await shoot("06-templates", "/ui/templates")
    await shoot("06-editor", "/ui/templates/edit?name=document&language=pl")
    await shoot("06-version", "/ui/templates/version?name=document&language=pl&version=1")
    await shoot("06-languages", "/ui/templates/languages?name=document")
    await shoot("07-messages", "/ui/messages")
    await shoot("07-nothing", "/ui/messages?q=nowhere")
    await shoot("07-message", f"/ui/messages/{ids['sent']}")
    await shoot("15-inbox", "/ui/inbox")
    await shoot("15-answer", f"/ui/inbox/{ids['answer']}")
    await shoot("15-report", f"/ui/inbox/{ids['report']}")
    await shoot("15-nothing", "/ui/inbox?q=nowhere")
    await shoot("08-compose-empty", "/ui/compose")
    await page.goto("/ui/compose?template=document&language=pl")
    await page.locator("[name='to']").fill("Klient <ksiegowosc@klient.example>")
    await page.locator("[name='m-numer']").fill("FV 7/2026")
    await page.locator("[name='m-z dnia']").fill("2026-11-02")
    await page.locator("#preview-button").click()
    frame = page.frame_locator("#frames iframe:not(.is-loading)")
    await frame.get_by_text("FV 7/2026").first.wait_for()
    await shoot("08-compose")
    account = f"/ui/accounts/{ids['account']}"
    await shoot("11-accounts", "/ui/accounts")
    await shoot("11-account", account)
    await shoot("11-account-new", "/ui/accounts/new")
    await shoot("11-rights", f"{account}/rights")
    await page.goto(account)
    await page.locator("form[action$='password-link']").evaluate("form => form.submit()")
    await page.locator("#fresh").wait_for()
    await shoot("11-link")
    link = await page.locator("#fresh").inner_text()
    await shoot("11-password", link[link.index("/ui/") :])
    await shoot("11-password-wrong", "/ui/password/nonsense")
    await shoot("12-domains", "/ui/domains")
    await page.goto("/ui/domains/edit?name=firma.example")
    await page.locator("[name='smtp.host']").fill("smtp2.firma.example")
    await page.locator(".save button").click()
    await page.locator("[name=seen]").wait_for()
    await shoot("12-domain")
    await shoot("13-suppressions", "/ui/suppressions")
    await shoot("14-portable", "/ui/portable")
    await shoot("16-webhooks", "/ui/webhooks")
    await shoot("16-webhook-new", "/ui/webhooks/new")
    await shoot("16-webhook", f"/ui/webhooks/{ids['webhook']}")
    await page.locator("form[action$='rotate']").evaluate("form => form.submit()")
    await page.locator("#fresh").wait_for()
    await shoot("16-webhook-secret")
    await shoot("09-keys", "/ui/keys")
    await shoot("09-audit", "/ui/audit")
    await shoot("09-system", "/ui/system")
    await shoot("10-not-there", "/ui/nothing-here")


async def run(folder: Path, languages: list[str]) -> None:
    """Start everything, take the pictures, stop."""
    with tempfile.TemporaryDirectory() as data:
        settings = Settings(
            data_dir=Path(data), admin_key=KEY, log_level="error",
            oidc_issuer="https://login.firma.example", oidc_audience="awizo",
            oidc_client_id="awizo", public_url="https://awizo.firma.example",
        )  # fmt: skip
        upgrade(settings.url)
        office = open_office(settings)
        await office.db.write(ensure_admin_key, settings, office.vault, office.clock())
        async with (
            serve(None) as mailbox,
            receive() as receiver,
            serve_app(create_app(settings, office=office)) as address,
            httpx.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {KEY}"}) as api,
            async_playwright() as driver,
        ):
            receiver.answers = [OK, answer(503), OK]
            ids = await tell(api, mailbox.port, receiver)
            ids |= await let_come_in(office, ids["sent"])
            await rename_webhook(office, ids["webhook"])
            await office.db.write(repeat, ids["sent"], 240)
            for language in languages:
                browser = await driver.chromium.launch(
                    executable_path=CHROMIUM, args=[*FLAGS, f"--lang={language}"]
                )
                context = await browser.new_context(
                    base_url=address, locale=language, timezone_id="Europe/Warsaw"
                )
                context.set_default_timeout(10_000)
                await take_all(await context.new_page(), folder, language, ids, mailbox.port)
                await browser.close()
        await office.close()


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2:] or ["pl", "fr", "en"]))
