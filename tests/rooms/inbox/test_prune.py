"""Retention of what came in: content, then the record; a report that waits is applied all the same."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from app.errors import Missing
from app.inbox.find import read_raw
from app.inbox.prune import prune
from app.inbox.reports import apply_waiting, find_waiting
from app.inbox.tables import incoming, incoming_body
from app.worker import Worker
from tests.rooms.inbox.letters import LetterBox, tell, write_dsn, write_mail
from tests.rooms.outbox.desk import ADMIN


def ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def run(box: LetterBox, **keep: float) -> int:
    settings = box.desk.office.settings.model_copy(update=keep)
    return int(box.desk.do(prune, settings))


def count(box: LetterBox, table: object) -> int:
    query = select(func.count()).select_from(table)
    return int(box.desk.do(lambda tx: tx.scalar(query)))


def test_content_and_records_are_kept_their_time_and_no_longer(box: LetterBox) -> None:
    box.open()
    ages = (3651, 3649, 366, 364)
    oldest, _, old, recent = (box.throw(write_mail(), at=ago(days)) for days in ages)
    assert run(box) == 4  # three contents, one record
    assert run(box) == 0
    left = box.desk.do(lambda tx: list(tx.scalars(select(incoming.c.id))))
    assert len(left) == 3 and oldest not in left
    assert (count(box, incoming_body), box.look(recent).text) == (1, "Dziękuję.")
    row = box.look(old)
    assert (row.text, row.subject) == ("", "Re: Faktura") and row.body_erased_at
    with pytest.raises(Missing) as missing:
        box.desk.do(read_raw, ADMIN, old)
    assert missing.value.code == "body_erased"


def test_nothing_keeps_for_ever(box: LetterBox) -> None:
    box.open()
    box.throw(write_mail(), at=ago(9999))
    assert run(box, keep_bodies_days=0, keep_inbox_days=0) == 0
    assert count(box, incoming_body) == 1


def test_a_report_that_waits_is_applied_without_its_content_and_harms_nobody_without_record(
    box: LetterBox,
) -> None:
    account = box.open()
    sent = box.desk.send("anna@klient.example")
    claimed = box.desk.claim(account)
    for days in (400, 4000):
        report = write_dsn(tell("delivered", "anna@klient.example"), envid=box.envid(sent),
                           message_id=f"report-{days}")  # fmt: skip
        box.throw(report, at=ago(days))
    waiting = box.desk.do(find_waiting)
    assert len(waiting) == 2
    run(box)
    box.desk.settle(claimed, "sent")
    assert sorted(box.desk.do(apply_waiting, each, ago(0)) for each in waiting) == [False, True]
    assert box.desk.look(sent).status == "delivered"


def test_a_worker_forgets_by_itself(box: LetterBox) -> None:
    box.open()
    box.throw(write_mail(), at=ago(4000))

    async def work() -> None:
        office = box.desk.office
        query = select(func.count()).select_from(incoming)
        async with Worker(office).running(), asyncio.timeout(10):
            while await office.db.read(lambda tx: tx.scalar(query)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    box.desk.wait_for(work())
    assert count(box, incoming) == 0
