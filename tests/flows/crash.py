"""Kill -9 at random moments, and the count afterwards: lost, doubled, explained.

A driver sends messages through the API, each with an Idempotency-Key and again until it is
answered; meanwhile workers and the API are killed. Then everything is left to finish, and what the
mail server took is held against what was accepted.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

import httpx
from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.outbox.tables import attempt, message, recipient
from tests.flows.house import House, configuration, order, until
from tests.flows.peer import Late, Peer

SENDERS = 4  # parallel callers


@dataclass(frozen=True, slots=True)
class Tally:
    """accepted: messages answered 202. stored: in the database. Counted by recipient: doubled, copies
    beyond the first, of them unexplained by an uncertain attempt. uncertain, lost: attempts that say
    so."""

    accepted: int
    stored: int
    missing: int
    doubled: int
    copies: int
    unexplained: int
    uncertain: int
    lost: int
    worker_kills: int
    api_kills: int

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, stored {self.stored}, missing {self.missing}, "
            f"doubled {self.doubled} with {self.copies} more copies (unexplained {self.unexplained}), "
            f"attempts uncertain {self.uncertain} and lost {self.lost}, kills: worker "
            f"{self.worker_kills}, API {self.api_kills}"
        )


async def crash(
    house: House, peer: Peer, *, messages: int, worker_kills: int, api_kills: int, seed: int
) -> Tally:
    """Send, kill, finish, count."""
    chance = random.Random(seed)
    peer.always("dot", Late(0.1, "250 2.0.0 taken"))  # where a kill hurts most
    workers = [house.start("worker"), house.start("worker")]  # beside the API, on an empty database
    api = await house.serve("--no-worker")
    async with house.client() as client:
        assert (await client.put("/config/global", json=configuration(peer.port))).is_success
        accepted: set[str] = set()
        for each in workers:
            await house.until_at_work(each)
        rations = asyncio.Semaphore(0)
        driver = asyncio.create_task(drive(client, messages, accepted, rations))
        api_at = set(chance.sample(range(worker_kills), api_kills))
        for number in range(worker_kills):
            # Every kill meets mail of its own on its way, from the first to the last.
            before = len(accepted)
            for _ in range(
                messages * number // worker_kills, messages * (number + 1) // worker_kills
            ):
                rations.release()
            await until(lambda before=before: len(accepted) > before, 60)
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            victim = workers.pop(0)
            victim.kill()
            workers.append(house.start("worker"))
            if number in api_at:
                api.kill()
                api = await house.serve("--no-worker")
            # The other one works meanwhile; now it is this one's turn to be killed at work.
            await house.until_at_work(workers[-1])
        await driver
    while left := house.count_unfinished():
        await until(lambda: house.count_unfinished() < left, 60, lambda: workers[0].said[-2000:])
    for each in workers:
        each.kill()
    return house.read(lambda tx: take_tally(tx, peer, accepted, worker_kills, api_kills))


async def drive(
    client: httpx.AsyncClient,
    messages: int,
    accepted: set[str],
    rations: asyncio.Semaphore | None = None,
    refused: Counter[str] | None = None,
) -> None:
    """Send so many messages, each until it is answered; note the ids of those answered 202.

    rations: one is taken for every message. refused: the codes of what was answered 503.
    """
    refused = Counter() if refused is None else refused
    numbers = iter(range(messages))

    async def send_some() -> None:
        for number in numbers:
            if rations is not None:
                await rations.acquire()
            body = order(number, to=[f"a{number}@klient.example", f"b{number}@klient.example"])
            accepted.add(await _send(client, number, body, refused))

    await asyncio.gather(*(send_some() for _ in range(SENDERS)))


async def _send(
    client: httpx.AsyncClient, number: int, body: dict[str, object], refused: Counter[str]
) -> str:
    """Send until it is answered: the key keeps it one message."""
    while True:
        try:
            answer = await client.post(
                "/send", json=body, headers={"Idempotency-Key": f"crash-{number}"}
            )
        except httpx.TransportError:
            await asyncio.sleep(0.05)
            continue
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json()["retryable"]
            refused[answer.json()["code"]] += 1
            await asyncio.sleep(0.05)
            continue
        assert answer.status_code == 202, answer.text
        identity: str = answer.json()["id"]
        return identity


def take_tally(
    tx: Connection, peer: Peer, accepted: set[str], worker_kills: int = 0, api_kills: int = 0
) -> Tally:
    """Hold what the mail server took against what was accepted."""
    names = dict(tx.execute(select(message.c.message_id, message.c.id)).all())
    copies = Counter(
        (names[taken.message_id], address) for taken in peer.taken for address in taken.recipients
    )
    doubts: Counter[tuple[str, str]] = Counter()
    verdicts: Counter[str] = Counter()
    for message_id, address, verdict in tx.execute(
        select(attempt.c.message_id, recipient.c.address, attempt.c.verdict).join(
            recipient, recipient.c.id == attempt.c.recipient_id
        )
    ):
        verdicts[verdict] += 1
        doubts[message_id, address] += verdict == "uncertain"
    wanted = [
        (message_id, address)
        for message_id, address in tx.execute(select(recipient.c.message_id, recipient.c.address))
    ]
    return Tally(
        accepted=len(accepted),
        stored=len(names),
        missing=sum(not copies[each] for each in wanted) + 2 * len(accepted - set(names.values())),
        doubled=sum(count > 1 for count in copies.values()),
        copies=sum(count - 1 for count in copies.values()),
        unexplained=sum(max(0, count - 1 - doubts[each]) for each, count in copies.items()),
        uncertain=verdicts["uncertain"],
        lost=verdicts["lost"],
        worker_kills=worker_kills,
        api_kills=api_kills,
    )
