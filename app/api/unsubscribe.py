"""``/unsubscribe/{token}``: a page without a login, in the visitor's language, and the one click.

Following the link (``GET``) changes nothing: programs follow links, too. A ``POST`` unsubscribes,
from the page or from a mail program (RFC 8058), as often as it comes. The page runs nothing, loads
nothing and tells nobody where it was opened; a link that is not ours is 404, whatever it names.
It is no part of the API: no caller uses it.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from html import escape
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from app.api.gate import TheOffice
from app.api.multipart import read_fields
from app.errors import Malformed, Missing, Throttled
from app.mime.address import Mailbox, parse_mailbox
from app.outbox.unsubscribe import Link, read_link, resubscribe, unsubscribe

router = APIRouter(include_in_schema=False)

_MOST_BYTES = 8192
_STYLE = (
    "body{font:1.1rem/1.6 system-ui,sans-serif;color:#1f2933;background:#fff;max-width:34rem;"
    "margin:12vh auto;padding:0 1rem}button,input{font:inherit;padding:.5rem 1rem}"
    "input{width:100%;box-sizing:border-box;margin-bottom:1rem}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language",
}
_PAGE = (
    '<!doctype html><html lang="{language}"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>{title}</title>'
    "<style>{style}</style><h1>{title}</h1>{body}</html>"
)
_WORDS: Mapping[str, Mapping[str, str]] = {
    "pl": {
        "title": "Rezygnacja z wiadomości",
        "ask": "Nadawca {sender} nie będzie więcej pisał na adres {address}.",
        "which": "Na jaki adres nadawca {sender} ma więcej nie pisać?",
        "leave": "Nie chcę więcej wiadomości",
        "left": "Gotowe. Nadawca {sender} nie będzie więcej pisał na adres {address}.",
        "some": "Gotowe. Jeżeli ta wiadomość przyszła na podany adres, nadawca nie będzie na niego "
        "więcej pisał.",
        "undo": "To pomyłka, chcę je dostawać",
        "back": "Gotowe. Wiadomości będą znów przychodzić na adres {address}.",
        "wrong": "To nie jest adres e-mail.",
        "lost": "Ten odnośnik nie działa. Proszę użyć odnośnika z ostatniej wiadomości.",
        "often": "Za dużo prób. Proszę spróbować za minutę.",
    },
    "fr": {
        "title": "Se désabonner",
        "ask": "{sender} n'écrira plus à l'adresse {address}.",
        "which": "À quelle adresse {sender} ne doit-il plus écrire ?",
        "leave": "Ne plus recevoir de messages",
        "left": "C'est fait. {sender} n'écrira plus à l'adresse {address}.",
        "some": "C'est fait. Si ce message est arrivé à l'adresse indiquée, l'expéditeur n'y "
        "écrira plus.",
        "undo": "C'est une erreur, je veux les recevoir",
        "back": "C'est fait. Les messages arriveront de nouveau à l'adresse {address}.",
        "wrong": "Ce n'est pas une adresse e-mail.",
        "lost": "Ce lien ne mène nulle part. Utilisez celui du dernier message reçu.",
        "often": "Trop d'essais. Réessayez dans une minute.",
    },
    "en": {
        "title": "Unsubscribe",
        "ask": "{sender} will no longer write to {address}.",
        "which": "Which address should {sender} no longer write to?",
        "leave": "Unsubscribe",
        "left": "Done. {sender} will no longer write to {address}.",
        "some": "Done. If this message came to the address you gave, its sender will no longer "
        "write there.",
        "undo": "That was a mistake, keep writing to me",
        "back": "Done. Messages will come to {address} again.",
        "wrong": "This is no e-mail address.",
        "lost": "This link leads nowhere. Please use the one in the last message you got.",
        "often": "Too many tries. Please try again in a minute.",
    },
}


@router.get("/unsubscribe/{token}")
async def show_unsubscribe(request: Request, office: TheOffice, token: str) -> Response:
    """Show whose address it is, and the button."""
    try:
        link = await office.db.read(read_link, office.vault, token)
    except Missing:
        return _answer(request, "lost", None, 404)
    if link.address is None:
        return _answer(request, "which", link)
    return _answer(request, "left" if link.is_suppressed else "ask", link)


@router.post("/unsubscribe/{token}")
async def post_unsubscribe(request: Request, office: TheOffice, token: str) -> Response:
    """Unsubscribe, or take it back."""
    link = None
    try:
        link = await office.db.read(read_link, office.vault, token)
        form = await _read_form(request)
        if form.get("do") == "undo" and link.address is not None:
            await office.db.write(resubscribe, office.vault, token, office.clock())
            return _answer(request, "back", link)
        if form.get("do") != "leave" and form.get("List-Unsubscribe") != "One-Click":
            return _answer(request, "which" if link.address is None else "ask", link, 422)
        address = None
        if link.address is None:
            address, _ = parse_mailbox(form.get("address", ""), "")
            if address is None:
                return _answer(request, "wrong", link, 422)
        await office.db.write(unsubscribe, office.vault, token, address, office.clock())
        office.db.ring("verdict")
        return _answer(request, "left" if link.address else "some", link)
    except Missing:
        return _answer(request, "lost", None, 404)
    except Throttled as error:
        response = _answer(request, "often", None, error.status)
        response.headers["Retry-After"] = str(round(error.retry_after_s or 60))
        return response
    except Malformed:
        return _answer(request, "ask" if link and link.address else "lost", link, 400)


async def _read_form(request: Request) -> dict[str, str]:
    """Return the posted fields; raise ``Malformed`` for what is no small form."""
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > _MOST_BYTES:
            raise Malformed("This form is too large.")
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        return read_fields(bytes(raw), content_type)  # RFC 8058 §3.2 allows both
    try:
        fields = parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise Malformed("This form cannot be read.") from None
    return {name: values[0] for name, values in fields.items()}


def _answer(request: Request, what: str, link: Link | None, status: int = 200) -> HTMLResponse:
    language = _choose_language(request.headers.get("accept-language", ""))
    words = _WORDS[language]
    sender = link.message.sender if link else {"name": "", "address": ""}
    address = _mask(link.address) if link and link.address else ""
    said = words[what].format(
        sender=escape(sender["name"] or sender["address"]), address=escape(address)
    )
    body = f"<p>{said}</p>"
    if what in ("ask", "which", "wrong"):
        field = '<input type="email" name="address" required>' if what != "ask" else ""
        body += _write_form(field, "leave", words["leave"])
    elif what == "left":
        body += _write_form("", "undo", words["undo"])
    page = _PAGE.format(language=language, title=words["title"], style=_STYLE, body=body)
    return HTMLResponse(page, status, _HEADERS)


def _write_form(field: str, do: str, label: str) -> str:
    return f'<form method="post">{field}<button name="do" value="{do}">{label}</button></form>'


def _mask(mailbox: Mailbox) -> str:
    """Return an address that its owner knows again and nobody else can use: ``s…@klient.example``."""
    return f"{mailbox.address[0]}…@{mailbox.domain}"


def _choose_language(wanted: str) -> str:
    """Return the first of our languages by the visitor's weights (RFC 9110 §12.5.4)."""
    weighed: list[tuple[float, str]] = []
    for each in wanted.split(",")[:20]:
        tag, _, weight = each.partition(";")
        found = re.fullmatch(r"\s*q=(0(?:\.\d{1,3})?|1(?:\.0{1,3})?)\s*", weight)
        base = tag.strip().lower().partition("-")[0]
        if base in _WORDS and (not weight or found):
            weighed.append((-float(found[1]) if found else -1.0, base))
    return min(weighed, key=lambda each: each[0])[1] if weighed else "pl"
