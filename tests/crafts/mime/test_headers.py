"""Header fields: a reader gets back the text that came in, whatever it was, and never another field."""

import random
import re
from email import message_from_string, policy
from email.header import decode_header, make_header
from email.utils import getaddresses
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.mime.address import Mailbox
from app.mime.headers import (
    clean_filename,
    strip_controls,
    write_content_disposition,
    write_content_type,
    write_mailboxes,
    write_text,
    write_words,
)
from tests.crafts.mime.oracle import ANY_TEXT, HOSTILE_TEXT
from tests.crafts.mime.test_addresses import make_random_list


def assert_field(field: str) -> None:
    """One field: every further line starts with a blank and has something else in it too."""
    first, *others = field.split("\r\n")
    assert re.match(r"[A-Za-z-]+: ", first)
    assert all(re.match(" +[^ ]", line) for line in others)
    assert not re.search(r"[\x00-\x1f\x7f]", field.replace("\r\n", ""))
    assert max(map(len, (first, *others))) <= 998
    assert all(len(line) <= 76 for line in (first, *others) if "=?" in line)


def unfold(field: str) -> str:
    return field.partition(": ")[2].replace("\r\n", "")


def read_list(field: str) -> list[tuple[str, str]]:
    """Return (name, address) of every mailbox.

    By the old parser: the new one of CPython 3.11 leaves blanks between encoded words in names.
    """
    return [
        (str(make_header(decode_header(name))), address)
        for name, address in getaddresses([unfold(field)])
    ]


@given(ANY_TEXT | HOSTILE_TEXT)
@example("=?utf-8?q?x=0D=0ABcc:_e@x?=")
@example(" a ")
@example("a" + " " * 100 + "b")
@example("ż" * 500)
@example("😀" * 100)
@example("a😀" * 100)
@example("x" * 67)
@example("x" * 68)
def test_a_subject_is_read_back_as_it_was(subject: str) -> None:
    field = write_text("Subject", subject)
    assert_field(field)
    assert field.isascii()
    assert max(map(len, field.split("\r\n"))) <= 76
    assert str(make_header(decode_header(unfold(field)))) == strip_controls(subject)


@pytest.mark.parametrize(
    ("subject", "field"),
    [
        ("Invoice 12", "Subject: Invoice 12"),
        ("", "Subject: "),
        ("Żółw", "Subject: =?utf-8?b?xbvDs8WCdw==?="),
        (
            "Przypomnienie o zaplacie faktur FV 12/2026 i 13/2026 żółć",
            "Subject: =?utf-8?q?Przypomnienie_o_zaplacie_faktur_FV_12/2026_i_13/2026_?=\r\n"
            " =?utf-8?q?=C5=BC=C3=B3=C5=82=C4=87?=",
        ),
        ("a\r\nBcc: e@x", "Subject: a Bcc: e@x"),
        ("word " * 20 + "end", f"Subject: word{' word' * 12}\r\n{' word' * 7} end"),
        ("=?utf-8?q?x=0D=0ABcc:_e@x?=", "Subject: =?utf-8?b?PT91dGYtOD9xP3g9MEQ9MEFCY2M6X2VAeD89?="),
    ],
)  # fmt: skip
def test_a_subject_is_encoded_only_where_it_must_be(subject: str, field: str) -> None:
    assert write_text("Subject", subject) == field


@given(HOSTILE_TEXT)
def test_every_encoded_word_holds_whole_characters(text: str) -> None:
    for word in re.findall(r"=\?utf-8\?[qb]\?[^?]*\?=", write_text("Subject", "ż" + text)):
        assert len(word) <= 75
        assert "\ufffd" not in str(make_header(decode_header(word))).replace(
            "\ufffd" * ("\ufffd" in text), ""
        )


def test_what_machines_read_is_not_encoded_for_its_length() -> None:
    token = "t" * 800
    assert write_text("X-Token", token, longest_word=900) == f"X-Token: {token}"
    assert write_words(
        "List-Unsubscribe", (f"<https://x.example/{token}>,", "<mailto:u@x.example>")
    ) == (f"List-Unsubscribe: <https://x.example/{token}>,\r\n <mailto:u@x.example>")


@pytest.mark.parametrize(
    ("mailbox", "written"),
    [
        (Mailbox("a@x.pl"), "a@x.pl"),
        (Mailbox("a@x.pl", "Jan Kowalski"), "Jan Kowalski <a@x.pl>"),
        (Mailbox("a@x.pl", "Jan  Kowalski"), '"Jan  Kowalski" <a@x.pl>'),
        (Mailbox("a@x.pl", "Firma Sp. z o.o."), '"Firma Sp. z o.o." <a@x.pl>'),
        (Mailbox("a@x.pl", 'Nowak, "Szef" \\'), '"Nowak, \\"Szef\\" \\\\" <a@x.pl>'),
        (Mailbox("a@x.pl", "Żak"), "=?utf-8?b?xbthaw==?= <a@x.pl>"),
        (Mailbox("a@x.pl", "=?utf-8?q?=2C?="), "=?utf-8?b?PT91dGYtOD9xPz0yQz89?= <a@x.pl>"),
        (Mailbox("a@x.pl", "A\r\nBcc: e@x"), '"A Bcc: e@x" <a@x.pl>'),
        (Mailbox("a@x.pl", "\0 "), "a@x.pl"),
        (Mailbox('"a b"@x.pl', "Jan"), 'Jan <"a b"@x.pl>'),
    ],
)
def test_a_display_name_is_quoted_or_encoded_only_where_it_must_be(
    mailbox: Mailbox, written: str
) -> None:
    assert write_mailboxes("To", (mailbox,)) == f"To: {written}"


NAMES = (ANY_TEXT | HOSTILE_TEXT).map(lambda name: " ".join(strip_controls(name)[:256].split()))
ADDRESSES = st.sampled_from(
    ["a@x.pl", "o'neil@x.pl", '"a, b"@x.pl', "u@[192.0.2.1]", f"{'x' * 64}@{'y.' * 90}pl"]
)


@given(st.lists(st.builds(Mailbox, ADDRESSES, NAMES), min_size=1, max_size=8))
def test_an_address_list_is_read_back_as_it_was(mailboxes: list[Mailbox]) -> None:
    field = write_mailboxes("To", mailboxes)
    assert_field(field)
    assert field.isascii()
    assert read_list(field) == [(each.name, each.address) for each in mailboxes]


def test_3000_random_address_lists_are_read_back_as_they_were() -> None:
    source = random.Random(3000)
    for _ in range(3000):
        meant = [
            (" ".join(name.split()), address)
            for name, address in make_random_list(source)[1]
            if address.isascii()
        ]
        if meant:
            field = write_mailboxes("To", [Mailbox(address, name) for name, address in meant])
            assert_field(field)
            assert read_list(field) == meant


@given(ANY_TEXT | HOSTILE_TEXT)
@example("=?utf-8?q?x?=.pdf")
@example("漢" * 500 + ".pdf")
@example('a"b\\c.pdf')
@example("a;b=c.pdf")
def test_a_file_name_is_read_back_from_both_fields(filename: str) -> None:
    cleaned = clean_filename(filename)
    assert len(cleaned.encode()) <= 255
    assert clean_filename(cleaned) == cleaned
    disposition = write_content_disposition("attachment", cleaned)
    content_type = write_content_type("application/pdf", (), cleaned)
    assert_field(disposition)
    assert_field(content_type)
    assert disposition.count("filename*=") <= 1
    part = message_from_string(f"{content_type}\r\n{disposition}\r\n\r\n", policy=policy.default)
    assert part.get_content_type() == "application/pdf"
    assert part["Content-Disposition"].params.get("filename", "") == cleaned
    extended = re.search(r"filename\*=UTF-8''(\S*?)(?:;|$)", disposition)
    assert extended is None or unquote(extended[1]) == cleaned
    named = re.search('name="(.*)"', unfold(content_type))
    assert cleaned == (str(make_header(decode_header(named[1]))) if named else "")


@pytest.mark.parametrize(
    ("filename", "cleaned"),
    [
        ("FV 12/2026.pdf", "FV 12-2026.pdf"),
        ("..\\..\\x.pdf", "..-..-x.pdf"),
        (" a\r\nb.pdf ", "a b.pdf"),
        ("z\u0307.pdf", "ż.pdf"),
        ("a" * 300 + ".pdf", "a" * 251 + ".pdf"),
        ("ż" * 300 + ".pdf", "ż" * 125 + ".pdf"),
        ("a" * 300, "a" * 255),
        ("x." + "a" * 300, "x." + "a" * 253),
    ],
)
def test_a_file_name_carries_no_path_and_fits_every_file_system(
    filename: str, cleaned: str
) -> None:
    assert clean_filename(filename) == cleaned


@pytest.mark.parametrize(
    ("filename", "shown"),
    [("Zażółć gęślą jaźń – „Łódź”.pdf", "Zazolc gesla jazn - 'Lodz'.pdf"), ("发票.pdf", "__.pdf")],
)
def test_an_old_reader_sees_the_file_name_in_ascii(filename: str, shown: str) -> None:
    assert write_content_disposition("attachment", filename).endswith(f'filename="{shown}"')
