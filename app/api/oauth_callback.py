"""Where a mail provider leads browsers back to: an open door for who holds the state, once.

The page is plain, says what came of it in the browser's language, runs nothing and is kept nowhere.
"""

from html import escape
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.engine import Connection

from app.api.gate import TheOffice
from app.configuration import consent
from app.configuration.consent import Pending
from app.errors import Conflict, Missing
from app.outbox.follow import configuration_changed
from app.outbox.office import Office
from app.wire import oauth
from app.wire.oauth import Refusal

router = APIRouter()

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",  # the address holds the code
    "X-Content-Type-Options": "nosniff",
}
_TEXTS = {
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
_STATUS = {"granted": 200, "unknown": 404, "declined": 400}
_MOST = 4096


@router.get("/oauth/callback", include_in_schema=False)
async def finish_consent(
    request: Request,
    office: TheOffice,
    state: Annotated[str, Query()] = "",
    code: Annotated[str, Query()] = "",
    iss: Annotated[str | None, Query()] = None,
    error: Annotated[str, Query()] = "",
    accept_language: Annotated[str, Header()] = "",
) -> HTMLResponse:
    """Trade the code that a browser brings for tokens, and say what came of it."""
    language = _choose(accept_language)
    repeated = len(request.query_params.multi_items()) != len(request.query_params)
    if repeated or max(map(len, (state, code, error, iss or ""))) > _MOST:
        return _show(language, "unknown")
    try:
        pending = await office.db.write(
            consent.take_answer, office.vault, state.replace("\0", ""), office.clock()
        )
    except Missing:
        return _show(language, "unknown")
    detail = await _finish(office, pending, code, iss, error)
    if detail is None:
        return _show(language, "granted", name=pending.name)
    await office.db.write(consent.note_declined, pending.account_id, detail, office.clock())
    return _show(language, "declined", name=pending.name, detail=detail)


async def _finish(
    office: Office, pending: Pending, code: str, iss: str | None, error: str
) -> str | None:
    """Store the tokens that the code is good for; return why not, in plain words."""
    try:
        client = consent.find_client(office.settings, pending.provider, "authorization_code")
        back = consent.name_callback(office.settings)
    except Conflict as problem:
        return problem.detail
    if iss is not None and not oauth.is_issued_by(client, iss):
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


def _show(language: str, what: str, **values: str) -> HTMLResponse:
    title, text = _TEXTS[what][language]
    shown = {name: escape(value) for name, value in values.items()}
    page = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f"<title>Awizo</title></head><body><h1>{title}</h1><p>{text.format(**shown)}</p>"
        "</body></html>"
    )
    return HTMLResponse(page, _STATUS[what], _HEADERS)
