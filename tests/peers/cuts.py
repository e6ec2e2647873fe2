"""Collecting over a line that is cut again and again, and the count afterwards.

A proxy between the collector and a real Dovecot, in clear, passes a random number of bytes of both
directions together, or a random number of commands and no answer to the last one, then drops the
connection; where nothing flows any more (IDLE), it drops it, too. Mail comes all the while. In the
end one session is left alone, and every mail is counted by its Message-ID: missing and doubled must
be 0, and nothing may be left undone in the mailbox.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.inbox.collect import Collecting
from app.inbox.mailboxes import claim, enroll, release
from app.inbox.tables import incoming, incoming_body, mailbox
from app.outbox.office import Office, open_office
from app.settings import Settings
from app.wire.steps import SessionFailed
from migrations.run import upgrade
from tests.peers.dovecot import PASSWORD, USER, Dovecot
from tests.rooms.outbox.desk import configure

WAYS = (
    ("imap", "leave"),
    ("imap", "seen"),
    ("imap", "delete"),
    ("pop3", "leave"),
    ("pop3", "delete"),
)
_STILL_S = 0.05  # nothing has flown for so long: the client waits
_MOST_BYTES = 60_000
_MOST_COMMANDS = 40


class Cutter:
    """A proxy to a port, on ``port``. cuts: so far; is_kind: from now on nothing is cut."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self.port, self.cuts, self.is_kind = 0, 0, False
        self._to, self._chance = port, chance

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Cutter"]:
        """Serve on ``port`` of its own until the block ends."""
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        # As many cuts within the first hundred bytes as within the last ten thousands.
        self._left = 1 << 40 if self.is_kind else int(_MOST_BYTES ** self._chance.random())
        self._commands_left = -1
        if not self.is_kind and self._chance.random() < 0.5:
            self._left, self._commands_left = 1 << 40, self._chance.randint(1, _MOST_COMMANDS)
        ways = [
            asyncio.create_task(self._pass(reader, back, is_client=True)),
            asyncio.create_task(self._pass(there, writer)),
        ]
        was_left = -1
        while not self.is_kind and self._left not in (0, was_left):
            was_left = self._left
            await asyncio.wait(ways, timeout=_STILL_S, return_when=asyncio.FIRST_COMPLETED)
            if self._left and any(way.done() for way in ways):
                break  # they ended it themselves
        else:
            self.cuts += not self.is_kind
        if self.is_kind:
            await asyncio.wait(ways)
        for way in ways:
            way.cancel()
        for end in (writer, back):
            # A reset, or an end as if all were said.
            end.transport.abort() if self._chance.random() < 0.5 else end.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_client: bool = False
    ) -> None:
        with suppress(OSError):
            while self._left and (piece := await reader.read(4096)):
                part = piece[: self._left]
                self._left -= len(part)
                self._commands_left -= is_client
                if self._commands_left == 0:
                    self._left = 0  # the server gets it, and nobody its answer
                writer.write(part)
                await writer.drain()


@dataclass(frozen=True, slots=True)
class Count:
    """What came of it. undone: mail that the mailbox should not hold (so) any more."""

    cuts: int
    mails: int
    missing: int
    doubled: int
    damaged: int
    undone: int

    @property
    def is_good(self) -> bool:
        """Whether every mail was stored once and as it came, and the mailbox is as it should be."""
        return not (self.missing or self.doubled or self.damaged or self.undone)

    def __str__(self) -> str:
        return (
            f"{self.cuts} cuts, {self.mails} mails: missing {self.missing}, doubled {self.doubled}, "
            f"damaged {self.damaged}, left undone in the mailbox {self.undone}"
        )


async def collect_with_cuts(
    folder: Path, dovecot: Dovecot, protocol: str, after: str, cuts: int, seed: int
) -> Count:
    """Collect while the line is cut so often; a mail comes for about every third cut."""
    chance = random.Random(f"{seed} {protocol} {after}")
    settings = Settings(data_dir=folder)
    upgrade(settings.url)
    office = open_office(settings)
    mails: dict[str, bytes] = {}
    try:
        async with Cutter(dovecot.ports[protocol], chance).running() as cutter:
            account = await _configure(office, cutter.port, protocol, after)
            await office.db.write(enroll)
            while cutter.cuts < cuts:
                if chance.random() < 0.33 or len(mails) < 10:
                    raw = _write(len(mails), chance)
                    mails[f"<{len(mails)}@klient.example>"] = raw
                    dovecot.drop(USER, raw)
                await _collect(office, account, waits=True)
            cutter.is_kind = True
            await _collect(office, account, waits=False)
        counted = await office.db.read(_count)
    finally:
        await office.close()
    undone = {
        # A POP3 server marks what it gives away by itself.
        "leave": lambda name: "T" in name or ("S" in name and protocol == "imap"),
        "seen": lambda name: "S" not in name,
        "delete": lambda name: True,
    }[after]
    return Count(
        cutter.cuts,
        len(mails),
        len(mails.keys() - counted.keys()),
        sum(len(raws) - 1 for raws in counted.values()),
        sum(mails.get(each) not in raws for each, raws in counted.items()),
        sum(undone(name.partition(":2,")[2]) for name, _ in dovecot.read(USER)),
    )


def _count(tx: Connection) -> dict[str, list[bytes]]:
    query = select(incoming.c.message_id, incoming_body.c.raw).join(incoming_body)
    found: dict[str, list[bytes]] = {}
    for row in tx.execute(query):
        found.setdefault(row.message_id, []).append(bytes(row.raw))
    return found


async def _configure(office: Office, port: int, protocol: str, after: str) -> str:
    return await configure(
        office,
        config={
            "incoming": {
                "protocol": protocol, "host": "127.0.0.1", "port": port, "after": after,
                "connection": "plaintext", "username": USER, "password": PASSWORD,
                "allow_insecure_auth": True, "timeout_ms": 10_000, "first_sync": "all",
            }
        },
    )  # fmt: skip


async def _collect(office: Office, account: str, *, waits: bool) -> None:
    """Take one session as a worker does."""
    await office.db.write(lambda tx: tx.execute(mailbox.update().values(next_at=office.clock())))
    held = await office.db.write(claim, account, "w.1")
    assert held is not None
    with suppress(SessionFailed if waits else ()):  # it was cut
        await Collecting(office, held, lambda: waits).run()
    await office.db.write(release, held, 0)


def _write(number: int, chance: random.Random) -> bytes:
    length = chance.choice((1, 20, 300))
    lines = [
        "From: Klient <klient@klient.example>", f"To: {USER}", f"Subject: Mail {number}",
        f"Message-ID: <{number}@klient.example>", "",
        *("." * chance.randint(0, 3) + "ż" * chance.randint(0, 60) for _ in range(length)),
        "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()
