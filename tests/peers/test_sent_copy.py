"""A copy of what was sent, in the Sent folder of a real Dovecot mailbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.accounts.first_key import ensure_admin_key
from app.main import create_app
from app.outbox.office import open_office
from app.settings import Settings
from app.wire.address_policy import AddressPolicy
from app.wire.imap import ImapSession
from app.wire.mailbox import open_mailbox
from app.wire.steps import SessionFailed
from app.wire.target import Secret, Target
from migrations.run import upgrade
from tests.peers.dovecot import OTHER, PASSWORD, USER, Dovecot
from tests.peers.postfix import Postfix, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.peer]
KEY = "an-admin-key-of-enough-characters"
MAIL = b"From: anna@firma.example\r\nMessage-ID: <one@firma.example>\r\n\r\nDzie\xc5\x84 dobry\r\n"


def target(dovecot: Dovecot, **more: Any) -> Target:
    found = Target(
        "127.0.0.1", dovecot.ports["imap"], "starttls", "auto", USER, Secret(PASSWORD),
        5000, ca_pem=dovecot.ca_pem,
    )  # fmt: skip
    return replace(found, **more)


@pytest.mark.parametrize(
    ("connection", "port", "auth"),
    [
        ("starttls", "imap", "plain"),
        ("auto", "imap", "login"),
        ("ssl_tls", "imaps", "cram_md5"),
        ("ssl_tls", "imaps", "auto"),
    ],
)
async def test_a_message_is_appended_as_it_is_and_found_by_its_id(
    dovecot: Dovecot, connection: Any, port: str, auth: Any
) -> None:
    where = target(dovecot, connection=connection, port=dovecot.ports[port], auth=auth)
    raw = MAIL.replace(b"<one@", f"<{connection}-{auth}@".encode())
    name = f"<{connection}-{auth}@firma.example>"
    async with open_mailbox(ImapSession, where, AddressPolicy()) as mailbox:
        folder = await mailbox.do(ImapSession.find_sent_folder)
        assert folder == "Wysłane"
        assert not await mailbox.do(ImapSession.holds, folder, name)
        await mailbox.do(ImapSession.append, folder, raw)
        assert await mailbox.do(ImapSession.holds, folder, name)
    (file,) = [file for file, body in dovecot.read(USER, ".Wys&AUI-ane") if body == raw]
    assert file.endswith(":2,S")
    await dovecot_empties(dovecot, USER, "Wysłane")


async def dovecot_empties(dovecot: Dovecot, user: str, folder: str) -> None:
    await asyncio.to_thread(dovecot.run, "expunge", "-u", user, "mailbox", folder, "all")


async def test_a_mailbox_without_a_sent_folder_gets_one(dovecot: Dovecot) -> None:
    where = target(dovecot, username=OTHER)
    async with open_mailbox(ImapSession, where, AddressPolicy()) as mailbox:
        for _ in range(2):
            assert await mailbox.do(ImapSession.find_sent_folder) == "Sent"


async def test_mail_that_was_sent_stands_in_the_sent_folder_read_and_byte_for_byte(
    dovecot: Dovecot, postfix: Postfix, tmp_path: Path
) -> None:
    async with serve(tmp_path) as client:
        answer = await client.put(
            "/config/global",
            json={
                "smtp": {
                    "host": "127.0.0.1", "port": postfix.relay_port, "connection": "plaintext",
                },
                "sender": {"address": USER, "name": "Firma Sp. z o.o."},
                "sent_copy": "folder",
                "incoming": {
                    "host": "127.0.0.1", "port": dovecot.ports["imap"], "connection": "starttls",
                    "username": USER, "password": PASSWORD, "ca_pem": dovecot.ca_pem,
                },
            },
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        mail = {"to": "jan@klient.example", "bcc": "ewa@klient.example",
                "subject": "Zażółć", "body": "W załączeniu."}  # fmt: skip
        sent = (await client.post("/send?wait=20", json=mail)).json()
        assert sent["status"] == "sent", sent

        def look() -> bool:
            return bool(dovecot.read(USER, ".Wys&AUI-ane"))

        await asyncio.to_thread(wait_until, look, 20, postfix.read_log)
        raw = (await client.get(f"/messages/{sent['id']}/raw")).content
        ((file, body),) = dovecot.read(USER, ".Wys&AUI-ane")
        assert body == raw
        assert file.endswith(":2,S")
        types = await wait_for_event(client, sent["id"], "message.copied")
        assert types["message.copied"]["data"] == {"folder": "Wysłane"}
    await dovecot_empties(dovecot, USER, "Wysłane")


async def test_a_mailbox_that_refuses_the_login_changes_nothing_about_the_mail(
    dovecot: Dovecot, postfix: Postfix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.outbox.sent_copy.WAITS_S", ())  # the first failure is the last
    async with serve(tmp_path) as client:
        answer = await client.put(
            "/config/global",
            json={
                "smtp": {
                    "host": "127.0.0.1", "port": postfix.relay_port, "connection": "plaintext",
                },
                "sender": {"address": USER},
                "sent_copy": "auto",
                "incoming": {
                    "host": "127.0.0.1", "port": dovecot.ports["imaps"], "username": USER,
                    "connection": "ssl_tls", "password": "falsch", "ca_pem": dovecot.ca_pem,
                },
            },
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        mail = {"to": "jan@klient.example", "subject": "Faktura", "body": "W załączeniu."}
        sent = (await client.post("/send?wait=20", json=mail)).json()
        types = await wait_for_event(client, sent["id"], "message.copy_failed")
        assert types["message.copy_failed"]["data"]["cause"] == "credentials_refused"
        shown = (await client.get(f"/messages/{sent['id']}")).json()
        assert (shown["status"], len(shown["attempts"])) == ("sent", 1)
        assert [each["code"] for each in shown["warnings"]] == ["copy_failed"]


async def wait_for_event(client: httpx.AsyncClient, message_id: str, wanted: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            answer = (await client.get(f"/messages/{message_id}/events")).json()["data"]
            types = {each["type"]: each for each in answer}
            if wanted in types:
                return types
            await asyncio.sleep(0.05)


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(data_dir=folder, admin_key=KEY, connection_idle_s=0.1)
    upgrade(settings.url)
    office = open_office(settings)
    app = create_app(settings, office=office)
    await office.db.write(ensure_admin_key, settings, office.vault, office.clock())
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://awizo.example",
            headers={"Authorization": f"Bearer {KEY}"},
        ) as client,
    ):
        yield client
    await office.close()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"password": Secret("wrong")}, "credentials_refused"),
        ({"connection": "plaintext"}, "insecure_auth"),
        ({"ca_pem": None}, "certificate_untrusted"),
        ({"auth": "xoauth2"}, "mechanism_not_offered"),
        ({"connection": "ssl_tls"}, "tls_failed"),
        ({"port": 1}, "connection_refused"),
        ({"password": None}, "credentials_refused"),
    ],
)
async def test_what_keeps_a_session_from_opening_has_a_cause(
    dovecot: Dovecot, change: dict[str, Any], cause: str
) -> None:
    with pytest.raises(SessionFailed) as failed:
        async with open_mailbox(ImapSession, target(dovecot, **change), AddressPolicy()):
            pass
    assert failed.value.cause == cause, failed.value.detail
    assert PASSWORD not in failed.value.detail


async def test_an_address_that_the_policy_denies_is_not_connected_to(dovecot: Dovecot) -> None:
    policy = AddressPolicy(deny=(ip_network("127.0.0.0/8"),))
    with pytest.raises(SessionFailed) as failed:
        async with open_mailbox(ImapSession, target(dovecot), policy):
            pass
    assert failed.value.cause == "host_not_allowed"
