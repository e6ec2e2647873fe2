"""Real processes side by side: taking over, stopping, restoring, changing and rotating under way."""

import signal
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.outbox.tables import attempt, message, recipient
from tests.flows.house import House, configuration, order, until
from tests.flows.peer import SILENT, Late, Peer

pytestmark = pytest.mark.anyio
TAKEN = "250 2.0.0 taken"
# What does not depend on the engine is shown on one: processes take their time to start.
on_sqlite = pytest.mark.parametrize("blank_database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("blank_database_url", ["postgres"], indirect=True)


async def send(client: httpx.AsyncClient, **members: Any) -> str:
    answer = await client.post("/send", json=order(**members))
    assert answer.status_code == 202, answer.text
    identity: str = answer.json()["id"]
    return identity


async def show(client: httpx.AsyncClient, message_id: str) -> Any:
    answer = await client.get(f"/messages/{message_id}")
    return answer.json()


async def reaches(client: httpx.AsyncClient, message_id: str, status: str) -> Any:
    async def there() -> bool:
        return bool((await show(client, message_id))["status"] == status)

    await until(there, 20)
    return await show(client, message_id)


def verdicts(house: House) -> list[str]:
    return list(
        house.read(lambda tx: tx.scalars(select(attempt.c.verdict).order_by(attempt.c.id)).all())
    )


def states(house: House) -> list[str]:
    return list(house.read(lambda tx: tx.scalars(select(recipient.c.state)).all()))


async def test_all_may_start_at_once_on_an_empty_database(house: House, peer: Peer) -> None:
    workers = [house.start("worker"), house.start("worker")]
    await house.serve("--no-worker")
    for each in workers:
        await house.until_at_work(each)
    async with house.client() as client:
        await client.put("/config/global", json=configuration(peer.port))
        await reaches(client, await send(client), "sent")
    assert len(peer.taken) == 1


@pytest.mark.parametrize("stopped_at", ["rcpt", "dot"])
async def test_a_worker_that_slept_past_its_lease_is_fenced_off(
    house: House, peer: Peer, stopped_at: str
) -> None:
    peer.will(stopped_at, Late(4 if stopped_at == "rcpt" else 1, TAKEN))
    sleeper = house.start("worker")
    await house.serve("--no-worker")
    await house.until_at_work(sleeper)
    async with house.client() as client:
        await client.put("/config/global", json=configuration(peer.port))
        message_id = await send(client)
        heard = "RCPT" if stopped_at == "rcpt" else "."
        await until(lambda: any(line.startswith(heard) for line in peer.heard))
        await house.freeze(sleeper)
        await house.work()
        done = await reaches(client, message_id, "sent")
        attempts = len(done["attempts"])
        sleeper.signal(signal.SIGCONT)
        # It wakes, finds its claim gone, and drops the connection without a dot of its own.
        await until(lambda: peer.open_sessions <= 1)
        later = await send(client)
        await reaches(client, later, "sent")
        assert len((await show(client, message_id))["attempts"]) == attempts
    mine = [each for each in peer.taken if each.message_id == done["message_id"]]
    if stopped_at == "rcpt":
        assert len(mine) == 1
        assert verdicts(house)[:2] == ["lost", "sent"]
    else:
        assert len(mine) == 2
        assert verdicts(house)[:2] == ["uncertain", "sent"]


@on_postgres
async def test_a_worker_that_is_asked_to_stop_finishes_what_is_under_way(
    house: House, peer: Peer
) -> None:
    peer.always("dot", Late(0.7, TAKEN))
    worker = house.start("worker")
    await house.serve("--no-worker")
    await house.until_at_work(worker)
    async with house.client() as client:
        await client.put("/config/global", json=configuration(peer.port))
        for number in range(12):
            await send(client, number=number)
        await until(lambda: "." in peer.heard)
        worker.signal(signal.SIGTERM)
        assert await worker.wait() == 0
    finished = states(house).count("sent")
    assert 0 < finished < 12  # nothing new was begun
    assert finished == len(peer.delivered())
    assert set(states(house)) <= {"sent", "queued"}
    assert set(verdicts(house)) == {"sent"}


@on_sqlite
async def test_stopping_ends_in_time_though_a_server_never_answers(
    house: House, peer: Peer
) -> None:
    peer.will("dot", SILENT)
    worker = house.start("worker", AWIZO_STOP_GRACE_S="0.5", AWIZO_CONNECTIONS_PER_ACCOUNT="1")
    await house.serve("--no-worker")
    await house.until_at_work(worker)
    async with house.client() as client:
        await client.put("/config/global", json=configuration(peer.port))
        await send(client)
        await until(lambda: "." in peer.heard)
        worker.signal(signal.SIGTERM)
        assert await worker.wait(8) == 0
    assert verdicts(house) == ["uncertain"]
    assert states(house) == ["deferred"]


@on_postgres
async def test_stopping_gives_back_what_was_still_connecting(house: House, peer: Peer) -> None:
    peer.always("connect", SILENT)
    worker = house.start("worker", AWIZO_STOP_GRACE_S="0.2")
    await house.serve("--no-worker")
    await house.until_at_work(worker)
    async with house.client() as client:
        await client.put("/config/global", json=configuration(peer.port))
        await send(client)
        await until(lambda: peer.open_sessions)
        worker.signal(signal.SIGTERM)
        assert await worker.wait(8) == 0
    assert (states(house), verdicts(house)) == (["queued"], [])


@on_sqlite
async def test_after_a_restore_nothing_leaves_until_it_is_released(
    house: House, peer: Peer
) -> None:
    first = await house.serve("--no-worker")
    async with house.client() as client:
        await client.put("/config/global", json=configuration(peer.port))
        restored = await send(client)
    first.signal(signal.SIGTERM)
    await first.wait()
    await house.serve("--hold-queue")
    async with house.client() as client:
        held = await show(client, restored)
        assert (held["status"], held["recipients"][0]["reason"]) == ("held", "queue_held")
        await reaches(client, await send(client), "sent")
        assert len(peer.taken) == 1
        assert (await client.post(f"/messages/{restored}/release", json={})).is_success
        await reaches(client, restored, "sent")


@on_postgres
async def test_a_change_of_the_configuration_holds_at_once_in_a_running_worker(
    house: House, peer: Peer
) -> None:
    peer.extensions.append("AUTH PLAIN")
    peer.password = "nowe"
    login = {"username": "faktury", "allow_insecure_auth": True}
    worker = house.start("worker")
    await house.serve("--no-worker")
    await house.until_at_work(worker)
    async with house.client() as client:
        stale = configuration(peer.port, **login, password="stare")
        await client.put("/config/global", json=stale)
        waiting = await send(client)
        deferred = await reaches(client, waiting, "deferred")
        assert deferred["recipients"][0]["reason"] == "credentials_refused"
        trouble = (await client.get("/config/global")).text
        assert "credentials_refused" in trouble
        fresh = configuration(peer.port, **login, password="nowe")
        await client.put("/config/global", json=fresh)
        await reaches(client, waiting, "sent")
        assert "credentials_refused" not in (await client.get("/config/global")).text


@on_sqlite
async def test_the_key_ring_is_rotated_while_all_run(house: House, peer: Peer) -> None:
    peer.extensions.append("AUTH PLAIN")
    peer.password = "tajne"
    login = {"username": "faktury", "allow_insecure_auth": True, "password": "tajne"}
    worker = house.start("worker", AWIZO_CONNECTION_IDLE_S="0.1")
    await house.serve("--no-worker")
    await house.until_at_work(worker)
    async with house.client() as client:
        await client.put("/config/global", json=configuration(peer.port, **login))
        await reaches(client, await send(client), "sent")
        key = {"Idempotency-Key": "across"}
        before = await client.post("/send", json=order(), headers=key)
        assert await house.start("secrets", "rotate").wait() == 0
        await until(lambda: peer.open_sessions == 0)
        after = await client.post("/send", json=order(), headers=key)
        assert after.json()["id"] == before.json()["id"]
        await reaches(client, await send(client), "sent")
        secret = await client.get("/config/global/password")
        assert secret.json() == {"password": "tajne"}


@on_postgres  # no file goes away
async def test_a_database_that_goes_away_during_delivery_costs_nothing_but_time(
    house: House, peer: Peer
) -> None:
    peer.will("dot", Late(1.5, TAKEN))
    worker = house.start("worker", AWIZO_LEASE_S="30")
    await house.serve("--no-worker")
    await house.until_at_work(worker)
    async with house.client() as client:
        await client.put("/config/global", json=configuration(peer.port))
        message_id = await send(client)
        await until(lambda: "." in peer.heard)
        with house.cut_off():
            await until(lambda: peer.delivered())
            await until(lambda: "database_unavailable" in worker.said)
        done = await reaches(client, message_id, "sent")
    assert [each["verdict"] for each in done["attempts"]] == ["sent"]
    assert len(peer.taken) == 1
    assert house.read(lambda tx: tx.scalar(select(message.c.status))) == "sent"
