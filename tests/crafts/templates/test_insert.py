"""A piece at the foot of a body: where it goes, and that nothing else changes."""

import time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from app.templates_engine.insert import insert_html, insert_text, is_closed

GOLDEN = {
    "before the end of the body": "<html><body>Hi|</body></html>",
    "in any case, blanks kept": "<HTML><BODY>Hi|</BODY\n></HTML>\n",
    "before the end of the document without one of the body": "<html>Hi|</html>",
    "at the end of what has no end": "<html>Hi|",
    "not in a comment": "<html><body>Hi<!-- </body> -->|</body><!-- </body> --></html>",
    "not in an attribute": "<html><body><a title='</body>'>x</a>|</body>",
    "not in a script": "<html><body><script>'</body>'</script>|</body></html>",
    "not in a style": "<html><style>/* </body> */</style><body>x|</body></html>",
    "not in a title": "<html><title></body></title><body>x|</body></html>",
    "before the last of several": "<html><body>x</body></html><html><body>y|</body></html>",
    "not where only Outlook looks": (
        "<html><body>x<!--[if mso]></body></html><![endif]-->"
        "<!--[if !mso]><!-->|</body></html><!--<![endif]-->"
    ),
    "before a comment that never ends": "<html><body>x|<!-- open </body></html>",
    "before a conditional comment that never ends": "<html><body>x|<!--[if mso]> <p></body>",
    "before a tag that never ends": '<html><body>x|<a href="open </body></html>',
    "before a style that never ends": "<html><body>x|<style>a{} </body></html>",
    "before a declaration that never ends": "<html><body>x|<?php </body",
    "behind a comment of two signs": "<html>x<!-->|",
    "behind an end tag that is a comment": "<html>x</3 foo>|",
    "a brace is no markup": "<html>x{a}|</body>{b}<numer></html>",
    "behind a drawing whose style holds an angle": "<html><svg></svg><style>a<b</style>x|</body>",
    "behind character data": "<html>x<svg><![CDATA[ <x> ]]></svg>|</body>",
    "before plain text that never ends": "<html>x|<plaintext></body>",
    "a quote in a name is no quote": "<html><p a'b>x|</body><p c'd>",
}


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=list(GOLDEN))
def test_a_piece_goes_to_the_foot_of_the_body(golden: str) -> None:
    assert insert_html(golden.replace("|", ""), "<p>Anna</p>") == golden.replace("|", "<p>Anna</p>")


MARKUP = st.lists(
    st.sampled_from(
        [
            *("<html>", "<body>", "</body>", "</BODY >", "</html>", "<p title='</body>'>", "</p>"),
            *("<!--", "-->", "<!--[if mso]>", "<![endif]-->", "<!", "<?", "<", ">", "</", "'", '"'),
            *("<style>", "</style>", "<script>", "</script>", "<title>", "</title>"),
            *("{numer}", "{?numer}", "{/numer}", "<numer>", "&lt;numer&gt;", "<a href=", "<p a='"),
            *("=", "/", "text", " ", "\n", "\r\n", "ż"),
        ]
    ),
    max_size=30,
).map("".join)


@given(MARKUP | st.text())
@example("<html><body>x</body></html>")
def test_inserting_changes_no_other_byte(html: str) -> None:
    fragment = "<hr class=here>"
    whole = insert_html(html, fragment)
    head, found, tail = whole.partition(fragment)
    assert found
    assert head + tail == html
    assert insert_html(html, "") == html


@given(MARKUP)
def test_what_was_inserted_is_shown(html: str) -> None:
    # A script may hold another one inside a comment; no mail client runs either.
    assume("<script>" not in html or "<!--" not in html)
    tree = LexborHTMLParser(insert_html(html, "<hr class=here>"))
    assert len(tree.css("hr.here")) == 1


@given(st.text(), st.text(min_size=1))
def test_text_stands_below_a_blank_line(text: str, fragment: str) -> None:
    whole = insert_text(text, fragment)
    assert whole.startswith(text)
    assert whole.endswith(fragment)
    assert whole[len(text) : len(whole) - len(fragment)].strip("\r\n") == ""


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", "Anna"),
        ("Hi", "Hi\n\nAnna"),
        ("Hi\n", "Hi\n\nAnna"),
        ("Hi\n\n\n", "Hi\n\n\nAnna"),
        ("Hi\r\n", "Hi\r\n\r\nAnna"),
    ],
)
def test_text_gets_the_line_ends_it_lacks(text: str, whole: str) -> None:
    assert insert_text(text, "Anna") == whole
    assert insert_text(text, "") == text


@pytest.mark.parametrize("closed", ["", "<p>Anna", "<!-- note --><b>Anna</b>", "a < b", "<!-->x"])
def test_a_piece_is_closed_where_what_follows_is_read_alone(closed: str) -> None:
    assert is_closed(closed)


@pytest.mark.parametrize(
    "swallowing",
    ["<p>Anna<!--", "<a href='x", "<style>p{}", "<script>", "<textarea>", "<!--[if mso]>x", "<p"],
)
def test_a_piece_that_swallows_what_follows_is_not_closed(swallowing: str) -> None:
    assert not is_closed(swallowing)


@pytest.mark.parametrize(
    "piece",
    ["<!--", '</style a="', "<style>", "<a b='", "<a =", "</body ", "<", "<!", "</a b", "</"],
)
def test_finding_the_foot_is_linear(piece: str) -> None:
    started = time.perf_counter()
    insert_html(piece * (262_144 // len(piece)), "x")
    assert time.perf_counter() - started < 1
