"""Sessions with a real server: every CONN and AUTH mode, and certificates good and bad."""

import asyncio
import base64
import logging
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from app.wire import tls
from app.wire.address_policy import AddressPolicy, read_networks
from app.wire.conveyor import Conveyor
from app.wire.envelope import Envelope, Recipient
from app.wire.session import Session
from app.wire.steps import SessionFailed, Step
from app.wire.target import Secret, Target
from tests.crafts.wire.certificates import Authority
from tests.crafts.wire.real_server import PASSWORD, USER, serve

ENVELOPE = Envelope("faktury@firma.example", (Recipient("jan@klient.example"),))
BODY = b"Subject: hello\r\n\r\n.dot\r\nHello\r\n"
pytestmark = pytest.mark.anyio


async def agree(accepted: tuple[int, ...]) -> bool:
    return True


def aim(port: int, authority: Authority, **changes: object) -> Target:
    target = Target(
        "127.0.0.1",
        port,
        username=USER,
        password=Secret(PASSWORD),
        timeout_ms=5000,
        ca_pem=authority.pem,
    )
    return replace(target, **changes)


async def open_session(target: Target, steps: list[Step] | None = None) -> Session:
    heard = [] if steps is None else steps
    return await Session.open(
        target, policy=AddressPolicy(), ehlo_name="awizo.example", observe=heard.append
    )


@pytest.mark.parametrize("connection", ["starttls", "ssl_tls", "auto", "plaintext"])
@pytest.mark.parametrize("auth", ["auto", "plain", "login", "cram_md5", "xoauth2", "ntlm"])
async def test_every_connection_with_every_login_delivers(
    connection: str,
    auth: str,
    authority: Authority,
    ntlm_users: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    implicit, clear = connection == "ssl_tls", connection == "plaintext"
    context = None if clear else authority.make_server_context()
    async with serve(context, implicit_tls=implicit, clear_auth=clear) as mailbox:
        steps: list[Step] = []
        target = aim(
            mailbox.port,
            authority,
            connection=connection,
            auth=auth,
            allow_insecure_auth=clear,
        )
        session = await open_session(target, steps)
        assert session.encrypted is not clear
        assert session.connection == ("starttls" if connection == "auto" else connection)
        assert session.auth == next(step.detail for step in steps if step.step == "auth")
        transaction = await session.send(ENVELOPE, BODY, before_dot=agree, final_reply_timeout_s=5)
        assert transaction.trouble is None
        assert session.usable
        await session.quit(steps.append)
    wanted = {"cram_md5": "CRAM-MD5", "auto": "CRAM-MD5" if clear else "PLAIN"}
    assert mailbox.mechanisms == [wanted.get(auth, auth.upper())]
    assert [envelope.content for envelope in mailbox.received] == [BODY]
    told = repr(steps) + repr(target)
    logged = "".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("mail.")
    )  # aiosmtpd's own log is the server's
    for secret in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), "NTLM step"):
        assert secret not in told + logged
    assert all(step.ok for step in steps)


@pytest.mark.parametrize("auth", ["auto", "plain", "login", "cram_md5", "xoauth2", "ntlm"])
async def test_a_wrong_password_is_given_once(
    auth: str, authority: Authority, ntlm_users: Path
) -> None:
    async with serve(authority.make_server_context()) as mailbox:
        target = aim(mailbox.port, authority, auth=auth, password=Secret("falsch-falsch"))
        with pytest.raises(SessionFailed) as caught:
            await open_session(target)
        assert (caught.value.cause, caught.value.step) == ("credentials_refused", "auth")
        assert caught.value.reply
        assert caught.value.reply.code == 535
        assert len(mailbox.mechanisms) == 1


async def test_login_none_says_nothing_about_the_user(authority: Authority) -> None:
    async with serve(authority.make_server_context()) as mailbox:
        session = await open_session(aim(mailbox.port, authority, auth="none"))
        await session.quit()
        assert mailbox.mechanisms == []


async def test_clear_text_gets_no_password_without_permission(authority: Authority) -> None:
    async with serve(None, clear_auth=True) as mailbox:
        for connection in ("auto", "plaintext"):
            with pytest.raises(SessionFailed) as caught:
                await open_session(aim(mailbox.port, authority, connection=connection))
            assert caught.value.cause == "insecure_auth"
        assert mailbox.mechanisms == []


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "ssl_tls"])
@pytest.mark.parametrize(
    ("certificate", "cause"),
    [
        ({"days": -1}, "certificate_expired"),
        ({"host": "192.0.2.1"}, "certificate_wrong_host"),
        ({"host": "other.example"}, "certificate_wrong_host"),
        ({"self_signed": True}, "certificate_untrusted"),
    ],
)
async def test_a_bad_certificate_is_named_and_gets_no_password(
    implicit: bool, certificate: dict[str, object], cause: str, authority: Authority
) -> None:
    context = authority.make_server_context(**certificate)
    async with serve(context, implicit_tls=implicit) as mailbox:
        connection = "ssl_tls" if implicit else "auto"
        target = aim(mailbox.port, authority, connection=connection)
        with pytest.raises(SessionFailed) as caught:
            await open_session(target)
        assert caught.value.cause == cause
        assert caught.value.step == ("tls" if implicit else "starttls")
        assert mailbox.mechanisms == []

        unverified = replace(target, tls_verify=False)
        session = await open_session(unverified)
        assert session.tls_facts
        assert session.tls_facts.subject == "CN=mail server"
        await session.quit()


async def test_the_systems_authorities_do_not_know_our_own(authority: Authority) -> None:
    async with serve(authority.make_server_context(), implicit_tls=True) as mailbox:
        with pytest.raises(SessionFailed) as caught:
            await open_session(aim(mailbox.port, authority, connection="ssl_tls", ca_pem=None))
        assert caught.value.cause == "certificate_untrusted"


async def test_a_self_signed_certificate_can_be_pinned(authority: Authority) -> None:
    certificate, key = authority.issue(self_signed=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with serve(context) as mailbox:
        session = await open_session(aim(mailbox.port, authority, ca_pem=certificate.read_text()))
        assert session.encrypted
        await session.quit()


async def test_the_facts_of_tls_are_told(authority: Authority) -> None:
    async with serve(authority.make_server_context()) as mailbox:
        steps: list[Step] = []
        session = await open_session(aim(mailbox.port, authority), steps)
        facts = session.tls_facts
        assert facts == next(step.tls for step in steps if step.step == "starttls")
        assert facts
        assert facts.version == "TLSv1.3"
        assert (facts.subject, facts.issuer) == ("CN=mail server", "CN=test authority")
        assert facts.san == ("127.0.0.1",)
        assert facts.not_after
        assert facts.not_after.utcoffset() is not None
        assert session.starttls_offered
        await session.quit()


async def test_tls_on_a_clear_text_port_fails_without_falling_back(authority: Authority) -> None:
    async with serve(None, clear_auth=True) as mailbox:
        with pytest.raises(SessionFailed) as caught:
            await open_session(aim(mailbox.port, authority, connection="ssl_tls"))
        assert (caught.value.cause, caught.value.step) == ("tls_failed", "tls")
        assert mailbox.mechanisms == []


async def test_a_closed_port_is_a_refused_connection(authority: Authority) -> None:
    async with serve(None) as mailbox:
        port = mailbox.port
    with pytest.raises(SessionFailed) as caught:
        await open_session(aim(port, authority))
    assert (caught.value.cause, caught.value.step) == ("connection_refused", "connect")


async def test_a_denied_address_is_not_connected_to(authority: Authority) -> None:
    async with serve(authority.make_server_context()) as mailbox:
        steps: list[Step] = []
        with pytest.raises(SessionFailed) as caught:
            await Session.open(
                aim(mailbox.port, authority, host="localhost"),
                policy=AddressPolicy(deny=read_networks("127.0.0.0/8,::1/128")),
                ehlo_name="awizo.example",
                observe=steps.append,
            )
        assert (caught.value.cause, caught.value.step) == ("host_not_allowed", "resolve")
        assert [step.step for step in steps] == ["resolve"]


async def test_a_name_is_connected_by_the_address_that_answers(authority: Authority) -> None:
    context = authority.make_server_context("localhost")
    async with serve(context, implicit_tls=True) as mailbox:
        steps: list[Step] = []
        target = aim(mailbox.port, authority, host="localhost", connection="ssl_tls")
        session = await open_session(target, steps)
        assert steps[1].detail == "127.0.0.1"
        await session.quit()


async def test_capabilities_are_read(authority: Authority) -> None:
    context = authority.make_server_context()
    async with serve(context, data_size_limit=35_882_577, enable_SMTPUTF8=True) as mailbox:
        session = await open_session(aim(mailbox.port, authority))
        capabilities = session.capabilities
        assert capabilities.size == 35_882_577
        assert capabilities.smtputf8
        assert capabilities.eightbitmime
        assert not capabilities.dsn
        assert {"PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "NTLM"} <= set(capabilities.auth)
        await session.quit()


async def test_a_session_carries_many_messages(authority: Authority) -> None:
    async with serve(authority.make_server_context()) as mailbox:
        session = await open_session(aim(mailbox.port, authority))
        for _ in range(20):
            result = await session.send(ENVELOPE, BODY, before_dot=agree, final_reply_timeout_s=5)
            assert result.trouble is None
        await session.quit()
        assert not session.usable
        assert len(mailbox.received) == 20


class Parcel:
    """A message for the conveyor."""

    envelope, body = ENVELOPE, BODY

    def is_wanted(self) -> bool:
        return True

    async def before_dot(self, accepted: tuple[int, ...]) -> bool:
        return accepted == (0,)


async def test_the_conveyor_serves_a_server_without_pipelining(authority: Authority) -> None:
    async with serve(authority.make_server_context()) as mailbox:
        session = await open_session(aim(mailbox.port, authority))
        assert not session.pipelining
        ready, came = [Parcel() for _ in range(20)], []
        await Conveyor[Parcel](session, final_reply_timeout_s=5).carry(
            lambda: ready.pop() if ready else None,
            lambda parcel, transaction: came.append(transaction),
        )
        assert session.usable
        await session.quit()
        assert [transaction.trouble for transaction in came] == [None] * 20
        assert [envelope.content for envelope in mailbox.received] == [BODY] * 20


async def test_a_large_body_arrives_byte_for_byte(authority: Authority) -> None:
    body = b"Subject: big\r\n\r\n" + b".0123456789abcdef\r\n" * 200_000
    async with serve(authority.make_server_context(), data_size_limit=1 << 25) as mailbox:
        session = await open_session(aim(mailbox.port, authority))
        result = await session.send(ENVELOPE, body, before_dot=agree, final_reply_timeout_s=30)
        assert result.trouble is None
        assert mailbox.received[0].content == body
        await session.quit()


async def test_a_mark_that_cannot_be_made_ends_the_session_without_a_dot(
    authority: Authority,
) -> None:
    async def fail(accepted: tuple[int, ...]) -> bool:
        raise RuntimeError("database away")

    async with serve(authority.make_server_context()) as mailbox:
        session = await open_session(aim(mailbox.port, authority))
        with pytest.raises(RuntimeError, match="database away"):
            await session.send(ENVELOPE, BODY, before_dot=fail, final_reply_timeout_s=5)
        assert not session.usable
        await session.channel.wait_closed()
        assert mailbox.received == []


async def test_a_cancelled_transaction_ends_the_session_without_a_dot(
    authority: Authority,
) -> None:
    reached = asyncio.Event()

    async def wait(accepted: tuple[int, ...]) -> bool:
        reached.set()
        await asyncio.Event().wait()
        return True

    async with serve(authority.make_server_context()) as mailbox:
        session = await open_session(aim(mailbox.port, authority))
        task = asyncio.create_task(
            session.send(ENVELOPE, BODY, before_dot=wait, final_reply_timeout_s=5)
        )
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not session.usable
        await session.channel.wait_closed()
        assert mailbox.received == []


def test_a_ca_pem_is_checked_before_it_is_stored(authority: Authority) -> None:
    assert tls.check_ca_pem(authority.pem) is None
    assert tls.check_ca_pem("")
    assert tls.check_ca_pem("hello")
    assert tls.check_ca_pem(authority.pem.replace("M", "N"))
    assert tls.check_ca_pem(authority.pem + "-----BEGIN PRIVATE KEY-----")


def test_a_context_is_built_once_per_setting(authority: Authority) -> None:
    assert tls.make_context(True, authority.pem) is tls.make_context(True, authority.pem)
    assert tls.make_context(True, None).verify_mode is ssl.CERT_REQUIRED
    assert tls.make_context(False, None).verify_mode is ssl.CERT_NONE


def test_a_secret_shows_itself_nowhere() -> None:
    target = Target("h", 25, username="u", password=Secret("geheim-und-lang"), ca_pem="PEM")
    for shown in (repr(target), str(target), f"{target.password}", repr(target.password)):
        assert "geheim" not in shown
    assert target.password == Secret("geheim-und-lang")
