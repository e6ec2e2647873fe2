"""OAuth2 consents through the doors, with a provider on a real socket."""

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from app.settings import Settings
from tests.doors.sending import LETTER
from tests.rooms.outbox.oauth_peers import OWNER, SECRET, Provider

pytestmark = pytest.mark.anyio
SMTP = {"host": "127.0.0.1", "port": 2525, "connection": "starttls", "username": OWNER}


@pytest.fixture
def provider():
    running = Provider()
    yield running
    running.close()


@pytest.fixture
def settings(database_url, tmp_path, provider):
    """The settings of a service that both providers know."""
    plain = Settings(data_dir=tmp_path / "data", database_url=database_url)
    return plain.model_copy(update=provider.settings)


async def make_account(client, headers, **smtp):
    given = {
        "name": "Faktury <b>",
        "smtp": {**SMTP, "auth": "xoauth2", **smtp},
        "sender": {"address": OWNER},
    }
    answer = await client.post("/accounts", json=given, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def ask(client, headers, account, provider="google", **more):
    where = f"/accounts/{account}/consent"
    return await client.post(where, json={"provider": provider} | more, headers=headers)


async def begin(client, headers, account, provider="google"):
    answer = await ask(client, headers, account, provider)
    assert answer.status_code == 201, answer.text
    return answer.json()["authorize_url"]


async def arrive(client, brought, language="en"):
    """Do what the provider does with the owner's browser: no key, no cookie."""
    return await client.get(
        "/oauth/callback", params=brought, headers={"Accept-Language": language}
    )


async def come_back(client, brought, language="en"):
    """Arrive, and confirm what is asked there."""
    page = await arrive(client, brought, language)
    fields = HTMLParser(page.text).css("form input")
    if not fields:
        return page
    given = {each.attributes["name"]: each.attributes["value"] for each in fields}
    return await client.post("/oauth/callback", data=given, headers={"Accept-Language": language})


async def test_an_owner_is_told_who_asks_for_the_mailbox_and_nothing_is_done_before_they_confirm(
    client, as_role, provider
):
    admin = as_role("admin")
    account = await make_account(client, admin)
    brought = provider.authorize(await begin(client, admin, account))
    for language, words in (("en", "Connect this"), ("pl", "Połączyć tę"), ("fr", "Relier cette")):
        page = await arrive(client, brought, language)
        assert page.status_code == 200
        assert words in page.text
        assert "Faktury &lt;b&gt;" in page.text
        assert OWNER in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert provider.asked == []
    assert (await show(client, admin, account))["state"] == "pending"
    again = await come_back(client, brought)  # what was only shown is good still
    assert again.status_code == 200
    assert (await show(client, admin, account))["state"] == "granted"
    body = "&".join(f"{name}={value}" for name, value in brought.items())
    for odd in (body, body + "&state=x", "state=" + "x" * 90_000, "\0ż", ""):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        page = await client.post("/oauth/callback", content=odd, headers=form)
        assert page.status_code == 404, odd[:60]


async def show(client, headers, account):
    answer = await client.get(f"/accounts/{account}/consent", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("name", ["google", "microsoft"])
async def test_an_owner_consents_and_the_mail_that_waited_goes_on(client, as_role, provider, name):
    admin = as_role("admin")
    account = await make_account(client, admin)
    letter = LETTER | {"account": account}
    sent = await client.post("/send", json=letter, headers=admin)
    assert sent.json()["recipients"][0]["state"] == "held"
    asked = (await ask(client, admin, account, name)).json()
    assert asked["state"] == "pending"
    query = dict(parse_qsl(urlsplit(asked["authorize_url"]).query))
    assert query["login_hint"] == OWNER
    assert "offline" in str(query)
    before = await show(client, admin, account)
    assert before["state"] == "pending"
    assert before["asked_until"] == asked["expires_at"]
    page = await come_back(client, provider.authorize(asked["authorize_url"]), "pl-PL,en;q=0.5")
    assert page.status_code == 200
    assert "Zgoda zapisana" in page.text
    assert "Faktury &lt;b&gt;" in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    after = await show(client, admin, account)
    assert (after["provider"], after["state"], after["address"]) == (name, "granted", OWNER)
    assert after["scopes"] == ["mail", "openid"]
    assert after["asked_until"] is None
    shown = (await client.get(f"/accounts/{account}", headers=admin)).json()
    assert shown["consent"] == after
    assert shown["state"] == "active"
    one = (await client.get(f"/messages/{sent.json()['id']}", headers=admin)).json()
    assert one["recipients"][0]["state"] == "queued"
    # What was read can be put again, and the consent stays without a warning.
    put = await client.put(f"/accounts/{account}", json=shown, headers=admin)
    assert put.status_code == 200, put.text
    assert put.json()["warnings"] == []
    assert put.json()["consent"] == after


async def test_no_answer_and_no_audit_holds_a_token_or_the_clients_secret(
    client, as_role, provider
):
    admin = as_role("admin")
    account = await make_account(client, admin)
    url = await begin(client, admin, account)
    page = await come_back(client, provider.authorize(url))
    everything = page.text
    for path in (f"/accounts/{account}", f"/accounts/{account}/consent", "/accounts", "/audit"):
        everything += (await client.get(path, headers=admin)).text
    for secret in (*provider.valid, *provider.good, SECRET, "code_verifier"):
        assert secret not in everything + url
    actions = [
        each["action"]
        for each in (await client.get("/audit", headers=admin)).json()["data"]
        if "consent" in each["action"]
    ]
    assert sorted(actions) == ["account.consent", "account.consent_asked"]


async def test_a_state_is_good_once_for_ten_minutes_and_only_the_last_one(
    client, as_role, provider, clock
):
    admin = as_role("admin")
    account = await make_account(client, admin)
    replaced = provider.authorize(await begin(client, admin, account))
    late = provider.authorize(await begin(client, admin, account))
    clock.advance(minutes=11)
    used = provider.authorize(await begin(client, admin, account))
    assert (await come_back(client, used)).status_code == 200
    forged = used | {"state": used["state"].partition(".")[0] + "." + "x" * 43}
    odd = [{"state": text, "code": "x"} for text in ("", ".", "\0", "x" * 9000, "ż.\ud7ff")]
    for brought in (replaced, late, used, forged, {}, {"code": "x"}, *odd):
        page = await come_back(client, brought, "fr")
        assert page.status_code == 404, brought
        assert "Ce lien ne fonctionne plus" in page.text
    twice = f"/oauth/callback?state={used['state']}&state=x&code=y"
    assert (await client.get(twice)).status_code == 404
    assert (await show(client, admin, account))["state"] == "granted"
    assert len(provider.asked) == 1


async def test_an_owner_who_declines_leaves_all_as_it_was(client, as_role, provider):
    admin = as_role("admin")
    account = await make_account(client, admin)
    state = provider.authorize(await begin(client, admin, account))["state"]
    page = await come_back(client, {"state": state, "error": "access_denied"})
    assert page.status_code == 400
    assert "declined" in page.text
    shown = await show(client, admin, account)
    assert shown["state"] == "pending"
    assert "access_denied" in shown["error"]
    state = provider.authorize(await begin(client, admin, account))["state"]
    page = await come_back(client, {"state": state, "error": "<script>alert(1)</script>"})
    assert "<script" not in page.text
    assert provider.asked == []


async def test_an_answer_of_another_issuer_is_not_traded(client, as_role, provider):
    admin = as_role("admin")
    account = await make_account(client, admin)
    brought = provider.authorize(await begin(client, admin, account))
    page = await come_back(client, brought | {"iss": "https://evil.example"})
    assert page.status_code == 400
    assert provider.asked == []
    brought = provider.authorize(await begin(client, admin, account))
    assert (await come_back(client, brought | {"iss": provider.url})).status_code == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer": (503, "away")}, "503"),
        ({"answer": (400, '{"error": "invalid_grant"}')}, "invalid_grant"),
        ({"keeps_refresh": False}, "refresh token"),
    ],
)
async def test_a_code_that_is_good_for_nothing_changes_nothing(
    client, as_role, provider, change, words
):
    admin = as_role("admin")
    account = await make_account(client, admin)
    brought = provider.authorize(await begin(client, admin, account))
    for name, value in change.items():
        setattr(provider, name, value)
    page = await come_back(client, brought)
    assert page.status_code == 400
    assert words in page.text
    shown = await show(client, admin, account)
    assert shown["state"] == "pending"
    assert words in shown["error"]


async def test_a_consent_that_is_forgotten_makes_the_account_wait_for_a_password(
    client, as_role, provider
):
    admin = as_role("admin")
    account = await make_account(client, admin)
    brought = provider.authorize(await begin(client, admin, account))
    await come_back(client, brought)
    where = f"/accounts/{account}/consent"
    assert (await client.delete(where, headers=admin)).status_code == 204
    assert (await client.delete(where, headers=admin)).json()["code"] == "consent_not_found"
    assert (await client.get(where, headers=admin)).status_code == 404
    shown = (await client.get(f"/accounts/{account}", headers=admin)).json()
    assert (shown["state"], shown["consent"]) == ("awaiting_password", None)


async def test_another_server_or_user_name_needs_consent_again(client, as_role, provider):
    admin = as_role("admin")
    account = await make_account(client, admin)
    await come_back(client, provider.authorize(await begin(client, admin, account)))
    where = f"/accounts/{account}"
    patched = await client.patch(where, json={"smtp": {"timeout_ms": 9000}}, headers=admin)
    assert patched.json()["state"] == "active"
    for change in ({"username": "szef@firma.example"}, {"host": "127.0.0.2"}):
        patched = await client.patch(where, json={"smtp": change}, headers=admin)
        assert [each["code"] for each in patched.json()["warnings"]] in (["consent_needed"], [])
        assert patched.json()["state"] == "consent_needed"
        trouble = patched.json()["trouble"]
        assert trouble["cause"] == "consent_needed"
        assert "another server" in trouble["detail"]
    sent = await client.post("/send", json=LETTER | {"account": account}, headers=admin)
    assert sent.json()["recipients"][0]["reason"] == "consent_needed"
    brief = (await client.get("/accounts", headers=admin)).json()["data"]
    assert [each["password_state"] for each in brief] == ["consent_needed"]
    await come_back(client, provider.authorize(await begin(client, admin, account)))
    one = (await client.get(f"/messages/{sent.json()['id']}", headers=admin)).json()
    assert one["recipients"][0]["state"] == "queued"


async def test_removing_the_account_forgets_its_tokens(client, as_role, provider):
    admin = as_role("admin")
    account = await make_account(client, admin)
    brought = provider.authorize(await begin(client, admin, account))
    assert (await client.delete(f"/accounts/{account}", headers=admin)).status_code == 204
    assert (await come_back(client, brought)).status_code == 404
    assert provider.asked == []


async def test_who_manages_an_account_asks_and_client_credentials_are_an_admins(
    client, as_role, provider
):
    admin, anna, piotr, sender = map(as_role, ("admin", "anna", "piotr", "sender"))
    account = await make_account(client, anna, host="smtp.gmail.com", port=587)
    for headers, status in ((admin, 201), (anna, 201), (piotr, 404), (sender, 403)):
        assert (await ask(client, headers, account)).status_code == status
    application = {"provider": "Microsoft", "grant": "client-credentials"}
    refused = await ask(client, anna, account, **application)
    assert (refused.status_code, refused.json()["code"]) == (403, "account_not_allowed")
    granted = await ask(client, admin, account, **application)
    assert granted.json() == {"authorize_url": None, "expires_at": None, "state": "granted"}
    shown = await show(client, sender, account)
    assert (shown["state"], shown["grant"]) == ("granted", "client_credentials")
    assert provider.asked == []  # until it is used
    where = f"/accounts/{account}/rights/piotr"
    await client.put(where, json={"read": True}, headers=anna)
    assert (await show(client, piotr, account))["state"] == "granted"
    assert (await ask(client, piotr, account)).status_code == 403


@pytest.mark.parametrize(
    "host", ["smtp.firma.example", "smtp.gmail.com.firma.example", "gmail.com"]
)
async def test_a_user_asks_for_no_token_that_a_server_of_their_choice_would_see(
    client, as_role, host
):
    admin, anna = as_role("admin"), as_role("anna")
    account = await make_account(client, anna, host=host, port=587)
    refused = await ask(client, anna, account)
    assert (refused.status_code, refused.json()["code"]) == (403, "consent_other_server")
    assert (await ask(client, admin, account)).status_code == 201  # a gateway, an admin's to judge


@pytest.mark.parametrize("smtp", [{"auth": "plain"}, {"password_mode": "ask"}, {"username": None}])
async def test_an_account_without_such_a_login_has_nothing_to_consent_to(client, as_role, smtp):
    admin = as_role("admin")
    account = await make_account(client, admin, **smtp)
    answer = await ask(client, admin, account)
    assert (answer.status_code, answer.json()["code"]) == (409, "consent_not_wanted")


@pytest.mark.parametrize(
    ("missing", "given"),
    [
        ("oauth_google_client_id", {}),
        ("public_url", {}),
        ("oauth_microsoft_client_secret", {"provider": "microsoft", "grant": "client_credentials"}),
    ],
)
async def test_without_its_settings_nothing_is_begun(
    client, service, as_role, office, missing, given
):
    admin = as_role("admin")
    account = await make_account(client, admin)
    bare = office.settings.model_copy(update={missing: None})
    service.state.office = replace(office, settings=bare)
    answer = await ask(client, admin, account, **given)
    assert (answer.status_code, answer.json()["code"]) == (409, "oauth_not_configured")
    assert (await client.get(f"/accounts/{account}/consent", headers=admin)).status_code == 404


async def test_the_tenant_of_everybody_gives_no_client_credentials(
    client, service, as_role, office
):
    admin = as_role("admin")
    account = await make_account(client, admin)
    common = office.settings.model_copy(update={"oauth_microsoft_tenant": "common"})
    service.state.office = replace(office, settings=common)
    given = {"provider": "microsoft", "grant": "client_credentials"}
    assert (await ask(client, admin, account, **given)).json()["code"] == "oauth_not_configured"
    assert "/common/authorize?" in await begin(client, admin, account, "microsoft")
