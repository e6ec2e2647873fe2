"""The whole way and back: ``/send``, Postfix, a report or an answer, Dovecot, the collector, the state.

``pytest -s`` prints what became of each message and after how long. Postfix delivers the sender's mail
into maildirs that Dovecot serves.
"""

import asyncio
import shutil
import smtplib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.accounts.first_key import ensure_admin_key
from app.main import create_app
from app.outbox.office import open_office
from app.settings import Settings
from tests.peers import dovecot as mailbox
from tests.peers.dovecot import Dovecot, run_dovecot
from tests.peers.postfix import NOBODY, PASSWORD, USER, Postfix

pytestmark = [pytest.mark.anyio, pytest.mark.peer]
KEY = "an-admin-key-of-enough-characters"
WITHIN_S = 20.0


@pytest.fixture(scope="module")
def mailboxes(postfix: Postfix) -> Iterator[Dovecot]:
    """Dovecot over the maildirs of Postfix."""
    with run_dovecot(f"mail_location = maildir:{postfix.folder}/mail/%n\n") as running:
        yield running


@dataclass(frozen=True)
class Company:
    """The service with its account, and the two servers."""

    client: httpx.AsyncClient
    postfix: Postfix

    async def send(self, to: str, **more: Any) -> dict[str, Any]:
        """Send a message and wait until Postfix has it."""
        mail = {"to": to, "subject": "Faktura FV 12/2026", "body": "W załączeniu.", **more}
        sent: dict[str, Any] = (await self.client.post("/send?wait=20", json=mail)).json()
        assert sent["status"] == "sent", sent
        return sent

    async def get(self, path: str) -> Any:
        """Ask the service."""
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def list_events(self, message_id: str) -> list[dict[str, Any]]:
        """Return what happened to a message."""
        found: list[dict[str, Any]] = (await self.get(f"/messages/{message_id}/events"))["data"]
        return found

    async def list_moves(self, message_id: str) -> list[dict[str, Any]]:
        """Return what happened to a message's recipients."""
        found = await self.list_events(message_id)
        return [each for each in found if each["type"].startswith("recipient.")]

    async def list_inbox(self, message_id: str) -> list[dict[str, Any]]:
        """Return what came back about a message, the oldest first."""
        listed = (await self.get(f"/inbox?message={message_id}"))["data"]
        return sorted(listed, key=lambda each: str(each["id"]))

    async def wait_for_events(self, message_id: str, *wanted: str) -> list[dict[str, Any]]:
        """Wait until all of these happened."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                found = await self.list_events(message_id)
                if {*wanted} <= {each["type"] for each in found}:
                    return found
                await asyncio.sleep(0.05)

    async def wait_for_inbox(self, message_id: str, count: int) -> list[dict[str, Any]]:
        """Wait until so much came back."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                found = await self.list_inbox(message_id)
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.05)

    def deliver(self, mail: EmailMessage, sender: str, to: str) -> None:
        """Hand a customer's mail to Postfix."""
        with smtplib.SMTP("127.0.0.1", self.postfix.relay_port) as line:
            line.send_message(mail, sender, [to])

    def deliver_again(self, wanted: Callable[[bytes], bool]) -> int:
        """Let everything like this lie in the sender's mailbox once more."""
        found = [raw for raw in self.postfix.read_raw("anna") if wanted(raw)]
        for number, raw in enumerate(found):
            path = self.postfix.folder / "mail/anna/new" / f"{time.time_ns()}.{number}.again"
            path.write_bytes(raw)
            shutil.chown(path, NOBODY, NOBODY)
        return len(found)


@pytest.fixture
async def company(
    postfix: Postfix,
    mailboxes: Dovecot,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    anyio_backend: str,
) -> AsyncIterator[Company]:
    monkeypatch.setattr("app.inbox.collector._ENROLL_S", 0.1)
    monkeypatch.setattr("app.worker._COLLECT_S", 0.1)
    settings = Settings(
        data_dir=tmp_path, database_url=sqlite_url, admin_key=KEY, connection_idle_s=0.5
    )
    office = open_office(settings)
    await office.db.write(ensure_admin_key, settings, office.vault, office.clock())
    app = create_app(settings, office=office)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://awizo.example",
            headers={"Authorization": f"Bearer {KEY}"},
        ) as client,
    ):
        answer = await client.put(
            "/config/global",
            json={
                "smtp": {
                    "host": "127.0.0.1", "port": postfix.submission_port, "username": USER,
                    "password": PASSWORD, "ca_pem": postfix.ca_pem,
                },
                "incoming": {
                    "host": "127.0.0.1", "port": mailboxes.ports["imaps"], "username": USER,
                    "connection": "ssl_tls", "password": mailbox.PASSWORD,
                    "ca_pem": mailboxes.ca_pem, "last": 0, "poll_s": 3600,
                },
                "sender": {"address": USER, "name": "Firma Sp. z o.o."},
                "notifications": ["OnSuccess", "OnFailure", "Delay"],
                "suppress_hard_bounces": True,
                "document_address": True,
            },
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        async with asyncio.timeout(WITHIN_S):
            while True:  # what other tests left there is left out
                shown = (await client.get("/config/global")).json()
                if shown["mailbox"] and shown["mailbox"]["synced_at"]:
                    break
                await asyncio.sleep(0.05)
        yield Company(client, postfix)
    await office.close()


# to whom: the state, the report's event, and the status that it gives
OUTCOMES = {
    "jan@klient.example": ("delivered", "recipient.delivered", "2.0.0"),
    "nikt@gone.example": ("failed", "recipient.failed", "5.1.1"),
    "ola@dalej.example": ("sent", "recipient.relayed", "2.0.0"),
    "lista@klient.example": ("sent", "recipient.expanded", "2.0.0"),
    "ula@later.example": ("sent", "recipient.delayed", "4.3.0"),
}


async def test_every_report_comes_back_as_its_state_or_event_and_only_once(
    company: Company,
) -> None:
    start = time.monotonic()
    sent = {to: await company.send(to) for to in OUTCOMES}

    async def follow(to: str, event: str) -> tuple[dict[str, Any], float]:
        events = await company.wait_for_events(sent[to]["id"], event)
        return next(each for each in events if each["type"] == event), time.monotonic() - start

    told = await asyncio.gather(*(follow(to, event) for to, (_, event, _) in OUTCOMES.items()))
    for (to, (state, event, status)), (seen, seconds) in zip(OUTCOMES.items(), told, strict=True):
        shown = await company.get(f"/messages/{sent[to]['id']}")
        print(f"{to:22} {event:20} {status} {shown['recipients'][0]['state']:9} {seconds:4.1f} s")
        assert (shown["recipients"][0]["state"], shown["status"]) == (state, state), to
        assert (seen["recipient"], seen["data"]["status"]) == (to, status)
        (report, *_) = await company.list_inbox(sent[to]["id"])
        assert (report["kind"], report["verified"]) == ("dsn", True)
        assert seen["data"]["incoming"] in [
            each["id"] for each in await company.list_inbox(sent[to]["id"])
        ]

    suppressed = (await company.get("/suppressions"))["data"]
    assert [(each["address"], each["reason"]) for each in suppressed] == [
        ("nikt@gone.example", "hard_bounce")
    ]

    company.postfix.open_later()
    late = sent["ula@later.example"]["id"]
    await company.wait_for_events(late, "recipient.delivered")
    assert (await company.get(f"/messages/{late}"))["status"] == "delivered"

    ids = [each["id"] for each in sent.values()]
    before = {each: await company.list_moves(each) for each in ids}
    inbox = {each: len(await company.list_inbox(each)) for each in ids}
    again = company.deliver_again(lambda raw: any(each.encode() in raw for each in ids))
    assert again == sum(inbox.values())
    for each in ids:
        await company.wait_for_inbox(each, 2 * inbox[each])
        assert await company.list_moves(each) == before[each]


def write_answer(sent: dict[str, Any], text: str, **fields: str) -> EmailMessage:
    """Write as a person's mail program does."""
    mail = EmailMessage()
    head = {
        "From": "Jan Nowak <jan@klient.example>", "To": USER,
        "Message-ID": make_msgid(domain="klient.example"),
        "Subject": f"Re: {sent['subject']}", "User-Agent": "Mozilla Thunderbird", **fields,
    }  # fmt: skip
    for name, value in head.items():
        mail[name] = value
    mail.set_content(text)
    return mail


async def test_an_answer_and_a_reading_find_the_message_and_its_document(company: Company) -> None:
    sent = await company.send(
        "jan@klient.example", read_receipt=True, notifications=[],
        reference={"type": "invoice", "number": "FV 12/2026", "customer": "KONTR-0042"},
    )  # fmt: skip
    arrived = await asyncio.to_thread(
        company.postfix.wait_for_mail, "jan", lambda mail: mail["Message-ID"] == sent["message_id"]
    )
    address = arrived["Reply-To"].addresses[0].addr_spec
    assert address.startswith("anna+doc-")

    reading = write_answer(sent, "The message was displayed.\n", References=sent["message_id"])
    reading.make_mixed()
    reading.set_type("multipart/report")
    reading.set_param("report-type", "disposition-notification")
    part = EmailMessage()
    part.set_content(
        "Reporting-UA: klient.example; Mozilla Thunderbird\r\n"
        "Final-Recipient: rfc822;jan@klient.example\r\n"
        f"Original-Message-ID: {sent['message_id']}\r\n"
        "Disposition: manual-action/MDN-sent-manually; displayed\r\n"
    )
    part.set_type("message/disposition-notification")
    reading.attach(part)
    quoted = (
        "Dziękuję, zapłacę jutro.\n\nW dniu 22.11.2026 o 10:00, Firma pisze:\n> W załączeniu.\n"
    )
    answer = write_answer(sent, quoted, **{"In-Reply-To": sent["message_id"]})
    fresh = write_answer(sent, "Proszę o korektę.\n", To=address, Subject="Pytanie")
    deliveries = [(reading, "", USER), (answer, "jan@klient.example", USER),
                  (fresh, "jan@klient.example", address)]  # fmt: skip
    for mail, sender, to in deliveries:
        await asyncio.to_thread(company.deliver, mail, sender, to)

    came = await company.wait_for_inbox(sent["id"], 3)
    assert {(each["kind"], each["verified"]) for each in came} == {("mdn", True), ("human", True)}
    assert all(each["reference"]["number"] == "FV 12/2026" for each in came)
    people = [each["id"] for each in came if each["kind"] == "human"]
    texts = {(await company.get(f"/inbox/{each}"))["text"].strip() for each in people}
    assert texts == {"Dziękuję, zapłacę jutro.", "Proszę o korektę."}
    events = await company.wait_for_events(sent["id"], "recipient.displayed", "inbox.answer")
    types = [each["type"] for each in events]
    assert types.count("recipient.displayed") == 1
    assert types.count("inbox.answer") == 2

    company.deliver_again(lambda raw: sent["id"].encode() in raw and b"MDN-sent" in raw)
    await company.wait_for_inbox(sent["id"], 4)
    types = [each["type"] for each in await company.list_events(sent["id"])]
    assert types.count("recipient.displayed") == 1
    shown = await company.get(f"/messages/{sent['id']}")
    assert shown["recipients"][0]["state"] == "sent"  # to read is not to deliver
