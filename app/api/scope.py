"""``/config/global`` and ``/config/users/{user}``: one set of endpoints, two paths.

``on_both`` registers an endpoint for the two; ``TheScope`` says which one was called, and knows who
may read and write there (contract §1, roles).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Request

from app.accounts.caller import Caller
from app.accounts.people import check_user_id
from app.api.body import Route, UserId
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

    def require_reader(self, caller: Caller) -> None:
        """Raise ``Denied`` or ``Missing`` unless the caller may see what is stored here."""
        rights.require_reader(caller, self.user)

    def require_writer(self, caller: Caller) -> None:
        """Raise ``Denied`` or ``Missing`` unless the caller may change what is stored here."""
        rights.require_writer(caller, self.user)


def _read_scope(request: Request) -> Scope:
    user = request.path_params.get("user")
    return Scope(None if user is None else check_user_id(user))


TheScope = Annotated[Scope, Depends(_read_scope)]


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
