"""A reply is read as it is meant and shown without harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wire.reply import read_reply, speak_locally


def test_lines_are_joined_and_the_enhanced_code_is_taken_out_of_each() -> None:
    reply = read_reply(534, "5.7.9 Application-specific password required.\n5.7.9 Learn more")
    assert (reply.code, reply.enhanced) == (534, "5.7.9")
    assert reply.text == "Application-specific password required. Learn more"
    assert str(reply) == "534 5.7.9 Application-specific password required. Learn more"


@pytest.mark.parametrize(
    ("code", "text"),
    [(250, "5.1.1 not of this class"), (550, "10.0.0.1 is listed"), (550, "5.1.1.2 strange")],
)
def test_what_only_looks_like_an_enhanced_code_stays_text(code: int, text: str) -> None:
    reply = read_reply(code, text)
    assert (reply.enhanced, reply.text) == (None, text)


def test_a_code_alone_is_a_reply() -> None:
    assert str(read_reply(250, "")) == "250"


@pytest.mark.parametrize(
    ("code", "classes"),
    [(221, (True, False, False)), (354, (False,) * 3), (451, (False, True, False))],
)
def test_the_first_digit_decides(code: int, classes: tuple[bool, bool, bool]) -> None:
    reply = read_reply(code, "")
    assert (reply.is_positive, reply.is_transient, reply.is_permanent) == classes


def test_control_and_bidi_characters_are_escaped() -> None:
    assert read_reply(550, "a\x1b[2J\x00\u202eb\ud800\x9b").text == (
        r"a\x1b[2J\x00\u202eb\ud800\x9b"
    )


@given(st.integers(200, 599), st.text())
def test_whatever_a_server_says_is_one_printable_line_of_512_bytes(code: int, text: str) -> None:
    reply = read_reply(code, text * 9)
    assert reply.text.isprintable()
    assert len(reply.text.encode()) <= 512


def test_our_own_words_are_marked_as_ours() -> None:
    assert speak_locally(552, "5.3.4", "too large").local
    assert not read_reply(552, "5.3.4 too large").local
