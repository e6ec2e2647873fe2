"""Metrics: what is counted, and who may see it."""

import httpx
import pytest
from sqlalchemy import func, select

from app.inbox.mailboxes import claim, enroll, note_failed, note_synced
from app.inbox.take import take, understand
from app.outbox.beat import beat
from app.webhooks.queue import load
from app.webhooks.tables import webhook, webhook_delivery
from tests.rooms.inbox.letters import tell, write_dsn
from tests.rooms.outbox.desk import configure
from tests.rooms.webhooks.carrying import happen, make_webhook

pytestmark = pytest.mark.anyio


def _come_from(service, host):
    transport = httpx.ASGITransport(service, client=(host, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://awizo.example")


CONFIGURATION = {
    "mode": "smtp",
    "smtp": {"host": "smtp.firma.example"},
    "sender": {"address": "faktury@firma.example"},
}
MAIL = {"to": ["a@x.example", "b@x.example"], "subject": "FV 12/2026", "body": "In the attachment."}


async def test_queue_workers_and_requests_are_counted(client, office, as_role):
    admin = as_role("admin")
    await client.put("/config/global", json=CONFIGURATION, headers=admin)
    assert (await client.post("/send", json=MAIL, headers=admin)).status_code == 202
    await office.db.write(beat, "worker-1")
    await client.get("/users/unknown", headers=as_role("admin"))
    await client.get("/no/such/path")
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    for line in (
        "awizo_database_up 1.0",
        'awizo_delivery{mode="on"} 1.0',
        'awizo_recipients{state="queued"} 2.0',
        'awizo_messages{status="queued"} 1.0',
        "awizo_workers 1.0",
        'awizo_http_requests_total{method="GET",route="/users/{user}",status="404"} 1.0',
        'awizo_http_requests_total{method="GET",route="other",status="404"} 1.0',
        'awizo_http_request_seconds_count{route="/users/{user}"} 1.0',
        "awizo_database_errors_total 0.0",
    ):
        assert line in lines
    for gauge in ("awizo_worker_heartbeat_age_seconds", "awizo_oldest_due_seconds"):
        [value] = [line.split()[1] for line in lines if line.startswith(f"{gauge} ")]
        assert 0 <= float(value) < 60


async def test_mailboxes_incoming_mail_and_webhooks_are_counted(client, office, as_role):
    account = await configure(
        office,
        config={"incoming": {"host": "imap.firma.example", "username": "x", "password": "y"}},
    )
    await office.db.write(enroll)
    held = await office.db.write(claim, account, "test.1")
    assert await office.db.write(note_synced, held, None)
    report = write_dsn(tell("failed", "nobody@klient.example"))
    batch = [understand("1:1", report, len(report))]
    await office.db.write(take, office.vault, held, batch, is_renumbered=False)
    gone = await make_webhook(office, "https://127.0.0.1/gone")
    off = webhook.update().where(webhook.c.id == gone).values(enabled=False, disabled_reason="gone")
    await office.db.write(lambda tx: tx.execute(off))
    await make_webhook(office, "https://127.0.0.1/hook")
    await happen(office, "inbox.unread")
    await happen(office, "inbox.unread")
    await office.db.write(load, "test.1")
    given_up = webhook_delivery.c.id == select(func.min(webhook_delivery.c.id)).scalar_subquery()
    end = webhook_delivery.update().where(given_up)
    ended = {"state": "given_up", "due_at": None, "claimed_by": None, "lease_until": None}
    await office.db.write(lambda tx: tx.execute(end.values(ended)))
    await office.db.write(note_failed, held, "timeout", "…")
    lines = (await client.get("/metrics")).text.splitlines()
    for line in (
        "awizo_mailboxes 1.0",
        "awizo_mailboxes_failing 1.0",
        'awizo_incoming_unhandled{kind="answer"} 0.0',
        'awizo_incoming_unhandled{kind="report"} 1.0',
        'awizo_webhook_deliveries{state="given_up"} 1.0',
        'awizo_webhook_deliveries{state="waiting"} 1.0',
        "awizo_webhooks_disabled 1.0",
    ):
        assert line in lines
    name = "awizo_mailbox_oldest_sync_age_seconds "
    [age] = [line.removeprefix(name) for line in lines if line.startswith(name)]
    assert 0 <= float(age) < 60


async def test_made_up_methods_do_not_grow_the_metrics(client):
    for method in ("BREW", "BAKE"):
        await client.request(method, "/healthz")
    text = (await client.get("/metrics")).text
    assert 'method="other",route="/healthz",status="405"} 2.0' in text
    assert "BREW" not in text


async def test_a_database_that_is_away_is_a_number_too(client, office):
    office.db.close()
    text = (await client.get("/metrics")).text
    assert "awizo_database_up 0.0" in text.splitlines()
    assert "awizo_database_errors_total 1.0" in text.splitlines()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "::ffff:127.0.0.1"])
async def test_this_host_needs_no_credential(service, host):
    async with _come_from(service, host) as client:
        assert (await client.get("/metrics")).status_code == 200


@pytest.mark.parametrize("host", ["203.0.113.7", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "x", ""])
async def test_other_hosts_need_an_admin(service, as_role, host):
    async with _come_from(service, host) as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/metrics", headers=as_role("sender"))).status_code == 403
        assert (await client.get("/metrics", headers=as_role("admin"))).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "203.0.113.7"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X-Forwarded-Proto": "https"},
    ],
)
async def test_whatever_came_through_a_proxy_is_not_local(service, as_role, headers):
    async with _come_from(service, "127.0.0.1") as client:
        assert (await client.get("/metrics", headers=headers)).status_code == 401
        assert (await client.get("/metrics", headers=headers | as_role("admin"))).status_code == 200
