"""A probe ends in time whatever the server does, shows no secret, and hides what is no mail server."""

import asyncio
import base64
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.outbox.office import Office, open_office
from app.outbox.probe_report import Report
from app.settings import Settings
from tests.crafts.wire.certificates import Authority, make_authority
from tests.crafts.wire.dialogue import play
from tests.rooms.outbox.probing import ANNA, HELLO, LOGIN, script, try_unsaved

pytestmark = pytest.mark.anyio

CLEAR = {"connection": "plaintext"}
BARE = HELLO + "S: 250 mx.example\n"
TAKEN = "C: MAIL *\nS: 250 ok\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def office(sqlite_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Office]:
    opened = open_office(
        Settings(
            data_dir=tmp_path / "data",
            database_url=sqlite_url,
            ehlo_name="awizo.example",
            smtp_ports="any",
        )
    )
    yield opened
    await opened.close()


@contextlib.contextmanager
def listen_without_accepting() -> Iterator[int]:
    """A port that looks filtered: its queue is full, so that the kernel drops every SYN."""
    with contextlib.ExitStack() as held:
        server = held.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = held.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


STALLING = [
    ("SILENCE", CLEAR, "greeting"),
    ("SILENCE", {"connection": "ssl_tls"}, "tls"),
    ("DRIP 220-still here\\r\\n", CLEAR, "greeting"),
    ("FLOOD 220-" + "x" * 4000 + "\\r\\n", CLEAR, "greeting"),
    ("FLOOD " + "x" * 4000, CLEAR, "greeting"),
    (HELLO + "SILENCE", CLEAR, "ehlo"),
    (HELLO + "DRIP 250-still here\\r\\n", CLEAR, "ehlo"),
    (HELLO + "S: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nSILENCE", {}, "starttls"),
    (HELLO + "S: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nSILENCE", {}, "starttls"),
    (BARE + "C: MAIL *\nWAIT 0.5\nS: 250 ok\nC: RCPT *\nWAIT 0.5\nS: 250 ok\nSILENCE", CLEAR, "rcpt"),
    (BARE + TAKEN + "C: RCPT *\nSILENCE", CLEAR, "rcpt"),
    (BARE + TAKEN + "C: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nSILENCE", CLEAR, "data"),
    (BARE + TAKEN + "C: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nHEAR\nDRIP 250-y\\r\\n", CLEAR, "data"),
]  # fmt: skip


@pytest.mark.parametrize(("dialogue", "smtp", "step"), STALLING)
async def test_a_server_that_stalls_costs_no_more_than_the_probe_s_time_and_a_second(
    office: Office, authority: Authority, dialogue: str, smtp: dict[str, Any], step: str
) -> None:
    async with play(script(dialogue)) as peer:
        started = time.monotonic()
        report = await try_unsaved(office, peer.port, timeout_ms=1000, **smtp)
        elapsed_s = time.monotonic() - started
    assert elapsed_s < 2
    assert report.cause in ("timeout", "protocol_error")
    assert report.failed_at == step
    assert [each.step for each in report.steps if not each.ok] == [step]
    assert peer.said_bytes < 16 << 20


async def test_a_filtered_port_costs_no_more_than_the_probe_s_time_and_a_second(
    office: Office,
) -> None:
    with listen_without_accepting() as port:
        started = time.monotonic()
        report = await try_unsaved(office, port, timeout_ms=1000)
        elapsed_s = time.monotonic() - started
    assert elapsed_s < 2
    assert (report.cause, report.failed_at) == ("timeout", "connect")


async def test_names_that_hang_end_in_time_and_leave_the_delivery_s_threads_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, waiting = threading.Event(), []
    really = socket.getaddrinfo

    def hang(host: str, *rest: Any, **more: Any) -> Any:
        if host != "tarpit.example":
            return really(host, *rest, **more)
        waiting.append(threading.current_thread().name)
        released.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)  # somebody else's name server
    try:
        started = time.monotonic()
        reports = await asyncio.gather(
            *(try_unsaved(office, 587, host="tarpit.example", timeout_ms=1000) for _ in range(12))
        )
        elapsed_s = time.monotonic() - started
        addresses = await office.policy(any_port=True).resolve("localhost", 25, timeout_s=5)
    finally:
        released.set()
    assert elapsed_s < 2
    assert {(each.cause, each.failed_at) for each in reports} == {("timeout", "resolve")}
    assert addresses
    assert waiting
    assert all(name.startswith("probe-resolve") for name in waiting)


async def test_a_long_probe_does_not_keep_the_office_from_working(office: Office) -> None:
    async with play(script("SILENCE")) as peer:
        task = asyncio.create_task(try_unsaved(office, peer.port, timeout_ms=3000, **CLEAR))
        for _ in range(20):  # with a transaction left open SQLite's one writer would wait
            await office.db.write(lambda tx: tx.exec_driver_sql("delete from allowance"))
        assert not task.done()
        await task


async def test_no_secret_is_in_any_step_wherever_a_server_repeats_it(office: Office) -> None:
    password = LOGIN["password"]
    encoded = base64.b64encode(f"\0faktury\0{password}".encode()).decode()
    echo = f"""
S: 220 mx.example knows {password} and {encoded}
C: EHLO *
S: 250-mx.example {password}
S: 250 AUTH PLAIN
C: AUTH *
S: 535 5.7.8 not {password.upper()}, nor {encoded}
"""
    async with play(script(echo)) as peer:
        report = await try_unsaved(
            office, peer.port, timeout_ms=3000, **CLEAR, **LOGIN, allow_insecure_auth=True
        )
    assert report.cause == "credentials_refused"
    assert password not in repr(report).casefold()
    assert encoded not in repr(report)
    assert "[secret]" in repr(report)


async def test_a_reply_is_cut_and_its_controls_are_escaped(office: Office) -> None:
    async with play(script("R: 554 \\x1b[31m" + "x" * 5000 + "\\r\\n")) as peer:
        report = await try_unsaved(office, peer.port, timeout_ms=3000, **CLEAR)
    reply = report.steps[-1].reply
    assert reply is not None
    assert len(reply.encode()) <= 512
    assert reply.startswith("\\x1b[31mxxx")


# What is no mail server looks the same to everybody but admins.

OTHERS = {
    "silent": "SILENCE",
    "gone": "DROP",
    "ssh": "S: SSH-2.0-OpenSSH_9.6",
    "http": "HEAR\nS: HTTP/1.1 400 Bad Request",
    "imap": "S: * OK IMAP4rev1 ready",
    "nntp": "S: 200 news.example ready",
    "ftp": "S: 220 (vsFTPd 3.0.5)\nC: EHLO *\nS: 530 Please login\nC: HELO *\nS: 530 Please login",
    "flood": "FLOOD " + "x" * 4000,
}
UNDER_TLS = ("silent", "ssh", "imap")


def compare(report: Report) -> Any:
    steps = [replace(each, ms=0) for each in report.steps]
    return replace(report, steps=tuple(steps), port=0)


@pytest.mark.parametrize("connection", ["starttls", "ssl_tls"])
async def test_refused_filtered_and_other_services_look_alike_to_users(
    office: Office, authority: Authority, connection: str
) -> None:
    smtp = {"connection": connection, "ca_pem": authority.pem, "timeout_ms": 1000}
    found = {}
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        found["refused"] = await try_unsaved(
            office, sock.getsockname()[1], "login", caller=ANNA, **smtp
        )
    with listen_without_accepting() as port:
        found["filtered"] = await try_unsaved(office, port, "login", caller=ANNA, **smtp)
    contexts = {
        "": None,
        " under TLS": authority.make_server_context(),
        " under bad TLS": authority.make_server_context(self_signed=True),
    }
    for name, dialogue in OTHERS.items():
        for under, context in contexts.items():
            if context is not None and name not in UNDER_TLS:
                continue
            await office.db.write(lambda tx: tx.exec_driver_sql("delete from allowance"))
            async with play(script(dialogue), context, implicit_tls=context is not None) as peer:
                found[name + under] = await try_unsaved(
                    office, peer.port, "login", caller=ANNA, **smtp
                )
    assert {name: compare(each) for name, each in found.items()} == dict.fromkeys(
        found, compare(found["refused"])
    )
    assert found["refused"].cause == "connection_refused"
    assert [each.step for each in found["refused"].steps] == ["resolve", "connect"]


async def test_users_are_told_what_is_wrong_with_a_mail_server(
    office: Office, authority: Authority
) -> None:
    context = authority.make_server_context(self_signed=True)
    hello = script("S: 220 mx.example\nC: EHLO *\nS: 250 mx.example\nC: QUIT\nS: 221 bye")
    async with play(hello, context, implicit_tls=True) as peer:
        report = await try_unsaved(
            office, peer.port, "connect", caller=ANNA, connection="ssl_tls", timeout_ms=3000
        )
    assert (report.cause, report.failed_at) == ("certificate_untrusted", "tls")
    async with play(script("S: 554 5.7.1 your address is blocked")) as peer:
        report = await try_unsaved(
            office, peer.port, "connect", caller=ANNA, timeout_ms=3000, **CLEAR
        )
    assert (report.cause, report.failed_at) == ("greeting_refused", "greeting")
    assert report.steps[-1].reply == "your address is blocked"


async def test_admins_are_told_what_answers_instead(office: Office) -> None:
    async with play(script(OTHERS["ssh"])) as peer:
        report = await try_unsaved(office, peer.port, timeout_ms=3000, **CLEAR)
    assert (report.cause, report.failed_at) == ("protocol_error", "greeting")
    assert "SSH-2.0" in (report.steps[-1].detail or "")
