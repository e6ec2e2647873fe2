"""The text alternative that is derived from HTML."""

import pytest

from tests.crafts.templates.filling import fill


def derive(body: str, macros: dict[str, object] | None = None) -> str:
    return fill("", f"<html>{body}</html>", macros).text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<p>a\n  b\t c </p>", "a b c"),
        ("a<br>b<br/><br>c<BR><BR><BR>d", "a\nb\n\nc\n\nd"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("<h1>A</h1>b<h2>C</h2>", "A\n\nb\n\nC"),
        ("a<b>b</b> <i>c</i>d", "ab cd"),
        ("<ul><li>a<li>b</ul>c", "- a\n- b\n\nc"),
        ("<ol><li>a</li><li><p>b</p></li></ol>", "1. a\n2. b"),
        ("<ul><li>a<ol><li>b</ol></li><li>c</li></ul>", "- a\n  1. b\n- c"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><th>c<td>d</table>", "a  b\nc  d"),
        ("<table><tr><td><p>a</p></td><td><p>b</p></td></tr></table>", "a\n\nb"),
        ("a<hr>b", f"a\n\n{'-' * 40}\n\nb"),
        ("<pre> a\n  b</pre>c", " a\n  b\n\nc"),
        ("Zażółć&nbsp;&amp;&nbsp;&lt;b&gt; &#321;", "Zażółć & <b> Ł"),
        ("a\u00adb\u200bc", "abc"),
        ("<style>p{}</style><script>x</script><!-- y --><title>t</title>a", "a"),
        ("<template>x</template>a", "a"),
        ('a<div style="display : NONE">x<div>y</div>z</div>b', "ab"),
        ("a<span hidden>x</span>b", "ab"),
        ("<!--[if mso]><p>x</p><![endif]-->a", "a"),
        ("<!--[if !mso]><!--><p>x</p><!--<![endif]-->a", "x\n\na"),
        ('<img src="x" alt="Logo firmy"> a', "Logo firmy a"),
        ('<img src="x">a', "a"),
        ('<a href="https://a.example/?b=1&amp;c=2">tu</a>', "tu (https://a.example/?b=1&c=2)"),
        ('<a href="https://a.example">https://a.example</a>', "https://a.example"),
        ('<a href="mailto:a@b.example">a@b.example</a>', "a@b.example"),
        ('<a href="mailto:a@b.example">Anna</a>', "Anna (a@b.example)"),
        ('<a href="#top">tu</a> <a>x</a> <a name=y>z</a>', "tu x z"),
        ('<a href="https://a.example"><img src=x></a>', "https://a.example"),
        ('<a href="javascript:x">tu</a>', "tu"),
        ("<p></p><p> </p><p>a", "a"),
        ("</p></ul></pre></table>a", "a"),
    ],
)
def test_html_becomes_readable_text(html: str, text: str) -> None:
    assert derive(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p><numer></p><p>&lt;numer&gt;</p>", "<1>\n\n<1>"),
        ('<a href="{url}">tu</a>', "tu (https://a.example/?b&c)"),
        ('<a href="{url}">{url}</a>', "https://a.example/?b&c"),
        ('<a href="{none}">tu</a>.', "tu."),
        ('<a href="{bad}">tu</a>.', "tu."),
        ('<a href="https://a.example/?n={numer}">tu</a>', "tu (https://a.example/?n=%3C1%3E)"),
        ('<img src=x alt="{numer} {lines}">', "<1> a b"),
        ("<p>{lines}</p>", "a\nb"),
        ("<p hidden>{numer}</p><!--[if mso]>{numer}<![endif]-->a", "a"),
        ("<title>{numer}</title>a", "a"),
    ],
)
def test_values_stand_in_the_text_without_escaping(html: str, text: str) -> None:
    values = {
        "numer": "<1>",
        "url": "https://a.example/?b&c",
        "none": "",
        "bad": "javascript:x",
        "lines": "a\nb",
    }
    assert derive(html, values) == text


@pytest.mark.parametrize(
    ("html", "kept", "left_out"),
    [
        ("<p>a</p>{?numer}<p>b</p>{/numer}<p>c</p>", "a\n\nb\n\nc", "a\n\nc"),
        ("{?numer}<p>b</p>{/numer}<p>c</p>", "b\n\nc", "c"),
        ("<p>a</p>{?numer}<b>b</b>{/numer}{!numer}x{/numer}c", "a\n\nbc", "a\n\nxc"),
        ("a {?numer}b{/numer}{!numer}x{/numer} c", "a b c", "a x c"),
        ("a{?numer} b{/numer}, c", "a b, c", "a, c"),
        ("<ul><li>a</li>{?numer}<li>b</li>{/numer}<li>c</li></ul>", "- a\n- b\n- c", "- a\n- c"),
        ("<p hidden>{?numer}</p>a{/numer}", "a", ""),
    ],
)
def test_optional_parts_leave_neither_gaps_nor_joined_words(
    html: str, kept: str, left_out: str
) -> None:
    assert derive(html, {"numer": "1"}) == kept
    assert derive(html) == left_out
