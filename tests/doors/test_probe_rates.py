"""How often ``/test-smtp`` may be called: counted in the database, a minute at a time."""

import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.outbox.allowance import take
from app.outbox.probe_ground import PROBES_PER_SERVER

pytestmark = pytest.mark.anyio


class Stopped:
    """A clock that stands ten seconds into a minute."""

    def __init__(self):
        self.at = datetime(2026, 11, 22, 9, 30, 10, tzinfo=UTC)

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Stopped()


@pytest.fixture
def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def call(client, as_role, closed_port):
    async def call(role, username=None):
        smtp = {"host": "127.0.0.1", "port": closed_port, "connection": "starttls"}
        if username:
            smtp |= {"username": username, "password": "tajne"}
        body = {"mode": "connect", "config": {"smtp": smtp, "sender": {"address": "a@b.example"}}}
        return await client.post("/test-smtp", json=body, headers=as_role(role))

    return call


@pytest.fixture
def narrow(service, office):
    """Let the service permit three probes a minute, five to admins, on any port."""
    changes = {"probe_rate": 3, "probe_rate_admin": 5, "smtp_ports": None}
    service.state.office = replace(office, settings=office.settings.model_copy(update=changes))


async def test_each_owner_has_an_allowance_a_minute(call, narrow, clock):
    for role, most in (("anna", 3), ("admin", 5)):
        for _ in range(most):
            assert (await call(role)).status_code == 200
        answer = await call(role)
        assert answer.status_code == 429
        assert answer.json()["retryable"] is True
        assert answer.headers["retry-after"] == "50"
    assert (await call("piotr")).status_code == 200
    clock.at = clock.at.replace(minute=31, second=0)
    assert (await call("anna")).status_code == 200


async def test_a_server_and_login_are_spared_whoever_asks(call, office, clock):
    for number in range(PROBES_PER_SERVER):
        assert (number, (await call("admin", "faktury")).status_code) == (number, 200)
    assert (await call("admin", "faktury")).status_code == 429
    assert (await call("admin", "inny")).status_code == 200


async def test_what_was_refused_does_not_count(office, clock):
    for _ in range(2):
        await office.db.write(take, "probe:x", most=2, at=clock.at)
    for _ in range(3):
        with pytest.raises(Exception, match="At most 2 a minute") as throttled:
            await office.db.write(take, "probe:x", most=2, at=clock.at)
        assert throttled.value.retry_after_s == 50
    await office.db.write(take, "probe:x", most=3, at=clock.at)
