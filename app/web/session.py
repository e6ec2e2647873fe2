"""A browser's session: a sealed cookie, so that it holds across processes and needs no table.

It names the API key that signed in, never the key itself; every request asks for that key anew, so
a revoked key ends its sessions at once. Who signed in at the OIDC issuer stands in it whole: what
the issuer changes about them counts from their next sign-in, within ``LIFETIME_S``. Each session has
a CSRF token of its own; one that nobody signed in to exists for the sign-in form's sake, and ends
when somebody does.
"""

import base64
import binascii
import json
import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime

from app.accounts.caller import Caller
from app.accounts.errand import Errand
from app.vault import CannotOpen, Vault

LIFETIME_S = 12 * 3600  # a working day: tomorrow one signs in again
_PLACE = "web:session"
_NOTE_PLACE = "web:note"
_ERRAND_PLACE = "web:errand"


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's session. begun_at: seconds. key_id: the key that signed in.

    person: who signed in at ``issuer`` instead. Neither: nobody.
    """

    begun_at: int
    key_id: str | None = None
    person: Caller | None = None
    issuer: str | None = None
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


def begin(at: datetime, caller: Caller | None = None, issuer: str | None = None) -> Session:
    """Return a fresh session: never one that somebody else may have planted in the browser."""
    begun_at = int(at.timestamp())
    if caller is None or caller.key_id is not None:
        return Session(begun_at, caller.key_id if caller else None)
    return Session(begun_at, person=caller, issuer=issuer)


def seal_session(vault: Vault, session: Session) -> str:
    """Return the cookie's value."""
    return _seal(vault, _PLACE, asdict(session))


def open_session(vault: Vault, cookie: str | None, at: datetime) -> Session | None:
    """Return the session of a cookie; None where it is no good, or has had its time."""
    opened = _open(vault, _PLACE, cookie)
    if not isinstance(opened, dict):
        return None
    person = opened.pop("person", None)  # cookies of the version before have none
    session = Session(**opened, person=person and Caller(**person))
    return session if 0 <= at.timestamp() - session.begun_at + 60 < LIFETIME_S else None


def seal_errand(vault: Vault, errand: Errand) -> str:
    """Return a cookie that holds a sign-in under way at the issuer."""
    return _seal(vault, _ERRAND_PLACE, asdict(errand))


def open_errand(vault: Vault, cookie: str | None) -> Errand | None:
    """Return the sign-in under way; None where the cookie is no good."""
    opened = _open(vault, _ERRAND_PLACE, cookie)
    return Errand(**opened) if isinstance(opened, dict) else None


def seal_notes(vault: Vault, notes: list[tuple[str, str]]) -> str:
    """Return a cookie that carries what the next page shall say, as (kind, text)."""
    return _seal(vault, _NOTE_PLACE, notes)


def open_notes(vault: Vault, cookie: str | None) -> list[tuple[str, str]]:
    """Return what a page before has left to be said."""
    opened = _open(vault, _NOTE_PLACE, cookie)
    return [(kind, text) for kind, text in opened] if isinstance(opened, list) else []


def _seal(vault: Vault, place: str, value: object) -> str:
    return base64.urlsafe_b64encode(vault.seal(json.dumps(value), place)).decode()


def _open(vault: Vault, place: str, cookie: str | None) -> object:
    if not cookie:
        return None
    try:
        opened: object = json.loads(vault.open(base64.urlsafe_b64decode(cookie), place))
    except (CannotOpen, binascii.Error, ValueError):
        return None
    return opened
