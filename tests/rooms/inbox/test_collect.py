"""Collecting by POP3, and the claims of mailboxes, on both engines."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.inbox.collect import Collecting, LostClaim
from app.inbox.mailboxes import (
    WAITS_S,
    Claim,
    claim,
    enroll,
    find_due,
    note_failed,
    note_position,
    release,
    renew,
)
from app.inbox.tables import incoming, mailbox, mailbox_uidl
from app.wire.steps import SessionFailed
from tests.rooms.outbox.desk import Desk


class Pop3:
    """A mailbox behind a POP3 server. cuts_after: the connection ends after so many commands."""

    def __init__(self) -> None:
        self.mails: dict[str, bytes] = {}
        self.cuts_after: int | None = None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.mails[f"uid-{number}"] = (
                f"From: k@klient.example\r\nSubject: {number}\r\n\r\nTreść\r\n".encode()
            )

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._talk(self._listening.accept()[0])

    def _talk(self, connection: socket.socket) -> None:
        uids, gone, count = list(self.mails), set[str](), 0
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            connection.sendall(b"+OK\r\n")
            for line in lines:
                count += 1
                if self.cuts_after is not None and count > self.cuts_after:
                    return
                name, *rest = line.decode().split()
                uid = uids[int(rest[0]) - 1] if rest and rest[0].isdigit() else ""
                answer = b""
                if name == "CAPA":
                    answer = b"USER\r\nUIDL\r\n.\r\n"
                elif name == "UIDL":
                    listed = "".join(f"{n} {each}\r\n" for n, each in enumerate(uids, 1))
                    answer = f"{listed}.\r\n".encode()
                elif name == "RETR":
                    answer = self.mails[uid] + b".\r\n"
                elif name == "DELE":
                    gone.add(uid)
                elif name == "QUIT":
                    for each in gone:
                        del self.mails[each]
                size = len(self.mails.get(uid, b""))
                connection.sendall(f"+OK {rest[0] if rest else ''} {size}\r\n".encode() + answer)


@pytest.fixture
def pop3() -> Iterator[Pop3]:
    running = Pop3()
    yield running
    running.close()


def set_up(desk: Desk, port: int = 1, **more: Any) -> str:
    members = {
        "protocol": "pop3", "host": "127.0.0.1", "port": port, "connection": "plaintext",
        "username": "x", "password": "y", "allow_insecure_auth": True, "timeout_ms": 2000,
    }  # fmt: skip
    return desk.configure(config={"incoming": members | more})


def hold(desk: Desk, account: str, fence: str = "w.1") -> Claim:
    desk.do(enroll)
    desk.change(mailbox, mailbox.c.account_id == account, next_at=datetime.now(UTC))
    held = desk.do(claim, account, fence)
    assert isinstance(held, Claim)
    return held


def collect(desk: Desk, account: str) -> None:
    held = hold(desk, account)
    try:
        desk.wait_for(Collecting(desk.office, held, lambda: True).run())
    finally:
        desk.do(release, held, 0)


def read(desk: Desk, query: Any) -> list[Any]:
    return list(desk.wait_for(desk.office.db.read(lambda tx: tx.execute(query).all())))


def list_subjects(desk: Desk) -> list[str]:
    return [row.subject for row in read(desk, select(incoming).order_by(incoming.c.id))]


def test_mail_that_is_left_is_taken_once_and_forgotten_when_it_is_gone(
    desk: Desk, pop3: Pop3
) -> None:
    account = set_up(desk, pop3.port)
    pop3.put(1, 2)
    collect(desk, account)
    pop3.put(3)
    collect(desk, account)
    assert list_subjects(desk) == ["1", "2", "3"]
    assert len(pop3.mails) == 3
    del pop3.mails["uid-2"]
    collect(desk, account)
    assert {row.uidl for row in read(desk, select(mailbox_uidl))} == {"uid-1", "uid-3"}
    assert list_subjects(desk) == ["1", "2", "3"]


def test_at_first_the_newest_are_taken_and_the_others_left_out_for_good(
    desk: Desk, pop3: Pop3
) -> None:
    account = set_up(desk, pop3.port, last=1, after="delete")
    pop3.put(1, 2)
    collect(desk, account)
    pop3.put(3)
    collect(desk, account)
    assert list_subjects(desk) == ["2", "3"]
    assert list(pop3.mails) == ["uid-1"]


def test_wherever_the_connection_is_cut_nothing_is_lost_and_nothing_comes_twice(
    desk: Desk, pop3: Pop3
) -> None:
    account = set_up(desk, pop3.port, after="delete")
    for cuts_after in range(1, 13):
        pop3.put(cuts_after * 10, cuts_after * 10 + 1)
        pop3.cuts_after = cuts_after
        with contextlib.suppress(SessionFailed):
            collect(desk, account)
        stored = list_subjects(desk)
        gone = [
            n for n in range(10, cuts_after * 10 + 2) if n % 10 < 2 and f"uid-{n}" not in pop3.mails
        ]
        assert {str(n) for n in gone} <= set(stored)  # deleted only when it is stored
        pop3.cuts_after = None
        collect(desk, account)
        assert pop3.mails == {}
    wanted = [str(n * 10 + more) for n in range(1, 13) for more in (0, 1)]
    assert sorted(list_subjects(desk)) == sorted(wanted)


def test_a_checker_counts_what_lies_there(desk: Desk, pop3: Pop3) -> None:
    account = set_up(desk, pop3.port, mode="check")
    pop3.put(1, 2)
    collect(desk, account)
    (row,) = read(desk, select(mailbox))
    assert (row.unread, list_subjects(desk)) == (2, [])
    assert row.synced_at is not None


def test_a_mailbox_is_one_workers_until_its_lease_runs_out(desk: Desk, pop3: Pop3) -> None:
    account = set_up(desk, pop3.port)
    pop3.put(1)
    first = hold(desk, account, "w.1")
    assert desk.do(find_due) == []
    assert desk.do(claim, account, "v.1") is None
    assert set(desk.do(renew, ("w.1", "w.0"))) == {"w.1"}
    past = datetime.now(UTC) - timedelta(seconds=1)
    desk.change(mailbox, mailbox.c.claimed_by == "w.1", lease_until=past)
    second = desk.do(claim, account, "v.1")
    assert second.fence == "v.1"
    assert desk.do(renew, ("w.1",)) == {}
    with pytest.raises(LostClaim):
        desk.wait_for(Collecting(desk.office, first, lambda: True).run())
    desk.do(note_position, first, 5, 5)
    desk.do(note_failed, first, "timeout", "late")
    (row,) = read(desk, select(mailbox))
    assert (row.claimed_by, row.uidvalidity, row.cause) == ("v.1", None, None)
    assert list_subjects(desk) == []


def test_failures_wait_longer_each_time_until_the_configuration_is_saved(desk: Desk) -> None:
    account = set_up(desk)
    for number, wait_s in enumerate((*WAITS_S, WAITS_S[-1]), 1):
        desk.do(note_failed, hold(desk, account), "timeout", "no answer")
        (row,) = read(desk, select(mailbox))
        assert (row.failures, row.cause) == (number, "timeout")
        assert (row.next_at - row.failed_at).total_seconds() == wait_s
    set_up(desk)
    desk.do(enroll)
    (row,) = read(desk, select(mailbox))
    assert (row.failures, row.cause) == (0, None)
    assert desk.do(find_due) == [account]


def test_rows_follow_the_configurations(desk: Desk) -> None:
    account = set_up(desk)
    held = hold(desk, account)
    desk.do(note_position, held, 7, 70)
    set_up(desk, username="z")
    desk.do(enroll)
    (row,) = read(desk, select(mailbox))
    assert (row.uidvalidity, row.claimed_by) == (None, None)  # another mailbox
    for change in ({"mode": "off"}, {"enabled": False}):
        set_up(desk)
        desk.do(enroll)
        assert len(read(desk, select(mailbox))) == 1
        set_up(desk, **change)
        desk.do(enroll)
        assert read(desk, select(mailbox)) == []
