"""Where a mail provider leads browsers back to: an open door for who holds the state, once.

The owner is first asked whether this account may have the mailbox: a link to the provider's own page
may have been sent by anybody. The pages are plain, in the browser's language, run nothing and are
kept nowhere.
"""

from html import escape
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Header, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.engine import Connection

from app.api.gate import TheOffice
from app.configuration import consent
from app.configuration.consent import Pending
from app.configuration.consent_client import find_client, name_callback
from app.errors import Conflict, Missing
from app.outbox.follow import configuration_changed
from app.outbox.office import Office
from app.wire import oauth
from app.wire.oauth import Refusal

router = APIRouter()

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "no-referrer",  # the address holds the code
    "X-Content-Type-Options": "nosniff",
}
_TEXTS = {
    "asked": {
        "pl": (
            "Połączyć tę skrzynkę z Awizo?",
            "Prosi o to {asked_by} dla konta {name} {login}. Kto zarządza tym kontem, będzie wysyłać "
            "i czytać pocztę Twojej skrzynki. Potwierdź tylko, jeśli się tego spodziewasz; w innym "
            "razie zamknij tę stronę.",
        ),
        "fr": (
            "Relier cette boîte à Awizo ?",
            "{asked_by} le demande pour le compte {name} {login}. Qui gère ce compte enverra et lira "
            "le courrier de votre boîte. Ne confirmez que si vous vous y attendiez ; sinon, fermez "
            "cette page.",
        ),
        "en": (
            "Connect this mailbox with Awizo?",
            "{asked_by} asks for it, for the account {name} {login}. Whoever manages that account will "
            "send and read your mailbox's mail. Confirm only if you expected this; else close this "
            "page.",
        ),
    },
    "granted": {
        "pl": ("Zgoda zapisana", "Awizo wysyła odtąd pocztę konta {name}. Tę stronę można zamknąć."),
        "fr": (
            "Consentement enregistré",
            "Awizo envoie désormais le courrier du compte {name}. Vous pouvez fermer cette page.",
        ),
        "en": ("Consent stored", "Awizo now sends the mail of {name}. You may close this page."),
    },
    "unknown": {
        "pl": (
            "Ten link już nie działa",
            "Został użyty, zastąpiony lub jest za stary. Poproś o nowy.",
        ),
        "fr": (
            "Ce lien ne fonctionne plus",
            "Il a servi, a été remplacé ou est trop ancien. Demandez-en un nouveau.",
        ),
        "en": ("This link no longer works", "It was used, replaced or is too old. Ask for a new one."),
    },
    "declined": {
        "pl": ("Bez zgody", "Dostawca poczty nie dał zgody dla {name}: {detail}"),
        "fr": ("Pas de consentement", "Le fournisseur n'a pas consenti pour {name} : {detail}"),
        "en": ("No consent", "The provider did not consent for {name}: {detail}"),
    },
}  # fmt: skip
_CONFIRM = {"pl": "Połącz", "fr": "Relier", "en": "Connect"}
_STATUS = {"asked": 200, "granted": 200, "unknown": 404, "declined": 400}
_MOST = 4096
_FIELDS = ("state", "code", "iss", "error")


@router.get("/oauth/callback", include_in_schema=False)
async def ask_owner(
    request: Request, office: TheOffice, accept_language: Annotated[str, Header()] = ""
) -> HTMLResponse:
    """Ask the owner of the mailbox, whom the provider leads here, whether they meant it."""
    language = _choose(accept_language)
    brought = _read(request.query_params.multi_items())
    if brought is None:
        return _show(language, "unknown")
    if brought["error"] or not brought["code"]:
        return await _answer(office, language, brought)
    try:
        question = await office.db.read(
            consent.read_question, office.vault, brought["state"], office.clock()
        )
    except Missing:
        return _show(language, "unknown")
    login = f"({question.login})" if question.login else ""
    values = {"name": question.name, "login": login, "asked_by": question.asked_by}
    return _show(language, "asked", brought, **values)


@router.post("/oauth/callback", include_in_schema=False)
async def finish_consent(
    request: Request, office: TheOffice, accept_language: Annotated[str, Header()] = ""
) -> HTMLResponse:
    """Trade the code that a confirming browser brings for tokens, and say what came of it."""
    language = _choose(accept_language)
    given = (await request.body()).decode("ascii", "replace")
    brought = None if len(given) > 8 * _MOST else _read(parse_qsl(given))
    if brought is None:
        return _show(language, "unknown")
    return await _answer(office, language, brought)


def _read(pairs: list[tuple[str, str]]) -> dict[str, str] | None:
    """Return the fields of an answer, empty where they are missing; None for what is none."""
    brought = dict(pairs)
    if len(brought) != len(pairs) or any(len(value) > _MOST for value in brought.values()):
        return None
    return {name: brought.get(name, "").replace("\0", "") for name in _FIELDS}


async def _answer(office: Office, language: str, brought: dict[str, str]) -> HTMLResponse:
    try:
        pending = await office.db.write(
            consent.take_answer, office.vault, brought["state"], office.clock()
        )
    except Missing:
        return _show(language, "unknown")
    detail = await _finish(office, pending, **brought)
    if detail is None:
        return _show(language, "granted", name=pending.name)
    await office.db.write(consent.note_declined, pending.account_id, detail, office.clock())
    return _show(language, "declined", name=pending.name, detail=detail)


async def _finish(
    office: Office, pending: Pending, *, state: str, code: str, iss: str, error: str
) -> str | None:
    """Store the tokens that the code is good for; return why not, in plain words."""
    try:
        client = find_client(office.settings, pending.provider, "authorization_code")
        back = name_callback(office.settings)
    except Conflict as problem:
        return problem.detail
    if iss and not oauth.is_issued_by(client, iss):
        return "The answer is another provider's; begin again."
    if error or not code:
        return f"{oauth.name_error(error)}; begin again."
    answer = await oauth.trade_code(client, code, pending.verifier, back)
    if isinstance(answer, Refusal):
        return answer.detail
    if answer.refresh is None:
        return "The provider gave no refresh token; it has to allow offline access. Begin again."

    def run(tx: Connection) -> None:
        at = office.clock()
        consent.grant(tx, office.vault, pending, answer, at)
        configuration_changed(tx, pending.account_id, at)

    try:
        await office.db.write(run)
    except Missing as problem:
        return problem.detail
    office.db.ring()
    return None


def _choose(accepted: str) -> str:
    for part in accepted.lower().split(",")[:20]:
        if (wanted := part.strip()[:2]) in _TEXTS["granted"]:
            return wanted
    return "en"


def _show(
    language: str, what: str, confirmed: dict[str, str] | None = None, **values: str
) -> HTMLResponse:
    title, text = _TEXTS[what][language]
    shown = {name: escape(value) for name, value in values.items()}
    form = ""
    if confirmed is not None:
        fields = "".join(
            f'<input type="hidden" name="{name}" value="{escape(value)}">'
            for name, value in confirmed.items()
        )
        button = f"<button>{_CONFIRM[language]}</button>"
        form = f'<form method="post" action="/oauth/callback">{fields}{button}</form>'
    page = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Awizo</title></head>'
        f"<body><h1>{title}</h1><p>{text.format(**shown)}</p>{form}</body></html>"
    )
    return HTMLResponse(page, _STATUS[what], _HEADERS)
