"""``?wait``: the first verdicts in the answer, with a worker and a real mail server."""

import asyncio
import socket
import time
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from aiosmtpd.controller import Controller

from app.main import create_app
from app.settings import Settings
from tests.doors.sending import LETTER, configure

pytestmark = pytest.mark.anyio


class Post:
    """A mail server that refuses ``nobody@…``; ``taken`` are the envelopes it took."""

    def __init__(self):
        self.taken = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        if address.startswith("later@"):
            return "450 4.2.0 try again"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        self.taken.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 taken"


@pytest.fixture
def post():
    """A running mail server; ``port`` is where."""
    handler = Post()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        handler.port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=handler.port)
    controller.start()
    yield handler
    controller.stop()


@pytest.fixture
def settings(database_url, tmp_path) -> Settings:
    """A worker that looks often."""
    return Settings(data_dir=tmp_path / "data", database_url=database_url, poll_s=0.05)


@pytest.fixture
async def service(settings, office):
    """The running application, with its worker."""
    office = replace(office, ehlo_name="awizo.example")
    app = create_app(settings, work=True, office=office)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def sender(client, as_role, post):
    """The header of an ERP's key; the configuration leads to ``post``."""
    smtp = {"host": "127.0.0.1", "port": post.port, "connection": "plaintext"}
    await configure(client, as_role("admin"), smtp=smtp)
    return as_role("sender")


async def test_the_verdicts_are_in_the_answer(client, sender, post):
    answer = await client.post("/send?wait=20", json=LETTER, headers=sender)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown["status"] == "sent"
    assert [each["verdict"] for each in shown["attempts"]] == ["sent"]
    assert answer.headers["location"] == f"/messages/{shown['id']}"
    raw = (await client.get(f"/messages/{shown['id']}/raw", headers=sender)).content
    assert [each[2] for each in post.taken] == [raw]  # byte for byte


async def test_a_failure_is_a_verdict_too(client, sender):
    body = LETTER | {"to": "nobody@x.example"}
    answer = await client.post("/send?wait=20", json=body, headers=sender)
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    body = LETTER | {"to": "nobody@x.example, a@x.example, later@x.example"}
    answer = await client.post("/send?wait=20", json=body, headers=sender)
    assert answer.status_code == 200
    assert [each["state"] for each in answer.json()["recipients"]] == ["failed", "sent", "deferred"]


async def test_a_repeated_request_waits_and_is_replayed(client, sender, post):
    key = sender | {"Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(client.post("/send?wait=20", json=LETTER, headers=key) for _ in range(3))
    )
    assert [each.status_code for each in answers] == [200] * 3
    assert len({each.json()["id"] for each in answers}) == 1
    assert sum(each.headers.get("idempotent-replayed") == "true" for each in answers) == 2
    assert len(post.taken) == 1


async def test_what_waits_for_its_time_is_not_waited_for(client, sender, clock):
    body = LETTER | {"send_at": (clock() + timedelta(hours=1)).isoformat()}
    began_at = time.monotonic()
    answer = await client.post("/send?wait=30", json=body, headers=sender)
    assert (answer.status_code, answer.json()["status"]) == (202, "scheduled")
    assert time.monotonic() - began_at < 15


async def test_a_server_that_does_not_answer_gives_202_in_time(client, as_role, sender):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)  # connections are taken, nothing is said
        smtp = {"host": "127.0.0.1", "port": silent.getsockname()[1], "connection": "plaintext"}
        await configure(client, as_role("admin"), smtp=smtp | {"timeout_ms": 1000})
        answer = await client.post("/send?wait=0.3", json=LETTER, headers=sender)
        assert answer.status_code == 202
        assert answer.json()["status"] == "queued"


async def test_a_whole_batch_goes_out(client, sender, post):
    letters = [LETTER | {"to": f"k{number}@x.example"} for number in range(30)]
    answer = await client.post("/send/batch", json={"messages": letters}, headers=sender)
    assert answer.status_code == 202
    path = f"{answer.headers['location']}&status=sent&limit=100"
    async with asyncio.timeout(30):
        while len((await client.get(path, headers=sender)).json()["data"]) < 30:
            pass  # each look lets the others work
    assert sorted(each[1][0] for each in post.taken) == sorted(each["to"] for each in letters)


async def test_waiting_holds_nothing(client, as_role, sender):
    """Far more wait than there are threads and connections, and others are still served."""
    await client.post("/config/global/pause", headers=as_role("admin"))
    waiting = [
        asyncio.create_task(client.post("/send?wait=60", json=LETTER, headers=sender))
        for _ in range(40)
    ]
    async with asyncio.timeout(30):
        while (
            len((await client.get("/messages?status=queued", headers=sender)).json()["data"]) < 40
        ):
            pass  # each look lets the others work
    assert not any(each.done() for each in waiting)
    await client.post("/config/global/resume", headers=as_role("admin"))
    answers: list[httpx.Response] = await asyncio.gather(*waiting)
    assert {each.json()["status"] for each in answers} == {"sent"}
