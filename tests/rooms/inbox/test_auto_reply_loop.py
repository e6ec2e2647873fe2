"""Two that answer by themselves, face to face over a real mail server: after one each there is silence.

Each house has a database and a worker of its own; what the server took is put into the mailbox of
whom it is for, with the return path as a server writes it. It ends when nobody has anything to send.
"""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from app.configuration.load import load_account
from app.inbox.auto_reply import find_due_replies
from app.inbox.clerk import tidy_up
from app.inbox.tables import incoming
from app.inbox.take_in import take_in
from app.mime.incoming import read_incoming
from app.outbox.office import Office, open_office
from app.outbox.tables import message
from app.settings import Settings
from app.worker import Worker
from tests.flows.peer import Peer, Taken, serve
from tests.rooms.outbox.desk import configure, send
from tests.rooms.outbox.test_delivery import ended

pytestmark = pytest.mark.anyio

AWAY = {"enabled": True, "body": "Nie ma mnie.", "period_h": 1}
OURS, THEIRS, NAIVE = "faktury@firma.example", "biuro@klient.example", "robot@klient.example"


class House:
    """One installation. address: of its one account, which answers by itself."""

    def __init__(self, office: Office, account: str, address: str) -> None:
        self.office, self.account, self.address = office, account, address
        self._count = 0

    async def receive(self, raw: bytes) -> None:
        """Find a mail in the mailbox, and do what is to be done about it."""
        self._count += 1

        def run(tx: Connection) -> str | None:
            stored = load_account(tx, self.account)
            assert stored
            read, uid = read_incoming(raw), f"1:{self._count}"
            return take_in(tx, self.office.vault, stored, uid, raw, read, datetime.now(UTC))

        assert await self.office.db.write(run)
        await tidy_up(self.office)
        assert await self.office.db.read(find_due_replies) == []

    async def list_states(self) -> list[str]:
        """What became of each mail, in order."""
        query = select(incoming.c.reply_state).order_by(incoming.c.id)
        return await self.office.db.read(lambda tx: list(tx.scalars(query)))

    async def count_unsent(self) -> int:
        query = select(func.count()).select_from(message).where(message.c.ended_at.is_(None))
        return await self.office.db.read(lambda tx: tx.scalar(query) or 0)


@asynccontextmanager
async def open_house(
    folder: Path, template: Path, peer: Peer, address: str
) -> AsyncIterator[House]:
    folder.mkdir()  # noqa: ASYNC240 - nobody else is there yet
    shutil.copyfile(template, folder / "awizo.db")
    office = open_office(
        Settings(
            data_dir=folder / "data",
            database_url=f"sqlite:///{folder / 'awizo.db'}",
            ehlo_name="awizo.example",
            poll_s=0.02,
        )
    )
    account = await configure(
        office, port=peer.port, config={"sender": {"address": address}, "auto_reply": AWAY}
    )
    async with Worker(office).running():
        yield House(office, account, address)
    await office.close()


def strip(raw: bytes, *names: str) -> bytes:
    """Take fields out of a header, as a careless gateway does."""
    for name in names:
        raw = re.sub(rf"(?im)^{name}:.*\r\n".encode(), b"", raw, count=1)
    return raw


async def carry(peer: Peer, houses: list[House], *lost: str, most: int = 20) -> list[Taken]:
    """Carry mail until nobody sends any more; return all of it."""
    by_address = {each.address: each for each in houses}
    carried = 0
    while carried < len(peer.taken) or any([await each.count_unsent() for each in houses]):
        if carried == len(peer.taken):
            for house in houses:
                query = select(message.c.id).where(message.c.ended_at.is_(None))
                for each in await house.office.db.read(lambda tx, q=query: list(tx.scalars(q))):
                    await ended(house.office, each)
            continue
        taken = peer.taken[carried]
        carried += 1
        assert carried <= most, "it never ends"
        raw = b"Return-Path: <" + taken.sender.encode() + b">\r\n" + taken.content
        for recipient in taken.recipients:
            if recipient in by_address:
                await by_address[recipient].receive(strip(raw, *lost))
            elif recipient == NAIVE:
                await answer_naively(raw, by_address)
    return peer.taken


async def answer_naively(raw: bytes, by_address: dict[str, House]) -> None:
    """A robot that knows no rule: it answers whatever comes, to From, and does not say what it is."""
    read = read_incoming(raw)
    assert read.from_
    answer = (
        f"Return-Path: <{NAIVE}>\r\nFrom: Robot <{NAIVE}>\r\nTo: {read.from_.address}\r\n"
        f"Subject: Re: {read.subject}\r\nIn-Reply-To: {read.message_id}\r\n"
        f"Message-ID: <{abs(hash(raw))}@klient.example>\r\n\r\nDziękujemy za wiadomość.\r\n"
    )
    await by_address[read.from_.address].receive(answer.encode())


@pytest.mark.parametrize(
    ("lost", "ours", "theirs"),
    [
        # All is as it should be: ours answers, theirs sees that it was a machine.
        ((), ["sent"], ["null_path"]),
        # A gateway lost what says so: one answer each, then both remember whom they answered.
        (("return-path", "auto-submitted"), ["sent", "recent"], ["sent"]),
        (("return-path",), ["sent"], ["machine"]),
    ],
)
async def test_two_houses_that_answer_by_themselves_fall_silent(
    sqlite_template: Path, tmp_path: Path, lost: tuple[str, ...], ours: list[str], theirs: list[str]
) -> None:
    async with (
        serve() as peer,
        open_house(tmp_path / "a", sqlite_template, peer, OURS) as a,
        open_house(tmp_path / "b", sqlite_template, peer, THEIRS) as b,
    ):
        await send(b.office, OURS)
        taken = await carry(peer, [a, b], *lost)
        assert await a.list_states() == ours
        assert await b.list_states() == theirs
    replies = [each for each in taken if b"Auto-Submitted: auto-replied" in each.content]
    by_house = [sum(address in each.recipients for each in replies) for address in (THEIRS, OURS)]
    assert by_house == [1, 1 if theirs == ["sent"] else 0]
    assert {each.sender for each in replies} == {""}
    assert len(taken) == 1 + len(replies)


async def test_a_robot_that_says_nothing_of_itself_is_answered_once_in_a_period(
    sqlite_template: Path, tmp_path: Path
) -> None:
    async with (
        serve() as peer,
        open_house(tmp_path / "a", sqlite_template, peer, OURS) as a,
    ):
        await send(a.office, NAIVE)
        taken = await carry(peer, [a])
        assert await a.list_states() == ["sent", "recent"]
    assert len(taken) == 2


async def test_a_server_that_refuses_the_null_path_ends_the_reply_for_good(
    sqlite_template: Path, tmp_path: Path
) -> None:
    async with (
        serve() as peer,
        open_house(tmp_path / "a", sqlite_template, peer, OURS) as a,
    ):
        peer.always("mail", "553 5.1.7 a sender is needed")
        mail = f"From: jan@klient.example\r\nTo: {OURS}\r\nSubject: A\r\n\r\nB\r\n"
        await a.receive(mail.encode())
        assert await carry(peer, [a]) == []
        query = select(message.c.status, message.c.reverse_path)
        assert await a.office.db.read(lambda tx: [tuple(row) for row in tx.execute(query)]) == [
            ("failed", "")
        ]
    (said,) = [each for each in peer.heard if each.startswith("MAIL")]
    assert said.startswith("MAIL FROM:<>")
