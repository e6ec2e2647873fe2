"""Signatures and footers below a text: order, filling, where they stand in HTML and in text."""

import pytest

from app.errors import Refused
from app.templates_engine.closing import (
    SWITCHES,
    ClosingText,
    advise,
    choose_closing,
    read_piece,
    read_switches,
    read_wish,
)
from app.templates_engine.parse import compile_template
from app.templates_engine.render import Rendered, render
from app.templates_engine.values import parse_macros

ALL = (
    ClosingText("user_signature", "users/anna", html="<p>Anna</p>"),
    ClosingText("account_signature", "global", html="<p>Faktury</p>"),
    ClosingText("account_footer", "global", text="KRS 1"),
    ClosingText("instance_footer", "global", text="Grupa"),
    ClosingText("product_footer", "global"),
)
PAGE = "<html><body>Hi</body></html>"


def close(
    body: str, *closing: ClosingText, macros=None, language="pl", wish=None, **more
) -> Rendered:
    values, _ = parse_macros(macros or {}, "/macros")
    return render(
        compile_template("s", body),
        macros=values,
        documents=(),
        language=language,
        closing=choose_closing(closing, wish or {}, language),
        **more,
    )


def div(inner: str) -> str:
    return f'<div style="margin-top:1em">{inner}</div>\n'


def test_the_parts_stand_in_their_order_before_the_end_of_the_body():
    done = close(PAGE, *ALL)
    inner = ("<p>Anna</p>", "<p>Faktury</p>", "KRS 1", "Grupa", "Wysłano przez Awizo")
    assert done.html == f"<html><body>Hi{''.join(map(div, inner))}</body></html>"
    assert done.text == "Hi\n\n-- \nAnna\n\nFaktury\n\nKRS 1\n\nGrupa\n\nWysłano przez Awizo"
    assert [each.part for each in done.closing] == [each.part for each in ALL]


def test_a_plain_text_mail_stays_one():
    done = close("Hi\n", *ALL)
    assert done.html is None
    assert done.text == "Hi\n\n-- \nAnna\n\nFaktury\n\nKRS 1\n\nGrupa\n\nWysłano przez Awizo"


def test_footers_alone_are_no_signature():
    assert close("Hi", *ALL[2:4]).text == "Hi\n\nKRS 1\n\nGrupa"


@pytest.mark.parametrize(
    ("language", "line"),
    [("pl-PL", "Wysłano przez Awizo"), ("fr", "Envoyé avec Awizo"), ("de", "Sent with Awizo")],
)
def test_the_product_speaks_the_language_of_the_mail(language, line):
    assert close("Hi", ALL[4], language=language).text == f"Hi\n\n{line}"


def test_without_any_the_text_is_as_it_was():
    done = close(PAGE)
    assert (done.html, done.text, done.closing) == (PAGE, "Hi", ())


@pytest.mark.parametrize(
    ("wanted", "wish", "stands"),
    [(True, {}, True), (False, {}, False), (True, {"footer": False}, False),
     (False, {"footer": True}, True), (True, {"signature": False}, True)],
)  # fmt: skip
def test_a_message_has_the_last_word(wanted, wish, stands):
    part = ClosingText("account_footer", "global", text="KRS", wanted=wanted)
    assert bool(close("Hi", part, wish=wish).closing) is stands


def test_macros_are_filled_and_escaped_for_their_places():
    part = ClosingText(
        "user_signature", "users/anna",
        html='<a href="{strona}" title="{firma}">{firma}</a> &lt;wysyłający&gt; {?tel}tel. {tel}{/tel}',
    )  # fmt: skip
    macros = {"firma": '<b>"&', "wysyłający": "Anna", "strona": "javascript:alert(1)"}
    done = close(PAGE, part, macros=macros)
    escaped = "&lt;b&gt;&quot;&amp;"
    assert f'<a href="#" title="{escaped}">{escaped}</a> Anna</div>' in (done.html or "")
    assert done.text == 'Hi\n\n-- \n<b>"& Anna'
    assert [each.code for each in done.warnings] == ["unsafe_url"]


def test_a_value_does_not_become_markup_or_a_macro():
    part = ClosingText("account_footer", "global", text="{firma}")
    done = close(PAGE, part, macros={"firma": "</body>{numer}"})
    assert (done.html or "").endswith(div("&lt;/body&gt;{numer}") + "</body></html>")
    assert done.text == "Hi\n\n</body>{numer}"


def test_what_has_no_value_is_left_out_with_a_warning_and_refuses_nothing():
    part = ClosingText("account_signature", "global", text="Dot. {numer}\n{wystawiający}{nieznane}")
    done = close("Hi", part, strict=True)
    assert done.text == "Hi\n\n-- \nDot. \n{nieznane}"
    assert [(each.code, each.pointer) for each in done.warnings] == [
        ("macro_missing_in_signature", "/macros/numer"), ("unknown_macro", "/macros/nieznane"),
    ]  # fmt: skip


def test_the_body_needs_its_values_all_the_same():
    with pytest.raises(Refused) as caught:
        close("{numer}", ClosingText("account_signature", "global", text="{numer}"))
    assert [each.code for each in caught.value.faults] == ["macro_missing"]


def test_text_becomes_html_and_html_text():
    part = ClosingText("user_signature", "users/anna", text="Anna <A&B>\r\n{firma}")
    done = close(PAGE, part, macros={"firma": "F"})
    assert div("Anna &lt;A&amp;B&gt;<br>\nF") in (done.html or "")
    assert done.text == "Hi\n\n-- \nAnna <A&B>\nF"
    both = ClosingText("user_signature", "users/anna", html="<b>H</b>", text="T")
    done = close(PAGE, both)
    assert div("<b>H</b>") in (done.html or "") and done.text.endswith("-- \nT")


def test_a_whole_document_stands_within_the_mail():
    source = (
        "<!doctype html><HTML><head><meta charset=utf-8></head><body class=x>A<p>B</body></HTML>"
    )
    done = close(PAGE, ClosingText("user_signature", "users/anna", html=source))
    assert done.html == (
        "<html><body>Hi" + div("<!doctype html><meta charset=utf-8>A<p>B") + "</body></html>"
    )
    assert done.text == "Hi\n\n-- \nA\n\nB"


def test_a_picture_alone_is_in_html_only():
    part = ClosingText("account_footer", "global", html='<img src="https://firma.example/l.png">')
    assert close("Hi", part).closing == ()
    done = close(PAGE, part)
    assert (len(done.closing), done.text) == (1, "Hi")
    assert 'src="https://firma.example/l.png"' in (done.html or "")


def test_the_limit_is_of_the_whole():
    part = ClosingText("account_footer", "global", text="x" * 900)
    assert close("Hi", part, max_rendered_bytes=1000).bytes == 905
    with pytest.raises(Refused) as caught:
        close(PAGE, part, max_rendered_bytes=1000)
    assert caught.value.code == "rendered_too_large"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", {}), ({}, {}), ({"html": None, "text": " "}, {}),
        ({"html": "<p>A", "text": None}, {"html": "<p>A"}),
        ({"text": "x" * 16_384}, {"text": "x" * 16_384}),
    ],
)  # fmt: skip
def test_a_piece_is_read(given, read):
    faults = []
    assert read_piece(given, "/signature", faults) == read
    assert faults == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("Anna", [("/signature", "wrong_type")]),
        ([], [("/signature", "wrong_type")]),
        ({"html": 1, "a/b": ""}, [("/signature/html", "wrong_type"), ("/signature/a~1b", "unknown_field")]),
        ({"text": "ż" * 8193}, [("/signature/text", "too_large")]),
        ({"html": "<p>Anna<!-- "}, [("/signature/html", "html_not_closed")]),
        ({"html": "<style>p{}"}, [("/signature/html", "html_not_closed")]),
    ],
)  # fmt: skip
def test_a_piece_is_refused_with_all_that_is_wrong(given, found):
    faults = []
    assert read_piece(given, "/signature", faults) is None
    assert [(each.pointer, each.code) for each in faults] == found


def test_a_piece_over_the_limit_says_both_numbers():
    faults = []
    read_piece({"text": "ż" * 8193}, "/signature", faults)
    assert "16386" in faults[0].detail and "16384" in faults[0].detail


def test_switches_are_read_and_refused():
    faults = []
    assert read_switches({"footer": False, "signature": None}, "/closing", faults) == {
        "footer": False
    }
    assert read_wish(False, "/closing", faults) == dict.fromkeys(SWITCHES, False)
    assert read_wish(None, "/closing", faults) == {}
    assert faults == []
    read_wish({"footer": 1, "foot": True}, "/closing", faults)
    read_wish("no", "/closing", faults)
    assert [(each.pointer, each.code) for each in faults] == [
        ("/closing/footer", "wrong_type"), ("/closing/foot", "unknown_field"),
        ("/closing", "wrong_type"),
    ]  # fmt: skip


def test_advice_is_that_on_templates():
    piece = {
        "html": '<script>1</script><img src="https://x.example/a.png">',
        "text": "{numr} {telefon}",
    }
    found = advise(piece, "/signature", ("telefon",))
    assert [(each.code, each.pointer) for each in found] == [
        ("not_shown_in_mail", "/signature/html"), ("remote_image", "/signature/html"),
        ("image_without_alt", "/signature/html"), ("unknown_macro", "/signature/text"),
    ]  # fmt: skip
    assert advise(None, "/signature") == []
