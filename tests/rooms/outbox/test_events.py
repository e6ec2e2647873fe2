"""The feed of events: in commit order, and nothing is missed, however transactions overlap."""

import threading
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.outbox.cancel import cancel
from app.outbox.events import Note, read_feed, record, select_events
from app.outbox.tables import event
from tests.rooms.outbox.desk import ADMIN, Desk

START = (0, 0)


def read(desk: Desk, after: tuple[int, int] = START, limit: int = 1000) -> list[Any]:
    """Return the feed."""
    rows: list[Any] = desk.wait_for(
        desk.office.db.read(read_feed, select_events(), after=after, limit=limit)
    )
    return rows


def note(desk: Desk, message_id: str, kind: str) -> Note:
    return Note(kind, message_id, ADMIN.owner_id, None, desk.office.clock())


def test_every_move_stands_on_the_time_line_in_its_order(desk: Desk) -> None:
    account = desk.configure()
    both = desk.send("a@x.example", "b@x.example")
    desk.settle(desk.claim(account), "sent", "deferred")
    desk.do(cancel, ADMIN, both)
    assert [each.type for each in read(desk)] == [
        "message.accepted",
        "recipient.sent",
        "recipient.deferred",
        "recipient.cancelled",
    ]


def test_a_reader_that_goes_on_from_its_cursor_sees_everything_once(desk: Desk) -> None:
    desk.configure()
    sent = [desk.send() for _ in range(5)]
    seen, cursor = [], START
    while page := read(desk, cursor, limit=2):
        seen += [each.message_id for each in page]
        cursor = (page[-1].txid, page[-1].number)
    assert seen == sent


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)  # SQLite has one writer
@pytest.mark.parametrize("slow_first", [True, False])
def test_a_slow_transaction_is_not_overtaken(desk: Desk, slow_first: bool) -> None:
    desk.configure()
    message_id = desk.send()
    first = read(desk)[-1]
    cursor = (first.txid, first.number)
    written, go_on = threading.Event(), threading.Event()

    def write_slowly(tx: Connection) -> None:
        if slow_first:
            record(tx, [note(desk, message_id, "slow")])
        else:
            tx.execute(select(event).limit(1))
        written.set()
        assert go_on.wait(10)
        if not slow_first:
            record(tx, [note(desk, message_id, "slow")])

    def run_slowly() -> None:
        with desk.office.db._engine.begin() as tx:
            write_slowly(tx)

    slow = threading.Thread(target=run_slowly)
    slow.start()
    assert written.wait(10)
    desk.do(record_one, note(desk, message_id, "fast"))
    rows = read(desk, cursor)
    meanwhile = [each.type for each in rows]
    for each in rows:
        cursor = (each.txid, each.number)
    go_on.set()
    slow.join(10)
    rows = read(desk, cursor)
    afterwards = [each.type for each in rows]
    # Whatever was written first and not committed holds back all that came after it.
    assert (meanwhile, afterwards) == (
        ([], ["slow", "fast"]) if slow_first else (["fast"], ["slow"])
    )


def record_one(tx: Connection, given: Note) -> None:
    record(tx, [given])
