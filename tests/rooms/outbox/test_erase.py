"""Erasing a person: nothing of the address is left anywhere in the database."""

from typing import Any

import pytest
from sqlalchemy import insert

from app.errors import Conflict, Denied
from app.mime.address import Mailbox
from app.outbox.again import retry
from app.outbox.erase import erase
from app.outbox.order import Reference
from app.outbox.resend import resend
from app.outbox.tables import idempotency
from tests.rooms.outbox.desk import ADMIN, ANNA, Desk, dump

GONE = Mailbox("Jan.Kowalski@klient.example", "Jan")
OTHER = "b@x.example"
REFUSED = {"verdict": "refused", "reply": "<Jan.Kowalski@klient.example>: no such user"}


def leftovers(desk: Desk) -> bool:
    everything: str = desk.wait_for(desk.office.db.read(dump))
    return "kowalski" in everything


def remember_answer(desk: Desk, message_id: str) -> None:
    answer = {
        "id": message_id,
        "recipients": [
            {"address": "JAN.Kowalski@klient.example", "name": "Jan", "state": "queued"}
        ],
    }
    row = {
        "owner_id": ADMIN.owner_id,
        "key": "key-1",
        "digest": "…",
        "status": 202,
        "answer": answer,
        "message_ids": [message_id],
        "created_at": desk.office.clock(),
    }
    desk.do(lambda tx: tx.execute(insert(idempotency).values(row)))


def write(desk: Desk, *to: str, **order: Any) -> str:
    return desk.send(
        *to,
        subject="Dla: jan.kowalski@klient.example",
        reference=Reference(customer="kowalski"),
        metadata={"contact": "kowalski"},
        **order,
    )


@pytest.mark.parametrize("verdict", ["sent", "deferred", REFUSED, "uncertain"])
def test_nothing_of_an_address_is_left(desk: Desk, verdict: Any) -> None:
    account = desk.configure()
    named = write(desk, GONE.address)
    remember_answer(desk, named)
    desk.settle(desk.claim(account), verdict)
    assert leftovers(desk)
    done = desk.do(erase, ADMIN, Mailbox("jan.KOWALSKI@klient.example"))
    assert (done.messages, done.pending) == (1, 0)
    assert not leftovers(desk)
    assert not desk.has_body(named)
    assert len(desk.look(named).attempts) == 1  # counts stay


def test_what_waits_for_the_address_is_cancelled(desk: Desk) -> None:
    account = desk.configure()
    named = write(desk, GONE.address)
    desk.do(erase, ADMIN, GONE)
    assert desk.look(named).states == {"erased@invalid": "cancelled: erased"}
    assert desk.try_claim(account) is None


def test_others_still_get_their_copy_and_then_the_content_goes(desk: Desk) -> None:
    account = desk.configure()
    named = write(desk, GONE.address, OTHER)
    done = desk.do(erase, ADMIN, GONE)
    assert (done.messages, done.pending) == (1, 1)
    claimed = desk.claim(account)
    assert [each.address for each in claimed.recipients] == [OTHER]
    assert desk.has_body(named)
    desk.settle(claimed, "sent")
    assert not desk.has_body(named)
    assert not leftovers(desk)


@pytest.mark.parametrize("verdict", ["sent", "deferred", "uncertain", None, REFUSED])
def test_one_erased_on_the_wire_is_never_sent_to_again(desk: Desk, verdict: Any) -> None:
    account = desk.configure()
    named = write(desk, GONE.address)
    claimed = desk.claim(account)
    assert desk.do(erase, ADMIN, GONE).pending == 1
    desk.settle(claimed, verdict)
    assert not leftovers(desk)
    assert desk.try_claim(account) is None
    assert desk.look(named).row.ended_at is not None


def test_one_erased_on_the_wire_is_not_sent_to_again_when_the_worker_dies(desk: Desk) -> None:
    account = desk.configure()
    write(desk, GONE.address)
    claimed = desk.claim(account)
    desk.mark(claimed)
    desk.do(erase, ADMIN, GONE)
    desk.lapse(claimed)
    desk.sweep()
    assert not leftovers(desk)
    assert desk.try_claim(account) is None


def test_neither_retry_nor_resend_brings_an_erased_one_back(desk: Desk) -> None:
    account = desk.configure()
    named = write(desk, GONE.address, OTHER)
    desk.settle(desk.claim(account), "refused", "deferred")
    desk.do(erase, ADMIN, GONE)
    with pytest.raises(Conflict, match="erased"):
        desk.do(resend, desk.office.vault, ADMIN, named, "01new", delivery="on")
    desk.do(retry, ADMIN, named)
    assert [each.address for each in desk.claim(account).recipients] == [OTHER]


def test_mail_to_others_is_left_alone(desk: Desk) -> None:
    desk.configure()
    write(desk, GONE.address)
    kept = desk.send(OTHER, subject="Zostaje")
    desk.do(erase, ADMIN, GONE)
    assert desk.look(kept).row.subject == "Zostaje"
    assert desk.has_body(kept)


def test_only_an_admin_erases(desk: Desk) -> None:
    with pytest.raises(Denied):
        desk.do(erase, ANNA, GONE)
