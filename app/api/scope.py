"""``/config/global`` and ``/config/users/{user}``: one set of endpoints, two paths.

``on_both`` registers an endpoint for the two. ``ReadScope`` and ``WriteScope`` say which one was
called, by somebody who may read or change what is stored there (contract §1, roles).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Request

from app.accounts.caller import Caller
from app.accounts.people import check_user_id
from app.api.body import Route, UserId
from app.api.sign_in import Guard, identify
from app.configuration import rights
from app.configuration.model import name_scope

E = TypeVar("E", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope that a path names; user None is the global one."""

    user: str | None

    @property
    def name(self) -> str:
        """``global`` or ``users/<id>``."""
        return name_scope(self.user)


class _ScopeGuard(Guard):
    """A dependency: the scope of the path, where the caller may do what ``require`` asks for."""

    def __init__(self, require: Callable[[Caller, str | None], None]) -> None:
        self._require = require

    async def __call__(self, request: Request) -> Scope:
        """Return the scope; raise ``Unauthenticated``, ``Denied``, ``Missing`` or ``Refused``."""
        caller = await identify(request)
        given = request.path_params.get("user")
        user = None if given is None else check_user_id(given)
        self._require(caller, user)
        return Scope(user)


Reader = Depends(_ScopeGuard(rights.require_reader))
Writer = Depends(_ScopeGuard(rights.require_writer))
ReadScope = Annotated[Scope, Reader]
WriteScope = Annotated[Scope, Writer]


def _declare_user(
    user: Annotated[UserId, Path(description="The ERP's user id.", examples=["anna"])],
) -> None:
    """Put the path's user into OpenAPI and refuse what is no user id."""


def make_routers(tag: str) -> tuple[APIRouter, APIRouter]:
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


def on_both(
    routers: tuple[APIRouter, APIRouter], method: str, path: str, **options: Any
) -> Callable[[E], E]:
    """Register an endpoint on both routers; ``scope`` in its name becomes ``global`` or ``user``."""

    def register(endpoint: E) -> E:
        for router, prefix in zip(routers, ("global", "user"), strict=True):
            router.add_api_route(
                path,
                endpoint,
                methods=[method],
                name=endpoint.__name__.replace("scope", prefix),
                **options,
            )
        return endpoint

    return register
