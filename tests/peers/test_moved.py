"""A real mailbox that is moved, emptied, restored or changed for another: nothing twice, nothing missed."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from app.inbox.tables import incoming, mailbox
from app.outbox.office import Office
from app.wire.imap_folder import ImapFolder
from app.wire.pop3 import Pop3Session
from app.wire.steps import SessionFailed
from tests.peers.collecting import (
    collecting,
    empty,
    list_subjects,
    put,
    read,
    set_up,
    sync_once,
    wait_for,
    wait_for_subjects,
    write,
)
from tests.peers.dovecot import OTHER, USER, Dovecot

pytestmark = [pytest.mark.anyio, pytest.mark.peer, pytest.mark.usefixtures("emptied")]


@pytest.fixture
def box(dovecot: Dovecot) -> Iterator[str]:
    """A folder of its own beside the inbox."""
    dovecot.run("mailbox", "create", "-u", USER, "Faktury")
    yield ".Faktury"
    dovecot.run("mailbox", "delete", "-u", USER, "Faktury")


@pytest.fixture
def at_fetch(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], Any]], None]:
    """Let something happen on the server just before the n-th message is asked for."""
    happens: dict[int, Callable[[], Any]] = {}
    fetch, count = ImapFolder.fetch, iter(range(1, 1000))

    def interfere(self: ImapFolder, uid: int, largest_bytes: int) -> Any:
        happens.pop(next(count), lambda: None)()
        return fetch(self, uid, largest_bytes)

    monkeypatch.setattr(ImapFolder, "fetch", interfere)
    return happens.__setitem__


async def list_sorted(office: Office) -> list[str]:
    return sorted(subject.removeprefix("Mail ") for subject in await list_subjects(office))


async def test_a_folder_that_was_deleted_is_collected_again_when_it_is_there_again(
    office: Office, dovecot: Dovecot, box: str
) -> None:
    put(dovecot, 1, 2, box=box)
    await set_up(office, dovecot, folder="Faktury")
    await sync_once(office)
    dovecot.run("mailbox", "delete", "-u", USER, "Faktury")
    await office.db.write(lambda tx: tx.execute(mailbox.update().values(next_at=office.clock())))
    async with collecting(office):
        failed = await wait_for(office, lambda row: row.cause is not None)
    assert (failed.cause, failed.failures) == ("folder_not_found", 1)
    dovecot.run("mailbox", "create", "-u", USER, "Faktury")
    put(dovecot, 2, 3, box=box)  # one of them was moved out of the way, and back
    await sync_once(office)
    assert await list_sorted(office) == ["1", "2", "3"]
    put(dovecot, 4, box=box)
    row = await sync_once(office)
    assert (row.cause, await list_sorted(office)) == (None, ["1", "2", "3", "4"])


@pytest.mark.parametrize("after", ["leave", "delete"])
async def test_a_folder_that_is_emptied_while_it_is_collected_is_no_error(
    office: Office, dovecot: Dovecot, at_fetch: Any, after: str
) -> None:
    put(dovecot, *range(30))  # more than one part
    await set_up(office, dovecot, after=after)
    at_fetch(25, lambda: empty(dovecot))
    row = await sync_once(office)
    assert row.cause is None
    taken = await list_sorted(office)
    assert len(taken) == 24
    put(dovecot, 30)
    row = await sync_once(office)
    assert (row.cause, await list_sorted(office)) == (None, sorted([*taken, "30"]))


async def test_mail_that_is_moved_away_before_it_is_fetched_is_taken_when_it_is_back(
    office: Office, dovecot: Dovecot, at_fetch: Any, box: str
) -> None:
    def move(source: str, target: str) -> None:
        dovecot.run("move", "-u", USER, target, "mailbox", source, "subject", "Mail 2")

    put(dovecot, 1, 2, 3)
    await set_up(office, dovecot, after="seen")
    at_fetch(1, lambda: move("INBOX", "Faktury"))
    row = await sync_once(office)
    assert (row.cause, await list_sorted(office)) == (None, ["1", "3"])
    move("Faktury", "INBOX")
    await sync_once(office)
    assert await list_sorted(office) == ["1", "2", "3"]


async def test_mail_that_comes_while_other_is_fetched_waits_for_no_poll(
    office: Office, dovecot: Dovecot, at_fetch: Any
) -> None:
    put(dovecot, 1)
    await set_up(office, dovecot, poll_s=3600)
    at_fetch(1, lambda: put(dovecot, 2))
    at_fetch(2, lambda: put(dovecot, 3))
    async with collecting(office):
        await wait_for_subjects(office, "Mail 1", "Mail 2", "Mail 3", seconds=5)


async def test_another_mailbox_with_the_same_numbers_is_another_mailbox(
    office: Office, dovecot: Dovecot
) -> None:
    for user, numbers in ((USER, (1, 2)), (OTHER, (11, 12))):
        number_anew(dovecot, user, 77)
        for number in numbers:
            dovecot.drop(user, write(number))
    await set_up(office, dovecot, after="delete")
    await sync_once(office)
    await set_up(office, dovecot, after="delete", username=OTHER)
    await sync_once(office)
    assert await list_sorted(office) == ["1", "11", "12", "2"]
    assert [row.uidvalidity for row in await read(office, select(mailbox))] == [77]


async def test_a_mailbox_that_is_left_and_returned_to_gives_nothing_twice(
    office: Office, dovecot: Dovecot
) -> None:
    put(dovecot, 1, 2)
    dovecot.drop(OTHER, write(11))
    await set_up(office, dovecot)
    await sync_once(office)
    await set_up(office, dovecot, username=OTHER)
    await sync_once(office)
    put(dovecot, 3)
    ways: list[dict[str, Any]] = [
        {}, {"port": dovecot.ports["imap"], "connection": "starttls"},
        {"port": dovecot.ports["pop3s"], "protocol": "pop3"},
    ]  # fmt: skip
    for way in ways:
        await set_up(office, dovecot, **way)
        await sync_once(office)
        assert await list_sorted(office) == ["1", "11", "2", "3"]


async def test_mails_without_an_id_are_told_apart_by_their_words(
    office: Office, dovecot: Dovecot
) -> None:
    def drop(day: int) -> None:
        head = b"From: cron@firma.example\r\nSubject: Mail\r\n\r\n"
        dovecot.drop(USER, head + b"Backup of day %d\r\n" % day)

    drop(1)
    await set_up(office, dovecot)
    await sync_once(office)
    number_anew(dovecot, USER, 78)
    drop(2)
    await sync_once(office)
    texts = [row.text for row in await read(office, select(incoming.c.text))]
    assert sorted(texts) == ["Backup of day 1", "Backup of day 2"]


def number_anew(dovecot: Dovecot, user: str, uidvalidity: int) -> None:
    place = dovecot.folder / "mail" / user.partition("@")[0]
    place.mkdir(exist_ok=True)
    shutil.chown(place, 65534, 65534)
    for path in place.glob("dovecot*"):
        path.unlink()
    (place / "dovecot-uidlist").write_text(f"3 V{uidvalidity} N1 G{'0' * 31}1\n")


@pytest.mark.parametrize("meanwhile", [[], [5]], ids=["nothing new", "new mail"])
async def test_a_server_that_was_restored_from_a_backup_gives_nothing_twice(
    office: Office, dovecot: Dovecot, meanwhile: list[int]
) -> None:
    place, backup = dovecot.folder / "mail" / "anna", dovecot.folder / "mail" / "backup"
    put(dovecot, 1, 2)
    await set_up(office, dovecot)
    await sync_once(office)
    shutil.copytree(place, backup)
    put(dovecot, 3, 4)
    before = await sync_once(office)
    shutil.rmtree(place)
    backup.rename(place)
    for path in (place, *place.rglob("*")):
        shutil.chown(path, 65534, 65534)
    put(dovecot, *meanwhile)
    await sync_once(office)
    put(dovecot, 6, 7)  # under UIDs that others had
    after = await sync_once(office)
    wanted = ["1", "2", "3", "4", *(str(each) for each in meanwhile), "6", "7"]
    assert await list_sorted(office) == wanted
    assert after.uidvalidity - before.uidvalidity == 1 << 32


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_what_is_left_out_at_first_stays_out_whatever_is_cut(
    office: Office, dovecot: Dovecot, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: Any = (ImapFolder, "delete") if protocol == "imap" else (Pop3Session, "quit")
    end = getattr(*ends)

    def cut(*args: Any) -> None:
        end(*args)
        raise SessionFailed("connection_lost", "quit", None, "cut when all was deleted")

    put(dovecot, 1, 2, 3, 4)
    await set_up(
        office, dovecot, protocol=protocol, port=dovecot.ports[f"{protocol}s"],
        first_sync="all", last=2, after="delete",
    )  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(*ends, cut)
        async with collecting(office):
            await wait_for(office, lambda row: row.cause == "connection_lost")
    put(dovecot, 5)
    await sync_once(office)
    assert await list_sorted(office) == ["3", "4", "5"]
    assert sorted(body.split(b"Subject: ")[1][:6] for _, body in dovecot.read(USER)) == [
        b"Mail 1",
        b"Mail 2",
    ]
