"""The OAuth2 consent on an account's page: asked for, the way to the provider shown, forgotten."""

import pytest

from app.settings import Settings
from tests.web.test_accounts import read_page

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(database_url, tmp_path):
    """The settings of a service that Google knows, and Microsoft does not."""
    plain = Settings(data_dir=tmp_path / "data", database_url=database_url)
    known = {"oauth_google_client_id": "awizo", "public_url": "https://awizo.example"}
    return plain.model_copy(update=known)


async def test_a_consent_is_asked_for_by_a_link_to_the_provider_and_forgotten(
    signed_in, client, as_role
):
    given = {
        "smtp": {"host": "smtp.gmail.com", "username": "anna@gmail.com"},
        "sender": {"address": "anna@gmail.com"},
    }
    made = await client.post("/accounts", json=given, headers=as_role("admin"))
    path = f"/ui/accounts/{made.json()['id']}"
    browser = await signed_in("admin")
    page = read_page(await browser.get(path))
    assert [each.attributes["value"] for each in page.css("button[name=provider]")] == ["google"]
    page = read_page(await browser.submit(path, f"{path}/consent", provider="google"))
    (link,) = page.css("main a[role=button]")
    assert link.attributes["href"].startswith("https://accounts.google.com/o/oauth2/v2/auth?")
    assert "not yet given" in (await browser.get(path)).text
    answer = await browser.submit(path, f"{path}/consent/forget")
    assert answer.headers["location"] == path
    assert "not yet given" not in (await browser.get(path)).text
    answer = await browser.submit(path, f"{path}/consent", provider="microsoft")
    page = read_page(await browser.get(answer.headers["location"]))
    assert "not set up" in page.css_first(".note.warning").text()
    assert (await (await signed_in("anna")).get(path)).status_code == 404
