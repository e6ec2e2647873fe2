"""Transfer encodings: 7-bit lines that decode to what came in."""

import base64
import quopri
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.mime.transfer import encode_base64, encode_text
from tests.crafts.mime.oracle import ANY_TEXT, HOSTILE_TEXT

DECODERS = {"7bit": bytes, "quoted-printable": quopri.decodestring, "base64": base64.b64decode}


def normalise(text: str) -> str:
    """Write every line break as CRLF, as text is on the wire."""
    return re.sub("\r\n|\r|\n", "\r\n", text).encode("utf-8", "replace").decode()


def assert_lines(encoded: bytes) -> None:
    lines = encoded.split(b"\r\n")
    assert encoded.isascii()
    assert max(map(len, lines)) <= 76
    assert not any(
        line.startswith((b".", b"From ")) or line.endswith((b" ", b"\t")) for line in lines
    )
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    assert b"=_" not in encoded


@pytest.mark.parametrize(
    "length", [0, 1, 56, 57, 58, 114, 57 * 256 - 1, 57 * 256, 57 * 256 + 1, 57 * 512, 10**5]
)
def test_base64_is_cut_into_lines_of_76_columns(length: int) -> None:
    content = bytes(range(256)) * (length // 256 + 1)
    encoded = encode_base64(content[:length])
    assert encoded == base64.encodebytes(content[:length]).rstrip(b"\n").replace(b"\n", b"\r\n")


@given(
    ANY_TEXT
    | HOSTILE_TEXT
    | st.integers(1, 9000).map(lambda length: "zażółć <b>.\r\n" * (length // 13))
)
@example("x" * 75 + " \n.")
@example("x" * 74 + "\t\r\n" + "=" * 200)
@example("." * 300)
@example("x" * 75 + ".from\r" + "x" * 75 + "From here")
@example("koniec \t")
def test_every_text_survives_its_encoding(text: str) -> None:
    encoding, encoded = encode_text(text)
    assert_lines(encoded)
    assert DECODERS[encoding](encoded).decode() == normalise(text)


@pytest.mark.parametrize(
    ("text", "encoding", "encoded"),
    [
        ("Hello\nworld\n", "7bit", b"Hello\r\nworld\r\n"),
        ("", "7bit", b""),
        ("Dzień dobry", "quoted-printable", b"Dzie=C5=84 dobry"),
        ("a=b", "quoted-printable", b"a=3Db"),
        (".\n..\n.a", "quoted-printable", b"=2E\r\n=2E.\r\n=2Ea"),
        ("From me\n>From me", "quoted-printable", b"=46rom me\r\n>From me"),
        ("a \nb\t", "quoted-printable", b"a=20\r\nb=09"),
        ("x" * 77, "quoted-printable", b"x" * 75 + b"=\r\nxx"),
        ("\0\x7f", "quoted-printable", b"=00=7F"),
        ("\ud800", "7bit", b"?"),
        ("您好", "base64", b"5oKo5aW9"),
        ("a" * 9000, "base64", encode_base64(b"a" * 9000)),
    ],
)  # fmt: skip
def test_the_encoding_fits_the_text(text: str, encoding: str, encoded: bytes) -> None:
    assert encode_text(text) == (encoding, encoded)
