"""``GET /audit``: who changed or revealed what."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.accounts import audit
from app.api.body import Route, ShownInstant
from app.api.gate import After, Limit, Page, TheOffice, cut_page, decode_cursor
from app.api.sign_in import TheAdmin

router = APIRouter(route_class=Route, tags=["audit"])


class AuditLine(BaseModel):
    """One change, without secrets."""

    id: str
    at: ShownInstant
    actor: str = Field(description="The key's name as it was then, or the JWT's subject.")
    owner: str = Field(
        description="The key and those rotated from it, or `jwt:<issuer>:<subject>`."
    )
    role: str
    action: str = Field(examples=["key.create"])
    object: str = Field(examples=["config/users/anna"])
    before: Any = Field(description="What was there; null where nothing was.")
    after: Any = Field(description="What is there since; null where it was removed.")
    request_id: str | None


@router.get("/audit")
async def list_audit(
    caller: TheAdmin,
    office: TheOffice,
    limit: Limit = 100,
    after: After = None,
    object: Annotated[str | None, Query(description="Exactly this object.")] = None,
    actor: Annotated[str | None, Query(description="Exactly this actor.")] = None,
    action: Annotated[str | None, Query(description="Exactly this action.")] = None,
) -> Page[AuditLine]:
    """List the audit trail, the newest first."""
    rows = await office.db.read(
        audit.list_audit,
        object=object,
        actor=actor,
        action=action,
        before=decode_cursor(after, str)[0] if after else None,
        limit=limit + 1,
    )
    shown, following = cut_page(rows, limit, lambda row: (row.id,))
    return Page(
        data=[
            AuditLine(
                id=row.id, at=row.at, actor=row.actor, owner=row.owner_id, role=row.role,
                action=row.action, object=row.object, before=row.before, after=row.after,
                request_id=row.request_id,
            )
            for row in shown
        ],
        next=following,
    )  # fmt: skip
