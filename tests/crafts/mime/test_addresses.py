"""Address fields: what people write comes out in one form, or as a fault that says where."""

import random
import time
import unicodedata

import email_validator
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mime.address import MAX_MAILBOXES, Mailbox, is_canonical, parse_mailbox, parse_mailboxes
from tests.crafts.mime.oracle import ANY_TEXT, HOSTILE_TEXT


def read(value: object) -> list[tuple[str, str]]:
    mailboxes, faults = parse_mailboxes(value, "/to")
    assert faults == ()
    return [(each.name, each.address) for each in mailboxes]


def blame(value: object) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.code) for fault in parse_mailboxes(value, "/to")[1]]


@pytest.mark.parametrize(
    ("written", "mailboxes"),
    [
        ("jan@firma.pl", [("", "jan@firma.pl")]),
        ("<jan@firma.pl>", [("", "jan@firma.pl")]),
        ("Klient <k@klient.example>", [("Klient", "k@klient.example")]),
        ("a@x.pl, b@x.pl;c@x.pl", [("", "a@x.pl"), ("", "b@x.pl"), ("", "c@x.pl")]),
        ("a@x.pl,, ;b@x.pl;", [("", "a@x.pl"), ("", "b@x.pl")]),
        ("\u00a0 a@x.pl \u00a0", [("", "a@x.pl")]),
        (
            '"Nowak; Syn, \\"Sp. z o.o.\\"" <n@x.pl>; b@x.pl',
            [('Nowak; Syn, "Sp. z o.o."', "n@x.pl"), ("", "b@x.pl")],
        ),
        ("Jan (Biuro, Łódź) Kowalski <j@x.pl>", [("Jan (Biuro, Łódź) Kowalski", "j@x.pl")]),
        ("Firma Sp. z o.o. <f@x.pl>", [("Firma Sp. z o.o.", "f@x.pl")]),
        ('Jan "Kuba" K. <j@x.pl> (stary)', [("Jan Kuba K.", "j@x.pl")]),
        ("j@x.pl (Jan Kowalski)", [("Jan Kowalski", "j@x.pl")]),
        ("jan@ŻÓŁĆ.PL", [("", "jan@xn--kda4b0koi.pl")]),
        ("jan@xn--kda4b0koi.pl", [("", "jan@xn--kda4b0koi.pl")]),
        ("user@straße.de", [("", "user@xn--strae-oqa.de")]),
        ("Info@Firma.PL", [("", "Info@firma.pl")]),
        ("z\u0307o\u0301łw@x.pl", [("", "żółw@x.pl")]),
        ('"a b"@x.pl', [("", '"a b"@x.pl')]),
        ('"a,b;c@d"@x.pl', [("", '"a,b;c@d"@x.pl')]),
        ('"jan.k"@x.pl', [("", "jan.k@x.pl")]),
        ('Jan <"a>b"@x.pl>', [("Jan", '"a>b"@x.pl')]),
        ("a@[192.0.2.1], b@[IPv6:2001:DB8::1]", [("", "a@[192.0.2.1]"), ("", "b@[IPv6:2001:db8::1]")]),
        ("root@localhost", [("", "root@localhost")]),
        ("a@nas.local;b@x.test;c@x.invalid;d@x.example", [
            ("", "a@nas.local"), ("", "b@x.test"), ("", "c@x.invalid"), ("", "d@x.example")]),
        ("a+b_c=d@x-y.pl", [("", "a+b_c=d@x-y.pl")]),
        (["a@x.pl, Ewa <b@x.pl>", "c@x.pl"], [("", "a@x.pl"), ("Ewa", "b@x.pl"), ("", "c@x.pl")]),
        (
            [{"address": " a@x.pl ", "name": "Sp. z o.o., <Kraków>"}, "b@x.pl", {"address": "c@x.pl"}],
            [("Sp. z o.o., <Kraków>", "a@x.pl"), ("", "b@x.pl"), ("", "c@x.pl")],
        ),
        ({"address": "a@x.pl", "name": None}, [("", "a@x.pl")]),
        (None, []),
        ("", []),
        (" ; ", []),
        ([], []),
    ],
)  # fmt: skip
def test_an_address_field_is_read_in_every_form_that_people_use(
    written: object, mailboxes: list[tuple[str, str]]
) -> None:
    assert read(written) == mailboxes


# fmt: off
NO_MAILBOXES = [
    "jan", "@x.pl", "jan@", "a@@x.pl", "a@x.pl b@x.pl", "a b@x.pl", "a@x..pl", ".a@x.pl", "a.@x.pl",
    "a@-x.pl", "a@x_y.pl", "a@x.pl.", "a@10.0.0.1", "a@[10.0.0.1", "a@[300.0.0.1]", "a@[foo:1]",
    "<>", "a＠x.pl", "mailto:a@x.pl",
    "Jan <a@x.pl", 'Jan "Kuba <a@x.pl>', "Jan (Kuba <a@x.pl>", "Jan <a@x.pl> b", "<a@x.pl> <b@x.pl>",
    "<@relay.pl:a@x.pl>", "Dział: Faktury <a@x.pl>",
    "a@x.pl\n", "a@x.pl\r\nBcc: e@x.pl", "Jan\n <a@x.pl>", "a\0@x.pl", "a\x7f@x.pl", "Jan\u2028 <a@x.pl>",
    "\ud800 <a@x.pl>", "a\ud800@x.pl",
    "x" * 65 + "@x.pl", "ż" * 33 + "@x.pl", "a@" + "x" * 64 + ".pl", "a@" + "x." * 125 + "plx",
    "N" * 257 + " <a@x.pl>", 5, True, 1.5, [["a@x.pl"]], [None], {},
]
HOSTILE_UNITS = [
    '"', '"\\', "<", "<<a", '<"', '"<', "(", "((", "(\\", "[", "[(", ",", "a", "a.", "@", "a@a.", "a@a-", " ",
    "\\", ":", "<>", "()", '""', '" "<', "ż", "a@ż.", "a@xn--",
]
# fmt: on


@pytest.mark.parametrize("written", NO_MAILBOXES)
def test_what_is_no_mailbox_is_a_fault(written: object) -> None:
    mailboxes, faults = parse_mailboxes(written, "/to")
    assert mailboxes == ()
    assert {fault.code for fault in faults} == {"invalid_address"}
    assert all(fault.detail.isascii() and fault.detail.endswith(".") for fault in faults)


def test_a_group_is_refused_and_the_fault_says_so() -> None:
    for group in ("Zarząd: a@x.pl;", "undisclosed-recipients:;"):
        [fault] = parse_mailboxes(group, "/to")[1]
        assert "groups" in fault.detail


def test_all_faults_come_at_once_each_with_its_pointer() -> None:
    value = [
        "a@x.pl, b@@x.pl, c",
        {"address": "d@", "name": "D\nE", "e/mail~": 1},
        7,
        {"name": 3},
        "ok@x.pl",
    ]
    assert blame(value) == [
        ("/to/0", "invalid_address"),
        ("/to/0", "invalid_address"),
        ("/to/1/e~1mail~0", "unknown_field"),
        ("/to/1/address", "invalid_address"),
        ("/to/1/name", "invalid_address"),
        ("/to/2", "invalid_address"),
        ("/to/3/address", "invalid_address"),
        ("/to/3/name", "invalid_address"),
    ]
    assert [each.address for each in parse_mailboxes(value, "/to")[0]] == ["a@x.pl", "ok@x.pl"]


def test_a_single_mailbox_is_exactly_one() -> None:
    assert parse_mailbox("Jan <a@x.pl>", "/sender") == (Mailbox("a@x.pl", "Jan"), ())
    assert parse_mailbox({"address": "a@x.pl"}, "/sender") == (Mailbox("a@x.pl"), ())
    for value in (None, "", "a@x.pl, b@x.pl", "a@", {"address": "a@x.pl", "x": 1}):
        mailbox, faults = parse_mailbox(value, "/sender")
        assert mailbox is None
        assert faults
        assert all(fault.pointer.startswith("/sender") for fault in faults)


def test_a_mailbox_knows_its_domain_and_what_it_needs() -> None:
    [plain, foreign] = parse_mailboxes('"a@b"@X.pl; żółw@żółw.pl', "/to")[0]
    assert (plain.domain, plain.needs_smtputf8) == ("x.pl", False)
    assert (foreign.domain, foreign.needs_smtputf8) == ("xn--w-uga1v8h.pl", True)
    assert Mailbox("Jan@x.pl", "A").key == Mailbox("jan@x.pl", "B").key


def test_too_many_mailboxes_end_the_reading() -> None:
    mailboxes, faults = parse_mailboxes("a@x.pl," * (MAX_MAILBOXES + 5), "/to")
    assert len(mailboxes) == MAX_MAILBOXES
    assert [(fault.pointer, fault.code) for fault in faults] == [("/to", "too_many_mailboxes")]
    assert len(parse_mailboxes("@," * MAX_MAILBOXES * 2, "/to")[1]) == MAX_MAILBOXES + 1


@pytest.mark.parametrize("unit", HOSTILE_UNITS)
def test_hostile_input_does_not_keep_the_parser_busy(unit: str) -> None:
    start = time.process_time()
    mailboxes, faults = parse_mailboxes(unit * (300_000 // len(unit)), "/to")
    # About 0.1 s; a parser that looks at everything again for every character needs an hour.
    assert time.process_time() - start < 10
    assert not mailboxes
    assert bool(faults) == bool(unit.strip(" ,"))


@given(st.recursive(ANY_TEXT | HOSTILE_TEXT | st.none() | st.integers(), lambda inner: st.lists(inner)
    | st.dictionaries(st.sampled_from(["address", "name"]) | ANY_TEXT, inner), max_leaves=8))  # fmt: skip
def test_nothing_makes_the_parser_raise_and_what_it_accepts_is_canonical(value: object) -> None:
    for mailbox in parse_mailboxes(value, "/to")[0]:
        assert is_canonical(mailbox.address)
        assert mailbox.address.isprintable()
        assert len(mailbox.address.encode()) <= 254
        assert parse_mailboxes({"address": mailbox.address, "name": mailbox.name}, "")[0] == (
            mailbox,
        )


LOCAL = st.from_regex(r"\A[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,70}\Z")
DOMAIN = st.from_regex(r"\A[A-Za-z0-9.-]{1,70}\Z") | st.lists(
    st.from_regex(r"\A[a-zA-Z0-9-]{1,64}\Z"), min_size=1, max_size=5
).map(".".join)


@given(LOCAL, DOMAIN)
def test_the_short_way_agrees_with_email_validator(local_part: str, domain: str) -> None:
    address = f"{local_part}@{domain}"
    try:
        valid = email_validator.validate_email(
            address, strict=True, globally_deliverable=False, check_deliverability=False
        )
        expected = [("", f"{local_part}@{valid.ascii_domain}")]
        if domain.rpartition(".")[2].isdigit():
            expected = []
    except email_validator.EmailNotValidError:
        expected = []
    assert [
        (m.name, m.address) for m in parse_mailboxes([{"address": address}], "/to")[0]
    ] == expected


ALPHABET = "abcXYZ019 ,;<>@()\"'\\.:[]!#$%&*+-/=?^_`{|}~żółćĄ漢字😀éß"


def make_random_list(source: random.Random) -> tuple[str, list[tuple[str, str]]]:
    """Return an address list as a program writes it, and what it means."""
    written, meant = [], []
    for _ in range(source.randint(1, 6)):
        name = "".join(source.choices(ALPHABET, k=source.randint(0, 30))).strip()
        local_part = source.choice(
            ["jan", "a.b+c", '"a,b; <c>"', '"x@y"', "żółw", "o'neil", "=?x?="]
        )
        domain = source.choice(["x.pl", "żółw.pl", "localhost", "[192.0.2.1]", "mail-1.x.example"])
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        address = f"{local_part}@{domain}"
        written.append(f'"{escaped}" <{address}>' if name else address)
        meant.append(
            (unicodedata.normalize("NFC", name), address.replace("żółw.pl", "xn--w-uga1v8h.pl"))
        )
    return "".join(f"{each}{source.choice([',', ';', ', ', ' ; '])}" for each in written), meant


def test_3000_random_lists_come_back_with_the_same_mailboxes() -> None:
    source = random.Random(20261122)
    for _ in range(3000):
        written, meant = make_random_list(source)
        assert read(written) == meant
