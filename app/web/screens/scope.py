"""The scope that a page's path names, and how it is called there."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request

from app.accounts.people import check_user_id
from app.configuration.model import GLOBAL, name_scope
from app.errors import Missing


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope; user None is the global one."""

    user: str | None

    @property
    def name(self) -> str:
        """``global`` or ``users/<id>``."""
        return name_scope(self.user)

    @property
    def path(self) -> str:
        """Where its configuration is edited."""
        return f"/ui/config/{quote(self.name)}"


def parse_scope(name: str) -> Scope:
    """Return the scope called ``global`` or ``users/<id>``; raise ``Missing`` for anything else."""
    if name == GLOBAL:
        return Scope(None)
    head, _, user = name.partition("/")
    if head != "users":
        raise Missing("There is no such scope.")
    return Scope(check_user_id(user))


def _read_scope(request: Request) -> Scope:
    user = request.path_params.get("user")
    return Scope(None if user is None else check_user_id(user))


TheScope = Annotated[Scope, Depends(_read_scope)]
BOTH = ("/config/global", "/config/users/{user}")
