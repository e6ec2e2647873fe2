"""What stands below the text of a mail: signatures, then footers (D10), each HTML, text or both.

Order: the user's signature, the account's, the footers of the account, of the instance and of the
product. They are filled as templates are, with one difference: who sends is not who wrote them, so
a catalogue macro without a value is nothing there, with a warning, and refuses no mail. In plain
text the signatures stand below ``-- `` (RFC 3676 §4.3), everything below a blank line; HTML comes
before ``</body>``. A plain text mail stays one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from app.errors import Fault, Notice
from app.templates_engine.catalogue import BY_NAME
from app.templates_engine.filler import Filler, close_gaps, list_names
from app.templates_engine.insert import insert_html, insert_text, is_closed
from app.templates_engine.lint import lint
from app.templates_engine.parse import CompiledTemplate, Program, compile_piece
from app.templates_engine.values import escape_pointer, pick_language

MOST_BYTES = 16_384
# Each part and what switches it, in the order in which they stand.
PARTS: Mapping[str, str] = {
    "user_signature": "user_signature",
    "account_signature": "signature",
    "account_footer": "footer",
    "instance_footer": "instance_footer",
    "product_footer": "product_footer",
}
SWITCHES = tuple(PARTS.values())
PIECE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "html": {"type": "string", "examples": ["<p>{wysyłający}<br><b>{firma}</b></p>"]},
        "text": {"type": "string", "examples": ["{wysyłający}\n{firma}"]},
    },
}
SWITCHES_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {name: {"type": "boolean"} for name in SWITCHES},
    "examples": [{"user_signature": False}],
}
_SIGNATURES = ("user_signature", "account_signature")
_PRODUCT = {"pl": "Wysłano przez Awizo", "fr": "Envoyé avec Awizo", "en": "Sent with Awizo"}
_ABOUT_A_TEMPLATE = {"subject_empty", "template_near_limit"}


@dataclass(frozen=True, slots=True)
class ClosingText:
    """One part. origin: where it is stored, such as ``users/anna``. wanted: not switched off.

    html, text: "" where it is made of the other.
    """

    part: str
    origin: str
    html: str = ""
    text: str = ""
    wanted: bool = True


def choose_closing(
    closing: Iterable[ClosingText], wish: Mapping[str, bool], language: str
) -> tuple[ClosingText, ...]:
    """Return the parts of one message. wish: by switch, what the message says itself."""
    product = _PRODUCT[pick_language(language)]
    return tuple(
        replace(each, text=product) if each.part == "product_footer" else each
        for each in closing
        if wish.get(PARTS[each.part], each.wanted)
    )


def add_closing(
    filler: Filler, closing: Sequence[ClosingText], html: str | None, text: str
) -> tuple[str | None, str, list[ClosingText]]:
    """Return a filled body and its text with the parts below it, and which those are."""
    added: list[ClosingText] = []
    divs: list[str] = []
    blocks: list[str] = []
    for each in closing:
        piece = _compile(each.html, each.text)
        assert piece.text is not None
        shown = "" if html is None else _fill(filler, piece.body, each.part).strip()
        lines = close_gaps(_fill(filler, piece.text, each.part)).rstrip()
        if shown:
            divs.append(f'<div style="margin-top:1em">{shown}</div>\n')
        if lines:
            is_first = each.part in _SIGNATURES and not blocks
            blocks.append(f"-- \n{lines}" if is_first else lines)
        if shown or lines:
            added.append(each)
    if html is not None:
        html = insert_html(html, "".join(divs))
    return html, insert_text(text, "\n\n".join(blocks)), added


def _fill(filler: Filler, program: Program, part: str) -> str:
    cuts = filler.find_cuts(program)
    for name in dict.fromkeys(list_names(program, cuts)):
        if name in filler.values:
            continue
        if name in BY_NAME:
            filler.leave_empty(name)
            detail = f"has no value; {part.replace('_', ' ')} leaves it out."
            filler.warn("macro_missing_in_signature", name, detail)
        else:
            detail = "is not in the catalogue nor in macros; it stays as it is written."
            filler.warn("unknown_macro", name, detail)
    return filler.fill(program, cuts)


@lru_cache(maxsize=128)  # one user's signature ends a thousand mails
def _compile(html: str, text: str) -> CompiledTemplate:
    return compile_piece(html, text)


def read_piece(given: object, pointer: str, faults: list[Fault]) -> dict[str, str] | None:
    """Read a signature or a footer, ``{"html", "text"}``; "" and an empty one mean none.

    Returns what is not empty, None where a fault was added: ``wrong_type``, ``unknown_field``,
    ``too_large`` (16 384 bytes of UTF-8 each), ``html_not_closed`` (it would swallow the rest of
    the mail).
    """
    if given == "":
        return {}
    if not isinstance(given, Mapping):
        faults.append(Fault(pointer, "wrong_type", "Give an object of html and text."))
        return None
    before, piece = len(faults), {}
    for name, value in given.items():
        where = f"{pointer}/{escape_pointer(name)}"
        if name not in ("html", "text"):
            faults.append(Fault(where, "unknown_field", "It has html and text, nothing else."))
        elif value is not None and not isinstance(value, str):
            faults.append(Fault(where, "wrong_type", "Give text."))
        elif value and (size_bytes := len(value.encode("utf-8", "replace"))) > MOST_BYTES:
            detail = f"It has {size_bytes} bytes of UTF-8; {MOST_BYTES} are allowed."
            faults.append(Fault(where, "too_large", detail))
        elif value and name == "html" and not is_closed(value):
            detail = "A tag, a comment or a style in it never ends; the mail would end there."
            faults.append(Fault(where, "html_not_closed", detail))
        elif value and value.strip():
            piece[name] = value
    return piece if len(faults) == before else None


def read_switches(given: object, pointer: str, faults: list[Fault]) -> dict[str, bool] | None:
    """Read which parts are switched on and off; what is absent stays as it is."""
    if not isinstance(given, Mapping):
        faults.append(Fault(pointer, "wrong_type", f"Give an object of {', '.join(SWITCHES)}."))
        return None
    switches = {}
    for name, value in given.items():
        where = f"{pointer}/{escape_pointer(name)}"
        if name not in SWITCHES:
            faults.append(Fault(where, "unknown_field", f"It has {', '.join(SWITCHES)}."))
        elif isinstance(value, bool):
            switches[name] = value
        elif value is not None:
            faults.append(Fault(where, "wrong_type", "Give true or false."))
    return switches


def read_wish(given: object, pointer: str, faults: list[Fault]) -> dict[str, bool]:
    """Read what a message says of its own: false none, true all of them, or an object as above."""
    if given is None:
        return {}
    if isinstance(given, bool):
        return dict.fromkeys(SWITCHES, given)
    return read_switches(given, pointer, faults) or {}


def advise(
    piece: Mapping[str, str] | None, pointer: str, known: Iterable[str] = ()
) -> list[Notice]:
    """Return the advice on templates that fits a piece. known: names of the scope's own macros."""
    notices: list[Notice] = []
    for name, source in (piece or {}).items():
        template = compile_piece(source, "") if name == "html" else compile_piece("", source)
        notices += [
            replace(each, pointer=f"{pointer}/{name}")
            for each in lint(template, known)
            if each.code not in _ABOUT_A_TEMPLATE
        ]
    return notices
