"""A claim and addresses that were suppressed a moment ago, behind the back of what waited."""

from datetime import UTC, datetime

from sqlalchemy import insert

from app.db import new_id
from app.outbox.queue import claim
from app.outbox.tables import suppression
from tests.rooms.outbox.desk import LEASE_S, Desk


def suppress_unseen(desk: Desk, address: str) -> None:
    """Put an address on the list as somebody does whose commit the claim just missed."""
    at = datetime.now(UTC)
    row = {
        "id": new_id(at), "address": address, "address_key": address, "scope": "global",
        "reason": "manual", "note": "", "made_by": "", "made_at": at, "updated_at": at,
    }  # fmt: skip
    desk.wait_for(desk.office.db.write(lambda tx: tx.execute(insert(suppression), row)))


def test_who_is_suppressed_keeps_nobody_else_from_being_claimed(desk: Desk) -> None:
    account_id = desk.configure()
    kept, stopped = desk.send("jan@klient.example"), desk.send("anna@klient.example")
    suppress_unseen(desk, "anna@klient.example")
    claimed = desk.do(claim, account_id, "w.1", lease_s=LEASE_S, most=5)
    assert [each.message.id for each in claimed] == [kept]
    assert desk.look(kept).states == {"jan@klient.example": "sending"}
    assert desk.look(stopped).status == "suppressed"
    assert desk.mark(claimed[0])
