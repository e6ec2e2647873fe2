"""The access token that an account logs in with: the one in hand, or the next, asked for by one.

``find_access_token`` serves SMTP and the mailbox alike. Its failures are a session's that did not
come about: ``consent_needed`` (only a person can go on) and ``token_unavailable`` (the account pauses
and is tried again). What a provider answers is stored whatever becomes of who asked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.engine import Connection

from app.configuration.consent_client import find_client
from app.configuration.consent_tokens import (
    OTHER_SERVERS,
    Held,
    lose_consent,
    note_answer,
    read_held,
    take_turn,
)
from app.configuration.model import IncomingSettings, SmtpSettings, StoredAccount
from app.db import now
from app.errors import Conflict, Unavailable
from app.outbox.events import publish_of_account
from app.outbox.office import Office
from app.vault import CannotOpen, Vault
from app.wire import oauth
from app.wire.oauth import Refusal
from app.wire.steps import SessionFailed
from app.wire.target import Secret

S = TypeVar("S")

_LOOK_S = 0.1
_MOST_WAIT_S = 40.0  # longer than one who asks holds its turn
_asking: set[asyncio.Task[Refusal | None]] = set()


async def find_access_token(
    office: Office,
    account_id: str,
    settings: SmtpSettings | IncomingSettings,
    *,
    refused: Secret | None = None,
    unsaved: bool = False,
) -> Secret:
    """Return an access token for one of the account's servers. refused: one the server did not take.
    unsaved: for settings that are only tried.

    Asks the provider only where the token in hand is about to end or was refused; meanwhile others
    use what is still good, or wait. Raises ``SessionFailed``, ``Unavailable``.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + _MOST_WAIT_S
    has_asked = False
    while True:
        held = await office.db.ask(read_held, account_id)
        if held is None:
            raise _fail("consent_needed", "The provider wants the owner's consent again.")
        try:
            text = held.open_access(office.vault, settings)
        except CannotOpen:
            if not unsaved:
                await office.db.write(_lose, account_id, OTHER_SERVERS)
            raise _fail("consent_needed", OTHER_SERVERS) from None
        token = Secret(text) if text else None
        if token is not None and (has_asked or (held.is_fresh and token != refused)):
            return token
        spare = token if held.is_usable and token != refused else None
        if held.rests:
            if spare is not None:
                return spare
            raise _fail("token_unavailable", held.error or "")
        if await office.db.write(take_turn, held):
            has_asked = True
            refusal = await _ask(office, held)
            if refusal is not None and (spare is None or refusal.kind == "consent"):
                is_lost = refusal.kind == "consent"
                raise _fail("consent_needed" if is_lost else "token_unavailable", refusal.detail)
        elif spare is not None:
            return spare
        elif loop.time() > ends_at:
            raise _fail("token_unavailable", "Another process asks for a token and gets no answer.")
        else:
            await asyncio.sleep(_LOOK_S)


async def log_in(
    office: Office,
    stored: StoredAccount,
    password: Secret | None,
    enter: Callable[[Secret | None], Awaitable[S]],
) -> S:
    """Open a session of the account's mail server: by ``password``, or by its consent's token.

    A token that the server refuses is replaced once.
    """
    settings = stored.settings
    if settings is None or not stored.uses_token:
        return await enter(password)
    token = await find_access_token(office, stored.id, settings)
    try:
        return await enter(token)
    except SessionFailed as failed:
        if failed.cause != "credentials_refused":
            raise
    return await enter(await find_access_token(office, stored.id, settings, refused=token))


async def _ask(office: Office, held: Held) -> Refusal | None:
    # To its end also where the carrier is told to go: a rotated token is given only once.
    asking = asyncio.create_task(_ask_and_note(office, held))
    _asking.add(asking)
    asking.add_done_callback(_asking.discard)
    return await asyncio.shield(asking)


async def _ask_and_note(office: Office, held: Held) -> Refusal | None:
    answer: oauth.Tokens | Refusal
    try:
        client = find_client(office.settings, held.provider, held.grant)
    except Conflict as error:
        answer = Refusal("misconfigured", error.detail)
    else:
        if held.grant == "client_credentials":
            answer = await oauth.ask_as_application(client)
        else:
            answer = await oauth.refresh(client, Secret(held.open_refresh(office.vault)))
    while True:
        try:
            return await office.db.write(_note, office.vault, held, answer)
        except Unavailable:
            await asyncio.sleep(1)


def _lose(tx: Connection, account_id: str, detail: str) -> None:
    if lose_consent(tx, account_id, detail):
        _tell_lost(tx, account_id, detail)


def _note(
    tx: Connection, vault: Vault, held: Held, answer: oauth.Tokens | Refusal
) -> Refusal | None:
    refusal = note_answer(tx, vault, held, answer)
    if refusal is not None and refusal.kind == "consent":
        _tell_lost(tx, held.account_id, refusal.detail)
    return refusal


def _tell_lost(tx: Connection, account_id: str, detail: str) -> None:
    told = {"cause": "consent_needed", "detail": detail}
    publish_of_account(tx, "account.consent_needed", account_id, told, at=now(tx))


def _fail(cause: str, detail: str) -> SessionFailed:
    return SessionFailed(cause, "token", None, detail)
