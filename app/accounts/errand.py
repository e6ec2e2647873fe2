"""A sign-in under way at the OIDC issuer: what the browser keeps, so that nobody else can end it."""

import secrets
from dataclasses import dataclass, field

ERRAND_S = 600  # to type a password and a second factor


def _draw() -> str:
    return secrets.token_urlsafe(48)  # RFC 7636 §4.1: a verifier has 43 to 128 characters


@dataclass(frozen=True, slots=True)
class Errand:
    """One sign-in. begun_at: seconds. next: the page to lead to afterwards."""

    begun_at: int
    next: str
    state: str = field(default_factory=_draw, repr=False)
    nonce: str = field(default_factory=_draw, repr=False)
    verifier: str = field(default_factory=_draw, repr=False)
