"""Pages in a real browser: readable by everybody, at every width, in both colour schemes."""

import pytest

from app.outbox.identity import make_envid
from app.web.menu import MENU
from tests.rooms.inbox.letters import tell, write_dsn, write_mail
from tests.rooms.outbox.desk import configure, send
from tests.web.chromium import find_serious
from tests.web.test_inbox import ANNA, BOX, HOSTILE, INVOICE, take

pytestmark = [pytest.mark.browser, pytest.mark.anyio]


@pytest.mark.parametrize("part", [0, 1, 2])  # for several processes at once
async def test_no_page_has_a_serious_barrier_or_scrolls_sideways(page, part):
    paths = ["/ui/nothing-here", "/ui/config/global", "/ui/templates/edit?name=document"]
    paths += [
        "/ui/accounts/new",
        "/ui/domains",
        "/ui/domains/edit",
        "/ui/people/anna",
        "/ui/portable",
        "/ui/suppressions",
        "/ui/webhooks/new",
        "/ui/webhooks",
        "/ui/audit",
        "/ui/system",
    ]
    paths += ["/ui/password/nonsense"]
    paths = (paths + [entry.path for entry in MENU])[part::3]
    assert await find_trouble(page, paths) == {}


async def test_mail_that_came_in_has_no_barrier_and_does_not_scroll_sideways(page, live):
    account = await configure(live.office, config=BOX | {"document_address": True})
    sent = await send(live.office, ANNA, reference=INVOICE)
    envid = make_envid(live.office.vault, sent)
    mails = await take(
        live.office, account, HOSTILE,
        write_mail(f"In-Reply-To: <{envid}@firma.example>", "Subject: " + "ż" * 300, text="x" * 900),
        write_dsn(tell("delayed", ANNA, "4.4.1"), envid=envid),
    )  # fmt: skip
    paths = ["/ui/", "/ui/inbox", f"/ui/messages/{sent}", f"/ui/accounts/{account}/auto-reply"]
    assert await find_trouble(page, [*paths, *(f"/ui/inbox/{each}" for each in mails)]) == {}


async def find_trouble(page, paths, *, unfolds=False):
    """Return what axe finds and what is too wide, at each path, width and colour scheme."""
    found = {}
    for path in paths:
        await page.goto(path)
        if unfolds:
            await page.locator("main details").evaluate_all("all => all.map(e => e.open = true)")
        for width, scheme in ((1280, "light"), (390, "light"), (390, "dark")):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            trouble = await find_serious(page)
            if trouble or wide > 0:
                found[path, width, scheme] = (wide, trouble)
    return found


async def test_a_webhook_and_a_form_unfolded_have_no_barrier(page, api):
    given = {"url": f"https://127.0.0.1:1/{'awizo' * 60}", "events": ["recipient.sent", "*"]}
    made = (await api.post("/webhooks", json=given)).json()["id"]
    await api.post(f"/webhooks/{made}/test")
    await api.post(f"/webhooks/{made}/rotate-secret")
    paths = [f"/ui/webhooks/{made}", "/ui/webhooks", "/ui/config/users/anna", "/ui/config/global"]
    assert await find_trouble(page, paths, unfolds=True) == {}


async def test_signing_in_with_a_key_leads_to_the_overview(open_page, live):
    page = await open_page()
    await page.context.clear_cookies()
    await page.goto("/ui/")
    await page.get_by_label("API key").fill(live.key)
    assert await find_serious(page) == []
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Overview").wait_for()


async def test_the_first_tab_leads_to_the_content(page):
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.getAttribute('href')") == "#main"


async def test_times_are_by_the_viewers_clock(page):
    await page.goto("/ui/")  # the first page told where the viewer is
    assert "Europe/Warsaw" in await page.locator("footer").inner_text()
