"""One POST: which address it goes to, in whose name, and what it says of everything else."""

import socket
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest

from app.webhooks import post as posting
from app.webhooks.post import post
from app.webhooks.sign import sign, write_headers
from app.webhooks.wishes import is_wanted
from app.wire.address_policy import AddressPolicy
from tests.crafts.wire.certificates import make_authority
from tests.rooms.webhooks.receiver import Receiver, answer, receive

pytestmark = pytest.mark.anyio
ANY = AddressPolicy()
BODY = b'{"type":"webhook.test"}'


@pytest.fixture(
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)
def anyio_backend(request):
    """Both loops: they differ most where connections fail."""
    return request.param


@pytest.fixture
def names(monkeypatch):
    """What the name server answers: a list of addresses for each question, in turn."""
    answers: list[list[str]] = []

    def look_up(host, port, *args, **kwargs):
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(None, None, None, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """An authority that this machine trusts."""
    made = make_authority(tmp_path)
    (tmp_path / "ca.pem").write_text(made.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    posting._context.cache_clear()
    yield made
    posting._context.cache_clear()


def test_a_signature_is_the_one_of_the_standard():
    # The example of the Standard Webhooks specification and its reference libraries.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("patterns", "type", "wanted"),
    [
        (["*"], "message.accepted", True),
        (["message.*"], "message.accepted", True),
        (["message.*"], "recipient.sent", False),
        (["recipient.sent"], "recipient.sent", True),
        (["recipient.sent"], "recipient.sent_later", False),
        (["inbox.*", "recipient.failed"], "recipient.failed", True),
    ],
)
def test_a_pattern_is_a_type_an_area_or_everything(patterns, type, wanted):
    assert is_wanted(patterns, type) is wanted


async def test_the_request_is_what_was_stored_byte_for_byte(receiver):
    answered = await post(receiver.url, {"webhook-id": "x"}, BODY, ANY)
    assert answered.is_success and answered.code == 204
    (heard,) = receiver.heard
    assert heard.line == "POST /hook?a=%20b HTTP/1.1"
    assert heard.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["webhook-id"] == "x"
    assert heard.body == BODY


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (answer(200, body=b"x" * 100_000), 200, None),
        (answer(302, "Location: https://elsewhere.example/"), 302, "not followed"),
        (answer(410), 410, "wants nothing more."),
        (answer(503), 503, "The receiver answered 503."),
        (b"220 mail.firma.example ESMTP\r\n", None, "no HTTP"),
        (b"", None, "The connection broke"),
    ],
)
async def test_what_is_not_2xx_is_a_failure_in_plain_words(receiver, said, code, words):
    receiver.answers = [said]
    answered = await post(receiver.url, {}, BODY, ANY)
    assert (answered.code, answered.is_success) == (code, words is None)
    assert words is None or words in (answered.error or "")
    assert receiver.dialled == 1  # a redirect above all


async def test_nobody_listening_is_said(receiver):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    answered = await post(f"http://127.0.0.1:{port}/", {}, BODY, ANY)
    assert answered.code is None
    assert "The connection was not made" in (answered.error or "")


async def test_a_receiver_that_says_nothing_is_left_in_time(receiver, monkeypatch):
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.15)
    receiver.answers = [None]
    answered = await post(receiver.url, {}, BODY, ANY)
    assert answered.code is None
    assert "No answer within" in (answered.error or "")


async def test_the_status_counts_although_the_answer_never_ends(receiver, monkeypatch):
    monkeypatch.setattr(posting, "_ANSWER_S", 0.05)
    receiver.answers = [b"HTTP/1.1 200 x\r\nContent-Length: 100\r\n\r\nonly this"]
    assert (await post(receiver.url, {}, BODY, ANY)).is_success


async def test_the_name_is_judged_at_every_try_and_the_judged_address_is_dialled(receiver, names):
    names += [["127.0.0.1"], ["169.254.169.254"]]  # a name that changes between two looks
    url = f"http://hook.firma.example:{receiver.port}/"
    assert (await post(url, {}, BODY, ANY)).is_success
    assert receiver.heard[0].headers["host"] == f"hook.firma.example:{receiver.port}"
    answered = await post(url, {}, BODY, ANY)
    assert "a cloud metadata address" in (answered.error or "")
    assert receiver.dialled == 1


async def test_networks_that_the_settings_deny_are_not_dialled(receiver):
    policy = AddressPolicy(deny=(ip_network("127.0.0.0/8"),))
    answered = await post(receiver.url, {}, BODY, policy)
    assert "in a network that the settings deny" in (answered.error or "")
    assert receiver.dialled == 0


async def test_plain_http_stays_in_the_own_network_whatever_the_name_says(receiver, names):
    names += [["127.0.0.1", "192.0.2.7"]]
    answered = await post(f"http://hook.firma.example:{receiver.port}/", {}, BODY, ANY)
    assert "plain http is for addresses of your own network" in (answered.error or "")
    assert receiver.dialled == 0


async def test_an_address_that_refuses_gives_way_to_the_next(receiver, names):
    names += [["127.0.0.77", "127.0.0.1"]]
    url = f"http://hook.firma.example:{receiver.port}/"
    assert (await post(url, {}, BODY, ANY)).is_success


async def test_ipv6_is_reached_by_its_address_and_by_a_name(names):
    names += [["::1"]]
    async with receive("::1") as receiver:
        assert (await post(receiver.url, {}, BODY, ANY)).is_success
        assert receiver.heard[0].headers["host"] == f"[::1]:{receiver.port}"
        url = f"http://hook.firma.example:{receiver.port}/"
        assert (await post(url, {}, BODY, ANY)).is_success


async def _post_by_tls(receiver: Receiver, host: str) -> str | None:
    return (await post(f"https://{host}:{receiver.port}/", {}, BODY, ANY)).error


async def test_the_certificate_is_the_names_although_the_address_is_dialled(authority, names):
    names += [["127.0.0.1"]]
    async with receive(tls=authority.make_server_context("hook.firma.example")) as receiver:
        assert await _post_by_tls(receiver, "hook.firma.example") is None
        assert "CERTIFICATE_VERIFY_FAILED" in (await _post_by_tls(receiver, "x.example") or "")
    async with receive(tls=authority.make_server_context("127.0.0.1")) as receiver:
        assert await _post_by_tls(receiver, "127.0.0.1") is None


async def test_a_certificate_of_nobody_known_is_refused(authority, names):
    names += [["127.0.0.1"]]
    context = authority.make_server_context("hook.firma.example", self_signed=True)
    async with receive(tls=context) as receiver:
        error = await _post_by_tls(receiver, "hook.firma.example")
        assert "CERTIFICATE_VERIFY_FAILED" in (error or "")
        assert receiver.heard == []


def test_during_an_overlap_both_secrets_sign():
    new, old = "whsec_" + "YWFh" * 8, "whsec_" + "YmJi" * 8
    at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    headers = write_headers([new, old], "id", at, BODY)
    assert headers["webhook-timestamp"] == str(int(at.timestamp()))
    signatures = [sign(secret, "id", int(at.timestamp()), BODY) for secret in (new, old)]
    assert headers["webhook-signature"].split(" ") == signatures
