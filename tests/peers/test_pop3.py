"""Collecting by POP3 from a real Dovecot: what is left, deleted, too large, gone, or cut."""

from typing import Any

import pytest
from sqlalchemy import select

from app.inbox import collect
from app.inbox.mailboxes import claim
from app.inbox.tables import incoming, incoming_body, mailbox, mailbox_uidl
from app.outbox.office import Office
from app.wire.pop3 import Pop3Session
from tests.peers.collecting import (
    collecting,
    list_subjects,
    put,
    read,
    set_up,
    sync_once,
    wait_for,
    write,
)
from tests.peers.dovecot import USER, Dovecot

pytestmark = [pytest.mark.anyio, pytest.mark.peer, pytest.mark.usefixtures("emptied")]


async def set_up_pop3(office: Office, dovecot: Dovecot, **more: Any) -> str:
    return await set_up(office, dovecot, protocol="pop3", port=dovecot.ports["pop3s"], **more)


@pytest.mark.parametrize(
    ("port", "connection", "auth"),
    [
        ("pop3s", "ssl_tls", "auto"),
        ("pop3", "starttls", "plain"),
        ("pop3", "auto", "cram_md5"),
        ("pop3", "starttls", "login"),
    ],
)
async def test_mail_is_taken_once_over_every_connection_and_left_where_it_is(
    office: Office, dovecot: Dovecot, port: str, connection: str, auth: str
) -> None:
    put(dovecot, 1, 2)
    more = {"port": dovecot.ports[port], "connection": connection, "auth": auth}
    await set_up(office, dovecot, protocol="pop3", **more)
    await sync_once(office)
    put(dovecot, 3)
    await sync_once(office)
    assert await list_subjects(office) == ["Mail 1", "Mail 2", "Mail 3"]
    bodies = await read(office, select(incoming_body.c.raw))
    assert {bytes(each.raw) for each in bodies} == {write(1), write(2), write(3)}
    assert len(dovecot.read(USER)) == 3
    dovecot.run("expunge", "-u", USER, "mailbox", "INBOX", "subject", "Mail 2")
    await sync_once(office)
    assert len(await read(office, select(mailbox_uidl))) == 2


async def test_of_the_first_time_the_newest_are_taken_and_deleted_and_the_others_stay(
    office: Office, dovecot: Dovecot
) -> None:
    put(dovecot, 1, 2, 3)
    await set_up_pop3(office, dovecot, last=1, after="delete")
    await sync_once(office)
    put(dovecot, 4)
    await sync_once(office)
    assert await list_subjects(office) == ["Mail 3", "Mail 4"]
    left = sorted(body for _, body in dovecot.read(USER))
    assert [b"Mail 1" in left[0], b"Mail 2" in left[1], len(left)] == [True, True, 2]


async def test_of_a_mail_that_is_too_large_the_header_is_kept(
    office: Office, dovecot: Dovecot
) -> None:
    dovecot.drop(USER, write(1) + b".dots\r\n" * 1000)
    await set_up_pop3(office, dovecot, largest_bytes=1000)
    await sync_once(office)
    (row,) = await read(office, select(incoming))
    assert (row.subject, row.text, row.size_bytes) == ("Mail 1", "", len(write(1)) + 7000)


async def test_who_dies_between_storing_and_deleting_leaves_it_to_the_next(
    office: Office, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Died

    account = await set_up_pop3(office, dovecot, after="delete")
    await sync_once(office)
    put(dovecot, 1, 2)
    await office.db.write(lambda tx: tx.execute(mailbox.update().values(next_at=office.clock())))
    held = await office.db.write(claim, account, "dead.1")
    assert held is not None
    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(Pop3Session, "delete", die)
        await collect.Collecting(office, held, lambda: True).run()
    assert await list_subjects(office) == ["Mail 1", "Mail 2"]
    assert len(dovecot.read(USER)) == 2
    await office.db.write(
        lambda tx: tx.execute(mailbox.update().values(claimed_by=None, lease_until=None))
    )
    await sync_once(office)
    assert await list_subjects(office) == ["Mail 1", "Mail 2"]
    assert dovecot.read(USER) == []


async def test_mail_that_somebody_deletes_meanwhile_keeps_no_other_waiting(
    office: Office, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Pop3Session.fetch

    def fetch(self: Pop3Session, number: int, largest_bytes: int) -> Any:
        if number == 1:
            dovecot.run("expunge", "-u", USER, "mailbox", "INBOX", "subject", "Mail 1")
        return real(self, number, largest_bytes)

    put(dovecot, 1, 2, 3)
    await set_up_pop3(office, dovecot, after="delete")
    with monkeypatch.context() as patched:
        patched.setattr(Pop3Session, "fetch", fetch)
        async with collecting(office):
            row = await wait_for(office, lambda row: row.cause is not None)
    assert row.cause == "mailbox_refused"  # it cannot be told from one that is damaged
    assert await list_subjects(office) == ["Mail 2", "Mail 3"]
    assert dovecot.read(USER) == []
    assert (await sync_once(office)).cause is None


async def test_a_wrong_password_is_told_in_the_servers_words(
    office: Office, dovecot: Dovecot
) -> None:
    await set_up_pop3(office, dovecot, password="falsch")
    async with collecting(office):
        row = await wait_for(office, lambda row: row.cause is not None)
    assert (row.cause, row.synced_at) == ("credentials_refused", None)
    assert "Authentication failed" in row.detail
