"""A configuration as written: what is taken, in which form it is kept, that nothing raises."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.configuration.document import FIELDS, SENDER, SMTP, describe_input, read_document
from app.configuration.language import order_languages, read_language
from app.configuration.port_options import expand_port
from app.configuration.rules import check_rules
from app.wire.address_policy import AddressPolicy

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_OPTIONS = [
    "AUTH:LOGIN",
    "CONN:STARTTLS",
    "LIMITE:12",
    "WAIT:15.5",
    "587",
    "x",
    "AUTH:",
    ":",
    "WAIT:x",
]


def _some(kinds):
    return st.dictionaries(st.sampled_from([*kinds, "port"]), _JSON, max_size=5)


@given(
    _some(FIELDS),
    _some(SMTP) | _JSON,
    _some(SENDER) | _JSON,
    st.dictionaries(_TEXTS, _JSON, max_size=2),
)
def test_any_json_is_read_or_refused_and_never_raises(fields, smtp, sender, more):
    raw = {**more, **fields, "smtp": smtp, "sender": sender}
    draft, faults = read_document(raw)
    faults += check_rules(draft, None, AddressPolicy())
    assert all(fault.code and fault.detail for fault in faults)
    if not faults:
        assert json.loads(json.dumps(draft.document)) == draft.document


@given(st.lists(st.sampled_from(_OPTIONS) | _TEXTS, max_size=6).map(" ".join))
def test_any_text_in_the_port_is_read_or_refused(text):
    faults = []
    found = expand_port({"port": text}, "/smtp", faults)
    assert set(found) <= {"port", "auth", "connection", "batch_limit", "batch_wait_s"}
    assert {fault.pointer for fault in faults} <= {"/smtp/port"}


@given(st.permutations(["587", "AUTH:LOGIN", "CONN:STARTTLS", "LIMITE:12", "WAIT:15.5"]))
def test_options_behind_the_port_stand_in_any_order_and_case(words):
    wanted = {
        "port": 587, "auth": "login", "connection": "starttls", "batch_limit": 12,
        "batch_wait_s": 15.5,
    }  # fmt: skip
    for text in (" ".join(words), " ".join(words).lower(), " : ".join(" ".join(words).split(":"))):
        draft, faults = read_document({"smtp": {"port": text}})
        assert faults == [] and draft.document["smtp"] == wanted


@pytest.mark.parametrize(
    ("smtp", "faults"),
    [
        ({"port": "AUTH:KERBEROS"}, {("/smtp/auth", "unknown_value")}),
        ({"port": "587 SPEED:3"}, {("/smtp/port", "unknown_option")}),
        ({"port": "587 465"}, {("/smtp/port", "duplicate_option")}),
        ({"port": "LIMITE:1 LIMIT:2"}, {("/smtp/port", "duplicate_option")}),
        ({"port": "submission"}, {("/smtp/port", "invalid_option")}),
        ({"port": "WAIT:soon"}, {("/smtp/port", "invalid_option")}),
        ({"port": "0"}, {("/smtp/port", "out_of_range")}),
        ({"port": "587 AUTH:LOGIN", "auth": "plain"}, {("/smtp/auth", "conflicting_values")}),
        ({"port": "587 AUTH:CRAM_MD5", "auth": "cram-md5"}, set()),
        ({"port": "LIMITE:0"}, set()),
        ({"port": ""}, set()),
    ],
)  # fmt: skip
def test_what_is_wrong_behind_the_port_is_named(smtp, faults):
    _, found = read_document({"smtp": smtp})
    assert {(fault.pointer, fault.code) for fault in found} == faults


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("SMTP.Firma.Example", "smtp.firma.example"),
        ("  smtp.firma.example. ", "smtp.firma.example"),
        ("poczta", "poczta"),
        ("mail_relay.lan", "mail_relay.lan"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("192.0.2.7", "192.0.2.7"),
        ("poczta.żółw.example", "poczta.xn--w-uga1v8h.example"),
    ],
)
def test_hosts_are_kept_in_one_form(host, kept):
    draft, faults = read_document({"smtp": {"host": host}})
    assert faults == [] and draft.document["smtp"]["host"] == kept


@pytest.mark.parametrize(
    "host",
    ["smtp.firma.example:587", "smtp://firma.example", "a b", "a..b", "-a.example", "a/b", "u@a.example",
     "a\r\nb", "żółw" * 40 + ".example"],
)  # fmt: skip
def test_what_is_no_host_is_refused(host):
    _, faults = read_document({"smtp": {"host": host}})
    assert [fault.pointer for fault in faults] == ["/smtp/host"]


def test_only_what_was_given_is_kept():
    draft, faults = read_document(
        {
            "cc": "",
            "language": "",
            "importance": None,
            "smtp": None,
            "sender": {},
            "macros": {"a": None},
        }
    )
    assert faults == []
    assert draft.document == {"cc": [], "language": "", "macros": {}}


def test_the_schema_names_exactly_the_members_that_are_read():
    schema = describe_input()["properties"]
    assert set(schema) == {*FIELDS, "smtp", "sender", "incoming"}
    assert set(schema["smtp"]["properties"]) == set(SMTP)
    assert schema["give_up_after_h"] == {
        "description": "How many hours a message is tried.",
        "type": "number",
        "minimum": 0.001,
        "maximum": 8760,
    }


@pytest.mark.parametrize(
    ("given", "tag"),
    [("PL", "pl"), ("fr_ch", "fr-CH"), ("zh-hant-tw", "zh-Hant-TW"),
     ("po polsku", None), ("", None), ("x" * 40, None)],
)  # fmt: skip
def test_language_tags_have_one_form(given, tag):
    assert read_language(given) == tag


def test_languages_are_tried_with_their_base_and_polish_last():
    assert order_languages("fr-CH", None, "en", "") == ["fr-CH", "fr", "en", "pl"]


ODD = [
    None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**400, "", "x" * 70_000, "\0", "\ud800", "☃@",
    [], [[]], [None], [{}], {}, {"x": {}}, {"": []},
]  # fmt: skip


def list_places(schema, place=()):
    """Every member that a schema names, with those around it; [] stands for what a list holds."""
    for name, of in schema.get("properties", {}).items():
        yield (*place, name)
        yield from list_places(of, (*place, name))
    if "items" in schema:
        yield (*place, "[]")
        yield from list_places(schema["items"], (*place, "[]"))


@pytest.mark.parametrize("place", list(list_places(describe_input())), ids=".".join)
def test_whatever_stands_at_a_member_is_a_value_or_a_fault(place):
    for odd in ODD:
        wrapped = odd
        for name in reversed(place):
            wrapped = [wrapped] if name == "[]" else {name: wrapped}
        _, faults = read_document(wrapped)
        assert all(fault.pointer.startswith("/") and fault.detail for fault in faults), odd
