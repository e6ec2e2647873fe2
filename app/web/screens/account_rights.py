"""Who may read, send with and manage an account: granted, until a day where one is given, and revoked."""

from collections.abc import Mapping
from urllib.parse import quote

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from app.accounts.people import check_user_id
from app.configuration import accounts
from app.configuration.account_rights import RIGHTS, list_caller_rights, require_account
from app.configuration.accounts import Grant
from app.configuration.model import StoredAccount
from app.errors import Fault, Refused, refuse
from app.web.day import read_last_day
from app.web.faults import say_all
from app.web.form import Filled, TheForm, place_faults
from app.web.screens.accounts import RIGHT_WORDS
from app.web.screens.config import name_account
from app.web.visit import TheVisit, Visit

router = APIRouter()
_POINTERS = {"/user": "user", "/until": "until", "/rights": "rights"}


@router.get("/accounts/{account}/rights")
async def list_rights(visit: TheVisit, account: str) -> Response:
    """List what was granted on an account."""
    return await _show(visit, account, Filled({"read": "on", "send": "on"}))


@router.post("/accounts/{account}/rights")
async def grant(visit: TheVisit, account: str, form: TheForm) -> Response:
    """Grant rights to somebody, instead of those granted before."""
    faults: list[Fault] = []
    user = form.get("user").strip()
    until, wrong = read_last_day(visit, form.get("until"), "/until")
    faults += wrong
    given = [right for right in RIGHTS if right in form]
    if not given:
        faults.append(Fault("/rights", "nothing_granted", visit._("Tick at least one.")))
    try:
        try:
            user = check_user_id(user, "/user")
        except Refused as error:
            faults += error.faults
        refuse(faults)
        wanted = Grant(user, "read" in given, "send" in given, "manage" in given, until)

        def run(tx: Connection) -> None:
            stored = require_account(tx, visit.caller, account, "manage")
            accounts.grant(tx, visit.caller, stored, wanted, visit.at)

        await visit.office.db.write(run)
    except Refused as error:
        names = {**_POINTERS, "": "user"}
        filled = Filled(form.values(), place_faults(error.faults, names, say_all(visit)))
        return await _show(visit, account, filled, error.status)
    return visit.go(_name_path(account), done=visit._("Granted to %(user)s.") % {"user": user})


@router.post("/accounts/{account}/rights/revoke")
async def revoke(visit: TheVisit, account: str, form: TheForm) -> Response:
    """Take away what was granted to somebody; the next page can undo it."""
    user = form.get("user")

    def run(tx: Connection) -> Grant:
        stored = require_account(tx, visit.caller, account, "manage")
        former = accounts.list_grants_of(tx, account, user)
        accounts.revoke(tx, visit.caller, stored, user, visit.at)
        return former

    former = await visit.office.db.write(run)
    path = _name_path(account)
    done = visit._("%(user)s may do nothing with it any more.") % {"user": user}
    has_ended = former.until is not None and former.until <= visit.at
    undo = None if has_ended else (path, _write(former))
    return visit.go(path, done=done, undo=undo)


def _write(given: Grant) -> Mapping[str, str]:
    """Return the form that grants the same again."""
    fields: dict[str, str] = {right: "on" for right in RIGHTS if getattr(given, right)}
    if given.until is not None:
        fields["until"] = given.until.isoformat()
    return fields | {"user": given.user}


def _name_path(account: str) -> str:
    return f"/ui/accounts/{quote(account)}/rights"


async def _show(visit: Visit, account: str, form: Filled, status: int = 200) -> Response:
    def read(tx: Connection) -> tuple[StoredAccount, list[Grant], bool]:
        stored = require_account(tx, visit.caller, account, "read")
        may_grant = "manage" in list_caller_rights(tx, visit.caller, stored)
        return stored, accounts.list_grants(tx, account), may_grant

    stored, grants, may_grant = await visit.office.db.read(read)
    return visit.render(
        "account_rights.html",
        status,
        stored=stored,
        title=name_account(stored.document),
        grants=grants,
        may_grant=may_grant,
        form=form,
        at=visit.at,
        right_words=RIGHT_WORDS,
    )
