"""Pages in a real browser: readable by everybody, at every width, in both colour schemes."""

import pytest

from app.web.menu import MENU
from tests.web.chromium import find_serious

pytestmark = [pytest.mark.browser, pytest.mark.anyio]


@pytest.mark.parametrize("part", [0, 1, 2])  # for several processes at once
async def test_no_page_has_a_serious_barrier_or_scrolls_sideways(page, part):
    found = {}
    paths = ["/ui/nothing-here", "/ui/config/global", "/ui/templates/edit?name=document"]
    paths += [
        "/ui/accounts/new",
        "/ui/domains",
        "/ui/domains/edit",
        "/ui/people/anna",
        "/ui/portable",
        "/ui/suppressions",
    ]
    paths += ["/ui/password/nonsense"]
    for path in (paths + [entry.path for entry in MENU])[part::3]:
        await page.goto(path)
        for width, scheme in ((1280, "light"), (390, "light"), (390, "dark")):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            trouble = await find_serious(page)
            if trouble or wide > 0:
                found[path, width, scheme] = (wide, trouble)
    assert found == {}


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
