"""Cut the text of an address field into mailboxes, without judging the addresses.

``Jan <a@b>, "Firma, Sp. z o.o." <c@d>; e@f (Ewa)`` holds three: quoted strings, angle brackets,
comments and address literals keep their separators. Written for what people and ERPs type, not
for every obsolete form of RFC 5322 §4: names may hold any character that does not open something,
groups and nested comments are refused. One pass, no backtracking, never raises.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

BLANKS = " \u00a0"  # what people paste around a mailbox; a line break is no blank but a fault

# Possessive (*+, ++), so that a text which opens a thousand things costs one pass.
_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_TOKEN = re.compile(
    rf"""(?P<quoted>{_QUOTED})
    | <(?P<angle>(?:{_QUOTED}|[^"<>]++)*+)>
    | \((?P<comment>[^()]*+)\)
    | (?P<literal>\[[^][]*+\])
    | (?P<separator>[,;][,;{BLANKS}]*+)
    | (?P<colon>:)
    | (?P<unclosed>["<([])
    | (?P<text>[^"<([,;:]++)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """One mailbox as it stands in the text; ``wrong`` is "" where it could be cut out."""

    text: str
    address: str = ""
    name: str = ""
    wrong: str = ""


def split_mailboxes(text: str) -> Iterator[Written]:
    """Yield the mailboxes of a list in order; empty places (``a@b,,``) are passed over."""
    start = 0
    tokens: list[re.Match[str]] = []
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "unclosed":
            yield Written(
                text[start:].strip(BLANKS),
                wrong=f"{token[0]} is not closed; put a display name with special characters"
                " in double quotes",
            )
            return
        if token.lastgroup != "separator":
            tokens.append(token)
            continue
        yield from _read_mailbox(text[start : token.start()].strip(BLANKS), tokens)
        start = token.end()
        tokens = []
    yield from _read_mailbox(text[start:].strip(BLANKS), tokens)


def _read_mailbox(text: str, tokens: list[re.Match[str]]) -> Iterator[Written]:
    if not text:
        return
    kinds = [token.lastgroup for token in tokens]
    if "colon" in kinds:
        yield Written(
            text,
            wrong="groups (name: members;) are not accepted; put a display name with a colon"
            " in double quotes",
        )
    elif "angle" in kinds:
        at = kinds.index("angle")
        if any(
            token.lastgroup != "comment" and token[0].strip(BLANKS) for token in tokens[at + 1 :]
        ):
            yield Written(
                text, wrong="something follows the address; separate mailboxes with , or ;"
            )
        else:
            name = "".join(_unquote(token) for token in tokens[:at])
            yield Written(text, tokens[at]["angle"].strip(BLANKS), name.strip(BLANKS))
    else:
        address = "".join(token[0] for token in tokens if token.lastgroup != "comment").strip(
            BLANKS
        )
        names = [token["comment"].strip(BLANKS) for token in tokens if token.lastgroup == "comment"]
        yield Written(text, address, " ".join(names))


def _unquote(token: re.Match[str]) -> str:
    if token.lastgroup != "quoted":
        return token[0]
    return _ESCAPED.sub(r"\1", token[0][1:-1])
