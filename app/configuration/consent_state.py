"""How an account's OAuth2 consent stands, as a value without its tokens."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

ConsentProvider = Literal["google", "microsoft"]
ConsentGrant = Literal["authorization_code", "client_credentials"]
ConsentState = Literal["pending", "granted", "needs_consent"]


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent.

    state: ``pending`` (asked, never given), ``granted``, ``needs_consent``. address: whose mailbox
    the provider says it is. error: what went wrong last, in plain words. asked_until: an answer to
    an authorization is waited for.
    """

    provider: ConsentProvider
    grant: ConsentGrant
    state: ConsentState
    scopes: str | None = None
    address: str | None = None
    error: str | None = None
    failed_at: datetime | None = None
    granted_at: datetime | None = None
    refreshed_at: datetime | None = None
    expires_at: datetime | None = None
    asked_until: datetime | None = None
