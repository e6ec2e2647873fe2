"""``/users``: who the caller's user ids stand for; all of it optional."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi import Body as JsonBody
from pydantic import BaseModel, Field, WithJsonSchema

from app.accounts import people
from app.accounts.caller import Caller
from app.accounts.people import Person
from app.api.body import Addresses, Body, Route, ShownInstant, UserId
from app.api.collect import collect, refer
from app.api.gate import After, Limit, Page, TheOffice, cut_page, decode_cursor
from app.api.scope import Reader, Writer
from app.api.sign_in import Guard, TheCaller
from app.api.templates import ShownNotice, show_notices
from app.errors import Missing, Notice
from app.templates_engine.closing import PIECE_SCHEMA, advise

router = APIRouter(route_class=Route, tags=["users"])

TheErp = Annotated[Caller, Depends(Guard("admin", "sender"))]
TheUser = Annotated[UserId, Path(description="The ERP's user id.", examples=["anna"])]
_Ignored = Annotated[Any, Field(description="Shown in answers; ignored here.")]


class UserBody(Body):
    """What is known of a user. What an answer shows beyond it is accepted and ignored."""

    name: str | None = Field(None, max_length=256, examples=["Anna Kowalska"])
    address: Addresses | None = Field(None, description="One mailbox; its name part is not used.")
    language: str | None = Field(None, max_length=35, examples=["pl"])
    signature: Any = Field(
        None,
        description='Below every mail of theirs, macros allowed. Absent: stays as it is; `""`: none.',
        json_schema_extra={"anyOf": [dict(PIECE_SCHEMA), {"const": ""}]},
    )
    id: _Ignored = None
    active_scope: _Ignored = None
    created_at: _Ignored = None
    updated_at: _Ignored = None
    warnings: _Ignored = None


Given = Annotated[dict[str, Any], WithJsonSchema(refer(UserBody)), JsonBody()]


class ShownPiece(BaseModel):
    """A signature or a footer; null: made of the other."""

    html: str | None = None
    text: str | None = None


class User(BaseModel):
    """A user of the ERP."""

    id: str
    name: str | None = Field(description="Fills `{wysyłający}`; absent: without a person.")
    address: str | None = Field(
        description="Reply-To when the global scope sends for this user and none is given."
    )
    language: str | None
    signature: ShownPiece | None = Field(description="HTML, text or both, as it was given.")
    active_scope: str = Field(description="`global` or `personal`; set in `/config/users/…`.")
    created_at: ShownInstant
    updated_at: ShownInstant
    warnings: list[ShownNotice] = Field([], description="Advice on what was just saved.")


@router.get("/users")
async def list_users(
    caller: TheErp, office: TheOffice, limit: Limit = 100, after: After = None
) -> Page[User]:
    """List the users that were seen, in the order of their ids."""
    rows = await office.db.read(
        people.list_people,
        after=decode_cursor(after, str)[0] if after else None,
        limit=limit + 1,
    )
    shown, following = cut_page(rows, limit, lambda row: (row.id,))
    return Page(data=[_show(row) for row in shown], next=following)


@router.get("/users/{user}", dependencies=[Reader])
async def read_user(office: TheOffice, user: TheUser) -> User:
    """Show one user. An id exists from its first use (a send, a configuration, a key, a `PUT`)."""
    found = await office.db.read(people.read_person, user)
    if found is None:
        raise Missing("There is no such user.")
    return _show(found)


@router.put("/users/{user}", dependencies=[Writer])
async def put_user(caller: TheCaller, office: TheOffice, user: TheUser, given: Given) -> User:
    """Say who a user is. What is absent is removed, but for the signature."""
    body, faults = collect(UserBody, given)
    saved = await office.db.write(
        people.save_person,
        caller,
        user,
        name=body.name,
        address=body.address,
        language=body.language,
        signature=body.signature,
        at=office.clock(),
        faults=faults,
    )
    return _show(saved, advise(saved.signature, "/signature") if body.signature else ())


def _show(found: Person, notices: Sequence[Notice] = ()) -> User:
    return User(
        id=found.id,
        name=found.name,
        address=found.address,
        language=found.language,
        signature=ShownPiece(**found.signature) if found.signature else None,
        active_scope=found.active_scope,
        created_at=found.created_at,
        updated_at=found.updated_at,
        warnings=show_notices(notices),
    )
