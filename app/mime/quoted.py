"""The words of an answer without what it quotes: Polish, French, English, German mail programs.

What goes: lines with ``>`` and the attribution before them, wherever they stand (answers between
the lines stay); everything from Outlook's header block, a ``-----Original Message-----`` or an
attribution without ``>`` to the end; the signature behind ``-- ``; "Sent from my …". Where nothing
would be left, as of a forwarded message, the whole text stands. One pass, linear: patterns see
single lines of bounded length. HTML is brought here by ``quoted_html``.
"""

import re

from app.mime.quoted_html import derive_answer_text

MAX_ANSWER_CHARS = 256_000  # of a text with its quotes; what a person writes is 100 times shorter
MAX_ANSWER_LINES = 20_000
MAX_ATTRIBUTION_CHARS = 500
MAX_ATTRIBUTION_LINES = 4
MAX_BLANK_LINES = 2  # in a row, in what is left

_QUOTED = re.compile(r"[ \t]{0,3}(>|&gt;)")
# "On …, X wrote:": a date or an address, then the verb at the end; German has it in the middle.
_VERB = re.compile(
    r"\b(?:wrote|writes|a écrit|schrieb|napisał(?:\(a\)|/a|a)?|pisze)\s*:", re.IGNORECASE
)
_SCHRIEB = re.compile(r"(?:am|on)\b.*\bschrieb\b|wiadomość napisana przez\b", re.IGNORECASE)
_STARTS = re.compile(r"\W{0,3}(?:on|le|am|w dniu|dnia)\b", re.IGNORECASE)
_SAYS_WHEN_OR_WHO = re.compile(r"\b\d\d?[:.h]\d\d\b|[^\s@]@[^\s@]|\b(?:19|20)\d\d\b")
# The header block of Outlook, GMX, Interia: opened by From or Sent, with two other labels near it.
_FROM = re.compile(r"[*\s]*(?:from|od|nadawca|de|expéditeur|von)\s?:\*?\s", re.IGNORECASE)
_SENT = re.compile(
    r"[*\s]*(?:sent|date|wysłano|wysłane|data|envoyé(?: le)?|gesendet|datum)\s?:\*?\s",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"[*\s]*(?:to|cc|subject|reply-to|importance|do|dw|temat|ważność|odpowiedź do|à|objet|an|betreff"
    r"|priorität)\s?:\*?(?:\s|$)",
    re.IGNORECASE,
)
_LOOKED_AHEAD = 8  # lines for the labels; long To fields wrap
_ORIGINAL = re.compile(
    r"[ \t]*-{2,}\s?(?:original (?:message|appointment)|message d['’]origine"
    r"|(?:message|mail) (?:original|transféré)"
    r"|ursprüngliche (?:nachricht|mail)|originalnachricht|weitergeleitete nachricht|original-nachricht"
    r"|(?:wiadomość|treść) (?:oryginalna|przekazana)|oryginalna wiadomość|wiadomość oryginalna"
    r"|treść przekazanej wiadomości|forwarded message|original email)\s?-{2,}\s*",
    re.IGNORECASE,
)
_RULE = re.compile(r"[ \t]*_{10,}[ \t]*")
_SIGNATURE = re.compile(r"--[ \u00a0]?")
_SENT_FROM = re.compile(
    r"(?:sent from (?:my|outlook|mail for|yahoo|samsung|proton)|get outlook for"
    r"|wysłan[eoay] (?:z|za pomocą)\b|pobierz (?:program )?outlook|télécharger outlook"
    r"|envoyé (?:de mon|depuis mon|à partir de)|obtenez outlook|envoyé depuis\b"
    r"|von meinem .{1,40} gesendet|gesendet (?:von|mit|über) |outlook für (?:ios|android))",
    re.IGNORECASE,
)


def find_answer(text: str, html: str) -> str:
    """Return the words of an answer, from its text or, where it has none, from its HTML."""
    if text.strip():
        return strip_quote(text)
    return strip_quote(derive_answer_text(html)) or derive_answer_text(html, with_quotes=True)


def strip_quote(text: str) -> str:
    """Return a plain text without its quoted part; the whole text where it is all quoted."""
    text = text[:MAX_ANSWER_CHARS].replace("\r\n", "\n").replace("\u00a0", " ")
    lines = text.split("\n", MAX_ANSWER_LINES)[:MAX_ANSWER_LINES]
    kept = _tidy(_strip_ending(_drop_quotes(lines)))
    return kept or _tidy([line.rstrip() for line in lines])


def _drop_quotes(lines: list[str]) -> list[str]:
    kept: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            kept.append("")
            at += 1
        elif _QUOTED.match(line):
            at += 1
        elif _opens_rest(lines, at):
            break
        elif count := _measure_attribution(lines, at):
            at += count
            # Without ">" behind it nothing tells where the quote ends: it is all the rest.
            following = next((each for each in lines[at : at + 4] if each.strip()), "")
            if not _QUOTED.match(following):
                break
        else:
            kept.append(line.rstrip())
            at += 1
    return kept


def _opens_rest(lines: list[str], at: int) -> bool:
    """Say whether everything from here on is an older message, as Outlook puts it."""
    line = lines[at][:200]
    if _ORIGINAL.fullmatch(line):
        return True
    if _RULE.fullmatch(line):
        return any(_opens_block(lines, at + ahead) for ahead in (1, 2))
    return _opens_block(lines, at)


def _opens_block(lines: list[str], at: int) -> bool:
    if at >= len(lines) or not any(each.match(lines[at][:200]) for each in (_FROM, _SENT)):
        return False
    near = [line[:200] for line in lines[at : at + 1 + _LOOKED_AHEAD]]
    counts = [sum(1 for line in near if each.match(line)) for each in (_FROM, _SENT, _LABEL)]
    return counts[0] > 0 and sum(counts) > 2


def _measure_attribution(lines: list[str], at: int) -> int:
    """Return how many lines the attribution that starts here takes; 0 where none does."""
    joined = ""
    for count, line in enumerate(lines[at : at + MAX_ATTRIBUTION_LINES], 1):
        joined = f"{joined} {line[: MAX_ATTRIBUTION_CHARS + 1].strip()}".strip()
        if not line.strip() or len(joined) > MAX_ATTRIBUTION_CHARS or _QUOTED.match(line):
            return 0
        if count > 1 and _STARTS.match(line) and not _SCHRIEB.match(joined):
            return 0  # it starts here, and what is before it belongs to the answer
        if joined.endswith(":"):
            return count if _is_attribution(joined, lines[at + count : at + count + 3]) else 0
        if count == 1 and not _may_start(line):
            return 0
    return 0


def _may_start(line: str) -> bool:
    """Say whether a line may be the first of a wrapped attribution: a date or a person, no sentence."""
    line = line[:MAX_ATTRIBUTION_CHARS].rstrip()
    if line.endswith((".", "!", "?")):
        return False
    return bool(_STARTS.match(line) or _SAYS_WHEN_OR_WHO.search(line))


def _is_attribution(joined: str, following: list[str]) -> bool:
    if not any(letter.isdigit() or letter == "@" for letter in joined):
        return False
    starts = bool(_STARTS.match(joined))
    if any(match.end() == len(joined) for match in _VERB.finditer(joined)):
        return starts or _SAYS_WHEN_OR_WHO.search(joined) is not None
    if _SCHRIEB.match(joined):
        return True
    # Any language: a date or an address with a colon, right before ">".
    next_line = next((each for each in following if each.strip()), "")
    return _QUOTED.match(next_line) is not None and _SAYS_WHEN_OR_WHO.search(joined) is not None


def _strip_ending(lines: list[str]) -> list[str]:
    """Cut the signature, and what telephones add."""
    for at, line in enumerate(lines):
        if _SIGNATURE.fullmatch(line) and any(each.strip() for each in lines[:at]):
            lines = lines[:at]
            break
    kept = list(lines)
    while kept and (not kept[-1].strip() or _SENT_FROM.match(kept[-1].strip()[:200])):
        kept.pop()
    return kept


def _tidy(lines: list[str]) -> str:
    kept: list[str] = []
    blank = 0
    for line in lines:
        blank = 0 if line else blank + 1
        if blank <= MAX_BLANK_LINES - 1:
            kept.append(line)
    return "\n".join(kept).strip("\n")
