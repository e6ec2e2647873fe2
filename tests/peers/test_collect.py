"""Collecting from a real Dovecot: IDLE, UIDs, marks, folders that are emptied and numbered anew."""

import asyncio
import socket
from typing import Any

import pytest
from sqlalchemy import select

from app.inbox import collect
from app.inbox.mailboxes import claim, enroll
from app.inbox.tables import incoming, incoming_body, mailbox
from app.outbox.identity import make_message_id
from app.outbox.office import Office
from app.outbox.order import Reference
from tests.peers.collecting import (
    collecting,
    list_subjects,
    put,
    read,
    set_up,
    sync_once,
    wait_for,
    wait_for_subjects,
    write,
)
from tests.peers.dovecot import USER, Dovecot
from tests.rooms.outbox.desk import configure, send

pytestmark = [pytest.mark.anyio, pytest.mark.peer, pytest.mark.usefixtures("emptied")]


async def test_what_is_there_is_taken_and_what_comes_wakes_the_one_who_waits(
    office: Office, dovecot: Dovecot
) -> None:
    put(dovecot, 1, 2)
    await set_up(office, dovecot, poll_s=3600)
    async with collecting(office):
        await wait_for_subjects(office, "Mail 1", "Mail 2")
        await wait_for(office, lambda row: row.synced_at is not None)
        put(dovecot, 3)
        await wait_for_subjects(office, "Mail 1", "Mail 2", "Mail 3", seconds=5)
    (row,) = await read(office, select(mailbox))
    assert (row.claimed_by, row.cause) == (None, None)
    (first, *_) = await read(office, select(incoming).order_by(incoming.c.id))
    assert (first.sender_address, first.sender_name) == ("klient@klient.example", "Klient")
    assert (first.kind, first.text) == ("human", "Treść 1")
    bodies = await read(office, select(incoming_body.c.raw))
    assert write(1) in [bytes(each.raw) for each in bodies]
    names = [name for name, _ in dovecot.read(USER)]
    assert len(names) == 3
    assert not any("S" in name.partition(":2,")[2] for name in names)  # nothing was marked


@pytest.mark.parametrize(("last", "taken"), [(None, [2, 3, 4]), (2, [3, 4]), (0, [])])
async def test_at_first_only_the_newest_unread_are_taken_and_later_all(
    office: Office, dovecot: Dovecot, last: int | None, taken: list[int]
) -> None:
    put(dovecot, 1)
    await asyncio.to_thread(
        dovecot.run, "flags", "add", "-u", USER, "\\Seen", "mailbox", "INBOX", "all"
    )
    put(dovecot, 2, 3, 4)
    await set_up(office, dovecot, **({} if last is None else {"last": last}))
    await sync_once(office)
    assert await list_subjects(office) == [f"Mail {each}" for each in taken]
    put(dovecot, 5)
    await sync_once(office)
    assert await list_subjects(office) == [f"Mail {each}" for each in [*taken, 5]]


async def test_mail_is_marked_or_deleted_when_it_is_stored_and_only_that_mail(
    office: Office, dovecot: Dovecot
) -> None:
    put(dovecot, 1)
    await set_up(office, dovecot, after="seen")
    await sync_once(office)
    async with asyncio.timeout(5):
        while not all(name.endswith(":2,S") for name, _ in dovecot.read(USER)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await set_up(office, dovecot, after="delete")
    put(dovecot, 2)
    await sync_once(office)
    assert await list_subjects(office) == ["Mail 1", "Mail 2"]
    ((_, left),) = dovecot.read(USER)
    assert b"Mail 1" in left


async def test_who_dies_between_storing_and_deleting_leaves_it_to_the_next(
    office: Office, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    put(dovecot, 0)
    account = await set_up(office, dovecot, after="delete", first_sync="all")
    await sync_once(office)
    put(dovecot, 1, 2)
    await office.db.write(lambda tx: tx.execute(mailbox.update().values(next_at=office.clock())))
    held = await office.db.write(claim, account, "dead.1")
    assert held is not None
    work = collect.Collecting(office, held, lambda: True)
    store = work._store

    async def store_and_die(*args: Any) -> None:
        await store(*args)
        raise Died

    monkeypatch.setattr(work, "_store", store_and_die)
    with pytest.raises(Died):
        await work.run()
    assert await list_subjects(office) == ["Mail 0", "Mail 1", "Mail 2"]
    assert len(dovecot.read(USER)) == 2
    await office.db.write(
        lambda tx: tx.execute(mailbox.update().values(claimed_by=None, lease_until=None))
    )
    await sync_once(office)
    assert await list_subjects(office) == ["Mail 0", "Mail 1", "Mail 2"]
    assert dovecot.read(USER) == []


async def test_a_folder_that_is_numbered_anew_gives_nothing_twice_and_misses_nothing(
    office: Office, dovecot: Dovecot
) -> None:
    put(dovecot, 1, 2)
    await set_up(office, dovecot)
    before = await sync_once(office)
    place = dovecot.folder / "mail" / "anna"
    for path in place.glob("dovecot*"):
        path.unlink()
    (place / "dovecot-uidlist").write_text(f"3 V{before.uidvalidity + 7} N1 G{'0' * 31}1\n")
    put(dovecot, 3)
    after = await sync_once(office)
    assert after.uidvalidity != before.uidvalidity
    assert await list_subjects(office) == ["Mail 1", "Mail 2", "Mail 3"]
    put(dovecot, 4)
    await sync_once(office)
    assert await list_subjects(office) == ["Mail 1", "Mail 2", "Mail 3", "Mail 4"]


async def test_a_checker_counts_and_stores_nothing(office: Office, dovecot: Dovecot) -> None:
    put(dovecot, 1, 2)
    await set_up(office, dovecot, mode="check")
    async with collecting(office):
        assert (await wait_for(office, lambda row: row.unread is not None)).unread == 2
        put(dovecot, 3)
        await wait_for(office, lambda row: row.unread == 3, seconds=5)
    assert await list_subjects(office) == []
    await set_up(office, dovecot, last=1)  # from now on it collects: that is its first time
    await sync_once(office)
    assert await list_subjects(office) == ["Mail 3"]


async def test_of_a_mail_that_is_too_large_the_header_is_kept(
    office: Office, dovecot: Dovecot
) -> None:
    await asyncio.to_thread(dovecot.put, USER, write(1) + b"x" * 5000)
    await set_up(office, dovecot, largest_bytes=1000)
    await sync_once(office)
    (row,) = await read(office, select(incoming))
    assert (row.subject, row.text) == ("Mail 1", "")
    assert row.size_bytes > 5000


async def test_an_answer_finds_the_message_and_its_document(
    office: Office, dovecot: Dovecot
) -> None:
    await set_up(office, dovecot)
    sent = await send(office, reference=Reference("reminder", "FV 12/2026", "KONTR-0042"))
    ours = make_message_id(office.vault, sent, "firma.example")
    forged = ours.replace(".", ".x", 1)
    answers = (write(1, f"In-Reply-To: {ours}"), write(2, f"In-Reply-To: {forged}"))
    for each in answers:
        await asyncio.to_thread(dovecot.put, USER, each)
    await sync_once(office)
    answered, other = await read(office, select(incoming).order_by(incoming.c.id))
    assert (answered.about_id, answered.is_verified) == (sent, True)
    assert (answered.reference_type, answered.reference_number) == ("reminder", "FV 12/2026")
    assert (other.about_id, other.is_verified, other.reference_type) == (None, False, None)


async def test_a_mailbox_that_fails_says_why_and_delays_no_other(
    office: Office, dovecot: Dovecot
) -> None:
    put(dovecot, 1)
    await set_up(office, dovecot)
    silent = socket.create_server(("127.0.0.1", 0))  # nobody accepts
    port = silent.getsockname()[1]
    for number, (at, connection) in enumerate([(port, "plaintext"), (1, "ssl_tls")]):
        await configure(
            office, f"user{number}",
            config={
                "incoming": {
                    "host": "127.0.0.1", "port": at, "connection": connection, "username": "x",
                    "password": "y", "timeout_ms": 500, "allow_insecure_auth": True,
                }
            },
        )  # fmt: skip
    async with collecting(office):
        await wait_for_subjects(office, "Mail 1", seconds=5)
        async with asyncio.timeout(10):
            while True:
                rows = await read(office, select(mailbox).where(mailbox.c.cause.is_not(None)))
                if len(rows) == 2:
                    break
                await asyncio.sleep(0.02)
    assert sorted(row.cause for row in rows) == ["connection_refused", "timeout"]
    assert all(row.failures == 1 and row.next_at > row.failed_at for row in rows)
    silent.close()


async def test_who_waits_for_news_hears_at_once_that_the_configuration_was_changed(
    office: Office, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.inbox.collector._RENEW_S", 0.05)
    await set_up(office, dovecot, poll_s=3600)
    async with collecting(office):
        await wait_for(office, lambda row: row.synced_at is not None)
        await set_up(office, dovecot, poll_s=3600, password="wrong")
        await wait_for(office, lambda row: row.cause == "credentials_refused", seconds=5)


async def test_several_workers_share_a_mailbox_and_take_everything_once(
    office: Office, dovecot: Dovecot
) -> None:
    put(dovecot, *range(5))
    await set_up(office, dovecot, first_sync="all", poll_s=5)
    await office.db.write(enroll)
    async with collecting(office, "a"), collecting(office, "b"):
        await wait_for_subjects(office, *(f"Mail {each}" for each in range(5)))
        put(dovecot, 5)
        await wait_for_subjects(office, *(f"Mail {each}" for each in range(6)))
