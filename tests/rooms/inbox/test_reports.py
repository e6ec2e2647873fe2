"""Reports: found by what we signed, moved by the table, once, never more than they may."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from app.inbox.reports import apply_waiting, find_waiting
from app.outbox.tables import suppression
from tests.rooms.inbox.letters import LetterBox, tell, write_dsn, write_mail

ANNA = "anna@klient.example"
JAN = "jan@klient.example"


def count_events(box: LetterBox) -> int:
    return len(box.events("recipient.")) + len(box.events("message."))


def test_a_success_by_our_envelope_id_is_delivered(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA)
    got = box.throw(write_dsn(tell("delivered", ANNA, "2.0.0"), envid=box.envid(sent)))
    seen = box.desk.look(sent)
    assert (seen.status, seen.states) == ("delivered", {ANNA: "delivered"})
    mail = box.look(got)
    assert (mail.kind, mail.about_id, mail.is_verified) == ("dsn", sent, True)
    _, data = box.events("recipient.delivered")[-1]
    assert (data["address"], data["status"], data["incoming"]) == (ANNA, "2.0.0", got)
    assert [name for name, _ in box.events("inbox.")] == ["inbox.received", "inbox.report"]
    told = box.events("inbox.report")[0][1]
    assert (told["message"], told["verified"], told["kind"]) == (sent, True, "dsn")


def test_a_failure_by_the_returned_message_id_fails_one_of_several(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA, JAN)
    returned = f"Message-ID: <{box.envid(sent)}@firma.example>"
    got = box.throw(write_dsn(tell("failed", JAN, "5.2.2"), returned=returned))
    seen = box.desk.look(sent)
    assert seen.states == {ANNA: "sent", JAN: "failed: bounced"}
    assert seen.status == "partially_sent"
    data = box.events("recipient.failed")[-1][1]
    assert data["status"] == "5.2.2"
    assert data["diagnostic"] == "550 5.2.2 said the server"
    assert (data["reason"], data["incoming"]) == ("bounced", got)


@pytest.mark.parametrize(
    "named",
    [
        tell("failed", "ANNA@Klient.example"),
        tell("failed", "someone@else.example", original=ANNA),
        tell("failed", "anna+2Bfaktury@klient.example"),
        tell("failed", "<anna+faktury@klient.example>"),
    ],
    ids=["case", "original", "xtext", "brackets"],
)
def test_the_recipient_is_known_in_every_spelling(box: LetterBox, named: str) -> None:
    box.open()
    address = "anna+faktury@klient.example" if "faktury" in named else ANNA
    sent = box.send(address, JAN)
    box.throw(write_dsn(named, envid=box.envid(sent)))
    assert box.desk.look(sent).states[address] == "failed: bounced"


def test_a_report_about_somebody_else_fails_nobody(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA)
    box.throw(write_dsn(tell("failed", "list-member@other.example"), envid=box.envid(sent)))
    assert box.desk.look(sent).states == {ANNA: "sent"}


def test_a_forged_or_unsigned_report_is_shown_and_moves_nothing(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA)
    forged = box.envid(sent)[:-1] + ("a" if box.envid(sent)[-1] != "a" else "b")
    before = count_events(box)
    got = [
        box.throw(write_dsn(tell("failed", ANNA), envid=each, message_id=each or "none"))
        for each in (forged, sent, "")
    ]
    assert box.desk.look(sent).states == {ANNA: "sent"}
    assert count_events(box) == before
    assert [(box.look(each).about_id, box.look(each).is_verified) for each in got] == [
        (None, False)
    ] * 3
    assert [data["verified"] for _, data in box.events("inbox.report")] == [False] * 3


@pytest.mark.parametrize("action", ["relayed", "delayed", "expanded"])
def test_what_is_only_told_is_an_event(box: LetterBox, action: str) -> None:
    box.open()
    sent = box.send(ANNA)
    box.throw(write_dsn(tell(action, ANNA, "4.4.1"), envid=box.envid(sent)))
    assert box.desk.look(sent).states == {ANNA: "sent"}
    ((kind, data),) = box.events(f"recipient.{action}")
    assert (kind, data["address"], data["status"]) == (f"recipient.{action}", ANNA, "4.4.1")


def write_mdn(box: LetterBox, sent: str, disposition: str) -> bytes:
    return f"""\
From: {ANNA}
To: faktury@firma.example
Subject: Read: Faktura
Message-ID: <mdn-1@klient.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=disposition-notification; boundary="b1"

--b1
Content-Type: text/plain

Read.

--b1
Content-Type: message/disposition-notification

Reporting-UA: pc; Outlook
Final-Recipient: rfc822;{ANNA}
Original-Message-ID: <{box.envid(sent)}@firma.example>
Disposition: {disposition}

--b1--
""".encode()


@pytest.mark.parametrize(
    ("disposition", "noted"),
    [
        ("manual-action/MDN-sent-manually; displayed", 1),
        ("automatic-action/MDN-sent-automatically; deleted", 0),
    ],
)
def test_displayed_is_told_and_deleted_is_not(box: LetterBox, disposition: str, noted: int) -> None:
    box.open()
    sent = box.send(ANNA)
    box.throw(write_mdn(box, sent, disposition))
    assert len(box.events("recipient.displayed")) == noted
    assert box.desk.look(sent).states == {ANNA: "sent"}


def test_the_same_report_changes_nothing_a_second_time(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA)
    report = write_dsn(tell("delayed", ANNA, "4.4.1"), envid=box.envid(sent))
    first = box.throw(report, uid="1:7")
    before = box.events("")
    assert box.throw(report, uid="1:7") is None  # the same uid
    assert box.events("") == before
    again = box.throw(report, uid="2:1")  # a server that sent it twice
    assert again != first
    assert len(box.events("recipient.delayed")) == 1
    later = write_dsn(tell("delayed", ANNA), envid=box.envid(sent), message_id="next-day")
    box.throw(later)
    assert len(box.events("recipient.delayed")) == 2


def test_a_late_success_after_a_failure_is_delivered_and_no_failure_follows(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA)
    for number, action in enumerate(("failed", "delivered", "failed")):
        report = write_dsn(tell(action, ANNA), envid=box.envid(sent), message_id=f"r{number}")
        box.throw(report)
    assert box.desk.look(sent).states == {ANNA: "delivered"}
    assert len(box.events("recipient.failed")) == 1


def test_a_success_spares_an_uncertain_recipient_the_second_mail(box: LetterBox) -> None:
    account = box.open()
    sent = box.desk.send(ANNA)
    box.desk.settle(box.desk.claim(account), "uncertain")
    box.throw(write_dsn(tell("delivered", ANNA), envid=box.envid(sent)))
    assert box.desk.look(sent).status == "delivered"
    box.desk.make_due(sent) if box.desk.look(sent).row.due_at else None
    assert box.desk.try_claim(account) is None


def test_a_report_that_overtakes_the_worker_waits_for_it(box: LetterBox) -> None:
    account = box.open()
    sent = box.desk.send(ANNA)
    claimed = box.desk.claim(account)
    got = box.throw(write_dsn(tell("delivered", ANNA), envid=box.envid(sent)))
    assert box.desk.do(find_waiting) == [got]
    assert not box.desk.do(apply_waiting, got, datetime.now(UTC))
    assert box.desk.do(find_waiting) == [got]
    assert box.desk.settle(claimed, "sent")  # its claim still counts
    assert box.desk.do(apply_waiting, got, datetime.now(UTC))
    assert box.desk.do(find_waiting) == []
    assert box.desk.look(sent).status == "delivered"
    assert len(box.events("recipient.delivered")) == 1


def test_a_report_without_a_name_is_about_the_only_recipient(box: LetterBox) -> None:
    box.open()
    one, two = box.send(ANNA), box.send(ANNA, JAN)
    complaint = "Feedback-Type: abuse\nUser-Agent: Provider/1.0\nVersion: 1"
    for sent in (one, two):
        box.throw(write_arf(box, sent, complaint))
    assert [data["address"] for _, data in box.events("recipient.complained")] == [ANNA]


def write_arf(box: LetterBox, sent: str, fields: str) -> bytes:
    return f"""\
From: feedback@provider.example
To: abuse@firma.example
Subject: complaint
Message-ID: <arf-{sent}@provider.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b1"

--b1
Content-Type: text/plain

A complaint.

--b1
Content-Type: message/feedback-report

{fields}

--b1
Content-Type: text/rfc822-headers

Message-ID: <{box.envid(sent)}@firma.example>
Subject: Faktura

--b1--
""".encode()


def list_suppressed(box: LetterBox) -> list[tuple[str, str, str]]:
    query = select(suppression.c.address, suppression.c.reason, suppression.c.scope)
    return [tuple(row) for row in box.desk.do(lambda tx: tx.execute(query).all())]


@pytest.mark.parametrize("wanted", [True, False])
def test_bounces_and_complaints_suppress_where_the_configuration_says_so(
    box: LetterBox, wanted: bool
) -> None:
    box.open(config={"suppress_hard_bounces": wanted})
    gone, full, angry = box.send(ANNA), box.send(JAN), box.send("ewa@klient.example")
    box.throw(write_dsn(tell("failed", ANNA, "5.1.1"), envid=box.envid(gone)))
    box.throw(write_dsn(tell("failed", JAN, "5.2.2"), envid=box.envid(full)))
    to = "Feedback-Type: abuse\nOriginal-Rcpt-To: <ewa@klient.example>"
    box.throw(write_arf(box, angry, to))
    expected = [
        (ANNA, "hard_bounce", "global"),
        ("ewa@klient.example", "complaint", "global"),
    ]
    assert list_suppressed(box) == (expected if wanted else [])


def test_a_mistaken_complaint_suppresses_nobody(box: LetterBox) -> None:
    box.open(config={"suppress_hard_bounces": True})
    sent = box.send(ANNA)
    box.throw(write_arf(box, sent, f"Feedback-Type: not-spam\nOriginal-Rcpt-To: <{ANNA}>"))
    assert list_suppressed(box) == []


def test_foreign_text_that_no_database_takes_is_stored(box: LetterBox) -> None:
    box.open()
    got = box.throw(
        write_mail("Subject: =?utf-8?Q?a=00b?= \udcff".encode("utf-8", "replace").decode())
    )
    assert "\0" not in box.look(got).subject


@pytest.mark.parametrize(
    ("sender", "expected"), [("anna", [(JAN, "hard_bounce", "users/anna")]), (None, [])]
)
def test_a_report_in_a_users_own_mailbox_suppresses_for_nobody_else(
    box: LetterBox, sender: str | None, expected: list[tuple[str, str, str]]
) -> None:
    box.open(config={"suppress_hard_bounces": True})
    sent = box.send(JAN, user=sender, account=box.account)
    own = box.desk.configure("anna")
    box.throw(write_dsn(tell("failed", JAN, "5.1.1"), envid=box.envid(sent)), account=own)
    assert box.desk.look(sent).states == {JAN: "failed: bounced"}
    assert list_suppressed(box) == expected
