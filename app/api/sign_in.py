"""``TheCaller``: who calls, from ``Authorization: Bearer``; the door's side of signing in."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from app.accounts.caller import Caller
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


class _Bearer(SecurityBase):
    """The dependency: ``identify``, shown in OpenAPI as the bearer scheme."""

    scheme_name = "bearer"
    model = HTTPBearer(description="An API key (`awizo_…`) or a JWT of the configured OIDC issuer.")

    async def __call__(self, request: Request) -> Caller:
        return await identify(request)


TheCaller = Annotated[Caller, Depends(_Bearer())]
