"""Values are escaped for where they land; none ever breaks out."""

import pytest

from tests.crafts.templates.filling import fill, fill_html

NASTY = "<b>&\"'\n</b>"


@pytest.mark.parametrize(
    ("source", "value", "expected"),
    [
        ("<p>{x}</p>", NASTY, "<p>&lt;b&gt;&amp;&quot;&#39;<br>&lt;/b&gt;</p>"),
        ('<p title="{x}">', NASTY, '<p title="&lt;b&gt;&amp;&quot;&#39;\n&lt;/b&gt;">'),
        ("<p title='a{x}b'>", "' onclick='", "<p title='a&#39; onclick=&#39;b'>"),
        ("<p title={x}>", "a onclick=b", "<p title=a&#32;onclick&#61;b>"),
        ("<p title={x} class=c>", "", "<p title=&#32; class=c>"),
        ("<p title={moje pole}>", "a>b", "<p title={moje pole}>"),
        ("<title>{x}</title>", "a\n</title><b>", "<title>a\n&lt;/title&gt;&lt;b&gt;</title>"),
        ("<{x}>", "script", "<&#8203;script>"),
        ("<{x}b>", "", "<&#8203;b>"),
        ("<p>{x}</p>", "{firma} <numer>", "<p>{firma} &lt;numer&gt;</p>"),
        ("<p>{x}</p>", "a\x00\x1b\x7f\ufeffb\r\nc\rd\u2028e", "<p>ab<br>c<br>d<br>e</p>"),
        (
            "<!--[if mso]><p>{x}</p><![endif]-->",
            "-->",
            "<!--[if mso]><p>&#45;&#45;&gt;</p><![endif]-->",
        ),
        ('<p style="color:{x}">', "#ff0000", '<p style="color:#ff0000">'),
        ('<p style="color:{x}">', "red;background:url(//e)", '<p style="color:">'),
        ("<p style=color:{x}>", "light blue", "<p style=color:light&#32;blue>"),
        ('<p style="color:{x}">', "expression(alert(1))", '<p style="color:">'),
        ("<p style={x} class=c>", "expression(alert(1))", "<p style=&#32; class=c>"),
    ],
)
def test_a_value_is_escaped_for_its_place(source: str, value: str, expected: str) -> None:
    assert fill_html(source, {"x": value}) == expected


@pytest.mark.parametrize(
    "address",
    ["http://a.example", "https://a.example/?b=c", "HTTPS://a.example", "mailto:a@b.example"],
)
@pytest.mark.parametrize(
    "attribute", ["href", "src", "background", "xlink:href", "action", "poster"]
)
def test_an_address_may_start_a_url(attribute: str, address: str) -> None:
    assert fill_html(f'<a {attribute}="{{x}}">', {"x": address}) == f'<a {attribute}="{address}">'


@pytest.mark.parametrize(
    "value",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " \t\n javascript:alert(1)",
        "\x01javascript:alert(1)",
        "java\tscript:alert(1)",
        "java\x00script:alert(1)",
        "&#106;avascript:alert(1)",
        "data:text/html,<script>",
        "vbscript:x",
        "//evil.example",
        "\\\\evil.example",
        "/path",
        "www.firma.example",
        "file:///etc/passwd",
        "http:evil",
        "#",
        "?a",
    ],
)
@pytest.mark.parametrize("attribute", ["href", "SRC", "formaction", "srcset", "data", "v:src"])
def test_nothing_else_may_start_a_url(attribute: str, value: str) -> None:
    rendered = fill("", f'<html><a {attribute}="{{x}}" b></html>', {"x": value})
    assert rendered.html == f'<html><a {attribute}="#" b></html>'
    assert [(n.code, n.pointer) for n in rendered.warnings] == [("unsafe_url", "/macros/x")]


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("<a href={x}>", {"x": "javascript:a"}, "<a href=&#35;>"),
        ("<a href={x}>", {"x": "https://a"}, "<a href=https&#58;&#47;&#47;a>"),
        ('<a href="{x}{y}">', {"x": "", "y": "javascript:a"}, '<a href="#">'),
        ('<a href="{x}{y}">', {"x": "java", "y": "script:a"}, '<a href="#">'),
        ('<a href="java{x}">', {"x": "script:a"}, '<a href="java#">'),
        ('<a href="{x}script:a">', {"x": "java"}, '<a href="#script:a">'),
        ('<a href="java&#{x};cript:a">', {"x": "115"}, '<a href="java&##;cript:a">'),
        ('<a href="{x}{y}">', {"x": "https://a/", "y": "b"}, '<a href="https://a/b">'),
        ('<a href="https://{x}/p">', {"x": "a.example"}, '<a href="https://a.example/p">'),
        ('<a href="https://a/{x}">', {"x": "FV 1/2"}, '<a href="https://a/FV 1/2">'),
        (
            '<a href="https://a/?n={x}">',
            {"x": "a&b=c #ż"},
            '<a href="https://a/?n=a%26b%3Dc%20%23%C5%BC">',
        ),
        ('<a href="https://a/?m=1&amp;n={x}">', {"x": "/"}, '<a href="https://a/?m=1&amp;n=%2F">'),
        (
            '<a href="mailto:a@b?subject={x}">',
            {"x": "z&bcc=e@f"},
            '<a href="mailto:a@b?subject=z%26bcc%3De%40f">',
        ),
        ('<img src="cid:{x}">', {"x": "logo"}, '<img src="cid:logo">'),
        ('<a href="{x}">', {"x": ""}, '<a href="">'),
        ('<a href="{nieznane}">', {}, '<a href="{nieznane}">'),
        ('<a href="https://a/{nieznane}/{x}">', {"x": "b"}, '<a href="https://a/{nieznane}/b">'),
    ],
)
def test_a_url_is_judged_as_a_whole(source: str, values: dict[str, str], expected: str) -> None:
    assert fill_html(source, values) == expected


@pytest.mark.parametrize(
    "value",
    [
        "a\r\nBcc: evil@example",
        "a\nb",
        "a\rb",
        "a\x0bb\x0cc",
        "a\x85b",
        "a\u2028b\u2029c",
        "a\x00b",
    ],
)
def test_no_line_end_or_control_gets_into_the_subject(value: str) -> None:
    subject = fill("x {v} y", "", {"v": value}).subject
    assert subject.splitlines() == [subject]
    assert subject.startswith("x a") and subject.endswith(" y")
    assert all(ord(c) >= 32 and not 0x7F <= ord(c) <= 0x9F for c in subject)


def test_a_subject_template_of_two_lines_becomes_one() -> None:
    assert fill(" a\r\nb{v}\n", "", {"v": ""}).subject == "a b"


def test_plain_text_and_the_text_alternative_are_not_escaped() -> None:
    assert fill("{x}", "{x}", {"x": '<a> & "b"'}).text == '<a> & "b"'
    rendered = fill("{x}", "<html><p>{x}</p></html>", {"x": "<a> & b\nc"})
    assert (rendered.subject, rendered.text) == ("<a> & b c", "<a> & b\nc")
