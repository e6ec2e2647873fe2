"""Who gets an automatic reply: RFC 3834 as a table, one line for each rule."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

import app
from app.inbox.answerable import Mine, Reason, find_target, judge_mail
from app.inbox.auto_reply import DUE, SENT
from app.mime.incoming import read_incoming
from app.web.screens.auto_reply import STATES
from tests.crafts.mime.corpus import load_corpus

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINE = Mine(frozenset({"faktury@firma.example", "anna@firma.example"}), "odp-*@firma.example")
HUMAN = {
    "Return-Path": "<jan@klient.example>",
    "From": "Jan Żak <jan@klient.example>",
    "To": "Faktury <Faktury@firma.example>",
    "Subject": "Pytanie",
    "Date": "Sun, 22 Nov 2026 11:00:00 +0000",
    "Message-ID": "<q-1@klient.example>",
}


def write(**fields: str | None) -> bytes:
    """A person's mail with fields changed (``_`` is -), or left out (None)."""
    changed = {name.replace("_", "-"): value for name, value in fields.items()}
    head = [f"{name}: {value}" for name, value in (HUMAN | changed).items() if value is not None]
    return ("\r\n".join(head) + "\r\n\r\nDzień dobry\r\n").encode()


def judge(raw: bytes) -> str | None:
    return judge_mail(read_incoming(raw), MINE, AT)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Return_Path": None},
        {"To": None, "Cc": "anna@firma.example"},
        {"To": None, "Resent_To": "anna@firma.example"},
        {"To": None, "Resent_Cc": "Anna <ANNA@FIRMA.EXAMPLE>"},
        {"To": "jan@x.example, faktury+doc-abc@firma.example"},
        {"To": "odp-doc-123@firma.example"},
        {"To": "ODP-doc-123@Firma.Example"},
        {"Auto_Submitted": "no"},
        {"Auto_Submitted": "No (a person)"},
        {"Precedence": "normal"},
        {"Precedence": "first-class"},
        {"X_Spam_Flag": "NO"},
        {"X_Auto_Response_Suppress": "None"},
        {"Date": None},
        {"Date": "Mon, 16 Nov 2026 12:00:00 +0000"},
        {"From": "ownerin@klient.example", "Return_Path": "<ownerin@klient.example>"},
        {"Return_Path": "<prvs=1234abcdef=jan@klient.example>"},
        {"Reply_To": "lista@klient.example"},
    ],
)
def test_a_person_who_writes_to_us_is_answered(fields: dict[str, str | None]) -> None:
    assert judge(write(**fields)) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Return_Path": "<>"}, "null_path"),
        ({"Return_Path": " < > "}, "null_path"),
        ({"From": None}, "no_sender"),
        ({"From": None, "Return_Path": None}, "no_sender"),
        ({"From": "nobody at all"}, "no_sender"),
        ({"From": "MAILER-DAEMON@klient.example"}, "machine"),
        ({"From": "MAILER-DAEMON"}, "no_sender"),
        ({"Return_Path": "<MAILER-DAEMON@klient.example>"}, "machine"),
        ({"From": "postmaster@klient.example"}, "machine"),
        ({"From": "lista-request@klient.example"}, "machine"),
        ({"Return_Path": "<lista-request@klient.example>"}, "machine"),
        ({"From": "owner-lista@klient.example"}, "machine"),
        ({"Return_Path": "<owner-lista@klient.example>"}, "machine"),
        ({"Return_Path": "<lista-owner@klient.example>"}, "machine"),
        ({"From": "LISTSERV@klient.example"}, "machine"),
        ({"From": "majordomo@klient.example"}, "machine"),
        ({"From": "listproc@klient.example"}, "machine"),
        ({"From": "no-reply@klient.example"}, "machine"),
        ({"From": "do_not_reply@klient.example"}, "machine"),
        ({"From": "Sklep <noreply+123@klient.example>"}, "machine"),
        ({"From": "nieodpowiadaj@klient.example"}, "machine"),
        ({"Return_Path": "<bounces+42-jan=firma.example@klient.example>"}, "machine"),
        ({"Return_Path": "<lista-bounces@klient.example>"}, "machine"),
        ({"Return_Path": "<bounce-4711.x@klient.example>"}, "machine"),
        ({"Sender": "lista-bounces@klient.example"}, "machine"),
        ({"Sender": "owner-lista@klient.example"}, "machine"),
        ({"List_Id": "<lista.klient.example>"}, "list"),
        ({"List_Unsubscribe": "<mailto:a@klient.example>"}, "list"),
        ({"List_Post": "<mailto:a@klient.example>"}, "list"),
        ({"Mailing_List": "a"}, "list"),
        ({"Precedence": "list"}, "list"),
        ({"Precedence": "bulk"}, "list"),
        ({"Precedence": "junk"}, "list"),
        ({"Precedence": "bulk", "In_Reply_To": "<a@b>"}, "machine"),
        ({"Precedence": "auto_reply"}, "machine"),
        ({"Auto_Submitted": "auto-replied"}, "machine"),
        ({"Auto_Submitted": "auto-generated"}, "machine"),
        ({"Auto_Submitted": "auto-notified; owner-email=a@b.example"}, "machine"),
        ({"Auto_Submitted": "x-of-the-future"}, "machine"),
        ({"Auto_Submitted": "none"}, "machine"),
        ({"Auto_Submitted": ""}, "machine"),
        ({"X_Auto_Response_Suppress": "All"}, "machine"),
        ({"X_Auto_Response_Suppress": "DR, OOF, AutoReply"}, "machine"),
        ({"X_Autoreply": "yes"}, "machine"),
        ({"X_Failed_Recipients": "a@b.example"}, "report"),
        ({"Subject": "Odpowiedź automatyczna: Pytanie"}, "machine"),
        ({"Subject": "Automatic reply: Question"}, "machine"),
        ({"Content_Type": "multipart/report; report-type=delivery-status; boundary=b"}, "report"),
        ({"X_Spam_Flag": "YES"}, "spam"),
        ({"X_Spam_Status": "Yes, score=9.9 required=5.0"}, "spam"),
        ({"To": "lista@firma.example"}, "not_addressed"),
        ({"To": None}, "not_addressed"),
        ({"To": "undisclosed-recipients:;"}, "not_addressed"),
        ({"To": None, "Bcc": "lista@firma.example"}, "not_addressed"),
        ({"To": "faktury@firma.example.klient.example"}, "not_addressed"),
        ({"To": "xodp-doc@firma.example"}, "not_addressed"),
        ({"To": "odp-doc@inna.example"}, "not_addressed"),
        ({"Date": "Sun, 15 Nov 2026 11:59:59 +0000"}, "old"),
        ({"Date": "Thu, 1 Jan 2004 00:00:00 +0000"}, "old"),
    ],
)
def test_nobody_else_is(fields: dict[str, str | None], reason: str) -> None:
    assert judge(write(**fields)) == reason


def test_a_report_is_not_answered_however_it_is_sent() -> None:
    raw = write(Content_Type="multipart/report; report-type=disposition-notification; boundary=b")
    raw += (
        b"--b\r\n\r\nread\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\n"
        b"Final-Recipient: rfc822;jan@klient.example\r\n"
        b"Disposition: manual-action/MDN-sent-manually; displayed\r\n\r\n--b--\r\n"
    )
    assert judge(raw) == "report"


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({}, "jan@klient.example"),
        ({"Return_Path": None}, "jan@klient.example"),
        ({"Return_Path": "<biuro@klient.example>"}, "biuro@klient.example"),
        ({"Return_Path": None, "Reply_To": "lista@klient.example"}, "jan@klient.example"),
        ({"Return_Path": "<>"}, None),
    ],
)
def test_the_answer_goes_to_the_return_path_else_to_from(
    fields: dict[str, str | None], target: str | None
) -> None:
    found = find_target(read_incoming(write(**fields)))
    assert (found and found.address) == target


@pytest.mark.parametrize("days", [-400, 0, 6])
def test_a_date_in_the_future_or_a_few_days_back_is_answered(days: int) -> None:
    date = (AT - timedelta(days=days)).strftime("%a, %d %b %Y %H:%M:%S +0000")
    assert judge(write(Date=date)) is None


def test_the_page_and_the_manual_know_every_reason() -> None:
    manual = (Path(app.__file__).parents[1] / "docs" / "inbox.md").read_text()
    reasons = set(get_args(Reason))
    assert {each for each in reasons if f"`{each}`" not in manual} == set()
    assert set(STATES) == reasons | {DUE, SENT}


class _Everybody(Mine):
    """An account that every mail is addressed to: only the other rules are left."""

    def holds(self, address: str) -> bool:
        return True


def test_of_the_corpus_of_foreign_mail_only_people_are_answered() -> None:
    mails = {name: read_incoming(raw) for name, raw in load_corpus().items()}
    everybody = _Everybody(frozenset())
    answered = {
        name for name, read in mails.items() if judge_mail(read, everybody, read.date or AT) is None
    }
    assert answered <= {name for name, read in mails.items() if read.kind == "human"}
    assert answered
