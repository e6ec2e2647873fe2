"""Answers: threaded to the message and its document; what only looks like one is a guess."""

import pytest
from sqlalchemy import select

from app.mime.address import Mailbox
from app.mime.incoming import read_incoming
from app.outbox.document_tag import make_tag, read_tag
from app.outbox.order import Reference
from app.outbox.tables import message_body
from tests.rooms.inbox.letters import LetterBox, write_mail

ANNA = "anna@klient.example"
INVOICE = Reference("invoice", "FV 12/2026", "K-42")


def read_raw(box: LetterBox, message_id: str) -> bytes:
    query = select(message_body.c.raw).where(message_body.c.message_id == message_id)
    return bytes(box.desk.do(lambda tx: tx.scalar(query)))


def read_reply_to(box: LetterBox, message_id: str) -> list[str]:
    fields = read_incoming(read_raw(box, message_id)).headers
    return [each.strip() for each in fields.get("reply-to").split(",") if each]


@pytest.mark.parametrize("field", ["In-Reply-To", "References"])
def test_an_answer_is_threaded_by_our_signed_message_id(box: LetterBox, field: str) -> None:
    box.open()
    sent = box.send(ANNA, reference=INVOICE)
    text = "Zapłacę jutro.\n\nW dniu 22.11.2026 o 10:00 Firma pisze:\n> Dzień dobry"
    mail = write_mail(f"{field}: <x@y.example> <{box.envid(sent)}@firma.example>", text=text)
    row = box.look(box.throw(mail))
    assert (row.kind, row.about_id, row.is_verified) == ("human", sent, True)
    assert (row.reference_type, row.reference_number, row.reference_customer) == (
        "invoice", "FV 12/2026", "K-42",
    )  # fmt: skip
    assert (row.text, row.sender_key) == ("Zapłacę jutro.", ANNA)
    assert box.desk.look(sent).states == {ANNA: "sent"}
    assert [kind for kind, _ in box.events("inbox.")] == ["inbox.received", "inbox.answer"]


def test_files_of_an_answer_are_listed(box: LetterBox) -> None:
    box.open()
    raw = b"""From: anna@klient.example
To: faktury@firma.example
Subject: skan
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

Prosz\xc4\x99.
--b
Content-Type: application/pdf; name="umowa.pdf"
Content-Transfer-Encoding: base64

JVBERi0x
--b--
"""
    row = box.look(box.throw(raw))
    assert row.attachments == [
        {"filename": "umowa.pdf", "content_type": "application/pdf", "bytes": 6}
    ]


def test_a_recipient_that_names_the_document_is_a_guess_and_says_so(box: LetterBox) -> None:
    box.open()
    sent = box.send(ANNA, reference=INVOICE)
    other = box.send(ANNA, reference=Reference("invoice", "FV 1/2026"))
    row = box.look(box.throw(write_mail("Subject: pytanie o fv 12/2026")))
    assert (row.about_id, row.is_verified, row.reference_number) == (sent, False, "FV 12/2026")
    longer = box.look(box.throw(write_mail("Subject: FV 12/20261")))
    stranger = box.look(box.throw(write_mail("Subject: FV 12/2026", sender="x@else.example")))
    assert (longer.about_id, stranger.about_id) == (None, None)
    assert other != sent


def test_a_guess_reaches_no_other_users_documents(box: LetterBox) -> None:
    box.open()
    theirs = box.desk.configure("anna")
    box.send(ANNA, reference=INVOICE)
    mail = write_mail("Subject: FV 12/2026")
    assert box.look(box.throw(mail, account=theirs)).about_id is None


def test_mail_about_nothing_belongs_to_the_kind_that_the_account_says(box: LetterBox) -> None:
    box.open(config={"append_to": "complaint"})
    row = box.look(box.throw(write_mail("Subject: reklamacja")))
    assert (row.about_id, row.reference_type, row.reference_number) == (None, "complaint", None)


def test_a_document_has_an_address_of_its_own_and_mail_to_it_is_linked(box: LetterBox) -> None:
    box.open(config={"document_address": True})
    sent = box.send(ANNA, reference=INVOICE)
    (address,) = read_reply_to(box, sent)
    tag = make_tag(box.vault, sent)
    assert f"faktury+{tag}@firma.example" in address
    assert len(tag) == 40
    mail = write_mail(f"Delivered-To: FAKTURY+{tag.upper()}@firma.example", "Subject: nowy temat")
    row = box.look(box.throw(mail))
    assert (row.about_id, row.is_verified, row.reference_number) == (sent, True, "FV 12/2026")
    assert read_reply_to(box, box.send(ANNA)) == []  # about no document
    named = box.send(ANNA, reference=INVOICE, reply_to=(Mailbox("szef@firma.example"),))
    assert read_reply_to(box, named) == ["szef@firma.example"]


def test_a_pattern_makes_the_address_of_a_document(box: LetterBox) -> None:
    box.open(config={"document_address": "odp-*@poczta.firma.example"})
    sent = box.send(ANNA, reference=INVOICE)
    (address,) = read_reply_to(box, sent)
    assert f"odp-{make_tag(box.vault, sent)}@poczta.firma.example" in address


def test_a_forged_tag_is_linked_to_nothing(box: LetterBox) -> None:
    box.open()
    sent, other = box.send(ANNA, reference=INVOICE), box.send(ANNA, reference=INVOICE)
    tag = make_tag(box.vault, sent)
    forged = [
        tag[:-1] + ("a" if tag[-1] != "a" else "b"),
        f"doc-{sent}",
        make_tag(box.vault, other)[:30] + tag[30:],
        tag[:-1],
        f"{tag}a",
    ]
    for each in forged:
        assert read_tag(box.vault, f"faktury+{each}@firma.example") is None
        row = box.look(box.throw(write_mail(f"Delivered-To: faktury+{each}@firma.example")))
        assert (row.about_id, row.is_verified) == (None, False)
