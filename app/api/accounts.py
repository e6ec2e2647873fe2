"""``/accounts``: every mail account under one model, the default ones of ``/config`` too.

What an account has set is a configuration like any other: its PUT, PATCH, DELETE, password and pause
are registered beside those of ``/config`` (``scope.on_each``).
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi import Body as JsonBody
from pydantic import BaseModel, Field, WithJsonSchema
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.accounts.people import find_wrong_in_user_id
from app.api.body import Choice, Route, ShownInstant, UserId
from app.api.config import save_configuration
from app.api.config_answer import Configuration, read_shown
from app.api.gate import After, Limit, Page, TheOffice, cut_page, decode_cursor
from app.api.scope import Scope, Writer
from app.api.sign_in import Guard, TheSender
from app.configuration import accounts
from app.configuration.account_rights import RIGHTS, Right, list_caller_rights, require_account
from app.configuration.accounts import Wanted
from app.configuration.document import describe_input
from app.configuration.model import ACCOUNT_SCOPE, StoredAccount
from app.configuration.save import put_configuration
from app.db import new_id, now
from app.errors import Denied, Fault, Refused
from app.outbox.health import name_state, read_health
from app.outbox.suppressions import carry_over

router = APIRouter(route_class=Route, tags=["accounts"])

TheMaker = Annotated[Caller, Depends(Guard("admin", "user"))]
TheAccount = Annotated[str, Path(description="The account's id.", max_length=64)]
EXAMPLE = {
    "holder": None,
    "name": "Windykacja",
    "smtp": {
        "host": "smtp.firma.example",
        "port": 587,
        "username": "windykacja@firma.example",
        "password": "…",
    },
    "sender": {"address": "windykacja@firma.example", "name": "Firma Sp. z o.o."},
    "incoming": {"protocol": "imap", "host": "imap.firma.example"},
    "senders": ["naleznosci@firma.example"],
    "always_use_name": True,
}
_SCHEMA = describe_input()
_SCHEMA["properties"]["holder"] = {
    "type": ["string", "null"],
    "description": "The user whose personal account it is; null: a group's.",
}
Given = Annotated[dict[str, Any], WithJsonSchema(_SCHEMA), JsonBody(examples=[EXAMPLE])]
Kind = Literal["group", "personal"]


class Account(BaseModel):
    """A mail account, in short."""

    id: str
    path: str = Field(description="Where it is edited.", examples=["/config/users/anna"])
    name: str | None
    kind: Kind
    holder: str | None = Field(description="Of a personal account.")
    is_default: bool = Field(description="Of its holder, or of everybody.")
    address: str | None = Field(examples=["windykacja@firma.example"])
    server: str | None = Field(examples=["smtp.firma.example:587"])
    outgoing: bool
    incoming: bool = Field(description="Whether it has a mailbox that is collected.")
    password_state: Literal["none", "stored", "awaiting", "consent_needed"]
    consent: Literal["pending", "granted", "needs_consent"] | None = Field(
        description="Of OAuth2, see `/accounts/{account}/consent`."
    )
    state: str = Field(examples=["active"])
    paused: bool
    rights: list[Right] = Field(description="What you may do with it.")
    version: int
    updated_at: ShownInstant


@router.get("/accounts")
async def list_accounts(
    caller: TheSender,
    office: TheOffice,
    limit: Limit = 100,
    after: After = None,
    holder: Annotated[UserId | None, Query(description="Whose personal accounts.")] = None,
    kind: Annotated[Annotated[Kind, Choice] | None, Query()] = None,
    q: Annotated[str | None, Query(max_length=256, description="In name, address, server.")] = None,
) -> Page[Account]:
    """List the accounts; a user sees their own, those they have a right on, and the common one."""
    wanted = Wanted(holder, kind, q)
    cursor = decode_cursor(after, str)[0] if after else None

    def read(tx: Connection) -> tuple[list[Account], str | None]:
        found = accounts.list_accounts(tx, caller, wanted, after=cursor, limit=limit + 1)
        shown, following = cut_page(found, limit, lambda each: (each.id,))
        return [show_account(tx, caller, each) for each in shown], following

    shown, following = await office.db.read(read)
    return Page(data=shown, next=following)


@router.post("/accounts", status_code=201)
async def create_account(
    caller: TheMaker, office: TheOffice, response: Response, given: Given
) -> Configuration:
    """Make an account beside the default ones. Group accounts are an admin's to make.

    A member that is absent is inherited from the global configuration.
    """
    holder = _read_holder(caller, given.get("holder"))
    account_id = new_id(office.clock())
    scope = Scope(f"{ACCOUNT_SCOPE}{account_id}", holder)
    document = {name: value for name, value in given.items() if name != "holder"}
    shown = await save_configuration(
        caller, office, scope, response, put_configuration, document, None
    )
    response.headers["Location"] = f"/accounts/{account_id}"
    return shown


@router.get("/accounts/{account}")
async def read_account(
    caller: TheSender, office: TheOffice, response: Response, account: TheAccount
) -> Configuration:
    """Show an account: all of it to who manages it, else what it is and what you may do with it."""

    def read(tx: Connection) -> tuple[StoredAccount, dict[str, Any]]:
        stored = _require_any(tx, caller, account)
        rights = list_caller_rights(tx, caller, stored)
        brief = show_account(tx, caller, stored).model_dump(mode="json")
        if "manage" not in rights and caller.role != "sender":
            return stored, brief
        shown = read_shown(tx, Scope(stored.scope, stored.user_id))[1]
        return stored, shown | {"rights": brief["rights"]}

    stored, shown = await office.db.read(read)
    response.headers["ETag"] = f'"{stored.version}"'
    return shown


@router.post("/accounts/{account}/default", dependencies=[Writer])
async def make_default_account(
    caller: TheSender, office: TheOffice, account: TheAccount
) -> Account:
    """Make it its holder's default account, or everybody's; the former default stays beside it.

    `/config/users/{user}` (or `/config/global`) is this account from then on.
    """
    at = office.clock()

    def run(tx: Connection) -> Account:
        stored = require_account(tx, caller, account, "manage")
        accounts.make_default(tx, caller, stored, at)
        moved = accounts.reload(tx, account)
        carry_over(tx, stored.scope, moved.scope, at)
        return show_account(tx, caller, moved)

    return await office.db.write(run)


def show_account(tx: Connection, caller: Caller, stored: StoredAccount) -> Account:
    """Return an account in short, with the caller's rights on it."""
    rights = list_caller_rights(tx, caller, stored)
    health = read_health(tx, stored.id)
    return Account(
        id=stored.id,
        path=f"/{stored.scope}"
        if stored.scope.startswith(ACCOUNT_SCOPE)
        else f"/config/{stored.scope}",
        name=stored.document.get("name"),
        kind="group" if stored.user_id is None else "personal",
        holder=stored.user_id,
        is_default=not stored.scope.startswith(ACCOUNT_SCOPE),
        address=stored.document.get("sender", {}).get("address"),
        server=stored.settings.server if stored.settings else None,
        outgoing=stored.document.get("outgoing", True),
        incoming=stored.incoming is not None,
        password_state=stored.password_state,
        consent=stored.consent.state if stored.consent else None,
        state=name_state(stored, health, now(tx)),
        paused=stored.paused_at is not None,
        rights=[each for each in RIGHTS if each in rights],
        version=stored.version,
        updated_at=stored.updated_at,
    )


def _require_any(tx: Connection, caller: Caller, account_id: str) -> StoredAccount:
    """Return an account that the caller may know of."""
    try:
        return require_account(tx, caller, account_id, "read")
    except Denied:
        return accounts.reload(tx, account_id)


def _read_holder(caller: Caller, given: object) -> str | None:
    if caller.role == "user":
        if given not in (None, caller.user):
            raise Denied("You may make personal accounts of your own.", code="other_user")
        return caller.user
    if given is None:
        return None
    wrong = find_wrong_in_user_id(given) if isinstance(given, str) else "Give a user id, or null."
    if wrong:
        raise Refused(wrong, faults=[Fault("/holder", "invalid_user", wrong)])
    return str(given)
