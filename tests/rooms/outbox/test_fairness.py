"""What one account's server does never delays another account (G11); single messages go first."""

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from sqlalchemy.engine import Connection

from app.db import new_id
from app.mime.address import Mailbox
from app.outbox.accept import store
from app.outbox.check import ask_ground
from app.outbox.office import Office
from app.outbox.order import Order
from app.outbox.prepare import prepare
from app.worker import Worker
from tests.flows.peer import SILENT, Late, Peer, serve
from tests.rooms.outbox.desk import ADMIN, configure, send
from tests.rooms.outbox.test_delivery import until

pytestmark = pytest.mark.anyio
SINGLES = 8
MANY = 2000
# One process is all mail servers and the worker, beside other tests. Unfair would be many seconds: the
# tarpit holds its connections for 30, the batch takes 25.
SLACK_S = 0.5


async def send_batch(office: Office, user: str, count: int) -> None:
    """Accept ``count`` messages at one stroke."""
    order = Order(
        user=user, to=(Mailbox("k@klient.example"),), subject="Faktura", body="Dzień dobry"
    )
    made = await prepare(office, order, await ask_ground(office, order))
    batch = [(ADMIN, replace(made, id=new_id(), batch_id="b")) for _ in range(count)]

    def write(tx: Connection) -> None:
        store(tx, office.vault, batch, office.settings.delivery)

    await office.db.write(write)
    office.db.ring()


async def time_singles(office: Office, peer: Peer) -> float:
    """Send single messages one after the other; return how long three in four take at least."""
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(SINGLES):
        before, started = len(peer.taken), loop.time()
        await send(office, user="zdrowa")
        await until(lambda wanted=before + 1: len(peer.delivered()) >= wanted)
        took.append(loop.time() - started)
    return sorted(took)[len(took) // 4]


async def test_a_tarpit_a_dead_host_and_a_huge_batch_delay_nobody_else(office: Office) -> None:
    office = replace(office, settings=office.settings.model_copy(update={"stop_grace_s": 0.1}))
    async with AsyncExitStack() as stack:
        healthy = await stack.enter_async_context(serve())
        tarpit = await stack.enter_async_context(serve())
        busy = await stack.enter_async_context(serve())
        tarpit.always("connect", SILENT)
        busy.always("dot", Late(0.05, "250 taken"))
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # nobody listens
        await configure(office, "zdrowa", port=healthy.port)
        await configure(office, "smola", port=tarpit.port)
        await configure(office, "martwa", port=closed.getsockname()[1])
        await configure(office, "seria", port=busy.port)
        await stack.enter_async_context(Worker(office).running())
        alone_s = await time_singles(office, healthy)
        await send_batch(office, "smola", 20)
        await send_batch(office, "martwa", 20)
        await send_batch(office, "seria", MANY)
        await until(lambda: tarpit.sessions and busy.delivered())
        beside_s = await time_singles(office, healthy)
        assert len(busy.delivered()) < MANY / 2, "the batch is still going on"
        assert beside_s < 1.1 * alone_s + SLACK_S
        assert not tarpit.taken
        # A single message of the batch's own account overtakes the rest.
        await send(office, "pilne@klient.example", user="seria")
        await until(lambda: any("pilne@klient.example" in one.recipients for one in busy.taken))
        assert len(busy.taken) < MANY / 2
