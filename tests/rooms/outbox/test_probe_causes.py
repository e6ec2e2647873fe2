"""Every cause of contract §5 that a server can bring about, brought about by a real one."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.errors import Refused
from app.outbox.advice import ADVICE
from app.outbox.office import Office, open_office
from app.outbox.probe import probe
from app.outbox.probe_ground import Wanted
from app.settings import Settings
from app.wire.causes import CAUSES
from tests.crafts.wire.certificates import Authority, make_authority
from tests.crafts.wire.dialogue import play
from tests.rooms.outbox.probing import ADMIN, LOGIN, SENDER, script, try_unsaved

pytestmark = pytest.mark.anyio

CLEAR = {"connection": "plaintext"}
CLEAR_LOGIN = {**CLEAR, **LOGIN, "allow_insecure_auth": True}
PLAIN_EHLO = """
S: 220 mx.example ESMTP
C: EHLO *
S: 250-mx.example
S: 250 AUTH PLAIN LOGIN
"""
BARE_EHLO = """
S: 220 mx.example ESMTP
C: EHLO *
S: 250 mx.example
"""
TLS_EHLO = """
S: 220 mx.example ESMTP
C: EHLO *
S: 250-mx.example
S: 250 STARTTLS
C: STARTTLS
S: 220 go ahead
TLS
"""


@dataclass(frozen=True)
class Row:
    cause: str
    failed_at: str
    dialogue: str
    smtp: dict[str, Any] = field(default_factory=lambda: CLEAR)
    mode: str = "send"
    fix: Any = None


ROWS = [
    Row("timeout", "greeting", "SILENCE"),
    Row("connection_lost", "greeting", "DROP"),
    Row("connection_lost", "mail", BARE_EHLO + "C: MAIL *\nDROP"),
    Row("connection_lost", "data", BARE_EHLO + """
C: MAIL *
S: 250 ok
C: RCPT *
S: 250 ok
C: DATA
S: 354 go on
HEAR
DROP"""),
    Row("greeting_refused", "greeting", "S: 554 5.7.1 not you"),
    Row("greeting_refused", "ehlo", "S: 220 mx.example\nC: EHLO *\nS: 550 5.7.1 not you"),
    Row("protocol_error", "greeting", "S: SSH-2.0-OpenSSH_9.6"),
    Row("protocol_error", "greeting", "R: * OK IMAP4rev1 ready\\r\\n"),
    Row("protocol_error", "data", BARE_EHLO + """
C: MAIL *
S: 250 ok
C: RCPT *
S: 250 ok
C: DATA
S: 250 already
C: RSET
S: 250 ok
C: QUIT
S: 221 bye"""),
    Row("starttls_not_offered", "starttls", BARE_EHLO, {"connection": "starttls"}),
    Row("starttls_refused", "starttls", """
S: 220 mx.example ESMTP
C: EHLO *
S: 250-mx.example
S: 250 STARTTLS
C: STARTTLS
S: 454 4.7.0 no certificate""", {"connection": "starttls"}),
    Row("tls_failed", "starttls", """
S: 220 mx.example ESMTP
C: EHLO *
S: 250-mx.example
S: 250 STARTTLS
C: STARTTLS
S: 220 go ahead
HEAR
DROP""", {"connection": "starttls"}),
    Row("insecure_auth", "auth", PLAIN_EHLO, LOGIN),
    Row("insecure_auth", "auth", PLAIN_EHLO + "C: AUTH *\nS: 538 5.7.11 encrypt", CLEAR_LOGIN),
    Row("mechanism_not_offered", "auth", BARE_EHLO, CLEAR_LOGIN),
    Row("mechanism_not_offered", "auth", PLAIN_EHLO, {**CLEAR_LOGIN, "auth": "cram_md5"},
        fix={"smtp": {"auth": "auto"}}),
    Row("credentials_refused", "auth", PLAIN_EHLO + "C: AUTH *\nS: 535 5.7.8 wrong", CLEAR_LOGIN),
    Row("credentials_refused", "auth", PLAIN_EHLO,
        {**CLEAR, "username": "faktury", "allow_insecure_auth": True}),
    Row("auth_disabled", "auth", PLAIN_EHLO + "C: AUTH *\nS: 534 5.7.9 app password\n"
        "C: AUTH *\nS: 535 5.7.139 basic authentication is disabled", CLEAR_LOGIN),
    Row("auth_temporary", "auth", PLAIN_EHLO + "C: AUTH *\nS: 454 4.7.0 try later", CLEAR_LOGIN),
    Row("auth_required", "mail", BARE_EHLO + "C: MAIL *\nS: 530 5.7.0 log in first\nC: QUIT\nS: 221 bye"),
    Row("auth_required", "mail", PLAIN_EHLO + "C: MAIL *\nS: 530 5.7.0 log in first\nC: QUIT\nS: 221 bye",
        {**CLEAR_LOGIN, "auth": "none"}, fix={"smtp": {"auth": "auto"}}),
    Row("sender_refused", "mail", BARE_EHLO + "C: MAIL *\nS: 553 5.7.1 not yours\nC: QUIT\nS: 221 bye"),
    Row("sender_refused", "mail", BARE_EHLO + """
C: MAIL FROM:<faktury@firma.example>
S: 553 5.7.1 not yours
C: MAIL FROM:<konto@firma.example>
S: 250 ok
C: RCPT TO:<faktury@firma.example>
S: 250 ok
C: RSET
S: 250 ok
C: QUIT
S: 221 bye""", {**CLEAR, "username": "konto@firma.example", "auth": "none"},
        fix={"sender": {"address": "konto@firma.example"}}),
    Row("recipient_refused", "rcpt", BARE_EHLO + """
C: MAIL *
S: 250 ok
C: RCPT *
S: 550 5.1.1 unknown
C: RSET
S: 250 ok
C: QUIT
S: 221 bye"""),
    Row("content_refused", "data", BARE_EHLO + """
C: MAIL *
S: 250 ok
C: RCPT *
S: 250 ok
C: DATA
S: 554 5.7.1 no
C: RSET
S: 250 ok
C: QUIT
S: 221 bye"""),
    Row("too_large", "mail", """
S: 220 mx.example ESMTP
C: EHLO *
S: 250-mx.example
S: 250 SIZE 100
C: QUIT
S: 221 bye"""),
    Row("rate_limited", "mail", BARE_EHLO + "C: MAIL *\nS: 450 4.7.1 message rate exceeded"),
    Row("rate_limited", "greeting", "S: 421 4.7.0 too many connections"),
]  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def office(sqlite_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Office]:
    opened = open_office(
        Settings(data_dir=tmp_path / "data", database_url=sqlite_url, ehlo_name="awizo.example")
    )
    yield opened
    await opened.close()


@pytest.fixture(scope="module", autouse=True)
def every_cause_is_here() -> None:
    elsewhere = {
        *("host_not_allowed", "name_not_found", "connection_refused"),
        *("certificate_expired", "certificate_wrong_host", "certificate_untrusted"),
        *("consent_needed", "token_unavailable"),  # test_consent
    }
    assert {row.cause for row in ROWS} | elsewhere == set(CAUSES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.cause}-{row.failed_at}")
async def test_a_server_brings_about_its_cause(
    office: Office, authority: Authority, row: Row
) -> None:
    async with play(script(row.dialogue), authority.make_server_context()) as peer:
        smtp = {"ca_pem": authority.pem, **row.smtp}
        report = await try_unsaved(office, peer.port, row.mode, timeout_ms=1500, **smtp)
    assert (report.cause, report.failed_at, report.fix) == (row.cause, row.failed_at, row.fix)
    failing = [step for step in report.steps if not step.ok and step.step != "quit"]
    assert [step.step for step in failing] == [row.failed_at]
    assert not report.ok
    assert set(ADVICE[report.cause]) == {"pl", "fr", "en"}


CERTIFICATES = [
    ("certificate_expired", {"days": -1}),
    ("certificate_wrong_host", {"host": "mx.obcy.example"}),
    ("certificate_untrusted", {"self_signed": True}),
]


@pytest.mark.parametrize("connection", ["starttls", "ssl_tls"])
@pytest.mark.parametrize(("cause", "certificate"), CERTIFICATES)
async def test_a_wrong_certificate_is_told_apart_and_never_worked_around(
    office: Office, authority: Authority, cause: str, certificate: dict[str, Any], connection: str
) -> None:
    context = authority.make_server_context(**certificate)
    implicit = connection == "ssl_tls"
    dialogue = script("S: 220 never heard" if implicit else TLS_EHLO)
    async with play(dialogue, context, implicit_tls=implicit) as peer:
        report = await try_unsaved(
            office, peer.port, connection=connection, ca_pem=authority.pem, timeout_ms=3000
        )
    assert (report.cause, report.failed_at) == (cause, "tls" if implicit else "starttls")
    assert report.fix is None


async def test_a_closed_port_is_connection_refused(office: Office) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        report = await try_unsaved(office, sock.getsockname()[1], timeout_ms=3000)
    assert (report.cause, report.failed_at) == ("connection_refused", "connect")


async def test_an_unknown_name_is_name_not_found(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", answer)  # somebody else's name server
    report = await try_unsaved(office, 587, host="nie.ma.example", timeout_ms=3000)
    assert (report.cause, report.failed_at) == ("name_not_found", "resolve")
    assert [step.step for step in report.steps] == ["resolve"]


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "[::ffff:169.254.169.254]"])
async def test_a_forbidden_literal_address_is_refused_before_anything_is_tried(
    office: Office, host: str
) -> None:
    with pytest.raises(Refused) as refused:
        await try_unsaved(office, 25, host=host)
    assert [(each.pointer, each.code) for each in refused.value.faults] == [
        ("/config/smtp/host", "host_not_allowed")
    ]


async def test_a_name_that_stands_for_a_forbidden_address_is_refused_too(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 25))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [row])
    with pytest.raises(Refused) as refused:
        await try_unsaved(office, 25, host="metadata.example")
    assert [(each.pointer, each.code) for each in refused.value.faults] == [
        ("/config/smtp/host", "host_not_allowed")
    ]


async def test_a_stored_scope_without_a_server_conflicts(office: Office) -> None:
    with pytest.raises(Refused) as refused:
        config = {"mode": "draft", "sender": SENDER}
        await probe(office, ADMIN, Wanted(mode="connect", config=config))
    assert [(each.pointer, each.code) for each in refused.value.faults] == [
        ("/config/smtp/host", "required")
    ]


# Fixes: each is tried on the real server before it is suggested.


async def test_tls_on_a_port_that_speaks_plainly_first_is_mended_by_starttls(
    office: Office, authority: Authority
) -> None:
    context = authority.make_server_context()
    server = await asyncio.start_server(serve_starttls(context), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        tries = {"connection": "ssl_tls", "ca_pem": authority.pem, "timeout_ms": 4000}
        report = await try_unsaved(office, port, "connect", **tries)
        assert (report.cause, report.failed_at) == ("tls_failed", "tls")
        assert report.fix == {"smtp": {"connection": "starttls"}}
        mended = await try_unsaved(office, port, "connect", **tries | report.fix["smtp"])
    assert mended.ok
    assert mended.connection == "starttls"


async def test_a_port_that_waits_for_tls_is_mended_by_ssl_tls(
    office: Office, authority: Authority
) -> None:
    dialogue = script("S: 220 mx.example\nC: EHLO *\nS: 250 mx.example\nC: QUIT\nS: 221 bye")
    async with play(dialogue, authority.make_server_context(), implicit_tls=True) as peer:
        tries = {"connection": "starttls", "ca_pem": authority.pem, "timeout_ms": 4000}
        report = await try_unsaved(office, peer.port, "connect", **tries)
        assert report.cause in ("timeout", "connection_lost")
        assert report.fix == {"smtp": {"connection": "ssl_tls"}}
        mended = await try_unsaved(office, peer.port, "connect", **tries | report.fix["smtp"])
    assert mended.ok
    assert mended.connection == "ssl_tls"


async def test_a_clear_connection_to_a_server_that_logs_in_under_tls_only_is_mended_by_starttls(
    office: Office, authority: Authority
) -> None:
    context = authority.make_server_context()
    server = await asyncio.start_server(serve_starttls(context), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        smtp = {**CLEAR_LOGIN, "ca_pem": authority.pem}
        report = await try_unsaved(office, port, "login", timeout_ms=4000, **smtp)
    assert report.cause == "mechanism_not_offered"
    assert report.fix == {"smtp": {"connection": "starttls"}}


async def test_milliseconds_meant_as_seconds_are_mended(office: Office) -> None:
    slow = "WAIT 0.3\nS: 220 mx.example\nC: EHLO *\nS: 250 mx.example\nC: QUIT\nS: 221 bye"
    async with play(script(slow)) as peer:
        config = {
            "smtp": {"host": "127.0.0.1", "port": peer.port, "timeout_ms": 30, **CLEAR},
            "sender": SENDER,
        }
        wanted = Wanted(mode="connect", config=config, timeout_ms=5000)
        report = await probe(office, ADMIN, wanted)
    assert (report.cause, report.failed_at) == ("timeout", "greeting")
    assert report.fix == {"smtp": {"timeout_ms": 30_000}}


def serve_starttls(context: ssl.SSLContext) -> Any:
    """Return a server that offers a login only under STARTTLS, and drops what it cannot read."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.write(b"220 mx.example ESMTP\r\n")
            encrypted = False
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    offer = b"AUTH PLAIN" if encrypted else b"STARTTLS"
                    writer.write(b"250-mx.example\r\n250 " + offer + b"\r\n")
                elif verb == b"STAR":
                    writer.write(b"220 go ahead\r\n")
                    await writer.drain()
                    await writer.start_tls(context)
                    encrypted = True
                elif verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                else:
                    break
        writer.close()

    return serve
