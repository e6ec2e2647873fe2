"""Pages in a real browser: readable by everybody, at every width, in both colour schemes."""

import pytest

from app.web.menu import MENU
from tests.web.chromium import find_serious

pytestmark = [pytest.mark.browser, pytest.mark.anyio]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_a_serious_barrier_or_scrolls_sideways(page, scheme):
    await page.emulate_media(color_scheme=scheme)
    found = {}
    for path in ["/ui/nothing-here", *(entry.path for entry in MENU)]:
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.goto(path)
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            trouble = (await find_serious(page)) + ([f"{wide} px too wide"] if wide > 0 else [])
            if trouble:
                found[path, width] = trouble
    assert found == {}


async def test_the_first_tab_leads_to_the_content(page):
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.getAttribute('href')") == "#main"


async def test_times_are_by_the_viewers_clock(page):
    await page.goto("/ui/")
    assert "Europe/Warsaw" in await page.locator("footer").inner_text()
