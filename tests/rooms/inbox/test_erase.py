"""Erasing a person: nothing of the address or the name is left of what came in either."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, insert, select, update

from app.errors import Denied
from app.inbox.alerts import alert, find_unanswered
from app.inbox.clerk import tidy_up
from app.inbox.correct import link
from app.inbox.dispatch import dispatch
from app.inbox.erase import erase_person
from app.inbox.find import mark_handled
from app.inbox.forward import make_forward
from app.inbox.mailboxes import claim, enroll
from app.inbox.reports import apply_waiting, find_waiting
from app.inbox.tables import auto_reply, incoming, incoming_body
from app.inbox.take import take, understand
from app.mime.address import Mailbox
from app.outbox.answer_watch import answer_watch
from app.outbox.order import Reference
from app.outbox.tables import message
from tests.rooms.inbox.letters import LetterBox, tell, write_dsn, write_mail
from tests.rooms.outbox.desk import ADMIN, ANNA, dump

GONE = Mailbox("Jan.Kowalski@klient.example", "Jan Kowalski")
JAN = "Jan Kowalski <jan.kowalski@klient.example>"
OLA = "ola@firma.example"


@pytest.fixture
def leftovers(box: LetterBox) -> Callable[[], bool]:
    """Whether the person stands anywhere in the database."""

    def look() -> bool:
        everything: str = box.desk.wait_for(box.desk.office.db.read(dump))
        return "kowalski" in everything

    return look


def erase(box: LetterBox) -> int:
    done = box.desk.do(erase_person, ADMIN, GONE)
    return int(done.incoming)


def count_bodies(box: LetterBox) -> int:
    query = select(func.count()).select_from(incoming_body)
    return int(box.desk.do(lambda tx: tx.scalar(query)))


@pytest.mark.parametrize(
    "raw",
    [
        write_mail("Subject: Jan Kowalski pyta", sender=JAN, text="Jan Kowalski"),
        write_mail("Cc: =?utf-8?q?Jan_Kowalski?= <JAN.KOWALSKI@klient.example>"),
        write_dsn(tell("failed", "jan.kowalski@klient.example", "5.1.1")),
        write_dsn(tell("delayed", "x@y.example", original="Jan.Kowalski@klient.example")),
    ],
    ids=["sender", "copy", "final recipient", "original recipient"],
)
def test_nothing_is_left_of_a_mail_about_no_message(
    box: LetterBox, leftovers: Callable[[], bool], raw: bytes
) -> None:
    box.open()
    got = box.throw(raw)
    box.desk.do(mark_handled, ADMIN, got, handled=True, note="Kowalski dzwonił")
    assert leftovers()
    assert erase(box) == 1
    assert not leftovers()
    row = box.look(got)
    assert row.body_erased_at and row.handled_at and not row.handled_note
    assert (row.subject, row.text, row.message_id) == ("", "", None)
    assert [data for _, data in box.events("inbox.received")] == [{}]


def test_what_is_about_the_persons_messages_goes_with_them(
    box: LetterBox, leftovers: Callable[[], bool]
) -> None:
    box.open()
    sent = box.send(GONE.address, "b@x.example", reference=Reference(number="FV 1"))
    box.throw(write_dsn(tell("failed", GONE.address, "5.1.1"), envid=box.envid(sent)))
    other = box.throw(
        write_mail(f"In-Reply-To: <{box.envid(sent)}@firma.example>", sender="b@x.example",
                   text="Proszę pytać Jana Kowalskiego.")
    )  # fmt: skip
    assert box.look(other).about_id == sent
    assert erase(box) == 2
    assert not leftovers()
    assert box.look(other).sender_address == "b@x.example"  # who wrote is not who was erased
    assert box.look(other).reference_number is None


def test_a_forwarded_copy_goes_too_and_so_does_the_answer_to_it(
    box: LetterBox, leftovers: Callable[[], bool]
) -> None:
    account = box.open()
    got = box.throw(write_mail(sender=JAN))
    desk = box.desk
    query = select(incoming_body.c.raw).where(incoming_body.c.incoming_id == got)
    raw = bytes(desk.do(lambda tx: tx.scalar(query)))
    order = make_forward(box.look(got), raw, to=(Mailbox(OLA),), note="Kowalski!", user=None)
    desk.wait_for(dispatch(desk.office, ADMIN, order, lambda tx: True))
    desk.settle(desk.claim(account), "sent")
    copy = desk.do(lambda tx: tx.scalar(select(message.c.id).where(message.c.quotes == got)))
    answer = box.throw(
        write_mail(f"In-Reply-To: <{box.envid(copy)}@firma.example>", sender=OLA, text="Kowalski?")
    )
    assert erase(box) == 2
    assert not leftovers()
    assert box.look(answer).sender_address == OLA
    assert desk.look(copy).states == {OLA: "sent"}


def test_the_alert_that_nobody_answered_loses_its_words(
    box: LetterBox, leftovers: Callable[[], bool]
) -> None:
    account = box.open(config={"answer_alert": {"after_min": 1, "to": OLA}})
    sent = box.send(GONE.address, subject="Dla Kowalskiego")
    desk = box.desk
    early = update(answer_watch).values(due_at=desk.office.clock())
    desk.do(lambda tx: tx.execute(early))
    assert desk.do(find_unanswered, desk.office.clock()) == [sent]
    desk.wait_for(alert(desk.office, sent))
    desk.settle(desk.claim(account), "sent")
    erase(box)
    assert not leftovers()


def test_a_report_that_waits_moves_nobody_who_was_erased(
    box: LetterBox, leftovers: Callable[[], bool]
) -> None:
    account = box.open()
    sent = box.desk.send(GONE.address, "b@x.example")
    claimed = box.desk.claim(account)
    groups = (tell("failed", GONE.address, "5.1.1"), tell("failed", "b@x.example", "5.1.1"))
    box.throw(write_dsn(*groups, envid=box.envid(sent)))
    erase(box)
    box.desk.settle(claimed, "sent", "sent")
    for each in box.desk.do(find_waiting):
        box.desk.do(apply_waiting, each, box.desk.office.clock())
    assert box.desk.look(sent).states == {
        "erased@invalid": "sent",
        "b@x.example": "failed: bounced",
    }
    assert not leftovers()


def test_nobody_who_was_erased_is_answered_or_remembered_as_answered(
    box: LetterBox, leftovers: Callable[[], bool]
) -> None:
    account = box.open()
    path = "bounce-jan.kowalski=klient.example@list.example"  # their return path
    reply = box.send(path, subject="Auto: Kowalski")
    got = [box.throw(write_mail(sender=JAN)) for _ in range(2)]
    answered = {"reply_state": "sent", "reply_id": reply, "reply_detail": "to kowalski"}
    for each, told in zip(got, ({"reply_state": "due"}, answered), strict=True):
        box.desk.change(incoming, incoming.c.id == each, **told)
    at = box.desk.office.clock()
    for key in (GONE.key, path, OLA):
        row = {"account_id": account, "sender_key": key, "replied_at": at, "free_at": at}
        box.desk.do(lambda tx, row=row: tx.execute(insert(auto_reply).values(row)))
    erase(box)
    assert not leftovers()
    assert [box.look(each).reply_state for each in got] == [None, "sent"]
    assert box.desk.look(reply).states == {"erased@invalid": "sent"}
    kept = select(auto_reply.c.sender_key)
    assert box.desk.do(lambda tx: list(tx.scalars(kept))) == [OLA]


def test_an_automatic_answer_to_somebody_else_loses_what_it_repeats(
    box: LetterBox, leftovers: Callable[[], bool]
) -> None:
    box.open()
    reply = box.send(OLA, subject="Auto: Kowalski")
    got = box.throw(write_mail(f"Cc: {JAN}", sender=OLA))
    box.desk.change(incoming, incoming.c.id == got, reply_state="sent", reply_id=reply)
    erase(box)
    assert not leftovers()
    assert box.desk.look(reply).states == {OLA: "sent"}


@pytest.mark.parametrize("is_renumbered", [False, True], ids=["same uid", "numbered anew"])
def test_an_erased_mail_is_not_collected_again(
    box: LetterBox, leftovers: Callable[[], bool], is_renumbered: bool
) -> None:
    mailbox = {"incoming": {"host": "imap.firma.example", "username": "x", "password": "y"}}
    account = box.open(config=mailbox)
    desk = box.desk
    desk.do(enroll)
    held = desk.do(claim, account, "test.1")
    raw = write_mail("Date: Sun, 22 Nov 2026 10:00:00 +0100", sender=JAN)
    box.throw(raw, uid="1:7")
    erase(box)
    batch = [understand("2:1" if is_renumbered else "1:7", raw, len(raw))]
    args = {"is_renumbered": is_renumbered}
    assert desk.do(take, desk.office.vault, held, batch, **args) == 0
    assert not leftovers()


def test_other_peoples_mail_is_left_alone(box: LetterBox) -> None:
    box.open()
    kept = box.throw(write_mail(sender="Jan <jan.kowalski@other.example>", text="Zostaje."))
    box.throw(write_dsn(tell("failed", "xjan.kowalski@klient.example", "5.1.1")))
    assert erase(box) == 0
    assert box.look(kept).text == "Zostaje."
    assert count_bodies(box) == 2


def test_only_an_admin_erases(box: LetterBox) -> None:
    with pytest.raises(Denied):
        box.desk.do(erase_person, ANNA, GONE)


def test_a_mail_that_was_about_another_message_once_leaves_nothing_there(
    box: LetterBox, leftovers: Callable[[], bool]
) -> None:
    box.open(config={"auto_reply": {"enabled": True, "body": "A"}})
    sent = box.send("x@y.example")
    got = box.throw(write_mail(sender=JAN))
    box.desk.do(link, ADMIN, got, sent)
    box.desk.wait_for(tidy_up(box.desk.office))
    box.desk.do(link, ADMIN, got, None)
    assert erase(box) == 1
    assert not leftovers()
