"""Signing in and out, and what protects a session."""

import httpx
import pytest

from app.accounts.audit import SYSTEM
from app.accounts.keys import revoke_key

pytestmark = pytest.mark.anyio
SIGN_IN = "/ui/sign-in"


async def test_without_a_session_every_page_leads_to_the_sign_in_and_back(browser, keys):
    answer = await browser.get("/ui/?after=7")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/ui/sign-in?next=/ui/%3Fafter%3D7"
    shown = await browser.get(answer.headers["location"])
    assert 'name="next" value="/ui/?after=7"' in shown.text
    back = await browser.submit(
        answer.headers["location"], SIGN_IN, key=keys["admin"], next="/ui/?after=7"
    )
    assert back.headers["location"] == "/ui/?after=7"


@pytest.mark.parametrize(
    "next", ["https://evil.example/", "//evil.example", "/ui//evil.example", "/ui/\\evil", "/send"]
)
async def test_signing_in_never_leads_to_another_site(browser, keys, next):
    answer = await browser.submit(SIGN_IN, SIGN_IN, key=keys["admin"], next=next)
    assert answer.headers["location"] == "/ui/"


async def test_the_cookie_is_out_of_reach_of_scripts(browser, keys):
    answer = await browser.submit(SIGN_IN, SIGN_IN, key=keys["admin"])
    cookie = answer.headers["set-cookie"]
    assert "awizo_session=" in cookie and "HttpOnly" in cookie and "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert keys["admin"] not in cookie


async def test_behind_tls_the_cookie_never_travels_without(browser, keys):
    browser.base_url = httpx.URL("https://awizo.example")
    answer = await browser.submit(SIGN_IN, SIGN_IN, key=keys["admin"])
    assert "Secure" in answer.headers["set-cookie"]


async def test_a_wrong_key_is_refused_at_its_field_and_not_shown_again(browser, keys):
    answer = await browser.submit(SIGN_IN, SIGN_IN, key="awizo_wrong")
    assert answer.status_code == 401
    assert 'aria-invalid="true"' in answer.text and 'aria-describedby="e-key h-key"' in answer.text
    assert "awizo_wrong" not in answer.text


async def test_a_probe_key_opens_no_page(browser, keys):
    answer = await browser.submit(SIGN_IN, SIGN_IN, key=keys["probe"])
    assert answer.status_code == 403
    assert (await browser.get("/ui/")).status_code == 303


async def test_guesses_are_throttled(browser, keys):
    for _ in range(10):
        assert (await browser.submit(SIGN_IN, SIGN_IN, key="awizo_wrong")).status_code == 401
    assert (await browser.submit(SIGN_IN, SIGN_IN, key=keys["admin"])).status_code == 429


async def test_a_revoked_key_ends_its_sessions_at_once(signed_in, keys, office, client):
    browser = await signed_in("anna")
    assert (await browser.get("/ui/")).status_code == 200
    listed = await client.get("/keys", headers={"Authorization": f"Bearer {keys['admin']}"})
    key_id = next(key["id"] for key in listed.json()["data"] if key["name"] == "anna")
    await office.db.write(revoke_key, SYSTEM, key_id, office.clock())
    assert (await browser.get("/ui/")).status_code == 303


async def test_a_session_lasts_a_working_day(signed_in, clock):
    browser = await signed_in("admin")
    clock.advance(hours=11)
    assert (await browser.get("/ui/")).status_code == 200
    clock.advance(hours=2)
    assert (await browser.get("/ui/")).status_code == 303


async def test_signing_out_ends_the_session(signed_in):
    browser = await signed_in("admin")
    answer = await browser.submit("/ui/", "/ui/sign-out")
    assert answer.headers["location"] == SIGN_IN
    assert (await browser.get("/ui/")).status_code == 303


async def test_signing_in_begins_a_session_with_another_token(browser, keys):
    await browser.get(SIGN_IN)
    planted = browser.cookies["awizo_session"]
    await browser.submit(SIGN_IN, SIGN_IN, key=keys["admin"])
    assert browser.cookies["awizo_session"] != planted


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_a_change_without_the_sessions_token_is_refused(signed_in, token):
    browser = await signed_in("admin")
    answer = await browser.post("/ui/sign-out", data={"csrf": token})
    assert answer.status_code == 403
    assert (await browser.get("/ui/")).status_code == 200


async def test_another_sessions_token_is_refused(signed_in):
    one, two = await signed_in("admin"), await signed_in("admin")
    page = (await two.get("/ui/")).text
    token = page.partition('name="csrf" value="')[2].partition('"')[0]
    assert (await one.post("/ui/sign-out", data={"csrf": token})).status_code == 403


async def test_a_form_from_another_site_is_refused_although_it_has_the_token(signed_in):
    browser = await signed_in("admin")
    browser.headers["Sec-Fetch-Site"] = "cross-site"
    assert (await browser.submit("/ui/", "/ui/sign-out")).status_code == 403


@pytest.mark.parametrize("cookie", ["x", "AAAA", "é", "=" * 5000])
async def test_a_cookie_that_is_not_ours_is_nobody(browser, cookie):
    answer = await browser.get("/ui/", headers={"Cookie": f"awizo_session={cookie}".encode()})
    assert answer.status_code == 303
