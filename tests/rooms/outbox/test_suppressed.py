"""Who is suppressed gets nothing, whenever it was said; who is not, gets theirs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.db import new_id
from app.errors import Conflict
from app.mime.address import Mailbox
from app.outbox.again import release, retry
from app.outbox.hold import hold_queue
from app.outbox.queue import Lot
from app.outbox.suppressed import Asked, find_suppressed, name_scopes
from app.outbox.suppressions import Entry, put_suppression, suppress
from app.outbox.tables import message, recipient, suppression
from tests.rooms.outbox.desk import ADMIN, Desk

A, B = "a@x.example", "b@x.example"
NO_SUCH = {"verdict": "refused", "phase": "rcpt", "code": 550, "enhanced": "5.1.1"}


def put(desk: Desk, address: str = A, scope: str = "global", **members: Any) -> int:
    """Suppress as a person does; return how many were stopped."""
    entry = Entry(Mailbox(address), scope, "manual", **members)
    return int(desk.do(put_suppression, ADMIN, entry, datetime.now(UTC)).stopped)


def slip_in(desk: Desk, address: str = A, scope: str = "global") -> None:
    """Suppress behind the back of what waits, as a transaction at the same moment does."""
    at = datetime.now(UTC)
    row = {
        "id": new_id(), "address": address, "address_key": address, "scope": scope,
        "reason": "unsubscribed", "note": "", "made_by": "x", "made_at": at, "updated_at": at,
    }  # fmt: skip
    desk.wait_for(desk.office.db.write(lambda tx: tx.execute(suppression.insert().values(row))))


def list_suppressed(desk: Desk) -> list[tuple[str, str, str]]:
    query = suppression.select().order_by(suppression.c.id)
    rows = desk.wait_for(desk.office.db.read(lambda tx: tx.execute(query).all()))
    return [(row.address, row.scope, row.reason) for row in rows]


def test_what_was_suppressed_at_the_same_moment_is_found_by_the_claim(desk: Desk) -> None:
    account = desk.configure()
    both, only, other = desk.send(A, B), desk.send(A), desk.send(B)
    slip_in(desk)
    claimed = desk.claim(account, most=5)
    assert [each.address for each in claimed.recipients] == [B]
    assert desk.look(both).states == {A: "suppressed: unsubscribed", B: "sending"}
    assert desk.look(only).states == {A: "suppressed: unsubscribed"}
    assert desk.look(only).status == "suppressed"
    assert desk.look(other).states == {B: "sending"}


def test_a_suppressed_message_gives_its_place_in_the_lot_back(desk: Desk) -> None:
    account = desk.configure()
    desk.send(A)
    desk.send(B)
    slip_in(desk)
    lot = Lot(1, 3600)
    assert desk.try_claim(account, lot=lot) is None  # the first was the one that goes nowhere
    assert [each.address for each in desk.claim(account, lot=lot).recipients] == [B]


def test_who_is_being_sent_to_is_not_tried_again(desk: Desk) -> None:
    account = desk.configure()
    going = desk.send(A)
    claimed = desk.claim(account)
    assert put(desk) == 0
    assert desk.look(going).states == {A: "sending"}
    desk.settle(claimed, "deferred")
    desk.make_due(going)
    assert desk.try_claim(account) is None
    assert desk.look(going).states == {A: "suppressed: manual"}


def test_held_and_deferred_mail_stops_at_once_and_drafts_do_not(desk: Desk) -> None:
    account = desk.configure()
    held = desk.send(A, B)
    desk.do(hold_queue)
    deferred = desk.send(A)
    desk.settle(desk.claim(account), "deferred")
    desk.configure(config={"mode": "draft"})
    draft = desk.send(A)
    assert put(desk) == 2
    assert desk.look(held).states == {A: "suppressed: manual", B: "held: queue_held"}
    assert desk.look(deferred).status == "suppressed"
    assert desk.look(draft).states == {A: "held: draft"}


def test_a_suppression_stops_for_its_scope_until_it_expires(desk: Desk) -> None:
    desk.configure()
    desk.configure(user="anna")
    past = datetime.now(UTC) - timedelta(seconds=1)
    assert put(desk, expires_at=past) == 0
    assert put(desk, scope="users/piotr") == 0
    desk.send(A)
    mine = desk.send(A, user="anna")
    assert put(desk, scope="users/anna") == 1
    assert desk.look(mine).status == "suppressed"


@pytest.mark.parametrize(
    ("scope", "user", "listed", "covered"),
    [
        ("global", None, "global", True),
        ("global", None, "users/anna", False),
        ("global", "anna", "users/anna", True),  # hers, also through the common account
        ("users/anna", "anna", "users/anna", True),
        ("users/anna", "anna", "users/piotr", False),
        ("accounts/1", "anna", "accounts/1", True),
        ("accounts/1", "anna", "users/anna", True),
        ("accounts/1", "anna", "accounts/2", False),
        ("accounts/1", None, "global", True),
    ],
)
def test_a_scope_covers_a_message(
    desk: Desk, scope: str, user: str | None, listed: str, covered: bool
) -> None:
    slip_in(desk, scope=listed)
    desk.configure()
    going = desk.send(B)
    # The two ways of asking, in the code and in the claim's statement, agree.
    asked = Asked(name_scopes(scope, user), frozenset((A, B)), datetime.now(UTC))
    (found,) = desk.wait_for(desk.office.db.read(find_suppressed, [asked]))
    assert found == ({A: "unsubscribed"} if covered else {})
    desk.change(message, message.c.id == going, scope=scope, user_id=user)
    desk.change(recipient, recipient.c.message_id == going, address=A, address_key=A)
    desk.try_claim(desk.look(going).row.account_id)
    assert desk.look(going).states == (
        {A: "suppressed: unsubscribed"} if covered else {A: "sending"}
    )


def test_what_is_said_by_itself_never_shortens_what_is_there(desk: Desk) -> None:
    at = datetime.now(UTC)
    later = at + timedelta(days=1)
    put(desk, expires_at=later)
    said = (Mailbox("A@x.example"), "global", "complaint")
    assert desk.do(suppress, *said, caller=ADMIN, at=at) is True
    assert [reason for _, _, reason in list_suppressed(desk)] == ["complaint"]
    assert desk.do(suppress, Mailbox(A), "global", "hard_bounce", caller=ADMIN, at=at) is False
    assert [reason for _, _, reason in list_suppressed(desk)] == ["complaint"]


def test_retry_and_release_say_what_to_do_about_a_suppressed_recipient(desk: Desk) -> None:
    account = desk.configure()
    failed = desk.send(A, B)
    desk.settle(desk.claim(account), "refused", "refused")
    slip_in(desk)
    desk.do(retry, ADMIN, failed)  # those who may be written to
    assert desk.look(failed).states == {A: "failed: refused", B: "queued"}
    stopped = desk.send(A)
    for verb, args in ((retry, ()), (release, (desk.office.vault,))):
        options = {} if verb is retry else {"smtp_password": None, "delivery": "on"}
        with pytest.raises(Conflict, match="resend") as caught:
            desk.do(verb, *args, ADMIN, stopped, **options)
        assert caught.value.code == "recipient_suppressed"


# Hard bounces


@pytest.mark.parametrize(
    ("said", "suppressed"),
    [
        ({}, True),
        ({"enhanced": "5.1.10"}, True),
        ({"enhanced": "5.7.1"}, False),
        ({"enhanced": "5.1.8"}, False),  # the sender's address
        ({"enhanced": None}, False),
        ({"phase": "data"}, False),
        ({"verdict": "deferred", "code": 450, "enhanced": "4.1.1"}, False),
        ({"local": True}, False),
    ],
)
def test_an_address_that_does_not_exist_is_suppressed(
    desk: Desk, said: dict[str, Any], suppressed: bool
) -> None:
    account = desk.configure(config={"suppress_hard_bounces": True})
    bounced = desk.send(A)
    waiting = desk.send(A, send_at=datetime.now(UTC) + timedelta(hours=1))
    desk.settle(desk.claim(account), NO_SUCH | said)
    assert list_suppressed(desk) == ([(A, "global", "hard_bounce")] if suppressed else [])
    if suppressed:
        assert desk.look(bounced).status == "failed"
        desk.make_due(waiting)
        assert desk.try_claim(account) is None
        assert desk.look(waiting).states == {A: "suppressed: hard_bounce"}


@pytest.mark.parametrize(
    ("common", "own", "scope"),
    [
        # Her own server said it: it decides for nobody else.
        (None, None, None), (True, None, "users/anna"), (None, True, "users/anna"),
        (True, False, None), (False, True, "users/anna"), (True, True, "users/anna"),
    ],
)  # fmt: skip
def test_who_says_so_decides_for_whom(
    desk: Desk, common: bool | None, own: bool | None, scope: str | None
) -> None:
    desk.configure(config={} if common is None else {"suppress_hard_bounces": common})
    own_account = desk.configure(
        user="anna", config={} if own is None else {"suppress_hard_bounces": own}
    )
    desk.send(A, user="anna")
    desk.settle(desk.claim(own_account), NO_SUCH)
    assert list_suppressed(desk) == ([(A, scope, "hard_bounce")] if scope else [])


def test_what_a_redirected_mail_meets_says_nothing_of_its_recipient(desk: Desk) -> None:
    account = desk.configure(config={"suppress_hard_bounces": True})
    desk.send(A)
    desk.settle(desk.claim(account, delivery="redirect:test@firma.example"), NO_SUCH)
    assert list_suppressed(desk) == []
