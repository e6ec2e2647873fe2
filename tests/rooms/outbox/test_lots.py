"""LIMITE and WAIT across the offices of two worker processes, by the mail server's own clock."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import distinct, func, select

from app.outbox.office import Office, open_office
from app.outbox.tables import attempt
from app.settings import Settings
from app.worker import Worker
from tests.flows.peer import Peer, Taken, serve
from tests.rooms.outbox.desk import configure
from tests.rooms.outbox.test_delivery import until
from tests.rooms.outbox.test_fairness import send_batch

pytestmark = pytest.mark.anyio
LIMITE, WAIT_S, MESSAGES = 5, 0.1, 28
SAME_CLOCK_S = 0.005  # the server notes a MAIL, or its answer, a little after the worker


def cut_lots(taken: Sequence[Taken], wait_s: float) -> list[list[Taken]]:
    """Return the lots: a new one begins with a MAIL that comes ``wait_s`` after the last final reply
    or later; whatever is not so far apart is one lot."""
    lots: list[list[Taken]] = []
    replied_at = float("-inf")
    for each in sorted(taken, key=lambda one: one.mail_at):
        if each.mail_at - replied_at >= wait_s:
            lots.append([])
        lots[-1].append(each)
        replied_at = max(replied_at, each.answered_at)
    return lots


@pytest.mark.parametrize("pipelining", [True, False])
async def test_two_workers_share_lots_exactly(
    office: Office, settings: Settings, pipelining: bool
) -> None:
    async with AsyncExitStack() as stack:
        peer: Peer = await stack.enter_async_context(serve())
        if not pipelining:
            peer.extensions.remove("PIPELINING")
        other = open_office(settings)
        stack.push_async_callback(other.close)
        await configure(office, "seria", port=peer.port, batch_limit=LIMITE, batch_wait_s=WAIT_S)
        await send_batch(office, "seria", MESSAGES)
        await stack.enter_async_context(Worker(office).running())
        await stack.enter_async_context(Worker(other).running())
        await until(lambda: len(peer.delivered()) == MESSAGES, 20)
    assert max(map(len, cut_lots(peer.delivered(), WAIT_S - SAME_CLOCK_S))) <= LIMITE
    carried = await office.db.read(
        lambda tx: tx.scalar(select(func.count(distinct(attempt.c.worker))))
    )
    assert carried == 2
