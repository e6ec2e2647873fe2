"""The catalogue: complete, unambiguous, and out of the way of HTML."""

import pytest

from app.templates_engine.catalogue import CATALOGUE, resolve
from app.templates_engine.names import is_name, normalise

# The HTML standard's elements (§4) and obsolete ones (§16.2), SVG and MathML left aside.
_ELEMENTS = """
a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink
blockquote body br button canvas caption center cite code col colgroup command content data datalist
dd del details dfn dialog dir div dl dt element em embed fencedframe fieldset figcaption figure font
footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe image img input ins
isindex kbd keygen label legend li link listing main map mark marquee math menu menuitem meta meter
multicol nav nextid nobr noembed noframes noscript object ol optgroup option output p param picture
plaintext portal pre progress q rb rbc rp rt rtc ruby s samp script search section select
selectedcontent shadow slot small source spacer span strike strong style sub summary sup svg table
tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr xmp
"""
HTML_ELEMENTS = set(_ELEMENTS.split())
SPELLINGS = [spelling for macro in CATALOGUE for spelling in (macro.name, *macro.aliases)]


def test_the_contract_names_all_stand_in_the_catalogue() -> None:
    names = [macro.name for macro in CATALOGUE]
    assert names == [
        "numer",
        "numery",
        "umowa",
        "z dnia",
        "kontrahent",
        "firma",
        "wysyłający",
        "data od",
        "data do",
        "wystawiający",
        "tabela dokumentów",
        "suma",
    ]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_name_or_alias_is_an_html_element(spelling: str) -> None:
    assert normalise(spelling) not in HTML_ELEMENTS
    assert normalise(spelling) == spelling
    assert is_name(spelling)


def test_every_spelling_belongs_to_one_macro_only() -> None:
    assert len(set(SPELLINGS)) == len(SPELLINGS)
    assert all(resolve(alias) == macro.name for macro in CATALOGUE for alias in macro.aliases)


def test_every_macro_is_explained_in_three_languages() -> None:
    for macro in CATALOGUE:
        assert set(macro.meaning) == {"pl", "fr", "en"}
        assert all(macro.meaning.values()) and macro.example and macro.aliases
        assert macro.rule is None or set(macro.rule) == {"pl", "fr", "en"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Z&nbsp;Dnia", "z dnia"),
        ("z_dnia", "z dnia"),
        (" z \u00a0\n dnia ", "z dnia"),
        ("WYSYŁAJĄCY", "wysyłający"),
        ("wysyłaja\u0328cy", "wysyłający"),
        ("wysy&#322;aj&#x105;cy", "wysyłający"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
    ],
)
def test_names_are_compared_folded_decoded_and_with_single_blanks(
    given: str, expected: str
) -> None:
    assert normalise(given) == expected


@pytest.mark.parametrize("text", ["", "a:b", "color:red", "a;b", "-a", "a b-", "{", "a" * 65, "?a"])
def test_what_css_or_json_put_in_braces_is_no_name(text: str) -> None:
    assert not is_name(text)
