"""Servers that ask for better manners, over real sockets."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from app.outbox.health import read_health
from app.outbox.office import Office
from app.outbox.tables import account_state
from app.worker import Worker
from tests.flows.peer import Late, Peer
from tests.rooms.outbox.desk import configure, look, send
from tests.rooms.outbox.test_delivery import ended, peer, until, watch, worker

__all__ = ["peer", "worker"]  # fixtures
pytestmark = pytest.mark.anyio
OK = "250 2.1.0 ok"


async def let_pass(office: Office, account: str) -> None:
    """Let a pause be over, and the pace be a quick one."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    over = update(account_state).where(account_state.c.account_id == account)
    await office.db.write(lambda tx: tx.execute(over.values(slow_until=past, slow_rate=6000)))
    office.db.ring()


async def test_a_rate_limit_stops_the_account_and_costs_one_message_a_try(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.always("mail", "450 4.7.1 Error: too much mail, message rate exceeded")
    account = await configure(office, port=peer.port)
    first = await send(office)
    await watch(office, first, lambda seen: seen.status == "deferred")
    others = [await send(office) for _ in range(4)]
    health = await office.db.read(read_health, account)
    assert (health.slow_reason, health.slow_hits, health.cause) == ("rate_limited", 1, None)
    asked = len(peer.heard)
    assert {(await office.db.read(look, each)).status for each in others} == {"queued"}
    assert len(peer.heard) == asked
    peer.always("mail", None)
    await let_pass(office, account)
    await ended(office, first)
    for each in others:
        assert (await ended(office, each)).verdicts == ["sent"]
    assert (await office.db.read(read_health, account)).slow_hits == 0


async def test_greylisting_of_one_recipient_slows_nobody_down(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.will("rcpt", "450 4.7.1 Greylisted, come back in 300 s")
    account = await configure(office, port=peer.port)
    assert (await ended(office, await send(office))).verdicts == ["deferred", "sent"]
    assert (await office.db.read(read_health, account)).slow_until is None


async def test_too_many_connections_cost_no_try_and_fewer_are_opened(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.always("dot", Late(0.02, "250 taken"))
    peer.will("connect", "220 hello", "421 4.7.0 Error: too many connections from 127.0.0.1")
    account = await configure(office, port=peer.port)
    messages = [await send(office) for _ in range(16)]
    await until(lambda: len(peer.delivered()) == 16)
    for each in messages:
        seen = await ended(office, each)
        assert seen.verdicts[-1] == "sent" and seen.recipients[0].tries == 1
    health = await office.db.read(read_health, account)
    assert (health.slow_reason, health.cause) == ("too_many_connections", None)
    assert health.slow_connections is not None
    assert health.slow_connections < office.settings.connections_per_account


async def test_a_session_is_ended_by_us_before_the_server_ends_it(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.will("mail", OK, OK, OK, "421 4.7.0 too many messages in this connection")
    account = await configure(office, port=peer.port, batch_limit=1000)
    for _ in range(2):
        for each in [await send(office) for _ in range(6)]:
            assert (await ended(office, each)).verdicts == ["sent"]
    health = await office.db.read(read_health, account)
    assert (health.session_messages, health.slow_until) == (3, None)
    assert max(Counter(each.session for each in peer.taken).values()) == 3
    assert len([line for line in peer.heard if line == "<cut>"]) == 1


async def test_what_was_heard_under_the_old_configuration_does_not_slow_the_new_one(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.will("dot", Late(0.15, "451 4.7.0 slow down"))
    account = await configure(office, port=peer.port)
    message_id = await send(office)
    await until(lambda: "." in peer.heard)
    await configure(office, port=peer.port)
    assert (await ended(office, message_id)).status == "sent"
    assert (await office.db.read(read_health, account)).slow_until is None
