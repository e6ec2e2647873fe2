"""Macro names: how two spellings are compared, and what a name may be.

A name is compared after decoding character references, Unicode NFC and case folding, with runs of
blanks (NBSP and ``_`` are blanks too) as one space. Everything else about macros is elsewhere:
which names exist in ``catalogue``, where they stand in a template in ``scan``.
"""

import re
import unicodedata
from functools import lru_cache
from html import unescape

MAX_NAME_CHARS = 64
# Words joined by single blanks; a few signs that ERP field names carry. No colon and no semicolon:
# {color:red} must never become a name.
_NAME = re.compile(r"[^\W_](?:[\w .'’/-]*\w)?")


def normalise(name: str) -> str:
    """Return the form in which names are compared (``Z&nbsp;Dnia`` → ``z dnia``)."""
    # What is too long for a name, even spelled in references, neither costs time nor stays cached.
    return _normalise(name) if len(name) <= 8 * MAX_NAME_CHARS else name


@lru_cache(maxsize=4096)
def _normalise(name: str) -> str:
    folded = unicodedata.normalize("NFC", unescape(name)).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).replace("_", " ").split())


def is_name(normalised: str) -> bool:
    """Tell whether a normalised text can be a macro's name: words, at most 64 characters."""
    return len(normalised) <= MAX_NAME_CHARS and _NAME.fullmatch(normalised) is not None
