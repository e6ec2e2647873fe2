"""JWTs of the OIDC issuer: signature, issuer, audience and times first, then role and user.

Only asymmetric algorithms are taken: never ``none``, never HS (a published key as a secret). What
makes a token invalid is ``Unauthenticated``; a good token that gives no role here is ``Denied``.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, get_args

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jws import JWSRegistry, extract_compact

from app.accounts.caller import Caller, Role
from app.accounts.issuer import Issuer
from app.accounts.people import check_user_id
from app.errors import Denied, Refused, Unauthenticated
from app.mime.address import UNPRINTABLE
from app.settings import Settings

_ALGORITHMS = {
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
}
_LEEWAY_S = 60  # clocks of issuer and server differ
_MOST_OWNER_CHARACTERS = 200  # the width of owner_id columns
_REFUSED = (JoseError, ValueError, TypeError, KeyError, RecursionError)


class _Registry(JWSRegistry):
    def get_alg(self, name: str) -> Any:
        """Return the algorithm, without the library's warning that EdDSA has got a new name."""
        if name not in _ALGORITHMS:
            raise ValueError("not an algorithm of ours")
        return self.algorithms[name]


class TokenReader:
    """Reads tokens of the issuer in the settings."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self.issuer = Issuer(settings.oidc_issuer or "", settings.oidc_jwks_url, clock)
        # Issuers put parameters of their own into headers; critical ones are still refused.
        self._registry = _Registry(strict_check_header=False)

    async def read(self, token: str, request_id: str | None) -> Caller:
        """Return who ``token`` stands for."""
        claims = await self._verify(token, self._settings.oidc_audience or "")
        return self._admit(claims, request_id)

    async def read_id_token(self, token: str, nonce: str, request_id: str | None) -> Caller:
        """Return who signed in, by the ID token for the page (OpenID Connect Core §3.1.3.7)."""
        client_id = self._settings.oidc_client_id or ""
        claims = await self._verify(token, client_id)
        given = claims.get("nonce")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
            raise Unauthenticated("This token answers another sign-in.", code="sign_in_foreign")
        if claims.get("azp", client_id) != client_id:
            raise Unauthenticated("This token is for another program.", code="invalid_token")
        return self._admit(claims, request_id)

    def _admit(self, claims: Mapping[str, Any], request_id: str | None) -> Caller:
        subject = claims["sub"]
        role = self._pick_role(claims)
        user = self._pick_user(claims) if role == "user" else None
        owner_id = f"jwt:{claims['iss']}:{subject}"
        if len(owner_id) > _MOST_OWNER_CHARACTERS:
            owner_id = f"jwt:sha256:{hashlib.sha256(owner_id.encode()).hexdigest()}"
        return Caller(owner_id=owner_id, role=role, name=subject, user=user, request_id=request_id)

    async def _verify(self, token: str, audience: str) -> Mapping[str, Any]:
        try:
            header = extract_compact(token.encode(), registry=self._registry).headers()
            self._registry.get_alg(header["alg"])  # before the issuer is asked anything
            kid = header.get("kid")
            keys = await self.issuer.read_keys(kid if isinstance(kid, str) else None)
            claims = jwt.decode(token, keys, registry=self._registry).claims
            jwt.JWTClaimsRegistry(
                now=int(self._clock().timestamp()),
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": self._settings.oidc_issuer or ""},
                aud={"essential": True, "value": audience},
                exp={"essential": True},
                sub={"essential": True},
            ).validate(claims)
        except ExpiredTokenError:
            raise Unauthenticated("This token has expired.", code="token_expired") from None
        except InvalidKeyIdError:
            raise Unauthenticated("The issuer has no such key.", code="invalid_token") from None
        except _REFUSED as error:
            kind = type(error).__name__
            raise Unauthenticated(f"This token is no good: {kind}.", code="invalid_token") from None
        if UNPRINTABLE.search(claims["sub"]) or len(claims["sub"]) > 255:  # OIDC Core §2
            raise Unauthenticated("This token's subject is no name.", code="invalid_token")
        return claims

    def _pick_role(self, claims: Mapping[str, Any]) -> Role:
        found = _find_claim(claims, self._settings.oidc_role_claim)
        named = found if isinstance(found, list) else [found]
        known: list[Role] = [role for role in get_args(Role) if role in named]
        if len(known) != 1:
            raise Denied(
                f"The claim {self._settings.oidc_role_claim!r} names exactly one of "
                f"{', '.join(get_args(Role))}; this token's names {len(known)}.",
                code="no_role",
            )
        return known[0]

    def _pick_user(self, claims: Mapping[str, Any]) -> str:
        found = _find_claim(claims, self._settings.oidc_user_claim)
        try:
            if isinstance(found, str):
                return check_user_id(found)
        except Refused:
            found = None
        raise Denied(
            f"The claim {self._settings.oidc_user_claim!r} of this token holds no user id.",
            code="no_user",
        )


def _find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, else by the dots in it: ``realm_access.roles``."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
