"""The page behind a password link: open to who holds it, for the owner of one account, once."""

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from app.configuration import password_links
from app.errors import Missing, Refused
from app.outbox.follow import configuration_changed
from app.web.faults import say_all
from app.web.form import Filled, TheForm, place_faults
from app.web.visit import Guest, TheGuest

router = APIRouter()
_POINTERS = {"/password": "password", "/smtp/password": "password"}


@router.get("/password/{token}")
async def show(guest: TheGuest, token: str) -> Response:
    """Ask for the password; say where it will be shown, and nowhere else."""
    return await _show(guest, token, Filled())


@router.post("/password/{token}")
async def enter(guest: TheGuest, token: str, form: TheForm) -> Response:
    """Store the password; the link is used up, and mail that was held for it goes on."""

    def run(tx: Connection) -> str:
        stored = password_links.use_link(
            tx, guest.office.vault, token, form.get("password"), guest.at
        )
        configuration_changed(tx, stored.id, guest.at)
        return str(stored.document.get("sender", {}).get("address", ""))

    try:
        address = await guest.office.db.write(run)
    except Refused as error:
        errors = place_faults(error.faults, _POINTERS, say_all(guest))
        return await _show(guest, token, Filled({}, errors))
    except Missing:
        return guest.render("password.html", 404, found=None, form=Filled(), entered="")
    guest.office.db.ring()
    return guest.render("password.html", found=None, form=Filled(), entered=address or "–")


async def _show(guest: Guest, token: str, form: Filled) -> Response:
    vault = guest.office.vault
    try:
        found = await guest.office.db.read(password_links.read_link, vault, token, guest.at)
    except Missing:
        return guest.render("password.html", 404, found=None, form=form, entered="")
    return guest.render(
        "password.html", 422 if form.errors else 200, found=found, form=form, entered=""
    )
