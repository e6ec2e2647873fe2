"""Signing in at an OpenID Connect provider that speaks the protocol over a socket."""

import re
import secrets
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from app.accounts.audit import SYSTEM
from app.accounts.people import save_person
from app.main import create_app
from app.settings import Settings
from tests.web.chromium import serve
from tests.web.provider import CLIENT, SECRET, OidcProvider

pytestmark = pytest.mark.anyio
PAGE = "http://awizo.example"
START = "/ui/sign-in/issuer"


@pytest.fixture
def provider():
    opened = OidcProvider()
    opened.redirects.add(f"{PAGE}/ui/sign-in/back")
    yield opened
    opened.close()


@pytest.fixture
def settings(settings, provider, request):
    given = {
        "oidc_issuer": provider.url, "oidc_audience": "awizo-api", "oidc_client_id": CLIENT,
        "oidc_client_secret": SECRET, "public_url": f"{PAGE}/",
    } | getattr(request, "param", {})  # fmt: skip
    return Settings(data_dir=settings.data_dir, database_url=settings.database_url, **given)


async def go_there(browser, start=START):
    """Return the address that the provider leads the browser back to."""
    led = await browser.get(start)
    assert led.status_code == 303, led.text
    async with httpx.AsyncClient() as outside:
        answer = await outside.get(led.headers["location"])
    assert answer.status_code == 302
    return answer.headers["location"]


async def sign_in(browser, start=START):
    """Return the answer to a browser that went to the provider and back."""
    return await browser.get(await go_there(browser, start))


async def test_who_signs_in_at_the_provider_comes_back_to_where_they_wanted(browser, provider):
    asked = await browser.get("/ui/config/global")
    shown = await browser.get(asked.headers["location"])
    link = re.search(rf'href="({START}[^"]+)"', shown.text)[1]
    assert urlsplit(provider.url).netloc in shown.text
    answer = await sign_in(browser, link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/config/global")
    assert (await browser.get("/ui/keys")).status_code == 200
    assert "awizo_errand" not in browser.cookies


async def test_a_user_of_the_provider_sees_only_what_is_theirs_in_their_language(
    browser, provider, office
):
    await office.db.write(
        save_person, SYSTEM, "anna", name="Anna", address=None, language="pl", at=office.clock()
    )
    del browser.headers["Accept-Language"]
    provider.claims = {"awizo_role": "user"}
    assert (await sign_in(browser)).status_code == 303
    assert (await browser.get("/ui/keys")).status_code == 403
    assert '<html lang="pl">' in (await browser.get("/ui/")).text


@pytest.mark.parametrize(
    ("settings", "ways", "secret"),
    [({}, ["client_secret_post"], SECRET), ({"oidc_client_secret": None}, ["none"], None)],
    indirect=["settings"],
)
async def test_the_client_shows_who_it_is_as_the_provider_wants(browser, provider, ways, secret):
    provider.ways, provider.secret = ways, secret
    assert (await sign_in(browser)).headers["location"] == "/ui/"
    assert (await browser.get("/ui/")).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_700_000_000},
        {"aud": "awizo-api"},
        {"aud": [CLIENT, "other"], "azp": "other"},
        {"iss": "https://evil.example"},
        {"sub": None},
    ],
)
async def test_a_token_that_is_not_for_this_sign_in_is_refused(browser, provider, claims):
    provider.claims = claims
    answer = await sign_in(browser)
    assert answer.status_code == 401 and 'role="alert"' in answer.text
    assert (await browser.get("/ui/")).status_code == 303


async def test_a_token_signed_by_somebody_else_is_refused(browser, provider):
    provider.key = RSAKey.generate_key(2048, {"kid": "1"})
    assert (await sign_in(browser)).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [{"awizo_role": None}, {"awizo_role": "king"}, {"awizo_role": ["admin", "sender"]},
     {"awizo_role": "user", "sub": "a/b"}, {"awizo_role": "probe"}],
)  # fmt: skip
async def test_who_has_no_role_here_is_told_so(browser, provider, claims):
    provider.claims = claims
    answer = await sign_in(browser)
    assert answer.status_code == 403
    assert (
        "Ask your administrator" in answer.text
        or "opens no page" in answer.text
        or ("Sign in as admin" in answer.text)
    )
    assert (await browser.get("/ui/")).status_code == 303


@pytest.mark.parametrize("change", [{"state": "x"}, {"state": ""}, {"iss": "https://evil.example"}])
async def test_an_answer_with_another_state_is_refused_and_no_code_is_traded(
    browser, provider, change
):
    back = httpx.URL(await go_there(browser)).copy_merge_params(change)
    answer = await browser.get(back)
    assert answer.status_code == 401 and "another sign-in" in answer.text
    assert "/token" not in provider.asked


async def test_an_answer_that_another_browser_asked_for_is_refused(open_browser, provider):
    thief, victim = await open_browser(), await open_browser()
    back = await go_there(thief)
    assert (await victim.get(back)).status_code == 401  # it has begun none
    await go_there(victim)
    assert (await victim.get(back)).status_code == 401  # it has begun another
    assert "/token" not in provider.asked


async def test_an_answer_counts_once_and_in_time(browser, provider, clock):
    back = await go_there(browser)
    clock.advance(minutes=11)
    late = await browser.get(back)
    assert late.status_code == 401 and "too long" in late.text
    clock.advance(minutes=-11)
    assert (await browser.get(back)).status_code == 401  # this errand has ended
    back = await go_there(browser)
    assert (await browser.get(back)).status_code == 303
    await browser.submit("/ui/", "/ui/sign-out")
    assert (await browser.get(back)).status_code == 401


async def test_a_refusal_by_the_provider_is_a_page_that_offers_to_start_again(browser, provider):
    provider.refusal = "access_denied"
    answer = await sign_in(browser)
    assert answer.status_code == 401
    assert "(access_denied)" in answer.text and f'href="{START}' in answer.text


async def test_a_wrong_client_secret_is_named(browser, provider):
    provider.secret = "changed"
    assert "(invalid_client)" in (await sign_in(browser)).text


async def test_nobody_is_led_to_another_site_afterwards(browser, provider):
    answer = await sign_in(browser, f"{START}?next=https://evil.example/")
    assert answer.headers["location"] == "/ui/"


async def test_a_provider_that_is_away_leaves_the_keys(browser, provider, keys):
    provider.close()
    answer = await browser.get(START)
    assert answer.status_code == 503 and "does not answer" in answer.text
    answer = await browser.submit("/ui/sign-in", "/ui/sign-in", key=keys["admin"])
    assert answer.status_code == 303


async def test_tries_are_throttled(browser, provider):
    provider.claims = {"nonce": "another"}
    for _ in range(10):
        assert (await sign_in(browser)).status_code == 401
    assert (await sign_in(browser)).status_code == 429


async def test_a_session_ends_after_a_working_day_and_with_its_issuer(browser, provider, clock):
    await sign_in(browser)
    clock.advance(hours=11)
    assert (await browser.get("/ui/")).status_code == 200
    clock.advance(hours=2)
    assert (await browser.get("/ui/")).status_code == 303


async def test_a_session_of_an_issuer_that_is_no_longer_ours_is_nobody(browser, provider, office):
    await sign_in(browser)
    other = office.settings.model_copy(update={"oidc_issuer": "https://other.example"})
    object.__setattr__(office, "settings", other)
    assert (await browser.get("/ui/")).status_code == 303


async def test_signing_out_offers_to_end_the_providers_session(browser, provider):
    await sign_in(browser)
    answer = await browser.submit("/ui/", "/ui/sign-out")
    shown = await browser.get(answer.headers["location"])
    assert 'href="/ui/sign-out/issuer"' in shown.text
    led = urlsplit((await browser.get("/ui/sign-out/issuer")).headers["location"])
    assert led.path == "/end"
    assert parse_qs(led.query)["post_logout_redirect_uri"] == [f"{PAGE}/ui/sign-in"]
    assert (await browser.get("/ui/")).status_code == 303


@pytest.mark.parametrize("settings", [{"oidc_client_id": None}], indirect=True)
async def test_where_it_is_not_set_up_it_is_not_offered(browser):
    assert START not in (await browser.get("/ui/sign-in")).text
    for path in (START, "/ui/sign-in/back?code=x&state=y", "/ui/sign-out/issuer"):
        assert (await browser.get(path)).status_code == 404


async def test_a_made_up_cookie_is_no_errand(browser):
    browser.cookies.set("awizo_errand", secrets.token_urlsafe(), path="/ui")
    assert (await browser.get("/ui/sign-in/back?code=x&state=y")).status_code == 401


@pytest.mark.browser
async def test_in_a_real_browser_the_way_there_and_back_and_out(chromium, provider, settings):
    # The address is known once the service listens, and its settings name it.
    app = create_app(settings, work=False)
    async with serve(app) as address:
        given = settings.model_copy(update={"public_url": address})
        object.__setattr__(app.state.office, "settings", given)
        provider.redirects.add(f"{address}/ui/sign-in/back")
        context = await chromium.new_context(locale="en", base_url=address)
        page = await context.new_page()
        await page.goto("/ui/keys")
        await page.get_by_role("button", name="Sign in with your company account").click()
        await page.get_by_role("heading", name="Keys").wait_for()
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("link", name="Sign out of your company account").click()
        await page.wait_for_url("**/ui/sign-in")
        assert "/end" in provider.asked
        await context.close()
