"""The scope that a page's path names, and how it is called there.

``ReadScope`` and ``WriteScope`` are those that the visitor may read or change what is stored in: by
role, or by a right on the account (``/ui/accounts/{account}``; ``new`` is one that is not yet stored).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request

from app.accounts.caller import Caller
from app.accounts.people import check_user_id
from app.configuration.account_rights import Right, require_account
from app.configuration.model import ACCOUNT_SCOPE, GLOBAL, name_scope
from app.configuration.rights import require_reader, require_writer
from app.errors import Missing
from app.web.visit import TheVisit

NEW = "new"


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope: ``global``, ``users/<id>`` or ``accounts/<id>``.

    user: who holds it; None: a group, or everybody. account: the id where it was named by that.
    """

    name: str
    user: str | None = None
    account: str | None = None

    @property
    def path(self) -> str:
        """Where its configuration is edited."""
        account = self.account or self.name.removeprefix(ACCOUNT_SCOPE)
        if self.account or account != self.name:
            return f"/ui/accounts/{quote(account)}"
        return f"/ui/config/{quote(self.name)}"

    @property
    def is_new(self) -> bool:
        """Whether it is an account that is not yet stored."""
        return self.name == ACCOUNT_SCOPE + NEW

    @property
    def inherits(self) -> bool:
        """Whether what it leaves open comes from the global scope."""
        return self.name != GLOBAL


def parse_scope(name: str) -> Scope:
    """Return the scope of that name; raise ``Missing`` for anything else."""
    if name == GLOBAL or name.startswith(ACCOUNT_SCOPE):
        return Scope(name)
    head, _, user = name.partition("/")
    if head != "users":
        raise Missing("There is no such scope.")
    return Scope(name_scope(check_user_id(user)), user)


class _ScopeGuard:
    """A dependency: the scope of the path, where the visitor may do what ``require`` asks for."""

    def __init__(self, require: Callable[[Caller, str | None], None], right: Right) -> None:
        self._require = require
        self._right = right

    async def __call__(self, request: Request, visit: TheVisit) -> Scope:
        """Return the scope; raise ``Denied``, ``Missing`` or ``Refused``."""
        caller, account = visit.caller, request.path_params.get("account")
        if account == NEW:
            caller.require("admin", "user")
            return Scope(ACCOUNT_SCOPE + NEW, caller.user)
        if account is not None:
            stored = await visit.office.db.read(require_account, caller, account, self._right)
            return Scope(stored.scope, stored.user_id, account)
        given = request.path_params.get("user")
        user = None if given is None else check_user_id(given)
        self._require(caller, user)
        return Scope(name_scope(user), user)


ReadScope = Annotated[Scope, Depends(_ScopeGuard(require_reader, "read"))]
WriteScope = Annotated[Scope, Depends(_ScopeGuard(require_writer, "manage"))]
EACH = ("/config/global", "/config/users/{user}", "/accounts/{account}")
