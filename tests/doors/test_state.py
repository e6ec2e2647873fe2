"""Health, readiness, limits."""

from datetime import timedelta

import pytest
from sqlalchemy import text, update

from app.db import now
from app.outbox.beat import beat
from app.outbox.tables import message, worker
from migrations.run import upgrade

pytestmark = pytest.mark.anyio


CONFIGURATION = {
    "mode": "smtp",
    "smtp": {"host": "smtp.firma.example"},
    "sender": {"address": "faktury@firma.example"},
}
MAIL = {"to": "a@x.example", "subject": "FV 12/2026", "body": "In the attachment."}


async def test_health_asks_nothing_but_the_process(client, office):
    office.db.close()
    assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_ready_with_tables_and_a_worker(client, office):
    await office.db.write(beat, "worker-1")
    answer = await client.get("/readyz")
    found = answer.json()
    assert answer.status_code == 200
    assert found["ready"] is True
    assert found["database"] == {"ok": True}
    assert found["schema"]["ok"] is True
    assert found["worker"]["alive"] == 1
    assert found["queue"] == {"oldest_due_at": None, "oldest_due_s": 0}
    assert found["delivery"] == "on"


async def test_not_ready_without_a_worker(client, office):
    answer = await client.get("/readyz")
    found = answer.json()
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"]
    assert (found["code"], found["ready"], found["worker"]["ok"]) == ("not_ready", False, False)


async def test_not_ready_when_the_worker_fell_silent(client, office):
    def fall_silent(tx):
        beat(tx, "worker-1")
        seen_at = now(tx).replace(year=2020)
        tx.execute(update(worker).values(seen_at=seen_at))
        return seen_at

    await office.db.write(fall_silent)
    found = (await client.get("/readyz")).json()
    assert (found["status"], found["worker"]["alive"]) == (503, 0)
    assert found["worker"]["seen_at"].startswith("2020-")


class TestOtherTables:
    @pytest.fixture
    def database_url(self, blank_database_url):
        """One that nobody gets after this test, which spoils it."""
        upgrade(blank_database_url)
        return blank_database_url

    async def test_not_ready_with_tables_of_another_version(self, client, office):
        await office.db.write(beat, "worker-1")
        await office.db.write(
            lambda tx: tx.execute(text("update alembic_version set version_num = '0000'"))
        )
        found = (await client.get("/readyz")).json()
        assert (found["status"], found["schema"]) == (503, {"ok": False, "revision": "0000"})
        await office.db.write(lambda tx: tx.execute(text("drop table alembic_version")))
        found = (await client.get("/readyz")).json()
        assert (found["status"], found["schema"]) == (503, {"ok": False, "revision": None})


async def test_not_ready_without_the_database_and_every_member_is_there(client, office):
    office.db.close()
    answer = await client.get("/readyz")
    found = answer.json()
    assert (answer.status_code, found["code"], found["retryable"]) == (503, "stopping", True)
    assert answer.headers["retry-after"]
    told = {name: found[name] for name in ("ready", "database", "schema", "worker", "queue")}
    assert told == {
        "ready": False,
        "database": {"ok": False},
        "schema": {"ok": False, "revision": None},
        "worker": {"ok": False, "alive": None, "seen_at": None},
        "queue": {"oldest_due_at": None, "oldest_due_s": None},
    }
    assert found["delivery"] == "on"


async def test_the_mail_that_waits_longest_shows_its_age(client, office, as_role):
    await office.db.write(beat, "worker-1")
    await client.put("/config/global", json=CONFIGURATION, headers=as_role("admin"))
    for waits_s in (30, 7200, 3600, -600):
        sent = await client.post("/send", json=MAIL, headers=as_role("admin"))
        await office.db.write(_be_due, sent.json()["id"], timedelta(seconds=waits_s))
    queue = (await client.get("/readyz")).json()["queue"]
    assert 7200 <= queue["oldest_due_s"] < 7260


def _be_due(tx, message_id, ago):
    tx.execute(update(message).where(message.c.id == message_id).values(due_at=now(tx) - ago))


async def test_limits_are_those_of_the_settings(client, as_role, settings):
    limits = (await client.get("/limits", headers=as_role("probe"))).json()
    assert limits == {
        "attachment_bytes": 25 * 1024 * 1024,
        "recipients": 50,
        "request_bytes": settings.max_request_bytes,
        "batch_messages": 1000,
        "template_bytes": 32_768,
        "rendered_bytes": 262_144,
    }


async def test_an_answer_to_head_is_that_of_get_without_its_body(client):
    get, head = await client.get("/healthz"), await client.head("/healthz")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
