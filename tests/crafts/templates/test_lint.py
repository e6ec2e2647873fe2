"""Advice on templates."""

import pytest

from app.templates_engine.lint import lint
from app.templates_engine.parse import compile_template
from tests.crafts.templates.test_catalogue import HTML_ELEMENTS


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{nummer}", [("unknown_macro", "Line 1: {nummer}", "the nearest is {numer}")]),
        ("a\n\n{moja wartosc x}", [("unknown_macro", "Line 3: {moja wartosc x}", "in macros")]),
        ("{konto} {Order_ID}", []),
        (
            "<html>\n<kontrachent></html>",
            [("unknown_macro", "Line 2: <kontrachent>", "{kontrahent}")],
        ),
        (
            "<html>\n<style>\n{numer}</style></html>",
            [("macro_not_filled", "Line 3: {numer}", "style")],
        ),
        (
            '<html><p onclick="{konto}"></html>',
            [("macro_not_filled", "Line 1: {konto}", "handlers")],
        ),
        ("<html><!-- <numer> --></html>", [("macro_not_filled", "Line 1: <numer>", "comments")]),
        (
            '<html>\n<img src="https://a.example/x.png"></html>',
            [("remote_image", "Line 2", "hidden"), ("image_without_alt", "Line 2", "alt")],
        ),
        ('<html><img alt="" src="cid:logo"></html>', []),
        (
            '<html><a href="https://a/{nr}">\n<FORM></html>',
            [
                ("unknown_macro", "Line 1: {nr}", ""),
                ("not_shown_in_mail", "Line 2", "<form>"),
            ],
        ),
        ("<html></html> \n koniec", [("text_behind_html", "behind </html>", "")]),
        ("<html></html> <!-- koniec -->\n", []),
        ("<html>", [("html_end_missing", "</html>", "")]),
        ("{?numer}", [("optional_part_unbalanced", "{?numer}", "")]),
        ("x" * 30_000, [("template_near_limit", "30001 bytes", "32768")]),
    ],
)
def test_advice_names_the_line_and_what_is_the_matter(
    body: str, expected: list[tuple[str, str, str]]
) -> None:
    notices = lint(compile_template("S", body), known=["konto", "order id"])
    assert len(notices) == len(expected)
    for notice, (code, start, part) in zip(notices, expected, strict=True):
        assert notice.code == code and notice.pointer == "/body"
        assert start in notice.detail and part in notice.detail


def test_an_empty_subject_and_its_macros_are_looked_at() -> None:
    assert [n.code for n in lint(compile_template(" ", "x"))] == ["subject_empty"]
    (notice,) = lint(compile_template("{numre}", "x"))
    assert (notice.code, notice.pointer) == ("unknown_macro", "/subject")


@pytest.mark.parametrize("element", sorted(HTML_ELEMENTS - {"script", "form", "plaintext"}))
def test_no_html_element_is_taken_for_a_misspelt_macro(element: str) -> None:
    notices = lint(compile_template("S", f"<html><{element}></{element}></html>"))
    assert "unknown_macro" not in [notice.code for notice in notices]


def test_advice_is_bounded() -> None:
    body = "<html>" + "".join(f"{{m{i}}}" for i in range(3000)) + "</html>"
    assert len(lint(compile_template("S", body))) == 100
