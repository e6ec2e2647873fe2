"""JWTs against a real issuer on a socket: who gets in, who does not, and how often it is asked."""

import asyncio
import base64
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from app.accounts.audit import SYSTEM
from app.accounts.keys import create_key
from app.accounts.sign_in import SignIn
from app.accounts.tokens import TokenReader
from app.db import Database
from app.errors import Denied, Unauthenticated, Unavailable
from app.settings import Settings
from app.vault import Vault

pytestmark = pytest.mark.anyio

AUDIENCE = "awizo"
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"})
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "rsa-2", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec-1"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed-1"})


class FakeIssuer:
    """An OIDC issuer: what it publishes can be changed, what it was asked is counted."""

    def __init__(self):
        issuer = self
        self.keys = [RSA, EC, ED]
        self.asked = []
        self.status = 200
        self.raw = None
        self.claimed_issuer = None

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                body = issuer.answer(self.path)
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/realms/firma"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path):
        if self.raw is not None:
            return self.raw
        if path.endswith("/.well-known/openid-configuration"):
            return json.dumps(
                {"issuer": self.claimed_issuer or self.url, "jwks_uri": f"{self.url}/certs"}
            ).encode()
        return json.dumps(
            {"keys": [{"kty": "unheard-of"}, *(key.as_dict(private=False) for key in self.keys)]}
        ).encode()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def _encode(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Clock:
    def __init__(self):
        self.at = datetime.now(UTC)

    def __call__(self):
        return self.at


@pytest.fixture
def issuer():
    opened = FakeIssuer()
    yield opened
    opened.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_reader(issuer, clock):
    def make(**more):
        return TokenReader(Settings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE, **more), clock)

    return make


@pytest.fixture
def reader(make_reader):
    return make_reader()


@pytest.fixture
def sign(issuer, clock):
    def sign(key=RSA, alg="RS256", header=None, drop=(), **claims):
        at = int(clock().timestamp())
        full = {
            "iss": issuer.url, "aud": AUDIENCE, "sub": "anna", "awizo_role": "user", "exp": at + 300,
        } | claims  # fmt: skip
        for name in drop:
            del full[name]
        head = {"alg": alg, "kid": key.kid} | (header or {})
        registry = JWSRegistry(algorithms=[alg], strict_check_header=False)
        return jwt.encode(head, full, key, registry=registry)

    return sign


async def test_a_good_token_gives_role_user_and_owner(reader, sign, issuer):
    caller = await reader.read(sign(), "request-1")
    assert (caller.role, caller.user, caller.name, caller.key_id) == ("user", "anna", "anna", None)
    assert caller.owner_id == f"jwt:{issuer.url}:anna"
    assert caller.request_id == "request-1"


@pytest.mark.parametrize(
    ("key", "alg"),
    [(RSA, "RS256"), (RSA, "RS512"), (RSA, "PS256"), (EC, "ES256"), (ED, "Ed25519")],
)
async def test_every_asymmetric_algorithm_is_taken(reader, sign, key, alg):
    assert (await reader.read(sign(key, alg), None)).user == "anna"


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # on the signing side
async def test_eddsa_by_its_old_name_is_taken(reader, sign):
    assert (await reader.read(sign(ED, "EdDSA"), None)).user == "anna"


async def test_tokens_that_anybody_could_make_are_refused(reader, sign, issuer):
    body = sign().split(".")[1]
    public = RSA.as_pem(private=False)  # known to all: no secret, though an HS256 might take it
    head = _encode(b'{"alg":"HS256","kid":"rsa-1"}')
    mac = hmac.digest(public, f"{head}.{body}".encode(), "sha256")
    for token in (
        _encode(b'{"alg":"none"}') + f".{body}.",
        f"{head}.{body}.{_encode(mac)}",
        sign(OctKey.import_key("secret" * 8), "HS256", {"kid": "rsa-1"}),
    ):
        with pytest.raises(Unauthenticated):
            await reader.read(token, None)
    assert issuer.asked == []  # refused by their algorithm alone


async def test_a_token_of_another_key_by_the_same_name_is_refused(reader, sign):
    forged = sign(OTHER_RSA, header={"kid": "rsa-1"})
    with pytest.raises(Unauthenticated) as refused:
        await reader.read(forged, None)
    assert refused.value.code == "invalid_token"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": ["x"]},
        {"aud": "other"},
        {"aud": []},
        {"aud": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": float("inf")},
        {"exp": True},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\0b"},
        {"sub": "x" * 256},
        {"nbf": 99_999_999_999},
        {"iat": 99_999_999_999},
    ],
)
async def test_a_claim_that_does_not_fit_is_refused(reader, sign, claims):
    with pytest.raises(Unauthenticated):
        await reader.read(sign(**claims), None)


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "sub"])
async def test_a_claim_that_is_missing_is_refused(reader, sign, name):
    with pytest.raises(Unauthenticated):
        await reader.read(sign(drop=[name]), None)


async def test_one_of_several_audiences_is_enough(reader, sign):
    assert (await reader.read(sign(aud=["other", AUDIENCE]), None)).role == "user"


async def test_a_token_ends_a_minute_after_its_expiry(reader, sign, clock):
    token = sign(exp=int(clock().timestamp()) + 10)
    clock.at += timedelta(seconds=69)
    assert (await reader.read(token, None)).user == "anna"
    clock.at += timedelta(seconds=2)
    with pytest.raises(Unauthenticated) as refused:
        await reader.read(token, None)
    assert refused.value.code == "token_expired"


@pytest.mark.parametrize(
    "token",
    ["..", "a.b.c", "e30.e30.e30", "eyJhbGciOiJSUzI1NiJ9..x", "eyJhbGciOjF9.e30.x",
     "eyJhbGciOiJSUzI1NiIsImtpZCI6WzFdfQ.e30.AAAA",
     "eyJhbGciOiJSUzI1NiIsImNyaXQiOlsiYjY0Il0sImI2NCI6ZmFsc2V9.e30.AAAA", "\0.\0.\0"],
)  # fmt: skip
async def test_what_is_no_token_is_refused(reader, token):
    with pytest.raises(Unauthenticated):
        await reader.read(token, None)


@pytest.mark.parametrize("role", [None, "king", "", 1, [], ["admin", "sender"], {"admin": True}])
async def test_a_token_without_one_role_may_nothing(reader, sign, role):
    with pytest.raises(Denied) as refused:
        await reader.read(sign(awizo_role=role), None)
    assert refused.value.code == "no_role"


async def test_role_and_user_come_from_the_claims_of_the_settings(make_reader, sign):
    reader = make_reader(oidc_role_claim="realm_access.roles", oidc_user_claim="erp_user")
    roles = {"roles": ["offline_access", "user"]}
    assert (await reader.read(sign(realm_access=roles, erp_user="ŻÓŁĆ"), None)).user == "ŻÓŁĆ"
    for wrong in (None, 7, "a/b", ""):
        with pytest.raises(Denied) as refused:
            await reader.read(sign(realm_access=roles, erp_user=wrong), None)
        assert refused.value.code == "no_user"
    reader = make_reader(oidc_role_claim="https://firma.example/role")
    caller = await reader.read(sign(**{"https://firma.example/role": "admin"}), None)
    assert (caller.role, caller.user) == ("admin", None)


async def test_a_long_subject_still_gives_a_short_owner(reader, sign):
    one, other = [
        await reader.read(sign(sub="x" * 250 + end, awizo_role="admin"), None) for end in "ab"
    ]
    assert one.owner_id != other.owner_id
    assert len(one.owner_id) <= 200


async def test_keys_are_fetched_once_for_a_crowd_and_kept(reader, sign, issuer):
    await asyncio.gather(*(reader.read(sign(), None) for _ in range(20)))
    assert [path.rpartition("/")[2] for path in issuer.asked] == ["openid-configuration", "certs"]


async def test_a_new_key_of_the_issuer_is_found_soon(reader, sign, issuer, clock):
    await reader.read(sign(), None)
    issuer.keys = [OTHER_RSA]
    clock.at += timedelta(seconds=11)
    assert (await reader.read(sign(OTHER_RSA), None)).user == "anna"
    with pytest.raises(Unauthenticated):
        await reader.read(sign(RSA), None)  # taken back by the issuer


async def test_made_up_key_ids_do_not_flood_the_issuer(reader, sign, issuer, clock):
    await reader.read(sign(), None)
    clock.at += timedelta(seconds=11)
    before = len(issuer.asked)
    for n in range(20):
        with pytest.raises(Unauthenticated):
            await reader.read(sign(OTHER_RSA, header={"kid": f"made-up-{n}"}), None)
    assert len(issuer.asked) - before == 2


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500},
        {"status": 302},
        {"raw": b"<html>"},
        {"raw": b"[]"},
        {"raw": b"\xff"},
        {"raw": b" " * 1_100_000},
        {"keys": []},
        {"keys": [], "raw": b'{"keys": 1}'},
        {"claimed_issuer": "https://evil.example"},
    ],
)
async def test_an_issuer_in_trouble_is_not_the_callers_fault(reader, sign, issuer, trouble):
    for name, value in trouble.items():
        setattr(issuer, name, value)
    with pytest.raises(Unavailable) as refused:
        await reader.read(sign(), None)
    assert refused.value.code == "issuer_away"
    assert refused.value.retry_after_s


async def test_known_keys_outlive_an_issuer_that_is_away_for_an_hour(reader, sign, issuer, clock):
    await reader.read(sign(), None)
    issuer.close()
    clock.at += timedelta(minutes=59)
    assert (await reader.read(sign(), None)).user == "anna"
    clock.at += timedelta(minutes=2)
    with pytest.raises(Unavailable):
        await reader.read(sign(), None)


async def test_the_key_set_may_be_named_instead_of_discovered(make_reader, sign, issuer):
    reader = make_reader(oidc_jwks_url=f"{issuer.url}/certs")
    assert (await reader.read(sign(), None)).user == "anna"
    assert [path.rpartition("/")[2] for path in issuer.asked] == ["certs"]


async def test_keys_and_tokens_sign_in_side_by_side(sqlite_url, tmp_path, issuer, clock, sign):
    settings = Settings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE)
    db, vault = Database(sqlite_url), Vault.open_or_create(tmp_path / "keyring.json")
    _, key = await db.write(
        create_key, vault, SYSTEM, role="probe", name="x", user=None, expires_at=None, at=clock()
    )
    desk = SignIn(settings, db, vault, clock)
    assert (await desk.identify(key)).role == "probe"
    assert (await desk.identify(sign())).role == "user"
    for wrong in (key[:-2], sign(aud="other"), sign(aud="other") + ".x"):
        with pytest.raises(Unauthenticated):
            await desk.identify(wrong)
    await desk.close()
    without = SignIn(Settings(), db, vault, clock)
    with pytest.raises(Unauthenticated):
        await without.identify(sign())
    db.close()
