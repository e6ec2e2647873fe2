"""``/config``: the mail configuration of each scope, and what a send would use.

A configuration's JSON is read whole by the configuration room, so that every fault is answered at
once; its schema here comes from the same table. Each change tells the mail that waits
(``outbox.follow``) in its own transaction.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi import Body as JsonBody
from pydantic import BaseModel, WithJsonSchema
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.api.body import Choice, Route, UserId, show_instant
from app.api.config_answer import Configuration, answer, change, read_shown, require_unmoved
from app.api.gate import (
    After,
    IfMatch,
    Limit,
    Page,
    TheOffice,
    check_match,
    cut_page,
    decode_cursor,
)
from app.api.scope import ReadScope, Scope, WriteScope, make_three_routers, on_each
from app.api.sign_in import TheAdmin, TheCaller, TheSender
from app.configuration.document import describe_input
from app.configuration.explain import explain
from app.configuration.load import ACCOUNTS, read_account
from app.configuration.model import ACCOUNT_SCOPE, StoredAccount
from app.configuration.remove import delete_configuration
from app.configuration.resolve import resolve
from app.configuration.save import Save, Saved, patch_configuration, put_configuration
from app.configuration.tables import account
from app.errors import Notice
from app.outbox.follow import configuration_removed
from app.outbox.office import Office

router = APIRouter(route_class=Route, tags=["configuration"])
scoped = make_three_routers("configuration")

EXAMPLE = {
    "mode": "smtp",
    "smtp": {
        "host": "smtp.firma.example",
        "port": 587,
        "username": "faktury@firma.example",
        "password": "…",
        "batch_limit": 12,
        "batch_wait_s": 15.5,
    },
    "sender": {"address": "faktury@firma.example", "name": "Firma Sp. z o.o."},
    "bcc": "archiwum@firma.example, szef@firma.example",
    "notifications": ["OnFailure", "Delay"],
    "language": "pl",
    "macros": {"firma": "Firma Sp. z o.o."},
}
Given = Annotated[dict[str, Any], WithJsonSchema(describe_input()), JsonBody(examples=[EXAMPLE])]
Patch = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "description": "JSON merge patch (RFC 7396): null removes."}),
    JsonBody(examples=[{"smtp": {"timeout_ms": 60000}, "bcc": None}]),
]
Effective = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "examples": [
                {
                    "active_scope": "global",
                    "smtp": {"host": {"value": "smtp.firma.example", "origin": "global"}},
                    "importance": {"value": "normal", "origin": "default"},
                }
            ],
        }
    ),
]


class ListedScope(BaseModel):
    """A scope that has a configuration."""

    scope: str
    user: str | None
    mode: str | None
    sender: str | None
    server: str | None
    password_state: str
    paused: bool
    version: int
    updated_at: str | None


@router.get("/config")
async def list_configurations(
    caller: TheAdmin, office: TheOffice, limit: Limit = 100, after: After = None
) -> Page[ListedScope]:
    """List the scopes that have a stored configuration."""
    cursor = decode_cursor(after, str)[0] if after else None
    found = await office.db.read(_list_accounts, cursor, limit + 1)
    shown, following = cut_page(found, limit, lambda each: (each.scope,))
    return Page(data=[_list(each) for each in shown], next=following)


@router.get("/config/effective")
async def show_effective(
    caller: TheSender, office: TheOffice, user: Annotated[UserId | None, Query()] = None
) -> Effective:
    """Show what a send for this user would use, each value with the scope it comes from."""
    resolved = await office.db.read(resolve, caller.acts_as(user))
    return explain(resolved, hide_global_bcc=caller.role == "user")


@on_each(scoped, "GET", "")
async def read_scope_configuration(
    office: TheOffice, scope: ReadScope, response: Response
) -> Configuration:
    """Show a stored configuration without secrets, and how its server is doing."""
    return answer(response, *await office.db.read(read_shown, scope))


@scoped[0].put("", responses={201: {"description": "Created"}})
async def put_global_configuration(
    caller: TheCaller,
    office: TheOffice,
    scope: WriteScope,
    response: Response,
    given: Given,
    apply_to: Annotated[
        Annotated[Literal["everyone"], Choice] | None,
        Query(description="`everyone`: also set every user's active scope to global."),
    ] = None,
    if_match: IfMatch = None,
) -> Configuration:
    """Replace the common configuration. An absent secret stays as it is."""
    put = partial(put_configuration, apply_to_everyone=apply_to is not None)
    return await save_configuration(caller, office, scope, response, put, given, if_match)


@scoped[1].put("", responses={201: {"description": "Created"}})
async def put_user_configuration(
    caller: TheCaller,
    office: TheOffice,
    scope: WriteScope,
    response: Response,
    given: Given,
    activate: Annotated[
        bool, Query(description="Make it the user's active one; creating it does so anyway.")
    ] = False,
    if_match: IfMatch = None,
) -> Configuration:
    """Replace a user's configuration. What is absent is inherited; an absent secret stays."""
    put = partial(put_configuration, activate=activate)
    return await save_configuration(caller, office, scope, response, put, given, if_match)


@scoped[2].put("")
async def put_account_configuration(
    caller: TheCaller,
    office: TheOffice,
    scope: WriteScope,
    response: Response,
    given: Given,
    if_match: IfMatch = None,
) -> Configuration:
    """Replace an account's configuration. What is absent is inherited; an absent secret stays."""
    return await save_configuration(
        caller, office, scope, response, put_configuration, given, if_match
    )


@on_each(scoped, "PATCH", "")
async def patch_scope_configuration(
    caller: TheCaller,
    office: TheOffice,
    scope: WriteScope,
    response: Response,
    given: Patch,
    if_match: IfMatch = None,
) -> Configuration:
    """Merge into a configuration (RFC 7396); null removes, also a secret."""
    return await save_configuration(
        caller, office, scope, response, patch_configuration, given, if_match
    )


@on_each(scoped, "DELETE", "", status_code=204)
async def delete_scope_configuration(
    caller: TheCaller, office: TheOffice, scope: WriteScope, if_match: IfMatch = None
) -> None:
    """Remove a configuration and its secrets; mail that waits for it is held, not lost."""
    at = office.clock()

    def run(tx: Connection) -> None:
        require_unmoved(tx, scope)
        removed = delete_configuration(tx, caller, scope.name, at, partial(check_match, if_match))
        configuration_removed(tx, removed.scope, removed.id, at)

    await office.db.write(run)


async def save_configuration(
    caller: Caller,
    office: Office,
    scope: Scope,
    response: Response,
    verb: Callable[[Connection, Save, Mapping[str, Any]], Saved],
    given: Mapping[str, Any],
    if_match: str | None,
) -> dict[str, Any]:
    """Run a verb that saves, tell the mail that waits, and answer what is stored."""
    save = Save(
        vault=office.vault,
        policy=office.policy(any_port=caller.is_admin),
        caller=caller,
        scope=scope.name,
        user=scope.user,
        at=office.clock(),
        check_version=partial(check_match, if_match),
    )
    notices: list[Notice] = []

    def run(tx: Connection) -> StoredAccount:
        saved = verb(tx, save, given)
        notices[:] = saved.notices
        if saved.created:
            response.status_code = 201
        return saved.stored

    shown = await change(office, scope, response, run, save.at)
    return shown | {
        "warnings": [
            {"code": each.code, "detail": each.detail, "pointer": each.pointer} for each in notices
        ]
    }


def _list_accounts(tx: Connection, after: str | None, limit: int) -> list[StoredAccount]:
    query = ACCOUNTS.where(
        account.c.removed_at.is_(None), ~account.c.scope.startswith(ACCOUNT_SCOPE)
    )
    if after is not None:
        query = query.where(account.c.scope > after)
    rows = tx.execute(query.order_by(account.c.scope).limit(limit)).mappings()
    return [read_account(row) for row in rows]


def _list(stored: StoredAccount) -> ListedScope:
    return ListedScope(
        scope=stored.scope,
        user=stored.user_id,
        mode=stored.document.get("mode"),
        sender=stored.document.get("sender", {}).get("address"),
        server=stored.settings.server if stored.settings else None,
        password_state=stored.password_state,
        paused=stored.paused_at is not None,
        version=stored.version,
        updated_at=show_instant(stored.updated_at),
    )
