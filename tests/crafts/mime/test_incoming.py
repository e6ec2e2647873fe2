"""Foreign mail: what is read of it, whatever it is written like, and what hostile mail cannot do."""

import random
import time
import tracemalloc
from base64 import encodebytes
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mime.entity import MAX_PARTS, split_message
from app.mime.fields import decode_base64, decode_words, read_date, read_fields, split_parameters
from app.mime.incoming import Incoming, IncomingPart, read_incoming
from app.mime.report import read_address
from app.mime.tags import MAX_TRIED, Tags, find_tags
from tests.crafts.mime import mutate_reports
from tests.crafts.mime.corpus import load_corpus, load_expected, tell, write_table
from tests.effort import look

CORPUS = load_corpus()
OURS = "<018f6f7e-2b1c-7a90.kX3_signed@firma.example>"


@pytest.mark.parametrize("name", CORPUS)
def test_a_report_says_what_stands_beside_it(name: str) -> None:
    assert tell(read_incoming(CORPUS[name])) == load_expected()[name]


@pytest.mark.parametrize("name", CORPUS)
def test_line_ends_make_no_difference(name: str) -> None:
    with_crlf = CORPUS[name].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert tell(read_incoming(with_crlf)) == load_expected()[name]


def test_every_expectation_has_its_message() -> None:
    assert load_expected().keys() == CORPUS.keys()


# Those reports that name our message nowhere.
NAMELESS = {
    "html_only_bounce", "exim_old_delayed", "daemon_says_nothing", "absence_without_signs", "list_mailman",
    "newsletter", "human_forwards_a_bounce",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CORPUS.keys() - NAMELESS))
def test_what_comes_back_leads_to_our_message(name: str) -> None:
    tags = find_tags(read_incoming(CORPUS[name]))
    assert OURS in tags.message_ids or tags.envelope_id == OURS[1:].partition("@")[0]


def test_an_answer_is_read_whole() -> None:
    incoming = read_incoming(CORPUS["human_outlook_polish"])
    assert incoming.from_
    assert (incoming.from_.name, incoming.from_.address) == ("Jan Kłos", "jan@klient.example")
    assert [each.name for each in incoming.to] == ["Anna Nowak, Księgowość"]
    assert [each.name for each in incoming.cc] == ["Lis, Ewa"]
    assert incoming.subject == "ODP: Faktura FV 12/2026 - zażółć"
    assert incoming.text.startswith("Dzień dobry,\nzapłacimy w piątek.")
    assert "<div>Dzień dobry,</div>" in incoming.html
    filename = "Potwierdzenie płatności.pdf"
    assert incoming.attachments == (IncomingPart(filename, "application/pdf", b"%PDF-1.7"),)
    assert find_tags(incoming) == Tags(
        "",
        (OURS, "<starszy@klient.example>"),
        ("anna+doc-9f3a@firma.example", "ewa@klient.example"),
    )


def read_head(head: bytes) -> Incoming:
    return read_incoming(head + b"\n\nx\n")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"From: jan@x.example", "human"),
        (b"", "human"),
        (b"From: jan@x.example\nAuto-Submitted: no", "human"),
        (b"From: jan@x.example\nX-Auto-Response-Suppress: None", "human"),
        (b"From: jan@x.example\nFeedback-ID: 1.eu:AmazonSES", "human"),
        (b"From: jan@x.example\nSubject: Re: Automatic reply: x", "human"),
        (b"From: jan@x.example\nSubject: nieobecny Jan pyta o fakture", "human"),
        (b"From: shop-owner@x.example", "human"),
        (b"From: jan@x.example\nAUTO-SUBMITTED: Auto-Replied (vacation)", "auto_reply"),
        (b"From: jan@x.example\nAuto-Submitted: auto-generated; owner=x", "auto_reply"),
        (b"From: jan@x.example\nAuto-Submitted: auto-notified", "auto_reply"),
        (b"From: jan@x.example\nX-Autoreply: yes", "auto_reply"),
        (b"From: jan@x.example\nX-Autorespond:  Re: x", "auto_reply"),
        (b"From: jan@x.example\nX-Auto-Response-Suppress: OOF, AutoReply", "auto_reply"),
        (b"From: jan@x.example\nReturn-Path: < >", "auto_reply"),
        (b"From: jan@x.example\nPrecedence: auto_reply", "auto_reply"),
        (b"From: jan@x.example\nPrecedence: junk\nIn-Reply-To: <a@b>", "auto_reply"),
        (b"From: jan@x.example\nSubject: =?utf-8?q?R=C3=A9ponse_automatique_:?= x", "auto_reply"),
        (b"From: jan@x.example\nSubject: [Out of office] x", "auto_reply"),
        (b"From: MAILER-DAEMON (Mail Delivery)", "auto_reply"),
        (b"From: =?utf-8?q?B=C3=B3t?= <No-Reply+42@x.example>", "auto_reply"),
        (b"From: donotreply@x.example", "auto_reply"),
        (b"From: jan@x.example\nSender: lista-bounces@x.example", "auto_reply"),
        (b"From: jan@x.example\nPrecedence: bulk", "list"),
        (b"From: jan@x.example\nList-Id: <x.y>", "list"),
        (b"From: jan@x.example\nList-Unsubscribe: <https://x.example>\nReturn-Path: <>", "list"),
        (b"From: jan@x.example\nList-Id: <x.y>\nAuto-Submitted: auto-replied", "auto_reply"),
    ],
)  # fmt: skip
def test_header_alone_tells_a_person_from_a_machine(head: bytes, kind: str) -> None:
    assert read_head(head).kind == kind


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("=?UTF-8?B?xbs=?= =?utf-8?Q?=C3=B3=C5=82w?=", "Żółw"),
        ("=?utf-8?b?xbvD?=\t=?utf-8?b?s8WCdw?=", "Żółw"),  # cut within a character, without padding
        ("a =?iso-8859-2?q?=B1=E6?= b", "a ąć b"),
        ("=?windows-1250?q?=9C?= =?utf-8?q?_x?=", "ś x"),
        ("=?utf-8*pl?q?tak?=", "tak"),
        ("=?punycode?q?abc?=", "abc"),
        ("=?utf-8?q?a=0D=0AB: c?=", "a B: c"),
        ("=?utf-8?q?broken", "=?utf-8?q?broken"),
    ],
)
def test_encoded_words_are_read_as_people_meant_them(written: str, read: str) -> None:
    assert decode_words(written) == read


@pytest.mark.parametrize(
    ("value", "filename"),
    [
        ("attachment; filename=a.pdf", "a.pdf"),
        ('attachment; filename="a;b \\"c\\".pdf"', 'a;b "c".pdf'),
        ("attachment; filename*=UTF-8''fakt%C5%BCura.pdf; filename=x", "faktżura.pdf"),
        ("attachment; filename*0*=iso-8859-2''%B1; filename*1=.pdf", "ą.pdf"),
        ("attachment; filename*1=b; filename*0=a", "ab"),
        ('attachment; filename="=?UTF-8?B?xbs=?=.pdf"', "Ż.pdf"),
        ("attachment; filename*999=x; filename*0=a", "ax"),
        ('attachment; filename="unclosed', "unclosed"),
    ],
)
def test_file_names_are_read_in_every_form(value: str, filename: str) -> None:
    assert split_parameters(value)[1]["filename"] == filename


def test_a_file_name_is_no_path() -> None:
    raw = b'Content-Disposition: attachment; filename="../../etc/\x00passwd"\n\nx'
    assert [part.filename for part in read_incoming(raw).attachments] == ["..-..-etc- passwd"]


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 22 Nov 2026 10:00:00 +0100 (CET)",
        "22 Nov 2026 09:00 -0000",
        "Sun, 22 Nov 2026 09:00:00",
    ],
)
def test_dates_come_out_as_utc(text: str) -> None:
    date = read_date(text)
    assert date
    assert date.isoformat() == "2026-11-22T09:00:00+00:00"


@pytest.mark.parametrize(
    "text", ["", "never", "Sun, 99 Nov 2026 10:00:00", "31 Dec 9999 23:59 -2359", "9" * 5000]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert read_date(text) is None


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("rfc822; jan@x.example", "jan@x.example"),
        ("RFC822;<jan@x.example>", "jan@x.example"),
        ("jan+20@x.example", "jan+20@x.example"),
        (r"utf-8; \x{17C}ółw@x.example", "żółw@x.example"),
        (r"utf-8; \x{110000}\x{D800}\x{0A}@x", "\ufffd\ufffd\ufffd@x"),
    ],
)
def test_addresses_of_reports_are_read_with_and_without_type(value: str, address: str) -> None:
    assert read_address(value) == address


def test_text_between_pictures_is_all_read() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=a\n\n--a\n\nfirst\n--a\nContent-Type: image/png\n\nP\n"
        b"--a\nContent-Type: text/plain; charset=utf-8\n\nsecond \xc5\xbb\n--a--\nepilogue"
    )
    incoming = read_incoming(raw)
    assert incoming.text == "first\nsecond Ż"
    assert incoming.attachments == (IncomingPart("", "image/png", b"P"),)


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        ("iso-8859-1", b"\x80", "€"),
        ("us-ascii", "ż".encode(), "ż"),
        ("unknown-8bit", b"\xfc", "ü"),
        ("utf-8", b"\xfc", "ü"),
        ("utf-16", "ż".encode("utf-16"), "ż"),
        ("idna", b"xn--a", "xn--a"),
        ("unicode_escape", b"\\ud800", "\\ud800"),
        ("", b"a\x00\x1bb", "ab"),
    ],
)
def test_text_is_decoded_whatever_its_charset_is_called(
    charset: str, octets: bytes, text: str
) -> None:
    raw = f'Content-Type: text/plain; charset="{charset}"\n\n'.encode() + octets
    assert read_incoming(raw).text == text


@given(st.binary(max_size=300))
def test_base64_survives_line_breaks_and_rubbish(content: bytes) -> None:
    assert decode_base64(encodebytes(content).replace(b"\n", b" \r\n!")) == content


def test_a_message_in_a_message_is_a_file_not_opened() -> None:
    inner = b"From: MAILER-DAEMON\nContent-Type: text/html\n\n<p>x"
    incoming = read_incoming(b"Content-Type: message/rfc822\n\n" + inner)
    assert (incoming.text, incoming.html, incoming.report) == ("", "", None)
    assert incoming.attachments == (IncomingPart("", "message/rfc822", inner),)


def test_no_more_than_so_many_tags_are_tried() -> None:
    many = " ".join(f"<{number}@x>" for number in range(1000))
    people = ",".join(f"a{number}@x.example" for number in range(1000))
    tags = find_tags(read_head(f"References: {many}\nTo: {people}".encode()))
    assert (len(tags.message_ids), len(tags.addresses)) == (MAX_TRIED, MAX_TRIED)
    assert tags.message_ids[0] == "<999@x>"


@given(st.binary(max_size=2000))
def test_any_octets_are_a_message(raw: bytes) -> None:
    mutate_reports.read_all(raw)


PIECES = [
    b"\n", b"\r\n", b" ", b"--a", b"--a--", b"--b", b"From: ", b"Subject: ", b"=?utf-8?b?", b"?=", b"x",
    b"Content-Type: multipart/report; boundary=a", b"Content-Type: multipart/mixed; boundary=b",
    b"Content-Type: message/delivery-status", b"Content-Type: message/disposition-notification",
    b"Content-Type: message/feedback-report", b"Content-Transfer-Encoding: base64", b"Disposition: ",
    b"Final-Recipient: ", b"Action: ", b"Status: ", b"5.1.1", b"rfc822; a@b.example", b"MAILER-DAEMON",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=60))
def test_pieces_of_reports_in_any_order_are_a_message(pieces: list[bytes]) -> None:
    mutate_reports.read_all(b"".join(pieces))


def test_the_damaged_corpus_raises_nothing_and_takes_no_time() -> None:
    figures = mutate_reports.run(look(200), first_seed=random.randrange(1_000_000))
    assert figures.faults == []
    assert figures.growth_mib < mutate_reports.MAX_GROWTH_MIB


def nest(depth: int) -> bytes:
    head = b"".join(
        b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(depth)
    )
    return head + b"\n" + b"x" * 1_000_000


MIB = 1024 * 1024
HOSTILE = {
    "nested": lambda: nest(5000),
    "nested in itself": lambda: b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" * 20_000,
    "parts": lambda: b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\nx\n" * 500_000,
    "almost boundaries": lambda: b"Content-Type: multipart/mixed; boundary=a\n\n" + b"\n--ab  " * 500_000,
    "blanks": lambda: b"Content-Type: multipart/mixed; boundary=a\n\n\n--a" + b" " * MIB + b"x",
    "fields": lambda: b"a: b\n" * 500_000,
    "one field": lambda: b"To: " + b"a@b," * MIB,
    "folds": lambda: b"Subject: x" + b"\n " * MIB,
    "addresses that are none": lambda: b"From: " + b"(" * 2 * MIB,
    "encoded words": lambda: b"Subject: " + b"=?utf-8?q?=" * MIB,
    "identifiers": lambda: b"References: " + b"<" * MIB + b"<a@b>" * MIB,
    "parameters": lambda: b"Content-Type: text/plain" + b"; a*1*=" * MIB,
    "quotes": lambda: b"Content-Type: text/plain; a=" + b'"\\' * MIB,
    "base64": lambda: b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + b"=!" * 4 * MIB,
    "quoted-printable": lambda: b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=" * 8 * MIB,
    "recipients": lambda: b"Content-Type: message/delivery-status\n\n" + b"Final-Recipient: a@b\n" * 200_000,
    "old bounce": lambda: b"From: mailer-daemon@yahoo.com\n\n" + b"failed addresses follow:\n" + b"a@b" * MIB,
    "old bounce in lines": lambda: b"From: mailer-daemon\n\nfailed addresses follow:\n" + b"x a@b\n" * MIB,
    "old bounce of blanks": lambda: b"From: mailer-daemon\n\n" + (b" " * 399 + b"x\n") * 10_000,
    "failed recipients": lambda: b"X-Failed-Recipients: " + b'"(<' * MIB,
    "mentions": lambda: b"X-Failed-Recipients: a@b.example\n\n" + b"a@b.example\n\n" * 500_000,
    "html": lambda: b"Content-Type: text/html\n\n" + b"<div>" * MIB,
}  # fmt: skip


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_mail_costs_no_more_than_its_size(make: Callable[[], bytes]) -> None:
    raw = make()
    start = time.process_time()
    mutate_reports.read_all(raw)
    assert time.process_time() - start < mutate_reports.MAX_S


def test_parts_beyond_the_bound_are_left_out() -> None:
    _, leaves = split_message(HOSTILE["parts"]())
    assert len(leaves) == MAX_PARTS


def test_a_great_attachment_is_held_only_a_few_times() -> None:
    content = b"QUJD" * 19 + b"\n"
    raw = (
        b"Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n" + content * 400_000
    )
    tracemalloc.start()
    try:
        (part,) = read_incoming(raw).attachments
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(part.content) == 400_000 * 19 * 3
    assert peak < 2 * len(raw)


def test_fields_are_unfolded_and_what_is_no_field_is_left_out() -> None:
    fields = read_fields(b"From jan Sun Nov 22\r\nA: b\r\nC : d\r\n\te\r\nno field\r\nF: g")
    assert fields.items == (("a", "b"), ("c", "d e"), ("f", "g"))


GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.eml"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_standard_library_reads_the_same_of_our_own_messages(path: Path) -> None:
    raw = path.read_bytes()
    oracle = message_from_bytes(raw, policy=policy.default)
    incoming = read_incoming(raw)
    assert incoming.subject == (oracle["subject"] or "")
    assert incoming.message_id == (oracle["message-id"] or "")
    assert incoming.date == (oracle["date"] and oracle["date"].datetime)
    addresses = [each.addr_spec for each in oracle["to"].addresses] if oracle["to"] else []
    utf8 = [each.encode("utf-8", "surrogateescape").decode() for each in addresses]
    assert [each.address for each in incoming.to] == utf8
    for media_type, read in (("plain", incoming.text), ("html", incoming.html)):
        body = oracle.get_body((media_type,))
        written = body.get_content().replace("\r\n", "\n") if body else ""
        assert read.rstrip("\n") == written.rstrip("\n")
    files = [part for part in oracle.walk() if part.get_filename()]
    assert [each.filename for each in incoming.attachments] == [
        part.get_filename() for part in files
    ]
    contents = [part.get_payload(decode=True) for part in files]
    assert [each.content for each in incoming.attachments] == contents


def test_the_table_of_the_corpus_in_the_docs_is_the_corpus() -> None:
    page = (Path(__file__).parents[3] / "docs/reliability.md").read_text()
    assert write_table() in page
