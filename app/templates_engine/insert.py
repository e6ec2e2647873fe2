r"""Puts a piece of text at the foot of a finished body without changing any other byte of it.

In HTML the foot is before the last ``</body>`` that a mail client acts on; without one before the
last ``</html>``, else at the end. What stands in comments (conditional ones too), attribute values,
style, script, title and textarea is none. Where the body ends inside a tag, a comment or such an
element, the foot is before that: behind it nothing would be shown. Linear, never raises.
``scan_html`` is not used: where no *value* is safe it gives up (behind <svg>), a foot is still one.
"""

import re

# HTML standard §13.2.5. Markup that ends; else it is open and takes all that follows. Tags that
# decide nothing are passed in runs, which is twice as fast.
_TEXT_ONLY = "script|style|title|textarea|xmp|iframe|noembed|noframes"
_VALUE = r"""(?:"[^"]*+"|'[^']*+'|(?!["'])[^\s>]*+)"""
_REST_OF_TAG = rf"[^\s/>]*+(?:[\s/]++|[^\s/>][^\s/>=]*+(?:\s*+=\s*+{_VALUE}|(?!\s*+=)))*+>"
_NEXT = r"[^<]*+(?:<(?![a-z!?/]|\Z)[^<]*+)*+<"
_MARKUP = re.compile(
    rf"""<(?:/?(?!(?:{_TEXT_ONLY}|plaintext|html|body)[\s/>])[a-z]{_REST_OF_TAG}{_NEXT})*+
    (?:!--(?:-?>|.*?--!?>)
    |({_TEXT_ONLY})(?=[\s/>]){_REST_OF_TAG}.*?(?=</\1[\s/>])
    |(?P<end>/(?:body|html)(?=[\s/>])){_REST_OF_TAG}
    |(?!(?:{_TEXT_ONLY}|plaintext)[\s/>])/?[a-z]{_REST_OF_TAG}
    |(?:(?!!--)!|\?|/(?![a-z]))[^>]*>
    |(?P<open>(?:[a-z!?/]|\Z).*))""",
    re.I | re.S | re.X | re.A,
)


def insert_html(html: str, fragment: str) -> str:
    """Return the HTML body with the fragment at its foot."""
    if not fragment:
        return html
    ends, open_at = _find_ends(html)
    foot = ends.get("body", ends.get("html", len(html) if open_at is None else open_at))
    return html[:foot] + fragment + html[foot:]


def insert_text(text: str, fragment: str) -> str:
    """Return the plain text body with the fragment behind it, a blank line between them."""
    if not fragment or not text:
        return text + fragment
    line_end = "\r\n" if "\r\n" in text else "\n"
    present = text[len(text.rstrip("\r\n")) :].count("\n")
    return text + line_end * max(0, 2 - present) + fragment


def is_closed(fragment: str) -> bool:
    """Tell whether what follows the fragment is read as if it stood alone: no open comment, tag,
    style, script, title or textarea swallows it."""
    return _find_ends(fragment)[1] is None


def _find_ends(html: str) -> tuple[dict[str, int], int | None]:
    """Return where the last ends of body and html stand, and where begins what never ends."""
    ends: dict[str, int] = {}
    for match in _MARKUP.finditer(html):
        if match["open"] is not None:
            return ends, match.start("open") - 1
        if match["end"]:
            ends[match["end"][1:].lower()] = match.start("end") - 1
    return ends, None
