"""The page's languages: which one a visitor reads, and its texts (gettext).

English stands in the code; ``locale/<language>/LC_MESSAGES/awizo.po`` holds the others, ``make words``
compiles them. A test fails where one is missing.
"""

import gettext
from collections.abc import Mapping
from functools import cache
from pathlib import Path

# In their own words, as a language switch shows them.
LANGUAGES: Mapping[str, str] = {"pl": "Polski", "fr": "Français", "en": "English"}
_FALLBACK = "en"
_LOCALE = Path(__file__).parent / "locale"


@cache
def load_words(language: str) -> gettext.NullTranslations:
    """Return the texts of one of ``LANGUAGES``."""
    if language == _FALLBACK:
        return gettext.NullTranslations()
    return gettext.translation("awizo", _LOCALE, [language])


def mark(text: str) -> str:
    """Return ``text``: marks a text in a table that is translated when it is shown."""
    return text


def choose_language(chosen: str | None, accepted: str) -> str:
    """Return the language of a visitor: the one chosen, else the browser's first that we speak.

    accepted: ``Accept-Language`` (RFC 9110 §12.5.4).
    """
    if chosen is not None and chosen in LANGUAGES:
        return chosen
    wishes: list[tuple[float, str]] = []
    for part in accepted[:1000].split(","):
        tag, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        wishes.append((weight, tag.split("-")[0].lower()))
    wishes.sort(key=lambda wish: -wish[0])  # stable: equal ones in the browser's order
    known = (tag for weight, tag in wishes if weight > 0 and tag in LANGUAGES)
    return next(known, _FALLBACK)
