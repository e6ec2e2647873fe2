"""The client of token endpoints, against one on a real socket."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.wire import oauth
from app.wire.oauth import Client, Errand, Refusal, Tokens
from app.wire.target import Secret
from tests.rooms.outbox.oauth_peers import BACK, CLIENT, OWNER, SECRET, Provider

pytestmark = pytest.mark.anyio
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # of RFC 7636 appendix B


@pytest.fixture
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.close()


def make_client(provider: Provider) -> Client:
    return Client(
        f"{provider.url}/authorize", f"{provider.url}/token", CLIENT, Secret(SECRET), "mail openid"
    )


async def consent(client: Client, provider: Provider) -> Tokens:
    errand = Errand()
    url = oauth.make_authorize_url(client, errand.state, errand.verifier, BACK, {"login_hint": "x"})
    brought = provider.authorize(url)
    assert brought["state"] == errand.state
    tokens = await oauth.trade_code(client, brought["code"], errand.verifier, BACK)
    assert isinstance(tokens, Tokens)
    return tokens


def test_a_browser_is_led_with_state_challenge_and_what_the_provider_wants(
    provider: Provider,
) -> None:
    client = replace(make_client(provider), authorize_url="https://a.example/auth?tenant=1")
    url = oauth.make_authorize_url(client, "s t", VERIFIER, BACK, {"prompt": "consent"})
    query = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith("https://a.example/auth?tenant=1&response_type=code&")
    assert query["state"] == "s t"
    assert query["prompt"] == "consent"
    assert query["code_challenge"] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert VERIFIER not in url


async def test_a_code_is_traded_once_and_a_refresh_token_rotates(provider: Provider) -> None:
    client = make_client(provider)
    first = await consent(client, provider)
    assert (first.lasts_s, first.scopes, first.address) == (3600, "mail openid", OWNER)
    assert first.refresh
    second = await oauth.refresh(client, first.refresh)
    assert isinstance(second, Tokens)
    assert second.refresh not in (None, first.refresh)
    again = await oauth.refresh(client, first.refresh)
    assert isinstance(again, Refusal)
    assert again.kind == "consent"


async def test_a_code_without_its_verifier_is_good_for_nothing(provider: Provider) -> None:
    client, errand = make_client(provider), Errand()
    url = oauth.make_authorize_url(client, errand.state, errand.verifier, BACK, {})
    came = await oauth.trade_code(client, provider.authorize(url)["code"], Errand().verifier, BACK)
    assert isinstance(came, Refusal)


async def test_an_application_asks_in_its_own_name(provider: Provider) -> None:
    client = replace(make_client(provider), scopes="https://outlook.office365.com/.default")
    tokens = await oauth.ask_as_application(client)
    assert isinstance(tokens, Tokens)
    assert tokens.refresh is None
    assert tokens.access.reveal() in provider.valid


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "invalid_grant"}, "consent"),
        (400, {"error": "interaction_required"}, "consent"),
        (400, {"error": "invalid_client"}, "misconfigured"),
        (401, {"error": "invalid_client"}, "misconfigured"),
        (400, {"error": "unauthorized_client"}, "misconfigured"),
        (400, {"error": "invalid_scope"}, "misconfigured"),
        (404, {}, "misconfigured"),
        (302, {}, "misconfigured"),  # not followed
        (400, {"error": "temporarily_unavailable"}, "temporary"),
        (429, {"error": "slow_down"}, "temporary"),
        (500, {"error": "server_error"}, "temporary"),
        (503, "<html>Service Unavailable", "temporary"),
        (200, "<html>Welcome to the hotel's network", "temporary"),
        (200, [], "temporary"),
        (200, {"access_token": ""}, "temporary"),
        (200, {"access_token": "a\r\nRCPT TO:<x@y>"}, "temporary"),
        (200, {"access_token": "a", "token_type": "mac"}, "misconfigured"),
        (200, {"access_token": "x" * 70_000}, "temporary"),
        (400, {"error": ["invalid_grant"]}, "misconfigured"),
        (400, {"error": "x" * 1000}, "misconfigured"),
    ],
)
async def test_an_answer_says_who_can_mend_it(
    provider: Provider, status: int, body: object, kind: str
) -> None:
    provider.answer = status, body if isinstance(body, str) else json.dumps(body)
    came = await oauth.refresh(make_client(provider), Secret("refresh-1"))
    assert isinstance(came, Refusal)
    assert came.kind == kind
    assert len(provider.asked) == 1
    assert len(came.detail) < 500


@pytest.mark.parametrize(
    ("given", "lasts_s"),
    [(7200, 7200), ("3599", 3599), (None, 3600), ("soon", 3600), (-5, 3600), (10**400, 3600),
     (10**12, 30 * 86_400), (0, 0)],
)  # fmt: skip
async def test_how_long_a_token_lasts_is_read_from_whatever_is_said(
    provider: Provider, given: object, lasts_s: float
) -> None:
    provider.answer = 200, json.dumps({"access_token": "a", "expires_in": given})
    came = await oauth.refresh(make_client(provider), Secret("refresh-1"))
    assert isinstance(came, Tokens)
    assert came.lasts_s == lasts_s


@pytest.mark.parametrize("part", ["e30", "!!!", "W10", base64.b64encode(b'{"email": 5}').decode()])
async def test_an_id_token_that_says_nothing_is_passed_over(provider: Provider, part: str) -> None:
    provider.answer = 200, json.dumps({"access_token": "a", "id_token": f"e30.{part}.x"})
    came = await oauth.refresh(make_client(provider), Secret("refresh-1"))
    assert isinstance(came, Tokens)
    assert came.address is None


async def test_what_an_endpoint_repeats_of_our_secrets_is_not_told(provider: Provider) -> None:
    said = f"the token refresh-tajny of {SECRET} is wrong\r\n<script>"
    provider.answer = 400, json.dumps({"error": "invalid_grant", "error_description": said})
    came = await oauth.refresh(make_client(provider), Secret("refresh-tajny"))
    assert isinstance(came, Refusal)
    assert "the token … of … is wrong<script>" in came.detail
    assert "tajny" not in came.detail


async def test_an_endpoint_that_is_not_there_or_says_nothing_is_trouble_for_now(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(provider)
    monkeypatch.setattr(oauth, "TIMEOUT_S", 0.1)
    provider.delay_s = 0.3
    slow = await oauth.refresh(client, Secret("refresh-1"))
    provider.close()
    gone = await oauth.refresh(client, Secret("refresh-1"))
    for came in (slow, gone):
        assert isinstance(came, Refusal)
        assert came.kind == "temporary"


@pytest.mark.parametrize(
    ("issuer", "is_ours"),
    [("https://a.example", True), ("https://A.example/", True), ("https://a.example/v2.0", True),
     ("https://b.example", False), ("http://a.example", False), ("", False), ("https://[", False)],
)  # fmt: skip
def test_an_answer_names_the_place_that_the_browser_was_led_to(issuer: str, is_ours: bool) -> None:
    client = Client("https://a.example/auth", "https://t.example/token", "id", None, "mail")
    assert oauth.is_issued_by(client, issuer) == is_ours
