"""The mail accounts: listed, made, shown in short, made the default; a link for the owner's password.

What an account has set is edited as every configuration is (``config``); its rights and its OAuth2
consent have screens of their own.
"""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.accounts.people import check_user_id
from app.configuration import accounts, password_links
from app.configuration.account_rights import (
    RIGHTS,
    Right,
    list_caller_rights,
    may_send,
    require_account,
)
from app.configuration.accounts import Wanted
from app.configuration.load import find_account
from app.configuration.model import ACCOUNT_SCOPE, StoredAccount, name_scope
from app.db import now
from app.errors import Conflict, Denied
from app.outbox.health import name_state, read_health
from app.outbox.suppressions import carry_over
from app.web.faults import say
from app.web.form import TheForm
from app.web.screens.config import name_account, show_config
from app.web.screens.scope import NEW, Scope
from app.web.visit import TheVisit
from app.web.words import mark

router = APIRouter()
_PAGE = 100
_MOST_OFFERED = 500
_LINK_LASTS = timedelta(hours=72)
RIGHT_WORDS = {
    "read": mark("read its mail"),
    "send": mark("send with it"),
    "manage": mark("manage it"),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """An account as a list shows it. rights: the visitor's own."""

    stored: StoredAccount
    state: str
    rights: tuple[Right, ...]

    @property
    def title(self) -> str:
        """How people call it."""
        return name_account(self.stored.document)

    @property
    def is_default(self) -> bool:
        """Whether it is its holder's default account, or everybody's."""
        return not self.stored.scope.startswith(ACCOUNT_SCOPE)

    @property
    def path(self) -> str:
        """Where it is seen."""
        return f"/ui/accounts/{self.stored.id}"


@router.get("/accounts")
async def list_accounts(
    visit: TheVisit, q: str = "", kind: str = "", holder: str = "", after: str = ""
) -> Response:
    """List the accounts that the visitor may know of."""
    visit.caller.require("admin", "sender", "user")
    wanted = Wanted(
        check_user_id(holder.strip()) if holder.strip() else None,
        kind if kind in ("group", "personal") else None,
        q.strip()[:256] or None,
    )

    def read(tx: Connection) -> list[Listed]:
        found = accounts.list_accounts(
            tx, visit.caller, wanted, after=after or None, limit=_PAGE + 1
        )
        return [_list(tx, visit.caller, each) for each in found]

    rows = await visit.office.db.read(read)
    chosen = {"q": q.strip(), "kind": wanted.kind or "", "holder": holder.strip()}
    return visit.render(
        "accounts.html",
        rows=rows[:_PAGE],
        following=rows[_PAGE - 1].stored.id if len(rows) > _PAGE else "",
        wanted={name: value for name, value in chosen.items() if value},
        right_words=RIGHT_WORDS,
    )


@router.get("/accounts/{account}")
async def show_account(visit: TheVisit, account: str, load: str = "") -> Response:
    """Show an account: its form to who manages it, to others what they may do with it."""
    visit.caller.require("admin", "sender", "user")
    if account == NEW:
        visit.caller.require("admin", "user")
        return await show_config(visit, Scope(ACCOUNT_SCOPE + NEW, visit.caller.user), load)

    def read(tx: Connection) -> Listed:
        try:
            stored = require_account(tx, visit.caller, account, "read")
        except Denied:  # the right to send alone shows it in short
            stored = accounts.reload(tx, account)
        return _list(tx, visit.caller, stored)

    found = await visit.office.db.read(read)
    if "manage" in found.rights or visit.caller.role == "sender":
        return await show_config(
            visit, Scope(found.stored.scope, found.stored.user_id, account), load
        )
    return visit.render("account.html", found=found, right_words=RIGHT_WORDS)


@router.post("/accounts/{account}/default")
async def make_default(visit: TheVisit, account: str, form: TheForm) -> Response:
    """Let an account be its holder's default, or everybody's; the former one stays beside it."""

    def run(tx: Connection) -> tuple[StoredAccount, StoredAccount | None]:
        stored = require_account(tx, visit.caller, account, "manage")
        former = find_account(tx, name_scope(stored.user_id))
        accounts.make_default(tx, visit.caller, stored, visit.at)
        carry_over(tx, stored.scope, accounts.reload(tx, account).scope, visit.at)
        return stored, former

    path = f"/ui/accounts/{quote(account)}"
    try:
        stored, former = await visit.office.db.write(run)
    except Conflict as error:
        return visit.go(path, warn=[say(visit, error.code, error.detail)])
    words = visit._("From now on %(name)s is the default account.")
    done = words % {"name": name_account(stored.document) or stored.id}
    if former is None or former.id == stored.id:
        return visit.go(path, done=done)
    undo: tuple[str, dict[str, str]] = (f"/ui/accounts/{former.id}/default", {})
    return visit.go(path, done=done, undo=undo)


@router.post("/accounts/{account}/password-link")
async def make_password_link(visit: TheVisit, account: str, form: TheForm) -> Response:
    """Make a link for the owner's password; this page is the only place where it can be read."""

    def run(tx: Connection) -> tuple[StoredAccount, password_links.Link]:
        stored = require_account(tx, visit.caller, account, "manage")
        link = password_links.make_link(
            tx, visit.office.vault, visit.caller, stored, visit.at, _LINK_LASTS
        )
        return stored, link

    try:
        stored, link = await visit.office.db.write(run)
    except Conflict as error:
        return visit.go(
            f"/ui/accounts/{quote(account)}", warn=[say(visit, error.code, error.detail)]
        )
    url = visit.request.url
    base = (visit.office.settings.public_url or f"{url.scheme}://{url.netloc}").rstrip("/")
    return visit.render(
        "account_link.html",
        stored=stored,
        title=name_account(stored.document),
        link=f"{base}/ui/password/{quote(link.token)}",
        expires_at=link.expires_at,
    )


def list_sendable(tx: Connection, caller: Caller, user: str | None) -> list[StoredAccount]:
    """Return the accounts that ``user`` (None: nobody in particular) may send with now."""
    found = accounts.list_accounts(tx, caller, Wanted(), after=None, limit=_MOST_OFFERED)
    return [
        each
        for each in found
        if each.document.get("outgoing") is not False and may_send(tx, each, user)
    ]


def _list(tx: Connection, caller: Caller, stored: StoredAccount) -> Listed:
    rights = list_caller_rights(tx, caller, stored)
    state = name_state(stored, read_health(tx, stored.id), now(tx))
    return Listed(stored, state, tuple(each for each in RIGHTS if each in rights))
