"""``/accounts/{account}/rights``: who may read, send with and manage an account, and until when."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from sqlalchemy.engine import Connection

from app.api.accounts import TheAccount
from app.api.body import Body, Instant, Route, ShownInstant, UserId
from app.api.gate import TheOffice
from app.api.scope import Writer
from app.api.sign_in import TheSender
from app.configuration import accounts
from app.configuration.account_rights import require_account
from app.configuration.accounts import Grant

router = APIRouter(route_class=Route, tags=["accounts"])

TheUser = Annotated[UserId, Path(description="Who gets the right.", examples=["anna"])]


class RightBody(Body):
    """What somebody may do with an account. Managing includes reading, sending and granting."""

    read: bool = Field(False, description="Read the account's mail.")
    send: bool = Field(False, description="Send with it.")
    manage: bool = Field(False, description="Change it, and grant rights on it.")
    until: Instant | None = Field(None, description="When it ends by itself; absent: never.")


class ShownRight(BaseModel):
    """What somebody may do with an account."""

    user: str
    read: bool
    send: bool
    manage: bool
    until: ShownInstant | None
    granted_by: str
    granted_at: ShownInstant | None


class ShownRights(BaseModel):
    """Everybody that something was granted to. The holder, who may do everything, is not in it."""

    holder: str | None
    data: list[ShownRight]


@router.get("/accounts/{account}/rights")
async def list_rights(caller: TheSender, office: TheOffice, account: TheAccount) -> ShownRights:
    """List what was granted on an account, ended grants too."""

    def read(tx: Connection) -> ShownRights:
        stored = require_account(tx, caller, account, "read")
        found = accounts.list_grants(tx, account)
        return ShownRights(holder=stored.user_id, data=[_show(each) for each in found])

    return await office.db.read(read)


@router.put("/accounts/{account}/rights/{user}", dependencies=[Writer])
async def put_right(
    caller: TheSender, office: TheOffice, account: TheAccount, user: TheUser, given: RightBody
) -> ShownRight:
    """Grant rights to a user, instead of those granted before; `until` makes it a delegation."""
    at = office.clock()
    wanted = Grant(user, given.read, given.send, given.manage, given.until)

    def run(tx: Connection) -> ShownRight:
        stored = require_account(tx, caller, account, "manage")
        return _show(accounts.grant(tx, caller, stored, wanted, at))

    return await office.db.write(run)


@router.delete("/accounts/{account}/rights/{user}", status_code=204, dependencies=[Writer])
async def delete_right(
    caller: TheSender, office: TheOffice, account: TheAccount, user: TheUser
) -> None:
    """Take away what was granted to a user."""
    at = office.clock()

    def run(tx: Connection) -> None:
        stored = require_account(tx, caller, account, "manage")
        accounts.revoke(tx, caller, stored, user, at)

    await office.db.write(run)


def _show(given: Grant) -> ShownRight:
    return ShownRight(
        user=given.user,
        read=given.read,
        send=given.send,
        manage=given.manage,
        until=given.until,
        granted_by=given.granted_by,
        granted_at=given.granted_at,
    )
