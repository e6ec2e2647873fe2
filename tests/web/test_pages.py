"""What holds for every page: policy, weight, languages, time zones."""

import gzip
import re

import pytest

from app.web.assets import load_asset, name_asset
from app.web.menu import MENU

pytestmark = pytest.mark.anyio
MOST_BYTES = 100_000
PAGES = [path for entry in MENU for path in entry.places]
_ADDRESS = re.compile(r'(?:href|src)="(/ui/static/[^"]+)"')


@pytest.mark.parametrize(
    "path", [*PAGES, "/ui/sign-in", "/ui/nothing-here", "/ui/static/x/awizo.css"]
)
async def test_every_answer_carries_the_policy(signed_in, path):
    answer = await (await signed_in("admin")).get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [*PAGES, "/ui/nothing-here"])
@pytest.mark.parametrize("language", ["pl", "fr", "en"])
async def test_no_page_has_inline_script_or_style(signed_in, path, language):
    browser = await signed_in("admin")
    html = (await browser.get(path, params={"lang": language})).text
    assert f'<html lang="{language}">' in html
    assert (
        re.findall(r"<style|\bstyle=|<script(?![^>]*\bsrc=)|\son[a-z]+=|javascript:|hx-on", html)
        == []
    )


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_with_all_that_it_loads_is_light(signed_in, path):
    browser = await signed_in("admin")
    answer = await browser.get(path)
    assert answer.status_code == 200
    weight = len(answer.content)
    for address in set(_ADDRESS.findall(answer.text)):
        asset = await browser.get(address, headers={"Accept-Encoding": "gzip"})
        assert asset.status_code == 200 and "immutable" in asset.headers["cache-control"]
        loaded = load_asset(address.rpartition("/")[2])
        assert asset.content == loaded.plain == gzip.decompress(loaded.packed)
        weight += len(loaded.packed)
    assert weight < MOST_BYTES


async def test_a_page_that_is_not_there_says_so_and_keeps_the_menu(signed_in):
    answer = await (await signed_in("admin")).get("/ui/nothing-here")
    assert answer.status_code == 404
    assert 'href="/ui/"' in answer.text


@pytest.mark.parametrize(
    "name", ["../mount.py", "pico-LICENSE.txt", "nothing.css", "..%2fmount.py"]
)
async def test_only_what_browsers_need_is_served_from_the_folder(browser, name):
    assert (await browser.get(f"/ui/static/x/{name}")).status_code == 404


async def test_an_address_of_another_version_is_not_kept_for_ever(browser):
    answer = await browser.get("/ui/static/older/awizo.css")
    assert answer.headers["cache-control"] == "no-cache"
    assert "awizo.css" in name_asset("awizo.css")


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("pl", "pl"), ("fr-CH, en;q=0.5", "fr"), ("de, en;q=0.1, pl;q=0.9", "pl"), ("de", "en"), ("", "en"),
     ("x;q=z", "en")],
)  # fmt: skip
async def test_the_browsers_language_is_taken(browser, accepted, language):
    answer = await browser.get("/ui/sign-in", headers={"Accept-Language": accepted})
    assert f'<html lang="{language}">' in answer.text


async def test_a_chosen_language_is_kept(browser):
    await browser.get("/ui/sign-in?lang=pl")
    assert '<html lang="pl">' in (await browser.get("/ui/sign-in")).text


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Europe/Warsaw", "Europe/Warsaw"),
        ("", "UTC"),
        ("../../etc/passwd", "UTC"),
        ("Nowhere/At_All", "UTC"),
    ],
)
async def test_the_time_zone_is_named(browser, zone, shown):
    browser.cookies.set("awizo_zone", zone)
    assert f"Times: {shown}" in (await browser.get("/ui/sign-in")).text


async def test_the_front_door_leads_browsers_to_the_page(client):
    for path in ("/", "/ui"):
        answer = await client.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
        assert answer.headers["location"] == "/ui/"
        assert (await client.get(path)).status_code == 404
