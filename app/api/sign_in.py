"""Who calls, from ``Authorization: Bearer``, and whether they are let in.

An endpoint's parameter says who may call it: ``caller: TheAdmin``. That is a ``Guard``, which
``body.Route`` asks before it looks at anything else of a request, so that who may not do a thing
learns that and not what is wrong with the body.
"""

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from app.accounts.caller import SENDERS, Caller, Role
from app.accounts.sign_in import SignIn
from app.errors import Unauthenticated


async def identify(request: Request) -> Caller:
    """Return the caller of ``request``, asked once; raise ``Unauthenticated`` without one."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    given = request.headers.getlist("authorization")
    scheme, _, token = (given[0] if len(given) == 1 else "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Send `Authorization: Bearer <API key or JWT>`.")
    sign_in: SignIn = request.app.state.sign_in
    caller = await sign_in.identify(token.strip(), request.state.request_id)
    request.state.caller = caller
    return caller


class Guard(SecurityBase):
    """A dependency: the caller, whose role is one of ``roles``; the bearer scheme in OpenAPI."""

    scheme_name = "bearer"
    model = HTTPBearer(description="An API key (`awizo_…`) or a JWT of the configured OIDC issuer.")

    def __init__(self, *roles: Role) -> None:
        self._roles = roles

    async def __call__(self, request: Request) -> Any:
        """Return the caller; raise ``Unauthenticated`` or ``Denied``."""
        caller = await identify(request)
        caller.require(*self._roles)
        return caller


TheCaller = Annotated[Caller, Depends(Guard("admin", "sender", "user", "probe"))]
TheAdmin = Annotated[Caller, Depends(Guard("admin"))]
TheSender = Annotated[Caller, Depends(Guard(*SENDERS))]
