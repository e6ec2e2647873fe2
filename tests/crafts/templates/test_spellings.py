"""Which characters of a template are macros, and that all others stay as they are."""

import pytest

from app.errors import Refused
from app.templates_engine.parse import MAX_TEMPLATE_BYTES, compile_template
from tests.crafts.templates.filling import fill, fill_html, list_faults

VALUES = {"numer": "7", "z dnia": "DZIEŃ", "order id": "42", "wysyłający": "Anna"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{numer}", "7"),
        ("<numer>", "7"),
        ("&lt;numer&gt;", "7"),
        ("&LT;Numer&GT;", "7"),
        ("{NUMER} <Numer>", "7 7"),
        ("{number} <numéro> {nume\u0301ro}", "7 7 7"),
        ("{z dnia}{z&nbsp;dnia}{z\u00a0 dnia}{z_dnia}", "DZIEŃ" * 4),
        ("<z dnia> &lt;z&nbsp;dnia&gt;", "DZIEŃ DZIEŃ"),
        ("{ numer }", "7"),
        ("{wysy&#322;aj&#261;cy}", "Anna"),
        ("{order id} {Order_ID}", "42 42"),
        ("<order id> &lt;order id&gt;", "<order id> &lt;order id&gt;"),
        ("{{numer}}", "{7}"),
        ("{numer", "{numer"),
        ("numer}", "numer}"),
        ("{numerek} {nu mer} {numer.}", "{numerek} {nu mer} {numer.}"),
        ("{} { } {a:b} {color: red;} {\n}", "{} { } {a:b} {color: red;} {\n}"),
        ("1 < 2 <numer> 3 > 2", "1 < 2 7 3 > 2"),
        ("</numer>", "</numer>"),
        ("{nu{numer}mer}", "{nu7mer}"),
        ("{a &lt;numer&gt; b:}", "{a 7 b:}"),
    ],
)
def test_a_macro_has_three_spellings_and_all_else_stays(source: str, expected: str) -> None:
    assert fill(body=source, macros=VALUES).text == expected
    assert fill_html(f"<p>{source}</p>", VALUES) == f"<p>{expected}</p>"
    assert fill(subject=f"a{source}b".replace("\n", " "), macros=VALUES).subject == (
        f"a{expected}b".replace("\n", " ")
    )


@pytest.mark.parametrize(
    "source",
    [
        "<style>td {numer} p{color:red} @media x{a {b:c}}</style>",
        "<script>if (a<b) {numer} else {firma}</script>",
        "<!-- {numer} <numer> {umowa} -->",
        "<!doctype html {numer}>",
        "<?xml {numer}?>",
        "<p {numer}>",
        "<p class{numer}=a>",
        "<p{numer}>",
        "</{numer}>",
        '<p onclick="f({numer})" OnLoad={numer}>',
        '<iframe srcdoc="{numer}"></iframe>',
        '<meta http-equiv="refresh" content="0;url={numer}">',
        '<a href="javascript:f({numer})">',
        '<a href="&#106;ava\tscript:{numer}">',
        '<a href="data:text/html,{numer}">',
        "<xmp>{numer}</xmp>",
        "<title><b>{numer}</title>",
        '<a title="{numer}',
        "<svg><animate to='{numer}'></svg>",
    ],
)
def test_nothing_is_filled_in_code_comments_and_names(source: str) -> None:
    assert fill_html(source) == source  # not even missing, because it is not used


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("<html></html>", "html"),
        ("\ufeff \r\n<!-- a > b --><!DOCTYPE html>\n<HTML lang=pl></html>", "html"),
        ('<?xml version="1.0"?><html/>', "html"),
        ("<html", "html"),
        ("<htmlx>", "text"),
        ("Dzień dobry <html>", "text"),
        ("<p>Dzień dobry</p>", "text"),
        ("<!-- <html> ", "text"),
        ("", "text"),
    ],
)
def test_a_body_that_starts_with_html_is_html(source: str, kind: str) -> None:
    assert compile_template("", source).kind == kind


def test_the_vendors_own_example_with_its_wrong_ending_works() -> None:
    body = (
        '<html>\n\n<head>\n\n<meta charset="utf-8">\n\n</head>\n\n<body>\n\n'
        "<H2>Szanowni Państwo</H2>\n\n"
        "<p>W załączeniu przesyłamy dokument o następującym numerze: <b>{numer}</b>.</p>\n\n"
        "<p></p>\n\n<p>Z poważaniem</p>\n\n<p></p>\n\n<p>{wysyłający}</p>\n\n<p>{firma}</p>\n\n"
        '<img src="https://pomoc.symfonia.pl/assets/img/logo_symfonia_product.png">\n\n'
        "</body>\n\n</head>"
    )
    macros = {"numer": "FV 1/2026", "wysyłający": "Anna", "firma": "Firma & Syn"}
    rendered = fill("Dokument {numer}", body, macros)
    assert rendered.subject == "Dokument FV 1/2026"
    assert rendered.html == body.replace("{numer}", "FV 1/2026").replace(
        "{wysyłający}", "Anna"
    ).replace("{firma}", "Firma &amp; Syn")
    assert rendered.text == (
        "Szanowni Państwo\n\n"
        "W załączeniu przesyłamy dokument o następującym numerze: FV 1/2026.\n\n"
        "Z poważaniem\n\nAnna\n\nFirma & Syn"
    )
    assert [notice.code for notice in rendered.warnings] == ["html_end_missing"]


def test_subject_and_body_share_32768_bytes_of_utf8() -> None:
    compile_template("żżż", "x" * (MAX_TEMPLATE_BYTES - 6))
    with pytest.raises(Refused) as refused:
        compile_template("żżż", "x" * (MAX_TEMPLATE_BYTES - 5))
    assert list_faults(refused) == [("/body", "template_too_large")]
    assert "32769" in refused.value.detail and "32768" in refused.value.detail


def test_half_a_surrogate_pair_is_refused_in_subject_and_body() -> None:
    with pytest.raises(Refused) as refused:
        compile_template("\ud800", "\udfff")
    assert list_faults(refused) == [("/subject", "invalid_text"), ("/body", "invalid_text")]


@pytest.mark.parametrize(
    ("source", "with_number", "without"),
    [
        ("a{?numer} {numer}{/numer}b", "a 7b", "ab"),
        ("a{!numer} none{/numer}b", "ab", "a noneb"),
        ("{?number}x{/numer}", "x", ""),
        ("{?numer}{!umowa}x{/umowa}{/numer}", "x", ""),
        ("a\n  {?numer}\nb {numer}\n{/numer}\nc", "a\nb 7\nc", "a\nc"),
        ("{?numer}a{?numer}b{/numer}c{/numer}d", "abcd", "d"),
        ("{?numer}x", "{?numer}x", "{?numer}x"),
        ("x{/numer}", "x{/numer}", "x{/numer}"),
        ("{?umowa}{?numer}x{/umowa}y", "y", "y"),
    ],
)
def test_optional_parts_stay_only_with_a_value(source: str, with_number: str, without: str) -> None:
    for macros, expected in (
        ({"numer": "7"}, with_number),
        ({"numer": ""}, without),
        ({}, without),
    ):
        assert fill(body=source, macros=macros).text == expected
        assert fill_html(source, macros) == expected


def test_macros_of_a_part_that_is_left_out_are_not_missing() -> None:
    assert fill(body="{?umowa}{umowa} {data od}{/umowa}.").text == "."


def test_a_mark_without_a_partner_stays_and_is_noticed() -> None:
    template = compile_template("{?numer}", "x")
    assert [(n.code, n.pointer) for n in template.notices] == [
        ("optional_part_unbalanced", "/subject")
    ]


def test_a_mark_behind_a_less_than_sign_does_not_make_a_tag() -> None:
    assert fill_html("<{?numer}b>x{/numer}", {}) == "<{?numer}b>x{/numer}"
