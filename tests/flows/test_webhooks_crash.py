"""A worker killed among its webhooks: everything is told, in order, and what comes twice says so."""

import re
import signal
from collections import defaultdict
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.engine import Connection

from app.outbox.tables import event
from app.webhooks.tables import webhook_delivery
from tests.flows.house import House, Process, configuration, order, until
from tests.flows.peer import Peer
from tests.rooms.webhooks.receiver import receive

MESSAGES = 30


def count_told(tx: Connection) -> int:
    done = select(func.count()).where(webhook_delivery.c.state == "delivered")
    return tx.scalar(done) or 0


def find_busy(tx: Connection) -> set[int]:
    """The processes that deliver just now."""
    claims = tx.scalars(select(webhook_delivery.c.claimed_by).distinct())
    found = (re.search(r"-(\d+)-", each or "") for each in claims)
    return {int(each[1]) for each in found if each}


def stop_at_work(house: House, process: Process) -> bool:
    """Stop a process if it delivers just now."""
    process.signal(signal.SIGSTOP)
    if process.pid in house.read(find_busy):
        return True
    process.signal(signal.SIGCONT)
    return False


@pytest.mark.anyio
async def test_killing_a_worker_among_its_webhooks_loses_none_and_doubles_under_one_id(
    house: House, peer: Peer
) -> None:
    workers = [house.start("worker"), house.start("worker")]
    await house.serve("--no-worker")
    async with house.client() as client, receive() as receiver:
        receiver.wait_s = 0.05  # so that a kill meets many under way
        assert (await client.put("/config/global", json=configuration(peer.port))).is_success
        hook = {"url": receiver.url, "events": ["*"]}
        assert (await client.post("/webhooks", json=hook)).status_code == 201
        for each in workers:
            await house.until_at_work(each)
        batch = {"messages": [order(number) for number in range(MESSAGES)]}
        assert (await client.post("/send/batch", json=batch)).status_code == 202
        await until(lambda: len(receiver.heard) > MESSAGES // 2, 20)
        victims: list[Process] = []

        def meet() -> bool:
            victims.extend(each for each in workers if not victims and stop_at_work(house, each))
            return bool(victims)

        await until(meet, 20)
        victim = victims[0]
        victim.kill()
        theirs = webhook_delivery.c.claimed_by.contains(f"-{victim.pid}-")
        with house.engine.begin() as tx:  # the lease of a minute is over
            past = update(webhook_delivery).where(theirs).values(lease_until=datetime.now(UTC))
            met = tx.execute(past).rowcount
        await until(lambda: house.count_unfinished() == 0, 20)
        numbers = house.read(lambda tx: set(tx.scalars(select(event.c.number))))
        await until(
            lambda: house.read(count_told) == len(numbers),
            20,
            lambda: [each.said for each in workers],
        )
    ids: defaultdict[int, list[str]] = defaultdict(list)
    orders: defaultdict[str, list[int]] = defaultdict(list)
    for each in receiver.heard:
        number = int(each.said["data"]["event"])
        ids[number].append(each.id)
        orders[each.said["data"]["message"]].append(number)
    doubled = sum(len(each) > 1 for each in ids.values())
    print(f"\n{house.engine.name}: {len(numbers)} events, {met} met by the kill, {doubled} doubled")
    assert ids.keys() == numbers
    assert doubled <= met > 0
    assert all(len(set(each)) == 1 for each in ids.values())
    assert len({each[0] for each in ids.values()}) == len(numbers)
    assert len(orders) == MESSAGES
    assert all(each == sorted(each) for each in orders.values())
