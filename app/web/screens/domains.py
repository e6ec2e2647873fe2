"""E-mail domains: server settings entered once for all of a domain's addresses.

A change is shown first, with every account that it touches (``seen`` is what was shown); only that is
saved.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.engine import Connection

from app.configuration import domains
from app.configuration.domain import Domain
from app.configuration.domains import DOMAIN_INCOMING, DOMAIN_SMTP, Touched, read_name
from app.configuration.find_domain import find_domain
from app.errors import Fault, Missing, Refused, Stale
from app.outbox.follow import configuration_changed
from app.web.faults import say, say_all
from app.web.form import Filled, Form, TheForm, place_faults
from app.web.screens.config import name_account
from app.web.screens.config_fields import POINTERS, read_number, read_server
from app.web.screens.config_words import CHOICES, LABELS
from app.web.visit import TheVisit, Visit
from app.web.words import mark

router = APIRouter()
_PAGE = 100
_PATH = "/ui/domains"
_BLOCKS = {"smtp": DOMAIN_SMTP, "incoming": DOMAIN_INCOMING}
# A block is meant where one of these is filled in; the others are never empty.
_TYPED = ("host", "port", "timeout_ms", "ca_pem", "batch_limit", "batch_wait_s", "chunking_window")
OFFERED = (*_TYPED, "protocol", "connection", "auth", "tls_verify", "allow_insecure_auth")
_POINTERS = {**POINTERS, "/name": "name", "/max_attachment_bytes": "max_attachment_bytes"}
LOGINS = {
    "address": mark("the whole address"),
    "local_part": mark("what stands before the @"),
}
PASSWORDS = {
    "kept": mark("stays"),
    "needed": mark("has to be entered again"),
    "none": mark("none"),
}


@router.get("/domains")
async def list_domains(visit: TheVisit, after: str = "") -> Response:
    """List the domains that have settings."""
    visit.caller.require("admin", "sender", "user")
    rows = await visit.office.db.read(domains.list_domains, after=after or None, limit=_PAGE + 1)
    following = rows[_PAGE - 1].name if len(rows) > _PAGE else ""
    return visit.render("domains.html", rows=rows[:_PAGE], following=following)


@router.get("/domains/edit")
async def show(visit: TheVisit, name: str = "") -> Response:
    """Show a domain's settings, or an empty form."""
    visit.caller.require("admin", "sender", "user")
    domain = await visit.office.db.read(find_domain, read_name(name)) if name else None
    if name and domain is None:
        raise Missing("Nothing is stored for this domain.", code="domain_not_found")
    return _show(visit, domain, Filled(_fill(domain.document if domain else {})))


@router.post("/domains/edit")
async def edit(visit: TheVisit, form: TheForm) -> Response:
    """Show whom a change touches; what was shown so is saved."""
    visit.caller.require("admin")
    known, domain = form.get("version"), None
    try:
        name, raw, domain = await _read(visit, form)
        seen = _digest(name, raw)
        is_dry = form.get("seen") != seen

        def check_version(version: int) -> None:
            if known and known != str(version):
                raise Stale("It was changed since you opened it.")

        def run(tx: Connection) -> list[Touched]:
            _, touched, _ = domains.put_domain(
                tx, visit.office.vault, visit.office.policy(any_port=True), visit.caller, name,
                raw, visit.at, check_version, dry_run=is_dry,
            )  # fmt: skip
            for each in [] if is_dry else touched:
                configuration_changed(tx, each.stored.id, visit.at)
            return touched

        touched = await visit.office.db.write(run)
    except Refused as error:
        errors = place_faults(error.faults, _POINTERS, say_all(visit))
        return _show(visit, domain, Filled(form.values(), errors), status=error.status)
    except Stale as error:
        filled = Filled(form.values(), {"": say(visit, error.code, error.detail)})
        return _show(visit, domain, filled, status=error.status)
    if is_dry:
        return _show(visit, domain, Filled(form.values()), touched=touched, seen=seen)
    visit.office.db.ring()
    return visit.go(_PATH, done=visit._("Saved."), warn=_warn(visit, touched))


@router.post("/domains/delete")
async def delete(visit: TheVisit, form: TheForm) -> Response:
    """Remove a domain's settings; the next page can undo it."""
    visit.caller.require("admin")
    name = read_name(form.get("name"))

    def run(tx: Connection) -> tuple[Domain | None, list[Touched]]:
        former = find_domain(tx, name)
        touched = domains.delete_domain(
            tx, visit.office.vault, visit.caller, name, visit.at, lambda version: None
        )
        for each in touched:
            configuration_changed(tx, each.stored.id, visit.at)
        return former, touched

    former, touched = await visit.office.db.write(run)
    fields = {"name": name, **_fill(former.document if former else {})}
    ticked = {name: value for name, value in fields.items() if value}
    given = Form({name: (value,) for name, value in ticked.items()})
    fields = {**ticked, "seen": _digest(name, _read_raw(given, {}))}
    done = visit._("Removed. Its accounts use their own server or the common one.")
    return visit.go(_PATH, done=done, warn=_warn(visit, touched), undo=(f"{_PATH}/edit", fields))


async def _read(visit: Visit, form: Form) -> tuple[str, dict[str, Any], Domain | None]:
    """Return what a form says, and what is stored there."""
    given = form.get("name").strip()
    if not given:
        raise Refused("", faults=[Fault("/name", "required", visit._("Fill this in."))])
    name = read_name(given, "/name")
    domain = await visit.office.db.read(find_domain, name)
    if domain is not None and not form.get("version") and not form.get("seen"):
        detail = visit._("This domain has settings already; open it in the list.")
        raise Refused("", faults=[Fault("/name", "domain_there", detail)])
    return name, _read_raw(form, domain.document if domain else {}), domain


def _read_raw(form: Form, stored: Mapping[str, Any]) -> dict[str, Any]:
    raw: dict[str, Any] = {"username": form.get("username") or "address"}
    if form.get("max_attachment_bytes").strip():
        raw["max_attachment_bytes"] = read_number(form.get("max_attachment_bytes"), int)
    for block, members in _BLOCKS.items():
        if any(form.get(f"{block}.{name}").strip() for name in _TYPED):
            kept = stored.get(block, {}).items()
            raw[block] = {
                **{name: value for name, value in kept if name not in OFFERED},
                **read_server(form, block, [name for name in members if name in OFFERED]),
            }
    return raw


def _fill(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the form's fields for what is stored."""
    values = {"username": document.get("username", "address")}
    if "max_attachment_bytes" in document:
        values["max_attachment_bytes"] = str(document["max_attachment_bytes"])
    for block in _BLOCKS:
        given = document.get(block, {})
        for name, value in given.items():
            if not isinstance(value, bool):
                values[f"{block}.{name}"] = f"{value:g}" if isinstance(value, float) else str(value)
        values[f"{block}.tls_verify"] = "on" if given.get("tls_verify", True) else ""
        values[f"{block}.allow_insecure_auth"] = "on" if given.get("allow_insecure_auth") else ""
    return values


def _digest(name: str, raw: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([name, raw], sort_keys=True).encode()).hexdigest()[:32]


def _warn(visit: Visit, touched: list[Touched]) -> list[str]:
    waiting = [
        name_account(each.stored.document) or each.stored.scope
        for each in touched
        if each.password == "needed"
    ]
    if not waiting:
        return []
    words = visit._("Mail waits until the password is entered again: %(accounts)s")
    return [words % {"accounts": ", ".join(waiting[:20])}]


def _show(
    visit: Visit,
    domain: Domain | None,
    form: Filled,
    *,
    touched: list[Touched] | None = None,
    seen: str = "",
    status: int = 200,
) -> Response:
    return visit.render(
        "domains_edit.html",
        status,
        domain=domain,
        form=form,
        touched=touched,
        seen=seen,
        labels=LABELS,
        choices=CHOICES,
        logins=[(name, visit._(text)) for name, text in LOGINS.items()],
        passwords=PASSWORDS,
        name_account=name_account,
    )
