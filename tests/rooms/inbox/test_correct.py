"""What a person corrects of a mail: its kind and its message; what follows, and what never does."""

from datetime import timedelta
from typing import Any

import pytest

from app.accounts.caller import Caller
from app.configuration.load import load_account
from app.errors import Conflict, Missing, Refused
from app.inbox.census import count_open
from app.inbox.correct import correct_kind, link
from app.inbox.find import WINDOW, Found, Wanted, list_incoming, mark_handled
from app.inbox.mailboxes import claim, enroll, note_synced
from app.inbox.standing import list_boxes, read_standing
from app.inbox.tables import UNANSWERED, UNMATCHED
from app.outbox.order import Reference
from tests.rooms.inbox.letters import LetterBox, tell, write_dsn, write_mail
from tests.rooms.inbox.test_alerts import ALERT, find_late

ANNA = "anna@klient.example"
INVOICE = Reference("invoice", "FV 12/2026", "K-42")
CLERK = Caller(owner_id="owner-1", role="admin", name="ola")
PIOTR = Caller(owner_id="owner-3", role="user", name="Piotr", user="piotr")


def answer(box: LetterBox, sent: str, *fields: str) -> str:
    """Throw in an answer that names our signed id."""
    taken = box.throw(write_mail(f"In-Reply-To: <{box.envid(sent)}@firma.example>", *fields))
    assert taken
    return taken


def search(box: LetterBox, **wanted: Any) -> Found:
    caller = wanted.pop("caller", CLERK)
    found: Found = box.desk.do(list_incoming, caller, Wanted(**wanted), before=None, limit=50)
    return found


def test_an_answer_taken_for_a_machine_ends_the_waiting_once_a_person_says_so(
    box: LetterBox,
) -> None:
    box.open(config={"answer_alert": ALERT})
    sent = box.send(ANNA)
    mail = answer(box, sent, "Auto-Submitted: auto-replied")
    assert (box.look(mail).kind, find_late(box, minutes=61)) == ("auto_reply", [sent])
    row = box.desk.do(correct_kind, CLERK, mail, "human")
    assert (row.kind, row.kind_by, find_late(box, minutes=61)) == ("human", "ola", [])
    box.desk.do(correct_kind, CLERK, mail, "auto_reply")
    assert find_late(box, minutes=61) == [sent]


def test_a_machine_taken_for_a_person_lets_the_waiting_go_on_unless_somebody_else_answered(
    box: LetterBox,
) -> None:
    box.open(config={"answer_alert": ALERT})
    sent = box.send(ANNA)
    first, second = answer(box, sent), answer(box, sent)
    box.desk.do(correct_kind, CLERK, first, "list")
    assert find_late(box, minutes=61) == []
    box.desk.do(correct_kind, CLERK, second, "auto_reply")
    assert find_late(box, minutes=61) == [sent]


def test_an_unverified_mail_that_is_corrected_ends_no_waiting(box: LetterBox) -> None:
    box.open(config={"answer_alert": ALERT})
    sent = box.send(ANNA, reference=INVOICE)
    mail = box.throw(write_mail("Subject: FV 12/2026", "Auto-Submitted: auto-replied"))
    row = box.desk.do(correct_kind, CLERK, mail, "human")
    assert (row.about_id, row.is_verified, find_late(box, minutes=61)) == (sent, False, [sent])


def test_a_mail_about_nothing_is_linked_with_a_message_and_loosed_again(box: LetterBox) -> None:
    box.open(config={"answer_alert": ALERT, "append_to": "correspondence"})
    sent = box.send(ANNA, reference=INVOICE)
    mail = box.throw(write_mail("Subject: pytanie", sender="szef@klient.example"))
    row = box.desk.do(link, CLERK, mail, sent)
    assert (row.about_id, row.linked_by, row.is_verified) == (sent, "ola", False)
    assert (row.reference_type, row.reference_number, row.reference_customer) == (
        "invoice", "FV 12/2026", "K-42",
    )  # fmt: skip
    assert box.desk.look(sent).states == {ANNA: "sent"}
    assert find_late(box, minutes=61) == []
    row = box.desk.do(link, CLERK, mail, None)
    assert (row.about_id, row.linked_by, row.reference_number) == (None, None, None)
    assert (row.reference_type, find_late(box, minutes=61)) == ("correspondence", [sent])


def test_a_guess_is_confirmed_or_taken_away(box: LetterBox) -> None:
    box.open()
    sent, other = box.send(ANNA, reference=INVOICE), box.send(ANNA)
    mail = box.throw(write_mail("Subject: FV 12/2026"))
    assert box.desk.do(link, CLERK, mail, sent).linked_by == "ola"
    assert box.desk.do(link, CLERK, mail, other).reference_number is None
    assert box.desk.do(link, CLERK, mail, None).about_id is None


def test_a_report_that_is_linked_moves_nobody_and_stays_a_report(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA)
    mail = box.throw(write_dsn(tell("failed", ANNA, "5.1.1")))
    row = box.desk.do(link, CLERK, mail, sent)
    assert (row.about_id, row.is_verified) == (sent, False)
    assert box.desk.look(sent).states == {ANNA: "sent"}
    with pytest.raises(Conflict) as refused:
        box.desk.do(correct_kind, CLERK, mail, "human")
    assert refused.value.code == "is_report"


def test_what_a_signed_id_says_is_not_changed_by_hand(box: LetterBox) -> None:
    box.open()
    sent, other = box.send(ANNA), box.send(ANNA)
    mail = answer(box, sent)
    for wanted in (other, None):
        with pytest.raises(Conflict) as refused:
            box.desk.do(link, CLERK, mail, wanted)
        assert refused.value.code == "is_verified"
    assert box.look(mail).about_id == sent


def test_nobody_links_with_a_message_they_do_not_see_nor_a_mail_they_may_not_read(
    box: LetterBox,
) -> None:
    box.open()
    sent = box.send(ANNA)
    annas = box.desk.configure("piotr")
    mail = box.throw(write_mail(), account=annas)
    for message_id in (sent, "unknown"):
        with pytest.raises(Refused) as refused:
            box.desk.do(link, PIOTR, mail, message_id)
        assert [(each.pointer, each.code) for each in refused.value.faults] == [
            ("/message", "message_not_found")
        ]
    common = box.throw(write_mail())
    for verb, given in ((link, sent), (correct_kind, "list")):
        with pytest.raises(Missing) as missing:
            box.desk.do(verb, PIOTR, common, given)
        assert missing.value.code == "incoming_not_found"


def test_words_are_found_in_sender_subject_document_and_text_in_any_case(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA, reference=INVOICE)
    first = answer(box, sent)
    second = box.throw(
        write_mail("Subject: ŻÓŁTY 100% ok_", sender="Łucja <lucja@x.example>", text="Zażółć GĘŚLĄ")
    )
    for text, found in {
        "żółty": [second],
        "łucja": [second],
        "LUCJA@X": [second],
        "gęślą": [second],
        "100% OK_": [second],
        "fv 12/2026": [first],
        "k-42": [first],
        "100_": [],
        "nobody": [],
    }.items():
        assert [row.id for row in search(box, text=text).rows] == found, text


def test_a_search_goes_on_where_it_stopped(box: LetterBox, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WINDOW >= 1000
    monkeypatch.setattr("app.inbox.find.WINDOW", 2)
    box.open()
    ids = [box.throw(write_mail(f"Subject: {name}")) for name in ("alfa", "beta", "gamma", "alfa")]
    first = search(box, text="ALFA")
    assert ([row.id for row in first.rows], first.is_cut) == ([ids[3]], True)
    wanted = Wanted(text="alfa")
    rest = box.desk.do(list_incoming, CLERK, wanted, before=first.following, limit=50)
    assert [row.id for row in rest.rows] == [ids[0]]


def test_reports_and_what_is_about_nothing_or_unverified_are_filtered(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA, reference=INVOICE)
    report = box.throw(write_dsn(tell("failed", ANNA, "5.1.1")))
    sure, guess = answer(box, sent), box.throw(write_mail("Subject: FV 12/2026"))
    for wanted, found in (
        ({"kind": "report"}, [report]),
        ({"matched": False}, [report]),
        ({"matched": True}, [guess, sure]),
        ({"verified": True}, [sure]),
        ({"verified": False, "matched": True}, [guess]),
    ):
        assert [row.id for row in search(box, **wanted).rows] == found, wanted


def test_what_wants_somebody_is_counted_for_those_who_may_read_it(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA)
    done = answer(box, sent)
    answer(box, sent)
    box.throw(write_mail())  # about nothing: no answer
    box.throw(write_dsn(tell("failed", ANNA, "5.1.1")))
    box.desk.do(mark_handled, CLERK, done, handled=True, note=None)
    counted = box.desk.do(count_open, CLERK)
    assert (counted.answers, counted.unmatched) == (1, 1)
    nothing = box.desk.do(count_open, PIOTR)
    assert (nothing.answers, nothing.unmatched) == (0, 0)


def test_counting_reads_an_index_that_holds_only_what_is_open(box: LetterBox) -> None:
    box.open()

    def explain(tx: Any) -> str:
        words = "explain query plan" if tx.dialect.name == "sqlite" else "explain"
        if tx.dialect.name != "sqlite":  # of an empty table it would read all
            tx.exec_driver_sql("set local enable_seqscan = off")
        plans = [
            tx.exec_driver_sql(f"{words} select count(*) from incoming where {each.text}").all()
            for each in (UNANSWERED, UNMATCHED)
        ]
        return str(plans)

    plan = box.desk.do(explain)
    assert "ix_incoming_unanswered" in plan and "ix_incoming_unmatched" in plan


def test_mailboxes_are_listed_for_those_who_may_read_them(box: LetterBox) -> None:
    given = {"incoming": {"host": "imap.firma.example", "username": "x", "password": "y"}}
    common = box.open(config=given)
    piotrs = box.desk.configure("piotr", config=given)
    box.desk.configure("ewa")
    assert [each.stored.id for each in box.desk.do(list_boxes, CLERK)] == [common, piotrs]
    assert [each.stored.id for each in box.desk.do(list_boxes, PIOTR)] == [piotrs]
    assert box.desk.do(list_boxes, CLERK, only_failing=True) == []


def test_the_next_try_of_a_mailbox_is_ahead_while_it_waits_for_news(box: LetterBox) -> None:
    given = {"host": "imap.firma.example", "username": "x", "password": "y", "poll_s": 300}
    account = box.open(config={"incoming": given})
    box.desk.do(enroll)
    held = box.desk.do(claim, account, "w.1")
    synced_at = box.desk.do(note_synced, held, None)
    standing = box.desk.do(read_standing, box.desk.do(load_account, account))
    assert standing.next_try_at == synced_at + timedelta(seconds=300)
    box.open(config={"incoming": given | {"mode": "off"}})
    assert box.desk.do(read_standing, box.desk.do(load_account, account)) is None


def test_a_list_has_of_a_report_what_it_says_first_and_of_other_mail_nothing(
    box: LetterBox,
) -> None:
    box.open()
    box.throw(write_dsn(tell("failed", ANNA, "5.1.1") + "\n\n" + tell("delivered", "b@b.example")))
    box.throw(write_mail("Subject: Oferta"))
    rows = search(box).rows
    assert [row.first_reported and row.first_reported["action"] for row in rows] == [None, "failed"]
    assert [row.disposition for row in rows] == [None, None]
