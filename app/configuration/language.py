"""Language tags (BCP 47), and the order in which a template's language is looked for."""

import re
from collections.abc import Iterable

from app.configuration.model import DEFAULT_LANGUAGE

MAX_LANGUAGE_CHARS = 35  # RFC 5646 §4.4.1
_TAG = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,8})*", re.IGNORECASE | re.ASCII)


def read_language(text: str) -> str | None:
    """Return a tag as it is written everywhere (``PL_pl`` → ``pl-PL``); None where it is none."""
    tag = text.strip().replace("_", "-")
    if len(tag) > MAX_LANGUAGE_CHARS or not _TAG.fullmatch(tag):
        return None
    first, *others = tag.lower().split("-")
    # RFC 5646 §2.1.1: regions in capitals, scripts with one.
    cased = {2: str.upper, 4: str.title}
    return "-".join((first, *(cased.get(len(part), str)(part) for part in others)))


def order_languages(*wishes: str | None) -> list[str]:
    """Return the languages to try, each followed by its base language, ``pl`` last (contract §3)."""
    tried: list[str] = []
    for wish in (*wishes, DEFAULT_LANGUAGE):
        tried += _with_base(wish) if wish else ()
    return list(dict.fromkeys(tried))


def _with_base(wish: str) -> Iterable[str]:
    tag = read_language(wish)
    return () if tag is None else (tag, tag.partition("-")[0])
