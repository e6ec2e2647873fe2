"""Replies that do not fit their commands: nobody fails for good by what was said of somebody else."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from app.wire.address_policy import AddressPolicy
from app.wire.conveyor import Conveyor
from app.wire.envelope import Transaction
from app.wire.session import Session
from app.wire.target import Target
from tests.crafts.wire.test_conveyor import Job

GROUP = b"250 mail\r\n250 r0\r\n250 r1\r\n550 no such r2\r\n"
Script = Callable[[int], Sequence[bytes]]


async def hear(reader: asyncio.StreamReader) -> bytes:
    """Return the next line; nothing once the client is gone."""
    with suppress(ConnectionError):
        return await reader.readline()
    return b""


async def carry_past(group: Script, dot: Script) -> list[Transaction]:
    """Carry five messages to a server; return what came of each.

    group, dot: what it says to the n-th group of commands and dot, in pieces, 50 ms apart.
    """
    count = 0

    async def say(pieces: Sequence[bytes], writer: asyncio.StreamWriter) -> None:
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(0.05)
            writer.write(piece)
            await writer.drain()

    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        serving.append(asyncio.current_task())
        writer.write(b"220 mx.example\r\n")
        while line := await hear(reader):
            if line.startswith(b"EHLO"):
                writer.write(b"250-mx.example\r\n250 PIPELINING\r\n")
            elif line.startswith(b"RSET"):
                writer.write(b"250 reset\r\n")
            elif line.startswith(b"DATA"):
                count += 1
                await say(group(count), writer)
                while (body := await hear(reader)) not in (b".\r\n", b""):
                    pass
                if body:
                    await say(dot(count), writer)
        writer.close()

    came: dict[int, Transaction] = {}
    jobs = [Job(number, recipients=3) for number in range(1, 6)]
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        target = Target(
            host="127.0.0.1", port=port, connection="plaintext", auth="none", timeout_ms=500
        )
        policy = AddressPolicy(deny=(), allow=(), ports=None)
        session = await Session.open(target, policy=policy, ehlo_name="awizo.example")
        conveyor = Conveyor[Job](session, final_reply_timeout_s=0.5)
        await conveyor.carry(
            lambda: jobs.pop(0) if jobs else None,
            lambda job, transaction: came.update({job.number: transaction}),
        )
        session.abort()
        await asyncio.gather(*filter(None, serving))
    return [came[number] for number in sorted(came)]


def one_short(count: int) -> Sequence[bytes]:
    group = GROUP.replace(b"250 r0\r\n", b"") if count == 3 else GROUP
    return [group + b"354 go\r\n"]


def late_354(count: int) -> Sequence[bytes]:
    return [GROUP, b"354 go\r\n"]


def taken(count: int) -> Sequence[bytes]:
    return [b"250 taken\r\n"]


def taken_twice(count: int) -> Sequence[bytes]:
    return [b"250 taken\r\n" * (2 if count == 2 else 1)]


@pytest.mark.parametrize(
    ("group", "dot"), [(one_short, taken), (late_354, taken_twice)], ids=["one short", "one extra"]
)
def test_nobody_fails_by_a_reply_that_was_meant_for_another(group: Script, dot: Script) -> None:
    first, second, third, *_ = asyncio.run(carry_past(group, dot))
    for transaction in (first, second):
        assert [each.kind for each in transaction.verdicts] == ["sent", "sent", "refused"]
    assert {each.kind for each in third.verdicts} <= {"deferred", "not_tried"}
