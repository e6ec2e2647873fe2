"""``/config/global``, ``/config/users/{user}``, ``/accounts/{account}``: one set of endpoints.

``on_each`` registers an endpoint for all of them. ``ReadScope`` and ``WriteScope`` say which one was
called, by somebody who may read or change what is stored there (contract §1, roles; rights).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Request

from app.accounts.caller import SENDERS, Caller
from app.accounts.people import check_user_id
from app.api.body import Route, UserId
from app.api.gate import get_office
from app.api.sign_in import Guard, identify
from app.configuration import rights
from app.configuration.account_rights import Right, require_account
from app.configuration.model import name_scope

E = TypeVar("E", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope that a path names: ``global``, ``users/<id>`` or ``accounts/<id>``.

    user: who holds it; None: a group, or everybody. account_id: of a path that names an account.
    """

    name: str
    user: str | None
    account_id: str | None = None


class _ScopeGuard(Guard):
    """A dependency: the scope of the path, where the caller may do what ``require`` asks for."""

    def __init__(self, require: Callable[[Caller, str | None], None], right: Right) -> None:
        self._require = require
        self._right = right

    async def __call__(self, request: Request) -> Scope:
        """Return the scope; raise ``Unauthenticated``, ``Denied``, ``Missing`` or ``Refused``."""
        caller = await identify(request)
        if (account_id := request.path_params.get("account")) is not None:
            caller.require(*SENDERS)
            office = await get_office(request)
            stored = await office.db.read(require_account, caller, account_id, self._right)
            return Scope(stored.scope, stored.user_id, stored.id)
        given = request.path_params.get("user")
        user = None if given is None else check_user_id(given)
        self._require(caller, user)
        return Scope(name_scope(user), user)


Reader = Depends(_ScopeGuard(rights.require_reader, "read"))
Writer = Depends(_ScopeGuard(rights.require_writer, "manage"))
ReadScope = Annotated[Scope, Reader]
WriteScope = Annotated[Scope, Writer]


def _declare_user(
    user: Annotated[UserId, Path(description="The ERP's user id.", examples=["anna"])],
) -> None:
    """Put the path's user into OpenAPI and refuse what is no user id."""


def _declare_account(
    account: Annotated[str, Path(description="The account's id.", max_length=64)],
) -> None:
    """Put the path's account into OpenAPI."""


def make_routers(tag: str) -> tuple[APIRouter, ...]:
    """Return the routers of ``/config/global`` and ``/config/users/{user}``."""
    return (
        APIRouter(prefix="/config/global", route_class=Route, tags=[tag]),
        APIRouter(
            prefix="/config/users/{user}",
            route_class=Route,
            tags=[tag],
            dependencies=[Depends(_declare_user)],
        ),
    )


def make_three_routers(tag: str) -> tuple[APIRouter, ...]:
    """Return those, and the one of ``/accounts/{account}``."""
    depends = [Depends(_declare_account)]
    beside = APIRouter(
        prefix="/accounts/{account}", route_class=Route, tags=["accounts"], dependencies=depends
    )
    return (*make_routers(tag), beside)


def on_each(
    routers: tuple[APIRouter, ...], method: str, path: str, **options: Any
) -> Callable[[E], E]:
    """Register an endpoint on every router; ``scope`` in its name becomes what the path names."""

    def register(endpoint: E) -> E:
        for router, prefix in zip(routers, ("global", "user", "account"), strict=False):
            router.add_api_route(
                path,
                endpoint,
                methods=[method],
                name=endpoint.__name__.replace("scope", prefix),
                **options,
            )
        return endpoint

    return register
