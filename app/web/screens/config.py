"""The mail configuration of each scope: seen, changed, switched, tried (``probe``)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from app.accounts.people import Person, find_wrong_in_user_id, list_people, read_person
from app.configuration import password as passwords
from app.configuration import switch
from app.configuration.load import ACCOUNTS, find_account, load_account, read_account
from app.configuration.model import (
    ACCOUNT_SCOPE,
    DEFAULT_PORTS,
    GLOBAL,
    ActiveScope,
    StoredAccount,
    name_scope,
    takes_token,
)
from app.configuration.remove import delete_configuration
from app.configuration.rights import require_reader
from app.configuration.save import Save, put_configuration
from app.configuration.tables import account
from app.db import now
from app.errors import Conflict, Fault, Notice, Refused, Stale
from app.outbox.follow import configuration_changed, configuration_removed
from app.outbox.health import Health, name_state, read_health
from app.web.faults import say, say_all
from app.web.form import Filled, Form, TheForm, issue_id, place_faults, read_issued_id
from app.web.screens.config_answers import count_minutes
from app.web.screens.config_fields import POINTERS, fill_form, read_document_form
from app.web.screens.config_groups import find_open
from app.web.screens.config_words import CHOICES, DAYS, LABELS, MODES, NOTIFICATIONS
from app.web.screens.scope import EACH, ReadScope, Scope, WriteScope, parse_scope
from app.web.visit import TheVisit, Visit

router = APIRouter()
_MOST_LISTED = 500
WORDS: Mapping[str, Any] = {
    "labels": LABELS, "choices": CHOICES, "notify": NOTIFICATIONS, "ports": DEFAULT_PORTS,
    "modes": MODES, "days": DAYS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScopeView:
    """What the page of a scope shows. stored: None where the scope has no configuration yet."""

    scope: Scope
    stored: StoredAccount | None
    health: Health
    person: Person | None
    at: datetime

    @property
    def is_personal(self) -> bool:
        """Whether it is a user's own default one, which may be the active one."""
        return self.scope.name.startswith("users/")

    @property
    def is_account(self) -> bool:
        """Whether it is nobody's default account, one that is not yet stored among them."""
        return self.scope.name.startswith(ACCOUNT_SCOPE)

    @property
    def title(self) -> str:
        """How people call it."""
        return name_account(self.document)

    @property
    def wants_password(self) -> bool:
        """Whether its server wants a password that is stored here."""
        settings = self.stored.settings if self.stored else None
        return settings is not None and settings.wants_login and settings.password_mode != "ask"

    @property
    def takes_consent(self) -> bool:
        """Whether it may log in by tokens of its owner's consent."""
        return self.stored is not None and takes_token(self.stored.settings)

    @property
    def document(self) -> Mapping[str, Any]:
        """What is stored; nothing where there is nothing."""
        return self.stored.document if self.stored else {}

    @property
    def state(self) -> str:
        """How it is doing, in one word."""
        return name_state(self.stored, self.health, self.at) if self.stored else "none"


def name_account(document: Mapping[str, Any]) -> str:
    """Return how people call an account; "" where it says nothing of itself."""
    return document.get("name") or document.get("sender", {}).get("address") or ""


def read_view(tx: Connection, scope: Scope) -> ScopeView:
    """Return what the page of a scope shows."""
    stored = find_account(tx, scope.name)
    return ScopeView(
        scope=scope,
        stored=stored,
        health=read_health(tx, stored.id) if stored else Health(),
        person=read_person(tx, scope.user) if scope.user and not scope.account else None,
        at=now(tx),
    )


@router.get("/config")
async def list_scopes(visit: TheVisit) -> Response:
    """List the scopes; a user has one of their own only."""
    visit.caller.require("admin", "sender", "user")
    if visit.caller.role == "user":
        return visit.go(Scope(name_scope(visit.caller.user)).path)
    views = await visit.office.db.read(_read_scopes, with_global=visit.caller.is_admin)
    return visit.render("config_list.html", views=views, most=_MOST_LISTED)


@router.get("/config/open")
async def open_scope(visit: TheVisit, user: str = "") -> Response:
    """Lead to a user's scope, by the id that was typed."""
    return visit.go(parse_scope(f"users/{user.strip()}").path if user.strip() else "/ui/config")


async def show_config(visit: TheVisit, scope: ReadScope, load: str = "") -> Response:
    """Show a scope's configuration; ``load`` fills the form with another scope's, unsaved."""
    view = await visit.office.db.read(read_view, scope)
    document, note = view.document, ""
    if load:
        source = parse_scope(load)
        require_reader(visit.caller, source.user)
        found = await visit.office.db.read(find_account, source.name)
        if found is not None:
            document = found.document
            note = visit._("Loaded from %(scope)s, without passwords. Nothing is saved yet.") % {
                "scope": source.name
            }
    return render_config(visit, view, Filled(fill_form(document, inherits=scope.inherits)), note)


async def save_config(visit: TheVisit, scope: WriteScope, form: TheForm) -> Response:
    """Save what the form says; a refused one is shown again with every fault at its field."""
    view = await visit.office.db.read(read_view, scope)
    raw = read_document_form(form, view.document, inherits=scope.inherits)
    known = form.get("version")

    def check_version(version: int) -> None:
        if scope.is_new and version:
            raise Conflict("This account was made already.", code="made_already")
        if known and known != str(version):
            raise Stale("It was changed since you opened it; load it again and repeat your change.")

    notices: list[Notice] = []

    def run(tx: Connection) -> StoredAccount:
        made = load_account(tx, target.name.removeprefix(ACCOUNT_SCOPE)) if scope.is_new else None
        if made is not None and made.removed_at is None:
            check_version(made.version)
        saved = put_configuration(
            tx, save, raw, activate="activate" in form, apply_to_everyone="everyone" in form
        )
        notices[:] = saved.notices
        return saved.stored

    try:
        target = _name_target(visit, scope, form)
        save = Save(
            vault=visit.office.vault,
            policy=visit.office.policy(any_port=visit.caller.is_admin),
            caller=visit.caller,
            scope=target.name,
            user=target.user,
            at=visit.at,
            check_version=check_version,
        )
        await change(visit, run)
    except Refused as error:
        return render_config(visit, view, refill(visit, form, error), status=error.status)
    except Stale as error:
        filled = Filled(form.values(), {"": say(visit, error.code, error.detail)})
        return render_config(visit, view, filled, status=error.status)
    except Conflict as error:  # the button was pressed twice
        if error.code != "made_already":
            raise
        done = visit._("This account was made already; here it is as it was saved.")
        return visit.go(target.path, done=done)
    return visit.go(
        target.path,
        done=visit._("Saved."),
        warn=[say(visit, notice.code, notice.detail) for notice in notices],
    )


def _name_target(visit: Visit, scope: Scope, form: Form) -> Scope:
    """Return what is saved: a new account has its id from the form, so that it is made once."""
    if not scope.is_new:
        return scope
    holder = visit.caller.user or form.get("holder").strip() or None
    wrong = find_wrong_in_user_id(holder) if holder else None
    if wrong:
        raise Refused(wrong, faults=[Fault("/holder", "invalid_user", wrong)])
    return Scope(f"{ACCOUNT_SCOPE}{read_issued_id(form, visit)}", holder)


async def reveal_password(visit: TheVisit, scope: WriteScope, form: TheForm) -> Response:
    """Show the stored password to whoever entered it."""
    password = await visit.office.db.write(
        passwords.reveal_password, visit.office.vault, visit.caller, scope.name, visit.at
    )
    view = await visit.office.db.read(read_view, scope)
    filled = Filled(fill_form(view.document, inherits=scope.inherits))
    return render_config(visit, view, filled, revealed=password)


async def enter_password(visit: TheVisit, scope: WriteScope, form: TheForm) -> Response:
    """Enter the password that the configuration waits for; held mail goes on."""

    def run(tx: Connection) -> StoredAccount:
        return passwords.enter_password(
            tx, visit.office.vault, visit.caller, scope.name, form.get("password"), visit.at
        )

    await change(visit, run)
    return visit.go(scope.path, done=visit._("The password is stored; mail that waited goes on."))


async def pause_config(visit: TheVisit, scope: WriteScope, form: TheForm) -> Response:
    """Stop sending through the scope's server, or go on."""
    visit.caller.require("admin")
    if "resume" in form:
        await change(visit, lambda tx: switch.resume(tx, visit.caller, scope.name, visit.at))
        return visit.go(scope.path, done=visit._("Mail goes out again."))
    await visit.office.db.write(switch.pause, visit.caller, scope.name, visit.at)
    return visit.go(scope.path, done=visit._("Paused: mail waits until you resume."))


async def delete_config(visit: TheVisit, scope: WriteScope, form: TheForm) -> Response:
    """Remove a configuration and its secrets."""

    def run(tx: Connection) -> None:
        removed = delete_configuration(tx, visit.caller, scope.name, visit.at, lambda version: None)
        configuration_removed(tx, removed.scope, removed.id, visit.at)

    await visit.office.db.write(run)
    path = "/ui/accounts" if scope.name.startswith(ACCOUNT_SCOPE) else scope.path
    return visit.go(path, done=visit._("Removed. Mail that waited for it is held."))


@router.post("/config/users/{user}/active")
async def set_active(visit: TheVisit, scope: WriteScope, form: TheForm) -> Response:
    """Choose which configuration sends for a user; both stay stored."""
    wanted: ActiveScope = "personal" if form.get("scope") == "personal" else "global"
    try:
        await visit.office.db.write(
            switch.set_active_scope, visit.caller, scope.user or "", wanted, visit.at
        )
    except Conflict as error:
        return visit.go(scope.path, warn=[say(visit, error.code, error.detail)])
    done = (
        visit._("From now on their own configuration sends. The common one stays stored.")
        if wanted == "personal"
        else visit._("From now on the common configuration sends. Their own stays stored.")
    )
    return visit.go(scope.path, done=done)


for _path in EACH[:2]:  # an account is shown by ``accounts``, in short to who may not change it
    router.add_api_route(_path, show_config, methods=["GET"])
for _path in EACH:
    router.add_api_route(_path, save_config, methods=["POST"])
    router.add_api_route(f"{_path}/reveal", reveal_password, methods=["POST"])
    router.add_api_route(f"{_path}/password", enter_password, methods=["POST"])
    router.add_api_route(f"{_path}/pause", pause_config, methods=["POST"])
    router.add_api_route(f"{_path}/delete", delete_config, methods=["POST"])


async def change(visit: Visit, run: Callable[[Connection], StoredAccount]) -> None:
    """Change a configuration and tell the mail that waits for it, in one transaction."""

    def run_and_tell(tx: Connection) -> None:
        configuration_changed(tx, run(tx).id, visit.at)

    await visit.office.db.write(run_and_tell)
    visit.office.db.ring()


def refill(visit: Visit, form: Form, error: Refused) -> Filled:
    """Return a refused form as it was typed, with what is wrong at each field."""
    return Filled(form.values(), place_faults(error.faults, POINTERS, say_all(visit)))


def render_config(
    visit: Visit,
    view: ScopeView,
    form: Filled,
    note: str = "",
    *,
    status: int = 200,
    revealed: str = "",
    **values: Any,
) -> Response:
    """Return the page of a scope with ``form`` in it."""
    is_writer = visit.caller.is_admin or visit.caller.role == "user"
    stored = view.stored
    return visit.render(
        "config.html",
        status,
        view=view,
        form=form,
        note=note,
        revealed=revealed,
        is_writer=is_writer,
        once=issue_id(visit) if view.scope.is_new else "",
        may_reveal=bool(stored and stored.password_owner == visit.caller.owner_id),
        opened=find_open(
            form,
            inherits=view.scope.inherits,
            is_new=view.scope.is_new,
            is_protected=bool(stored and stored.attachment_password),
        ),
        alert_minutes=count_minutes(form.value("answer_alert.after_min")),
        **{"report": None, **WORDS, **values},
    )


def _read_scopes(tx: Connection, *, with_global: bool) -> list[ScopeView]:
    """Return the common scope, then every user that was ever named."""
    people = {each.id: each for each in list_people(tx, after=None, limit=_MOST_LISTED)}
    query = ACCOUNTS.where(
        account.c.removed_at.is_(None), ~account.c.scope.startswith(ACCOUNT_SCOPE)
    )
    stored = {row["scope"]: read_account(row) for row in tx.execute(query).mappings()}
    scopes = [Scope(GLOBAL)] if with_global else []
    scopes += [Scope(name_scope(user), user) for user in people]
    at = now(tx)
    return [
        ScopeView(
            scope,
            found := stored.get(scope.name),
            read_health(tx, found.id) if found else Health(),
            people.get(scope.user or ""),
            at,
        )
        for scope in scopes
    ]
