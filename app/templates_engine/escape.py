"""Makes a value harmless for the place where it lands.

Whatever the value, the markup around it is read by a mail client exactly as it was written: no
tag, attribute, scheme, header or comment end can come out of a value. Controls are removed first;
line ends become ``<br>`` in HTML text and one blank in a subject.
"""

import re
from collections.abc import Mapping
from html import unescape
from urllib.parse import quote

from app.templates_engine.scan import Place, Slot, Url
from app.templates_engine.scan_html import clean_url

_HTML = Place.HTML  # by far the most frequent, and an enum's members are slow to reach
_LINE_END = re.compile(r"\r\n|[\r\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ufff9-\ufffb\ufffe\uffff]")
_HEADER_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NOT_BARE = re.compile(r"[^A-Za-z0-9_.]")
_STYLE_VALUE = re.compile(r"[\w .,#%-]*")
_SAFE_URL = re.compile(r"https?://|mailto:", re.I)
_BEGUN_REFERENCE = re.compile(r"&#?\w{0,40}\Z")
_URL_DECIDED = re.compile(r"[:/?#\\]")
_UNCLEAN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufff9-\ufffb\ufffe\uffff]")


def clean_value(value: str) -> str:
    """Return the value with ``\\n`` as its only line end and without other controls (but tab)."""
    if _UNCLEAN.search(value) is None:
        return value
    return _CONTROL.sub("", _LINE_END.sub("\n", value))


def clean_subject(text: str) -> str:
    """Return the text on one line: no CR, LF or control gets into a header."""
    return _HEADER_BREAK.sub(" ", text).strip()


def escape_html(text: str) -> str:
    """Escape for HTML text and for attribute values in quotes."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("'", "&#39;")


def escape_value(slot: Slot, value: str) -> str | None:
    """Escape a cleaned value for a slot's place; None where it may not stand there at all."""
    place = slot.place
    if place is _HTML and not slot.hidden:
        return escape_html(value).replace("\n", "<br>")
    if place is Place.PLAIN:
        return value
    if place is Place.LINE:
        return _HEADER_BREAK.sub(" ", value)
    if place in (Place.STYLE, Place.BARE_STYLE) and not _STYLE_VALUE.fullmatch(value):
        return None
    if place in (Place.BARE, Place.BARE_STYLE):
        return _escape_bare(value)
    escaped = escape_html(value)
    if slot.hidden:
        # A value must not help to spell the "-->" that ends the comment for other clients.
        escaped = escaped.replace("-", "&#45;")
    if place is Place.AFTER_LESS_THAN:
        # "<" and a letter would be a tag: an invisible blank keeps them apart, also when empty.
        escaped = "&#8203;" + escaped
    if place in (_HTML, Place.AFTER_LESS_THAN):
        escaped = escaped.replace("\n", "<br>")
    return escaped


def _escape_bare(value: str) -> str:
    # Without a value the next attribute would be taken for it.
    return _NOT_BARE.sub(lambda found: f"&#{ord(found[0])};", value or " ")


def fill_url(url: Url, values: Mapping[str, str]) -> tuple[str, bool]:
    """Fill a URL attribute; the second result says whether its values were let through.

    At its start a value may only be an ``http``, ``https`` or ``mailto`` address, else ``#`` stands
    in its place. Behind ``=`` in a query it is percent-encoded (RFC 3986 §2.1).
    """
    parts = [
        part.source if isinstance(part, Slot) and part.name not in values else part
        for part in url.parts
    ]
    raw: list[str] = []
    for part in parts:
        if isinstance(part, str):
            raw.append(unescape(part))
        else:
            value = values[part.name]
            in_query = raw and raw[-1].endswith("=") and any("?" in text for text in raw)
            raw.append(quote(value, safe="", errors="replace") if in_query else value)
    whole = clean_url("".join(raw))
    good = not whole or _starts_safely(parts, raw) or _SAFE_URL.match(whole) is not None
    if not good:
        first = next(i for i, part in enumerate(parts) if isinstance(part, Slot))
        raw = [
            text if isinstance(part, str) else "#" * (i == first)
            for i, (part, text) in enumerate(zip(parts, raw, strict=True))
        ]
    if url.place is Place.LINK:
        address = "".join(raw).strip()
        return (f" ({address})" if address and good else ""), good
    return (
        "".join(
            part if isinstance(part, str) else _escape_in_url(text, url)
            for part, text in zip(parts, raw, strict=True)
        ),
        good,
    )


def _starts_safely(parts: list[str | Slot], raw: list[str]) -> bool:
    """Tell whether the template itself has decided the scheme before the first value."""
    head = ""
    for part, text in zip(parts, raw, strict=True):
        if isinstance(part, Slot):
            break
        head += text
    # A reference that begins here may end behind the value: "java&#{x};cript:" decides nothing.
    return _URL_DECIDED.search(clean_url(_BEGUN_REFERENCE.sub("", head))) is not None


def _escape_in_url(text: str, url: Url) -> str:
    return escape_value(Slot("", "", url.place, url.hidden), text.strip()) or ""
