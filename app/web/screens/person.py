"""A user: name, address, language, and the signature below their mail."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.accounts.people import Person, check_user_id, read_person, save_person
from app.configuration.rights import require_reader, require_writer
from app.errors import Refused
from app.web.faults import say_all
from app.web.form import Filled, TheForm, place_faults
from app.web.visit import TheVisit, Visit

router = APIRouter()
_FIELDS = ("name", "address", "language")
_SIGNATURE = ("html", "text")
_POINTERS = {
    **{f"/{name}": name for name in (*_FIELDS, "signature")},
    **{f"/signature/{kind}": f"signature.{kind}" for kind in _SIGNATURE},
}


def _read_user(user: str) -> str:
    return check_user_id(user)


TheUser = Annotated[str, Depends(_read_user)]


@router.get("/people/{user}")
async def show(visit: TheVisit, user: TheUser) -> Response:
    """Show what is known of a user; nothing before the first use."""
    require_reader(visit.caller, user)
    person = await visit.office.db.read(read_person, user)
    return _show(visit, user, Filled(_fill(person) if person else {}))


@router.post("/people/{user}")
async def save(visit: TheVisit, user: TheUser, form: TheForm) -> Response:
    """Save it; what is emptied is removed."""
    require_writer(visit.caller, user)
    signature = {kind: form.get(f"signature.{kind}") for kind in _SIGNATURE}
    try:
        await visit.office.db.write(
            save_person,
            visit.caller,
            user,
            name=form.get("name").strip(),
            address=form.get("address").strip(),
            language=form.get("language").strip(),
            signature=signature if any(signature.values()) else "",
            at=visit.at,
        )
    except Refused as error:
        errors = place_faults(error.faults, _POINTERS, say_all(visit))
        return _show(visit, user, Filled(form.values(), errors), status=error.status)
    return visit.go(visit.request.url.path, done=visit._("Saved."))


def _fill(person: Person) -> dict[str, str]:
    values = {name: getattr(person, name) or "" for name in _FIELDS}
    signature = person.signature or {}
    return values | {f"signature.{kind}": signature.get(kind, "") for kind in _SIGNATURE}


def _show(visit: Visit, user: str, form: Filled, *, status: int = 200) -> Response:
    may_write = visit.caller.is_admin or visit.caller.user == user
    return visit.render("person.html", status, user=user, form=form, may_write=may_write)
