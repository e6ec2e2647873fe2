"""``/keys``: API keys, made and revoked by admins, rotated by themselves."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from app.accounts import keys
from app.accounts.keys import KeyRow
from app.api.body import Body, Choice, Instant, Name, Route, ShownInstant, UserId
from app.api.gate import After, Limit, Page, TheOffice, cut_page, decode_cursor
from app.api.sign_in import TheAdmin, TheCaller

router = APIRouter(route_class=Route, tags=["keys"])

Role = Literal["admin", "sender", "user", "probe"]
_MOST_OVERLAP_S = 30 * 86_400


class NewKey(Body):
    """What a new key may do, and as whom."""

    role: Annotated[Role, Choice]
    name: Annotated[Name, Field(max_length=200, examples=["Accounting module"])]
    user: UserId | None = Field(
        None, description="The user it acts as: exactly for role `user`.", validate_default=True
    )
    expires_at: Instant | None = Field(None, description="When it stops working; absent: never.")

    @field_validator("user")
    @classmethod
    def _fit_role(cls, user: str | None, info: ValidationInfo) -> str | None:
        unfit = keys.check_binding(info.data["role"], user) if "role" in info.data else None
        if unfit is not None:
            raise PydanticCustomError(unfit.code, unfit.detail)
        return user


class Rotation(Body):
    """How a key is replaced."""

    overlap_s: Annotated[
        float, Field(ge=0, le=_MOST_OVERLAP_S, description="Seconds the old key goes on working.")
    ] = 86_400


class Key(BaseModel):
    """An API key, without the key itself."""

    id: str
    owner: str = Field(description="Id of the first key of its rotations: what it owns stays.")
    role: Role
    name: str
    user: str | None
    prefix: str | None = Field(description="How the key begins; to find it in a configuration.")
    source: Literal["api", "first_start", "environment"]
    created_at: ShownInstant
    expires_at: ShownInstant | None
    last_used_at: ShownInstant | None = Field(description="To the minute.")
    revoked_at: ShownInstant | None
    rotated_to: str | None = Field(description="Id of the key that replaces it.")


class ShownKey(Key):
    """A new key, shown this once."""

    key: str = Field(examples=["awizo_mfrggzdfmztw_…"])


@router.post("/keys", status_code=201)
async def create_key(
    caller: TheAdmin, office: TheOffice, response: Response, new: NewKey
) -> ShownKey:
    """Make an API key. The answer is the only place where it can be read."""
    row, key = await office.db.write(
        keys.create_key,
        office.vault,
        caller,
        role=new.role,
        name=new.name,
        user=new.user,
        expires_at=new.expires_at,
        at=office.clock(),
    )
    response.headers["Cache-Control"] = "no-store"
    return ShownKey(**_show(row), key=key)


@router.get("/keys")
async def list_keys(
    caller: TheAdmin,
    office: TheOffice,
    limit: Limit = 100,
    after: After = None,
    include_revoked: Annotated[bool, Query(description="Also those that were revoked.")] = False,
) -> Page[Key]:
    """List the API keys, the newest first."""
    rows = await office.db.read(
        keys.list_keys,
        include_revoked=include_revoked,
        before=decode_cursor(after, str)[0] if after else None,
        limit=limit + 1,
    )
    shown, following = cut_page(rows, limit, lambda row: (row.id,))
    return Page(data=[Key(**_show(row)) for row in shown], next=following)


@router.delete("/keys/{key_id}", status_code=204)
async def revoke_key(caller: TheAdmin, office: TheOffice, key_id: str) -> None:
    """End an API key at once. The last admin key that works cannot be ended (`409`)."""
    await office.db.write(keys.revoke_key, caller, key_id, office.clock())


@router.post("/keys/{key_id}/rotate", status_code=201)
async def rotate_key(
    caller: TheCaller,
    office: TheOffice,
    response: Response,
    key_id: str,
    rotation: Rotation | None = None,
) -> ShownKey:
    """Replace a key, with that key itself (any role); the old one works on for `overlap_s`.

    The new key has the same owner, so messages, idempotency keys and passwords stay reachable.
    If the answer got lost, rotate once more with the old key: a successor never used is replaced.
    """
    row, key = await office.db.write(
        keys.rotate_key,
        office.vault,
        caller,
        key_id,
        overlap_s=(rotation or Rotation()).overlap_s,
        at=office.clock(),
    )
    response.headers["Cache-Control"] = "no-store"
    return ShownKey(**_show(row), key=key)


def _show(row: KeyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "owner": row.owner_id,
        "role": row.role,
        "name": row.name,
        "user": row.user_id,
        "prefix": None if row.source == "environment" else f"awizo_{row.prefix}_",
        "source": row.source,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
        "revoked_at": row.revoked_at,
        "rotated_to": row.rotated_to,
    }
