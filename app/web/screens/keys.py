"""API keys: made and shown once, listed, revoked."""

from fastapi import APIRouter, Response

from app.accounts import keys
from app.accounts.tables import ROLES
from app.errors import Conflict, Fault, Refused, refuse
from app.web.day import read_last_day
from app.web.faults import say, say_all
from app.web.form import Filled, Form, TheForm, place_faults
from app.web.visit import TheVisit, Visit
from app.web.words import mark

router = APIRouter()
_PAGE = 50
_ROLE_WORDS = {
    "sender": mark("sender: sends and reads for any user (the ERP's own key)"),
    "user": mark("user: one user's own things only"),
    "probe": mark("probe: tests the mail server only"),
    "admin": mark("admin: everything"),
}
_POINTERS = {f"/{name}": name for name in ("role", "name", "user", "expires_at")}


@router.get("/keys")
async def show_keys(visit: TheVisit, after: str = "", revoked: bool = False) -> Response:
    """List the keys, the newest first."""
    return await _render(visit, Filled({"role": "sender"}), after=after, revoked=revoked)


@router.post("/keys")
async def create_key(visit: TheVisit, form: TheForm) -> Response:
    """Make a key; this page is the only place where it can be read."""
    visit.caller.require("admin")
    try:
        expires_at, faults = read_last_day(visit, form.get("expires_at"), "/expires_at")
        if not form.get("name").strip():
            faults.append(Fault("/name", "required", visit._("Give it a name.")))
        role = form.get("role")
        if role not in ROLES:
            faults.append(Fault("/role", "unknown_value", visit._("Choose a role.")))
        refuse(faults)
        _, key = await visit.office.db.write(
            keys.create_key,
            visit.office.vault,
            visit.caller,
            role=role,  # type: ignore[arg-type]
            name=form.get("name").strip()[:200],
            user=form.get("user").strip() or None,
            expires_at=expires_at,
            at=visit.at,
        )
    except Refused as error:
        filled = Filled(form.values(), place_faults(error.faults, _POINTERS, say_all(visit)))
        return await _render(visit, filled, status=error.status)
    return await _render(visit, Filled({"role": "sender"}), fresh=key, made=form)


@router.post("/keys/{key_id}/revoke")
async def revoke_key(visit: TheVisit, key_id: str, form: TheForm) -> Response:
    """End a key at once."""
    visit.caller.require("admin")
    try:
        await visit.office.db.write(keys.revoke_key, visit.caller, key_id, visit.at)
    except Conflict as error:
        return visit.go("/ui/keys", warn=[say(visit, error.code, error.detail)])
    return visit.go("/ui/keys", done=visit._("The key is revoked; it works no more."))


async def _render(
    visit: Visit,
    form: Filled,
    *,
    after: str = "",
    revoked: bool = False,
    fresh: str = "",
    made: Form | None = None,
    status: int = 200,
) -> Response:
    visit.caller.require("admin")
    rows = await visit.office.db.read(
        keys.list_keys, include_revoked=revoked, before=after or None, limit=_PAGE + 1
    )
    return visit.render(
        "keys.html",
        status,
        form=form,
        rows=rows[:_PAGE],
        following=rows[_PAGE - 1].id if len(rows) > _PAGE else "",
        revoked=revoked,
        fresh=fresh,
        made=made,
        roles=[(role, visit._(text)) for role, text in _ROLE_WORDS.items()],
    )
