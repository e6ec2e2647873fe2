"""A worker carries webhooks beside the mail, and its receivers keep no mail waiting."""

import asyncio
from dataclasses import replace

import pytest

from app.worker import Worker
from tests.flows.peer import serve
from tests.rooms.outbox.desk import configure, look, send
from tests.rooms.webhooks.carrying import make_webhook
from tests.rooms.webhooks.receiver import receive

pytestmark = pytest.mark.anyio


async def test_mail_goes_and_is_told_though_another_receiver_says_nothing(office, receiver):
    office = replace(office, settings=office.settings.model_copy(update={"stop_grace_s": 0.1}))
    async with receive() as silent, serve() as server:
        silent.answers = [None]
        await make_webhook(office, silent.url)
        await make_webhook(office, receiver.url)
        await configure(office, port=server.port)
        async with Worker(office).running():
            async with asyncio.timeout(10):
                first = await send(office)
                while len(receiver.heard) < 2 or not silent.heard:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                second = await send(office)
                while len(receiver.heard) < 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert receiver.types == ["message.accepted", "recipient.sent"] * 2
            for message_id in (first, second):
                assert (await office.db.read(look, message_id)).status == "sent"
        # The silent one heard of each message's first event, and is still being waited for.
        assert silent.types == ["message.accepted"] * 2
