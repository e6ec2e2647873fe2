"""The workers over HTTP: who is there, what each has in hand, who died."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.db import new_id, now
from app.outbox.beat import beat, leave
from app.outbox.queue import claim
from app.outbox.tables import message, worker
from app.settings import read_version

pytestmark = pytest.mark.anyio
CONFIGURATION = {
    "mode": "smtp",
    "smtp": {"host": "smtp.firma.example"},
    "sender": {"address": "faktury@firma.example"},
}


async def read(client, headers, **query):
    answer = await client.get("/workers", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def fall_silent(tx, worker_id, **since):
    seen_at = now(tx) - timedelta(**since)
    tx.execute(update(worker).where(worker.c.id == worker_id).values(seen_at=seen_at))


async def test_a_worker_tells_who_it_is(client, office, as_role):
    await office.db.write(beat, "host-1-a")
    (shown,) = (await read(client, as_role("admin")))["data"]
    assert (shown["id"], shown["state"], shown["version"]) == (
        "host-1-a",
        "working",
        read_version(),
    )
    assert shown["carries"] == {"messages": 0, "recipients": 0, "since": None}
    assert shown["host"]
    assert shown["pid"]
    assert shown["started_at"] == shown["seen_at"]


async def test_it_shows_what_a_worker_has_claimed(client, office, as_role):
    admin = as_role("admin")
    await client.put("/config/global", json=CONFIGURATION, headers=admin)
    for to in (["a@x.example", "b@x.example"], "c@x.example", "d@x.example"):
        mail = {"to": to, "subject": "FV 12/2026", "body": "In the attachment."}
        assert (await client.post("/send", json=mail, headers=admin)).status_code == 202
    account_id = await office.db.read(lambda tx: tx.scalar(select(message.c.account_id)))
    for worker_id, claims in (("host-1-a", 2), ("host-1-ab", 1)):
        await office.db.write(beat, worker_id)
        for number in range(claims):
            await office.db.write(claim, account_id, f"{worker_id}.{number}", lease_s=60)
    first, second = (await read(client, admin))["data"]
    carried = [
        (each["carries"]["messages"], each["carries"]["recipients"]) for each in (first, second)
    ]
    assert sorted(carried) in ([(1, 1), (2, 3)], [(1, 2), (2, 2)])  # which is claimed first is open
    assert first["carries"]["messages"] == 2
    assert first["carries"]["since"]


async def test_one_that_died_is_late_and_one_that_stopped_is_gone(client, office, as_role):
    for worker_id in ("alive", "died", "stopped"):
        await office.db.write(beat, worker_id)
    await office.db.write(fall_silent, "died", seconds=31)
    await office.db.write(leave, "stopped")
    shown = (await read(client, as_role("admin")))["data"]
    assert [(each["id"], each["state"]) for each in shown] == [
        ("alive", "working"),
        ("died", "late"),
    ]


async def test_one_that_died_a_day_ago_is_forgotten_at_the_next_beat_of_any(
    client, office, as_role
):
    for worker_id in ("alive", "died"):
        await office.db.write(beat, worker_id)
    await office.db.write(fall_silent, "died", hours=25)
    await office.db.write(beat, "alive")
    shown = (await read(client, as_role("admin")))["data"]
    assert [each["id"] for each in shown] == ["alive"]


async def test_workers_have_pages(client, office, as_role):
    names = sorted(f"host-{number}-{new_id()[-8:]}" for number in range(5))
    for name in names:
        await office.db.write(beat, name)
    seen, after = [], None
    while True:
        page = await read(client, as_role("admin"), limit=2, **({"after": after} if after else {}))
        seen.append([each["id"] for each in page["data"]])
        after = page["next"]
        if after is None:
            break
    assert seen == [names[:2], names[2:4], names[4:]]
