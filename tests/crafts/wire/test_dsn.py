"""RFC 3461's parameters."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wire import dsn


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_xtext_comes_back_and_is_clean_on_the_way(text: str) -> None:
    encoded = dsn.encode_xtext(text)
    assert re.fullmatch(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", encoded)
    assert dsn.decode_xtext(encoded) == text


@given(st.text())
def test_reading_xtext_never_raises(text: str) -> None:
    assert isinstance(dsn.decode_xtext(text), str)


def test_xtext_of_rfc_3461() -> None:
    assert dsn.encode_xtext("QQ314159 a+b=c") == "QQ314159+20a+2Bb+3Dc"
    assert dsn.decode_xtext("a+2Bb+ZZ+") == "a+b+ZZ+"


@pytest.mark.parametrize(
    ("words", "notify"),
    [
        (["OnSuccess", "OnFailure", "Delay"], ("SUCCESS", "FAILURE", "DELAY")),
        (["on_failure", "ON-FAILURE"], ("FAILURE",)),
        (["Never"], ("NEVER",)),
        (["None"], ()),
        ([], ()),
    ],
)
def test_a_configurations_words_become_notify(words: list[str], notify: tuple[str, ...]) -> None:
    assert dsn.choose_notify(words) == notify


@pytest.mark.parametrize(
    ("notify", "address", "parameters"),
    [
        (None, "a@b.pl", ["ORCPT=rfc822;a@b.pl"]),
        ((), "a@b.pl", ["ORCPT=rfc822;a@b.pl"]),
        (("NEVER",), "a=x@b.pl", ["NOTIFY=NEVER", "ORCPT=rfc822;a+3Dx@b.pl"]),
        (("SUCCESS", "DELAY"), "ż@b.pl", ["NOTIFY=SUCCESS,DELAY", r"ORCPT=utf-8;\x{17C}@b.pl"]),
        (("DELAY",), "x" * 500 + "@b.pl", ["NOTIFY=DELAY"]),
    ],
)
def test_rcpt_parameters(
    notify: tuple[str, ...] | None, address: str, parameters: list[str]
) -> None:
    assert dsn.list_rcpt_parameters(notify, address) == parameters


@pytest.mark.parametrize(
    ("ret", "envid", "parameters"),
    [
        (None, None, []),
        ("headers", "m1", ["RET=HDRS", "ENVID=m1"]),
        ("full", "", ["RET=FULL"]),
        (None, "x" * 101, []),
    ],
)
def test_mail_parameters(ret: str | None, envid: str | None, parameters: list[str]) -> None:
    assert dsn.list_mail_parameters(ret, envid) == parameters
