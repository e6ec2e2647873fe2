"""OAuth2 consents: an account that logs in by tokens Awizo gets by itself, until it is taken back.

An authorization is begun by who manages the account and finished by whoever comes back from the
provider with its state and confirms it, once, within ten minutes (PKCE S256; the verifier stays
here, sealed).
Client credentials open every mailbox of a tenant, so they are an admin's to give.
Tokens are sealed for the servers that the account named when it was asked: for another or a weaker
one they do not open, and the account needs consent again. Keeping them fresh is ``consent_tokens``.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.configuration.consent_client import find_client, name_callback
from app.configuration.consent_servers import require_known_servers
from app.configuration.consent_state import ConsentGrant, ConsentProvider
from app.configuration.load import load_account
from app.configuration.model import StoredAccount, takes_token
from app.configuration.secrets import Target, move_to_place, open_for_servers, seal_for_servers
from app.configuration.tables import account, consent
from app.db import lock_rows
from app.errors import Conflict, Denied, Missing
from app.settings import Settings
from app.vault import CannotOpen, Vault
from app.wire import oauth
from app.wire.target import Secret

LASTS = timedelta(minutes=10)  # to type a password and a second factor
_PURPOSE = "consent"


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the owner of the mailbox is led to, and until when an answer counts."""

    authorize_url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """What a mailbox's owner is asked. name: of the account; login: its user name at the provider."""

    name: str
    login: str
    asked_by: str


@dataclass(frozen=True, slots=True)
class Pending:
    """An authorization that came back; its state is used up. name: of the account, for people."""

    account_id: str
    name: str
    provider: ConsentProvider
    verifier: str = field(repr=False)
    sealed_verifier: bytes = field(repr=False)
    asked_by: str = ""


def begin_consent(
    tx: Connection,
    vault: Vault,
    settings: Settings,
    caller: Caller,
    stored: StoredAccount,
    provider: ConsentProvider,
    at: datetime,
) -> Begun:
    """Begin an authorization; an earlier one that was not finished ends, a consent stays.

    Raises ``Conflict`` ``consent_not_wanted`` for an account without such a login,
    ``oauth_not_configured``; ``Denied`` ``consent_other_server`` for a server that is not the
    provider's, unless an admin asks.
    """
    client, back = find_client(settings, provider, "authorization_code"), name_callback(settings)
    servers = _list_servers(stored)
    if not caller.is_admin:
        require_known_servers(provider, servers)
    errand = oauth.Errand()
    state = f"{stored.id}.{errand.state}"
    _ensure_row(tx, stored.id, provider, "authorization_code", caller.name)
    tx.execute(
        update(consent)
        .where(consent.c.account_id == stored.id)
        .values(
            pending_hash=vault.digest(_PURPOSE, state.encode()),
            pending_verifier=seal_for_servers(
                vault, errand.verifier, _place_verifier(stored.id), servers
            ),
            pending_provider=provider,
            pending_until=at + LASTS,
            asked_by=caller.name,
        )
    )
    _note(tx, caller, stored, "account.consent_asked", {"provider": provider}, at)
    assert stored.settings is not None
    extra = {"login_hint": stored.settings.username or ""}
    if provider == "google":  # without these there is no refresh token the second time
        extra |= {"access_type": "offline", "prompt": "consent"}
    url = oauth.make_authorize_url(client, state, errand.verifier, back, extra)
    return Begun(url, at + LASTS)


def read_question(tx: Connection, vault: Vault, state: str, at: datetime) -> Question:
    """Return what an authorization is about, for its owner's eyes; its state stays good.

    Raises ``Missing`` ``consent_not_asked`` for one that is forged, used, replaced or too old: alike.
    """
    row, stored = _find_pending(tx, vault, state, at, select(consent))
    login = stored.settings.username if stored.settings else None
    return Question(_name(stored), login or "", row.asked_by)


def take_answer(tx: Connection, vault: Vault, state: str, at: datetime) -> Pending:
    """Use up an authorization's state; what comes of it is told by ``grant`` or ``note_declined``.

    Raises ``Missing`` as ``read_question`` does.
    """
    row, stored = _find_pending(tx, vault, state, at, lock_rows(tx, select(consent)))
    tx.execute(
        update(consent)
        .where(consent.c.account_id == stored.id)
        .values(pending_hash=None, pending_verifier=None, pending_until=None)
    )
    try:
        place = _place_verifier(stored.id)
        verifier = open_for_servers(vault, row.pending_verifier, place, None)
    except CannotOpen:
        raise Missing(
            "This authorization cannot be finished; begin again.", code="consent_not_asked"
        ) from None
    return Pending(
        stored.id, _name(stored), row.pending_provider, verifier, row.pending_verifier, row.asked_by
    )


def _find_pending(
    tx: Connection, vault: Vault, state: str, at: datetime, query: Select[Any]
) -> tuple[Row[Any], StoredAccount]:
    account_id = state.partition(".")[0]
    row = tx.execute(query.where(consent.c.account_id == account_id)).first()
    stored = load_account(tx, account_id) if row else None
    if (
        row is None
        or stored is None
        or stored.removed_at is not None
        or row.pending_hash is None
        or not vault.matches(_PURPOSE, state.encode(), row.pending_hash)
        or row.pending_until <= at
    ):
        raise Missing(
            "This authorization is not waited for, was used, or is too old; begin again.",
            code="consent_not_asked",
        )
    return row, stored


def _name(stored: StoredAccount) -> str:
    sender = stored.document.get("sender", {})
    return str(stored.document.get("name") or sender.get("address") or stored.scope)


def grant(
    tx: Connection, vault: Vault, pending: Pending, tokens: oauth.Tokens, at: datetime
) -> None:
    """Store what a person consented to, for the servers that the account named when it asked."""
    if tokens.refresh is None:
        raise AssertionError("without a refresh token nothing is granted")

    def seal(secret: Secret, column: str) -> bytes:
        place = place_token(pending.account_id, column, pending.provider, "authorization_code")
        return move_to_place(vault, secret.reveal(), place, pending.sealed_verifier)

    stored = load_account(tx, pending.account_id)
    if stored is None or stored.removed_at is not None:
        raise Missing("The account was removed meanwhile.", code="consent_not_asked")
    tx.execute(
        update(consent)
        .where(consent.c.account_id == stored.id)
        .values(
            provider=pending.provider,
            grant_type="authorization_code",
            refresh_token=seal(tokens.refresh, "refresh_token"),
            access_token=seal(tokens.access, "access_token"),
            expires_at=at + timedelta(seconds=tokens.lasts_s),
            scopes=tokens.scopes,
            address=tokens.address,
            refreshed_at=at,
            **_granted(at),
        )
    )
    _bump(tx, stored.id, at)
    owner = Caller(f"consent:{stored.id}", "user", pending.asked_by, stored.user_id or "")
    _note(tx, owner, stored, "account.consent", {"provider": pending.provider}, at)


def note_declined(tx: Connection, account_id: str, detail: str, at: datetime) -> None:
    """Keep why an authorization came to nothing; a consent that was given before stays."""
    values = {"error": detail, "failed_at": at}
    tx.execute(update(consent).where(consent.c.account_id == account_id).values(**values))


def grant_application(
    tx: Connection,
    vault: Vault,
    settings: Settings,
    caller: Caller,
    stored: StoredAccount,
    provider: ConsentProvider,
    at: datetime,
) -> None:
    """Let an account log in by client credentials; its first token is asked for when it is used.

    Raises ``Denied`` for others than admins, ``Conflict`` as ``begin_consent``.
    """
    if not caller.is_admin:
        raise Denied("Client credentials are an admin's to give.", code="account_not_allowed")
    find_client(settings, provider, "client_credentials")
    servers = _list_servers(stored)
    _ensure_row(tx, stored.id, provider, "client_credentials", caller.name)
    place = place_token(stored.id, "refresh_token", provider, "client_credentials")
    tx.execute(
        update(consent)
        .where(consent.c.account_id == stored.id)
        .values(
            provider=provider,
            grant_type="client_credentials",
            refresh_token=seal_for_servers(vault, "", place, servers),
            access_token=None,
            expires_at=None,
            scopes=None,
            address=None,
            refreshed_at=None,
            asked_by=caller.name,
            **_granted(at),
        )
    )
    _bump(tx, stored.id, at)
    after = {"provider": provider, "grant": "client_credentials"}
    _note(tx, caller, stored, "account.consent", after, at)


def forget_consent(tx: Connection, caller: Caller, stored: StoredAccount, at: datetime) -> None:
    """Forget the tokens and what is asked; raise ``Missing`` ``consent_not_found`` without any."""
    if not drop_consent(tx, stored.id):
        raise Missing("This account has no consent.", code="consent_not_found")
    _bump(tx, stored.id, at)
    _note(tx, caller, stored, "account.consent_forgotten", None, at)


def drop_consent(tx: Connection, account_id: str) -> bool:
    """Delete an account's consent; whether it had one."""
    return tx.execute(delete(consent).where(consent.c.account_id == account_id)).rowcount > 0


def place_token(
    account_id: str, column: str, provider: ConsentProvider, grant: ConsentGrant
) -> str:
    """Return where a token is sealed to stand; of another provider or grant it does not open."""
    return f"consent:{account_id}:{column}:{provider}:{grant}"


def _place_verifier(account_id: str) -> str:
    return f"consent:{account_id}:pending_verifier"


def _list_servers(stored: StoredAccount) -> list[Target]:
    """Return the servers that tokens may be shown to; raise ``Conflict`` without a login."""
    if not takes_token(stored.settings):
        raise Conflict(
            "This account has no login of its own that a token is for: give its smtp a host and a "
            "username, auth auto or xoauth2, and not password_mode ask.",
            code="consent_not_wanted",
        )
    return [each for each in (stored.settings, stored.incoming) if each is not None]


def _ensure_row(
    tx: Connection, account_id: str, provider: ConsentProvider, grant: ConsentGrant, by: str
) -> None:
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    fresh = insert(consent).values(
        account_id=account_id, provider=provider, grant_type=grant, state="pending", asked_by=by
    )
    tx.execute(fresh.on_conflict_do_nothing())


def _granted(at: datetime) -> dict[str, Any]:
    dropped = dict.fromkeys(
        ("pending_hash", "pending_verifier", "pending_provider", "pending_until", "lease_until")
    )
    return {"state": "granted", "granted_at": at, "error": None, "failed_at": None, **dropped}


def _bump(tx: Connection, account_id: str, at: datetime) -> None:
    # What the account came to before says nothing of it now (``carry.settle_tries``).
    tx.execute(
        update(account)
        .where(account.c.id == account_id)
        .values(version=account.c.version + 1, updated_at=at)
    )


def _note(
    tx: Connection,
    caller: Caller,
    stored: StoredAccount,
    what: str,
    after: dict[str, Any] | None,
    at: datetime,
) -> None:
    given = stored.consent
    before = {"provider": given.provider, "state": given.state} if given else None
    audit.record(tx, caller, what, f"accounts/{stored.id}", before, after, at)
