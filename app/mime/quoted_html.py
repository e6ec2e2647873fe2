"""The text of an HTML answer, without the parts that mail programs mark as quoted.

Gmail, Apple Mail, Thunderbird, Yahoo, Proton, Zimbra and Outlook (desktop, web, Mac, mobile) mark
them by classes and ids; what they only write as text is left to ``quoted``. The result is plain
text: nothing of the HTML is run, loaded or kept. One pass over bounded text, linear, never raises.
"""

import re
from collections.abc import Iterator
from html import unescape

MAX_HTML_CHARS = 512_000  # answers stand at the beginning; beyond are old mails and Word's styles

# A tag ends where the next one begins, at the latest: nothing is searched for twice.
_TOKEN = re.compile(
    r"""<!--|<(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:]{0,30})(?P<rest>(?:"[^"]*+"|'[^']*+'|[^"'<>])*+)>"""
    r"|<[!?/][^<>]*+>?"
)
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]{1,30})\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""")
# int() refuses what is longer than 4300 digits, and html.unescape passes that on.
_HUGE_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")
_SILENT = frozenset({"style", "script", "title", "head", "template", "noscript", "svg", "select"})
_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "wbr", "col", "area", "base"})
_PARAGRAPHS = frozenset({
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "ul", "ol", "pre",
})  # fmt: skip
_LINES = frozenset({
    "div", "tr", "li", "br", "hr", "section", "article", "header", "footer", "address", "dt", "dd",
    "center", "form", "body",
})  # fmt: skip
# The element is the quote; what follows it may be the answer.
_QUOTE_CLASSES = re.compile(
    r"\b(gmail_quote|gmail_attr|gmail_quote_container|yahoo_quoted|ymail_android_signature|moz-cite-prefix"
    r"|moz-signature|gmail_signature|protonmail_quote|protonmail_signature_block|zmail_extra"
    r"|tutanota_quote|tutanota_quote_attribution|bluemail_quote|edisonmail-quote)\b"
)
_QUOTE_IDS = re.compile(
    r"(x_)*(mail-editor-reference-message-container|olk_src_body_section|yahoo_quoted_\w+|signature"
    r"|ms-outlook-mobile-signature|ms-outlook-ios-signature|replymessagequote|oriMsgHtmlSeperator)",
    re.IGNORECASE,
)
# The element opens the quote, which goes on to the end of the mail.
_REST_IDS = re.compile(
    r"(x_)*(divrplyfwdmsg|appendonsend|zwchr|isforwardcontent|replysplit|stopspelling|olk_fwd_src"
    r"|divtagdefaultwrapper_quote|mailcontainerreply)",
    re.IGNORECASE,
)
# Outlook's line above its header block: border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt …
_REST_STYLE = re.compile(
    r"border:\s*none;\s*border-top:\s*solid\s+#(?:e1e1e1|b5c4df)\b", re.IGNORECASE
)


def derive_answer_text(html: str, *, with_quotes: bool = False) -> str:
    """Return the text of an HTML body, by default without what it quotes."""
    return _Reader(with_quotes).read(html[:MAX_HTML_CHARS])


class _Reader:
    def __init__(self, with_quotes: bool) -> None:
        self._with_quotes = with_quotes
        self._pieces: list[str] = []
        self._skipped = ""  # the element that is passed over, and how often it is open in itself
        self._depth = 0

    def read(self, html: str) -> str:
        for text, tag in _split(html):
            if text and not self._skipped:
                text = unescape(_HUGE_REFERENCE.sub("\ufffd", text))
                # The marks keep one blank at either end.
                self._pieces.append(" ".join(f"x{text}x".split())[1:-1])
            if tag and not self._take(tag["name"].lower(), bool(tag["close"]), tag["rest"]):
                break
        lines = ("".join(self._pieces)).split("\n")
        return re.sub(
            r"\n{3,}", "\n\n", "\n".join(" ".join(line.split()) for line in lines)
        ).strip()

    def _take(self, name: str, closes: bool, rest: str) -> bool:
        """Take a tag; answer whether there is anything to read behind it."""
        if self._skipped:
            if name == self._skipped and not rest.endswith("/"):
                self._depth += -1 if closes else 1
                if self._depth == 0:
                    self._skipped = ""
                    self._pieces.append("\n")
            return True
        if not closes:
            attributes = {} if self._with_quotes or not rest else _read_attributes(rest)
            if _opens_rest(attributes):
                return False
            if name in _SILENT or _is_quote(name, attributes):
                if name not in _VOID and not rest.endswith("/"):
                    self._skipped, self._depth = name, 1
                return True
        if name in _PARAGRAPHS:
            self._pieces.append("\n\n")
        elif name in _LINES and not (closes and name == "br"):
            self._end_line(name)
        elif name in ("td", "th"):
            self._pieces.append(" ")
        return True

    def _end_line(self, name: str) -> None:
        """End a line: a break always does, a block only where the line is not empty."""
        last = next((piece for piece in reversed(self._pieces[-3:]) if piece.strip(" ")), "\n")
        if name == "br" or not last.endswith("\n"):
            self._pieces.append("\n")


def _split(html: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    """Yield each text with the tag behind it; comments and declarations are left out."""
    done = at = 0
    while match := _TOKEN.search(html, at):
        at = match.end()
        if match[0] == "<!--":
            end = html.find("-->", at)
            yield html[done : match.start()], None
            if end < 0:
                return
            done = at = end + 3
            continue
        yield html[done : match.start()], match if match["name"] else None
        done = at
    yield html[done:], None


def _read_attributes(rest: str) -> dict[str, str]:
    found = _ATTRIBUTE.finditer(rest[:4000])
    return {match[1].lower(): match[2] or match[3] or match[4] or "" for match in found}


def _opens_rest(attributes: dict[str, str]) -> bool:
    return bool(
        attributes
        and (
            _REST_IDS.fullmatch(attributes.get("id", "")[:100])
            or _REST_STYLE.match(attributes.get("style", "")[:300].strip())
        )
    )


def _is_quote(name: str, attributes: dict[str, str]) -> bool:
    if name == "blockquote" and attributes.get("type", "").lower() == "cite":
        return True
    return bool(
        attributes
        and (
            _QUOTE_CLASSES.search(attributes.get("class", "")[:500])
            or _QUOTE_IDS.fullmatch(attributes.get("id", "")[:100])
        )
    )
