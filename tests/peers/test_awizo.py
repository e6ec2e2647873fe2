"""The whole service against a real Postfix with Dovecot behind its logins: the main job."""

import base64
from asyncio import to_thread  # the worker runs on this loop, and must not wait for its own mail
from collections.abc import AsyncIterator
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pikepdf
import pytest
import pyzipper

from app.main import create_app
from app.outbox.identity import read_signed_id
from app.outbox.office import open_office
from app.settings import Settings
from migrations.run import upgrade
from tests.peers.postfix import PASSWORD, USER, Postfix

pytestmark = [pytest.mark.anyio, pytest.mark.peer]

KEY = "an-admin-key-of-enough-characters"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    settings = Settings(data_dir=tmp_path, admin_key=KEY, connection_idle_s=0.5)
    upgrade(settings.url)
    office = open_office(settings)
    app = create_app(settings, office=office)
    from app.accounts.first_key import ensure_admin_key

    await office.db.write(ensure_admin_key, settings, office.vault, office.clock())
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://awizo.example",
            headers={"Authorization": f"Bearer {KEY}"},
        ) as client,
    ):
        yield client, office
    await office.close()


def write_pdf() -> bytes:
    pdf, file = pikepdf.new(), BytesIO()
    pdf.add_blank_page()
    pdf.save(file)
    return file.getvalue()


async def configure(client: httpx.AsyncClient, postfix: Postfix, **more: Any) -> None:
    answer = await client.put(
        "/config/global",
        json={
            "smtp": {
                "host": "127.0.0.1",
                "port": postfix.submission_port,
                "connection": "starttls",
                "username": USER,
                "password": PASSWORD,
                "ca_pem": postfix.ca_pem,
            },
            "sender": {"address": USER, "name": "Firma Sp. z o.o."},
            "notifications": ["OnSuccess", "OnFailure"],
            **more,
        },
    )
    assert answer.status_code == 201, answer.text


async def test_a_protected_polish_reminder_arrives_and_its_success_report_names_it(
    service: tuple[httpx.AsyncClient, Any], postfix: Postfix
) -> None:
    client, office = service
    await configure(client, postfix)
    csv = b"numer;kwota\r\nFV 12/2026;1230,00\r\n"
    answer = await client.post(
        "/send?wait=20",
        json={
            "template": "overdue-reminder",
            "level": 2,
            "to": "Żółta Firma <jan@klient.example>",
            "macros": {"kontrahent": "Żółta Firma", "numer": "FV 12/2026"},
            "attachments": [
                {"filename": "FV 12-2026.pdf", "content": base64.b64encode(write_pdf()).decode()},
                {"filename": "zaległości.csv", "content": base64.b64encode(csv).decode()},
            ],
            "attachment_password": "zażółć",
            "read_receipt": True,
            "importance": "high",
        },
    )
    assert answer.status_code == 200, answer.text
    sent = answer.json()
    assert sent["status"] == "sent"
    assert [each["verdict"] for each in sent["attempts"]] == ["sent"]
    assert sent["attempts"][0]["tls"].startswith("TLS")

    arrived = await to_thread(
        postfix.wait_for_mail, "jan", lambda mail: mail["Message-ID"] == sent["message_id"]
    )
    assert arrived["Subject"] == "Wezwanie do zapłaty – FV 12/2026"
    assert arrived["Return-Path"] == f"<{USER}>"
    assert (arrived["Importance"], arrived["X-Priority"]) == ("high", "2")
    assert arrived["Disposition-Notification-To"] == f'"Firma Sp. z o.o." <{USER}>'
    files = {part.get_filename(): part.get_content() for part in arrived.iter_attachments()}
    assert list(files) == ["FV 12-2026.pdf", "zalaczniki.zip"]
    with pytest.raises(pikepdf.PasswordError):
        pikepdf.open(BytesIO(files["FV 12-2026.pdf"]))
    with pikepdf.open(BytesIO(files["FV 12-2026.pdf"]), password="zażółć") as pdf:
        assert len(pdf.pages) == 1
    with pyzipper.AESZipFile(BytesIO(files["zalaczniki.zip"])) as archive:
        archive.setpassword("zażółć".encode())
        assert archive.read("zaległości.csv") == csv

    def reports_this(mail: EmailMessage) -> bool:
        return mail.get_content_type() == "multipart/report" and sent["id"] in mail.as_string()

    report = await to_thread(postfix.wait_for_mail, "anna", reports_this)
    about_message, about_recipient = next(
        part.get_payload()
        for part in report.walk()
        if part.get_content_type() == "message/delivery-status"
    )
    assert read_signed_id(office.vault, about_message["Original-Envelope-Id"]) == sent["id"]
    assert about_recipient["Original-Recipient"] == "rfc822;jan@klient.example"
    assert about_recipient["Action"] == "delivered"


async def test_a_wrong_password_pauses_the_account_and_the_right_one_sends_the_waiting_mail(
    service: tuple[httpx.AsyncClient, Any], postfix: Postfix
) -> None:
    client, _ = service
    await configure(client, postfix)
    wrong = await client.patch("/config/global", json={"smtp": {"password": "wrong"}})
    assert wrong.status_code == 200, wrong.text
    mail = {"to": "ewa@klient.example", "subject": "Faktura", "body": "W załączeniu."}
    waiting = (await client.post("/send?wait=20", json=mail)).json()
    assert waiting["status"] == "deferred", waiting
    assert waiting["recipients"][0]["reason"] == "credentials_refused"
    assert waiting["attempts"][0]["code"] == 535
    shown = (await client.get("/config/global")).json()
    assert shown["trouble"]["cause"] == "credentials_refused"

    right = await client.patch("/config/global", json={"smtp": {"password": PASSWORD}})
    assert (right.status_code, right.json()["trouble"]) == (200, None)
    arrived = await to_thread(
        postfix.wait_for_mail, "ewa", lambda each: each["Message-ID"] == waiting["message_id"]
    )
    assert arrived["Subject"] == "Faktura"


async def test_one_of_two_recipients_that_does_not_exist_fails_alone(
    service: tuple[httpx.AsyncClient, Any], postfix: Postfix
) -> None:
    client, _ = service
    await configure(client, postfix)
    mail = {
        "to": ["jan@klient.example", "brak@klient.example"],
        "subject": "Faktura",
        "body": "W załączeniu.",
    }
    answer = (await client.post("/send?wait=20", json=mail)).json()
    assert answer["status"] == "partially_sent", answer
    states = {each["address"]: each["state"] for each in answer["recipients"]}
    assert states == {"jan@klient.example": "sent", "brak@klient.example": "failed"}
    assert [each["code"] for each in answer["attempts"]] == [250, 550]


async def test_a_batch_goes_through_a_window_of_chunks(
    service: tuple[httpx.AsyncClient, Any], postfix: Postfix
) -> None:
    def find(message_id: str) -> EmailMessage:
        return postfix.wait_for_mail("ewa", lambda mail: mail["Message-ID"] == message_id)

    client, _ = service
    await configure(client, postfix)
    change = {"smtp": {"chunking_window": 8}, "notifications": []}
    assert (await client.patch("/config/global", json=change)).status_code == 200
    messages = [
        {
            "to": ["ewa@klient.example", "brak@klient.example"],
            "subject": f"Lot {number}",
            "body": f"{number}\n.\n..\n",
        }
        for number in range(20)
    ]
    answer = await client.post("/send/batch", json={"messages": messages})
    assert answer.status_code == 202, answer.text
    for number, each in enumerate(answer.json()["data"]):
        sent = (await client.get(f"/messages/{each['id']}")).json()
        arrived = await to_thread(find, sent["message_id"])
        assert arrived.get_content() == f"{number}\n.\n..\n"
    await to_thread(postfix.wait_for_log, "bdat=")
    for each in answer.json()["data"]:
        sent = (await client.get(f"/messages/{each['id']}")).json()
        assert [one["state"] for one in sent["recipients"]] == ["sent", "failed"]
