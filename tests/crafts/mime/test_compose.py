"""Whole messages: byte for byte against golden files, and read back as other programs read them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Refused
from app.mime.address import Mailbox
from app.mime.compose import Attachment, Outgoing, compose, encode_base64
from app.mime.headers import clean_filename, strip_controls
from tests.crafts.mime.golden_messages import (
    CALENDAR,
    CARDS,
    DRAFT,
    EVENT,
    FILENAMES,
    FILES,
    FOLDER,
    FOREIGN,
    HIDDEN,
    IMAGE,
    MESSAGES,
    PLAIN,
    TABLE,
)
from tests.crafts.mime.oracle import (
    ANY_TEXT,
    HOSTILE_TEXT,
    assert_wire_form,
    parse,
    read_recipients,
)
from tests.crafts.mime.test_transfer import normalise


def write(outgoing: Outgoing) -> bytes:
    return compose(outgoing, boundary_seed="b0").raw


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_its_golden_file_byte_for_byte(name: str) -> None:
    raw = write(MESSAGES[name])
    assert_wire_form(raw, is_ascii=name != "foreign")
    assert raw == (FOLDER / f"{name}.eml").read_bytes()


def test_the_standard_library_reads_back_what_was_meant() -> None:
    message = parse(write(TABLE))
    assert message["Subject"] == TABLE.subject
    assert message["Date"].datetime == TABLE.date
    assert message["Message-ID"] == TABLE.message_id
    assert message["References"] == " ".join(TABLE.references)
    assert message["List-Unsubscribe"] == ", ".join(f"<{url}>" for url in TABLE.list_unsubscribe)
    assert message["Disposition-Notification-To"] == '"Firma Sp. z o.o." <faktury@firma.example>'
    for field, mailboxes in (("From", (TABLE.sender,)), ("To", TABLE.to), ("Cc", TABLE.cc)):
        assert read_recipients(message, field) == [(each.name, each.address) for each in mailboxes]
    assert message["Bcc"] is None
    assert b"ukryty" not in write(TABLE)
    plain, html = message.iter_parts()
    assert plain.get_content() == TABLE.text.replace("\n", "\r\n")
    assert html.get_content() == (TABLE.html or "").replace("\n", "\r\n")
    assert not message.defects
    assert not any(message[field].defects for field in message)


def test_attachments_keep_names_types_and_content() -> None:
    read = list(parse(write(FILES)).iter_attachments())
    assert [each.get_filename() for each in read] == [clean_filename(name) for name in FILENAMES]
    assert all(each.get_content_type() == "application/pdf" for each in read)
    assert all(each.get_content() == b"%PDF-1.7\n" * 9 for each in read)
    assert all(each.get_content_disposition() == "attachment" for each in read)


def test_an_inline_image_belongs_to_the_html() -> None:
    message = parse(write(IMAGE))
    related, pdf = message.iter_parts()
    alternative, image = related.iter_parts()
    assert message.get_content_type() == "multipart/mixed"
    assert related.get_content_type() == "multipart/related"
    assert related.get_param("type") == "multipart/alternative"
    assert [each.get_content_type() for each in alternative.iter_parts()] == [
        "text/plain",
        "text/html",
    ]
    assert (image["Content-ID"], image.get_content_disposition()) == ("<logo@firma>", "inline")
    assert image.get_content() == IMAGE.attachments[0].content
    assert pdf.get_filename() == "umowa.pdf"


def test_an_invitation_is_a_form_of_the_text() -> None:
    *_, calendar = parse(write(CALENDAR)).iter_parts()
    assert calendar.get_content_type() == "text/calendar"
    assert calendar.get_param("method") == "REQUEST"
    assert calendar.get_content() == EVENT.decode()


def test_cards_and_tasks_keep_their_types_and_a_mail_arrives_as_a_file() -> None:
    card, task, table, mail = parse(write(CARDS)).iter_attachments()
    assert (card.get_content_type(), card.get_param("charset")) == ("text/vcard", "utf-8")
    assert card.get_content() == CARDS.attachments[0].content.decode()
    assert (task.get_content_type(), task.get_content()) == ("text/calendar", EVENT.decode())
    assert (table.get_content_type(), table.get_param("charset")) == ("text/csv", None)
    assert (table.get_param("header"), table.get_filename()) == ("present", "stare.csv")
    assert table.get_payload(decode=True) == CARDS.attachments[2].content
    assert (mail.get_content_type(), mail.get_filename()) == (
        "application/octet-stream",
        "list.eml",
    )
    assert mail.get_content() == CARDS.attachments[3].content


def test_a_draft_shows_bcc_and_has_no_message_id() -> None:
    message = parse(write(DRAFT))
    assert message["X-Unsent"] == "1"
    assert read_recipients(message, "Bcc") == [("Ukryty", "ukryty@firma.example")]
    assert message["Message-ID"] is None
    assert message["To"] is None


def test_hidden_receivers_leave_no_trace() -> None:
    raw = write(HIDDEN)
    assert b"ukryty" not in raw
    assert parse(raw)["To"] == "undisclosed-recipients:;"
    assert b"undisclosed" not in write(replace(HIDDEN, cc=PLAIN.to))


@pytest.mark.parametrize(
    ("importance", "fields"),
    [
        ("very_low", ("5", "low", "non-urgent")),
        ("low", ("4", "low", "non-urgent")),
        ("normal", (None, None, None)),
        ("high", ("2", "high", "urgent")),
        ("very_high", ("1", "high", "urgent")),
    ],
)
def test_importance_is_written_for_every_kind_of_reader(
    importance: str, fields: tuple[str | None, ...]
) -> None:
    message = parse(write(replace(PLAIN, importance=importance)))
    assert (message["X-Priority"], message["Importance"], message["Priority"]) == fields


def test_only_an_address_outside_ascii_needs_smtputf8() -> None:
    assert not compose(PLAIN, boundary_seed="b0").needs_smtputf8
    composed = compose(FOREIGN, boundary_seed="b0")
    assert composed.needs_smtputf8
    assert "To: =?utf-8?b?xbvDs8WCdw==?= <żółw@xn--w-uga1v8h.pl>\r\n".encode() in composed.raw
    hidden = replace(PLAIN, bcc=FOREIGN.to)
    assert compose(hidden, boundary_seed="b0").needs_smtputf8
    assert compose(hidden, boundary_seed="b0").raw.isascii()


def test_levels_stand_only_where_they_are_needed() -> None:
    html = "<html>x</html>"
    image = Attachment("x.png", "image/png", b"x", content_id="x")
    for outgoing, types in (
        (PLAIN, ["text/plain"]),
        (replace(PLAIN, text="", html=html), ["text/html"]),
        (replace(PLAIN, html=html), ["multipart/alternative", "text/plain", "text/html"]),
        (
            replace(PLAIN, text="", html=html, attachments=(image,)),
            ["multipart/related", "text/html", "image/png"],
        ),
        (replace(PLAIN, attachments=(image,)), ["multipart/mixed", "text/plain", "image/png"]),
        (
            replace(PLAIN, text="", attachments=(image,)),
            ["multipart/mixed", "text/plain", "image/png"],
        ),
    ):
        assert [part.get_content_type() for part in parse(write(outgoing)).walk()] == types


def test_base64_made_beforehand_gives_the_same_message() -> None:
    content = bytes(range(256)) * 500
    fresh = Attachment("x.bin", "application/octet-stream", content)
    ready = replace(fresh, encoded=encode_base64(content))
    assert write(replace(PLAIN, attachments=(fresh,))) == write(
        replace(PLAIN, attachments=(ready,))
    )


def test_everything_wrong_is_refused_at_once() -> None:
    wrong = replace(
        PLAIN,
        sender=Mailbox("a@x.pl>\r\nBcc: e@x.pl"),
        to=(PLAIN.to[0], Mailbox("")),
        read_receipt_to=Mailbox("A@X.PL"),
        message_id="<a@b>\r\nBcc: e@x.pl",
        in_reply_to="a@b",
        references=("<a@b>", "<a b>"),
        list_unsubscribe=("https://x.pl/>,<", "x.pl"),
        language="pl\r\n",
        auto_submitted="yes",
        importance="urgent",
        attachments=(
            Attachment("x", "application/pdf\r\nX: y", b"", content_id="a b"),
            Attachment("x", "text/plain; charset", b""),
        ),
        extra_headers=(
            ("Bcc", "e@x.pl"),
            ("X-A: b\r\nX", "y"),
            ("Content-Type", "text/html"),
            ("X-A", "b"),
        ),
    )
    with pytest.raises(Refused) as refused:
        compose(wrong, boundary_seed="b0")
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [
        ("/sender", "invalid_address"),
        ("/to/1", "invalid_address"),
        ("/read_receipt_to", "invalid_address"),
        ("/importance", "invalid_importance"),
        ("/message_id", "invalid_message_id"),
        ("/in_reply_to", "invalid_message_id"),
        ("/references/1", "invalid_message_id"),
        ("/list_unsubscribe/0", "invalid_url"),
        ("/list_unsubscribe/1", "invalid_url"),
        ("/language", "invalid_language"),
        ("/auto_submitted", "invalid_auto_submitted"),
        ("/attachments/0/content_id", "invalid_content_id"),
        ("/attachments/0/content_type", "invalid_content_type"),
        ("/attachments/1/content_type", "invalid_content_type"),
        ("/extra_headers/0", "invalid_header"),
        ("/extra_headers/1", "invalid_header"),
        ("/extra_headers/2", "invalid_header"),
    ]


@pytest.mark.parametrize(
    ("media_type", "written"),
    [
        ("Application/PDF", "application/pdf"),
        (
            "text/csv;header=present ; charset=ISO-8859-2",
            "text/csv; header=present; charset=ISO-8859-2",
        ),
        ('text/csv; x="a;\\"b"; charset=utf-8', 'text/csv; x="a;\\"b"; charset=utf-8'),
    ],
)
def test_a_media_type_keeps_its_parameters(media_type: str, written: str) -> None:
    raw = write(replace(PLAIN, attachments=(Attachment("", media_type, b"x"),)))
    assert f"Content-Type: {written}\r\nContent-Disposition: attachment\r\n".encode() in raw


@pytest.mark.parametrize("seed", ["", "a b", "a\r\n", "x" * 49, "ż"])
def test_a_boundary_is_made_of_letters_and_digits(seed: str) -> None:
    with pytest.raises(ValueError, match="boundary seed"):
        compose(PLAIN, boundary_seed=seed)


def test_a_body_cannot_hold_a_boundary() -> None:
    text = "\r\n--=_a_b0--\r\n--=_m_b0\r\nContent-Type: text/html\r\n\r\n<script>"
    outgoing = replace(
        PLAIN, text=text, html="x", attachments=(Attachment("x", "text/plain", text.encode()),)
    )
    message = parse(write(outgoing))
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/plain"]  # fmt: skip
    assert next(message.iter_attachments()).get_content() == text


TEXTS = ANY_TEXT | HOSTILE_TEXT
MAILBOXES = st.builds(Mailbox, st.sampled_from(["a@x.pl", '"a b"@x.pl', "u@[192.0.2.1]"]), TEXTS)
LISTS = st.lists(MAILBOXES, max_size=3).map(tuple)
TYPES = st.sampled_from(
    ["application/pdf", "text/plain", "text/calendar; method=REPLY", "message/rfc822"]
)
ATTACHMENTS = st.builds(
    Attachment, TEXTS, TYPES, st.binary(max_size=300), st.sampled_from([None, "a@b"])
)
OUTGOING = st.builds(
    Outgoing,
    sender=MAILBOXES,
    to=LISTS,
    cc=LISTS,
    bcc=LISTS,
    reply_to=LISTS,
    subject=TEXTS,
    text=TEXTS,
    html=st.none() | TEXTS,
    attachments=st.lists(ATTACHMENTS, max_size=3).map(tuple),
    message_id=st.sampled_from([None, "<1@x.pl>"]),
    date=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=30))])),
    unsent=st.booleans(),
    extra_headers=st.lists(st.tuples(st.just("X-Test"), TEXTS), max_size=2).map(tuple),
)


@given(OUTGOING)
def test_whatever_is_said_the_wire_form_is_kept_and_no_field_is_added(outgoing: Outgoing) -> None:
    raw = write(outgoing)
    assert_wire_form(raw)
    message = parse(raw)
    fields = [name.lower() for name in message.keys()]  # noqa: SIM118 (a field may stand twice)
    assert len(set(fields)) == len(fields) - max(0, len(outgoing.extra_headers) - 1)
    assert ("bcc" in fields) == bool(outgoing.unsent and outgoing.bcc)
    assert len(message["From"].addresses) == 1
    assert [len(message[name].addresses) for name in ("Cc", "Reply-To") if message[name]] == [
        len(each) for each in (outgoing.cc, outgoing.reply_to) if each
    ]
    leaves = [part for part in message.walk() if not part.is_multipart()]
    texts = [outgoing.text] * bool(outgoing.text or outgoing.html is None) + [
        outgoing.html or ""
    ] * (outgoing.html is not None)
    assert len(leaves) == len(texts) + len(outgoing.attachments)
    for part, text in zip(leaves, texts, strict=False):
        assert part.get_content().removesuffix("\r\n") == normalise(text).removesuffix("\r\n")
    read = sorted(part.get_payload(decode=True) for part in leaves[len(texts) :])
    assert read == sorted(each.content for each in outgoing.attachments)
    names = sorted(part["Content-Type"].params.get("name", "") for part in leaves[len(texts) :])
    assert names == sorted(clean_filename(each.filename) for each in outgoing.attachments)


@given(TEXTS)
def test_the_subject_is_read_back(subject: str) -> None:
    read = parse(write(replace(PLAIN, subject=subject)))["Subject"]
    assert read == strip_controls(subject)


def test_a_message_depends_on_its_arguments_alone() -> None:
    later = replace(FILES, date=datetime(2027, 1, 1, tzinfo=UTC))
    assert write(FILES) == write(replace(FILES))
    assert write(FILES) != write(later)
    assert write(FILES).replace(b"b0", b"b1") == compose(FILES, boundary_seed="b1").raw
