"""The texts that are sent until somebody writes their own.

Each is a data file: the subject on the first line, then the content in HTML, set into
``layout.html``. They use optional parts (``{?numer} … {/numer}``), so that they need no value at
all, and are ordinary templates: what ``get_builtin`` returns may be edited and stored as it is.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

BUILTIN_NAMES = ("document", "documents", "contract", "overdue-reminder", "test")
BUILTIN_LANGUAGES = ("pl", "fr", "en")
LEVELS = (1, 2, 3)

_LEVELLED = "overdue-reminder"
# One colour a level, dark enough for text: friendly blue, amber, red.
_ACCENTS = {1: "#1f5f99", 2: "#b45309", 3: "#b42318"}
_PARAGRAPH = '<p style="margin:0 0 16px 0">'


@dataclass(frozen=True, slots=True)
class BuiltinTemplate:
    """A built-in text. level: 1 to 3 for ``overdue-reminder``, 1 for all others."""

    name: str
    language: str
    level: int
    subject: str
    body: str


@lru_cache(maxsize=64)
def get_builtin(name: str, language: str, level: int = 1) -> BuiltinTemplate | None:
    """Return a built-in template, or None where there is none of that name, language and level.

    language: one of ``BUILTIN_LANGUAGES`` exactly. level: 1–3; only ``overdue-reminder`` differs.
    """
    if name not in BUILTIN_NAMES or language not in BUILTIN_LANGUAGES or level not in LEVELS:
        return None
    level = level if name == _LEVELLED else 1
    folder = files(__package__)
    file_name = f"{name}-{level}.html" if name == _LEVELLED else f"{name}.html"
    text = folder.joinpath(language, file_name).read_text(encoding="utf-8")
    layout = folder.joinpath("layout.html").read_text(encoding="utf-8")
    subject, _, content = text.partition("\n")
    body = (
        layout.replace("%LANGUAGE%", language)
        .replace("%ACCENT%", _ACCENTS[level])
        .replace("%CONTENT%", content.strip().replace("<p>", _PARAGRAPH))
    )
    return BuiltinTemplate(name, language, level, subject.strip(), body)
