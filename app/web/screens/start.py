"""The first run: an address, the server guessed from it, tried, saved; then what comes next."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.engine import Connection

from app.configuration.autoconfig import Guess, Origin, Proposed, guess_servers, read_email
from app.configuration.find_domain import find_domain
from app.configuration.load import find_account
from app.configuration.model import GLOBAL, StoredAccount
from app.configuration.provider_data import PROVIDERS, Provider
from app.configuration.providers import name_login, read_provider, write_advice
from app.configuration.save import Save, patch_configuration, put_configuration
from app.errors import AwizoError, Notice, Refused
from app.mime.address import Mailbox
from app.outbox.probe import probe
from app.web.faults import say
from app.web.form import Filled, Form, TheForm
from app.web.screens.config import WORDS, change, refill
from app.web.screens.config_fields import read_document_form
from app.web.screens.probe import mend, place_errors, read_wanted, show_report, stream_probe
from app.web.screens.scope import Scope
from app.web.visit import TheVisit, Visit
from app.web.words import mark
from app.wire.service_records import NameServer

router = APIRouter()
_PATH = "/ui/start"
_ORIGINS: Mapping[Origin | None, str] = {
    "domain": mark("Found: the settings that are stored for this e-mail domain."),
    "srv": mark("Found: the domain names its mail server itself (DNS)."),
    "guess": mark(
        "Nothing is known of this domain, so this is the usual name; the test shows whether it is right."
    ),
}


@router.get("/start")
async def show_start(visit: TheVisit) -> Response:
    """Ask for the address."""
    visit.caller.require("admin")
    stored = await visit.office.db.read(find_account, GLOBAL)
    return _ask(visit, Filled(), is_set_up=stored is not None)


@router.post("/start")
async def guess(visit: TheVisit, form: TheForm) -> Response:
    """Propose the server that sends for the address."""
    visit.caller.require("admin")
    try:
        mailbox = read_email(form.get("address"))
    except Refused:
        wrong = {"address": visit._("Write a whole mail address, such as faktury@firma.example.")}
        return _ask(visit, Filled(form.values(), wrong), status=422)
    provider, notices = read_provider(form.get("provider")), list[Notice]()
    if provider is not None:
        server = _propose(provider, mailbox)
    else:
        found = await _look_up(visit, mailbox)
        server, provider, notices = found.smtp, found.provider, list(found.notices)
    values = {
        "sender.address": mailbox.address,
        "sender.name": mailbox.name or form.get("name").strip(),
        "smtp.host": server.host,
        "smtp.port": str(server.port),
        "smtp.connection": server.connection,
        "smtp.username": server.username or "",
        "provider": provider.id if provider else "",
    }
    return _show(visit, Filled(values), provider, origin=server.origin, notices=notices)


@router.post("/start/test")
async def try_server(visit: TheVisit, form: TheForm) -> Response:
    """Try what the form says, up to a test message to the address itself."""
    visit.caller.require("admin")
    wanted, faults = read_wanted(form, Scope(GLOBAL), _read(form))
    mends_at = f"{_PATH}/mend"
    if form.get("live") == "1":
        stream = stream_probe(visit, wanted, faults, mends_at)
        return StreamingResponse(stream, media_type="text/html; charset=utf-8")
    provider = read_provider(form.get("provider"))
    try:
        report = await probe(visit.office, visit.caller, wanted, faults)
    except AwizoError as error:
        filled = Filled(form.values(), place_errors(visit, error))
        return _show(visit, filled, provider, status=error.status)
    shown = show_report(visit, report, mends_at)
    return _show(visit, Filled(form.values()), provider, report=shown)


@router.post("/start/mend")
async def put_in(visit: TheVisit, form: TheForm) -> Response:
    """Show the form with what the test found to help."""
    visit.caller.require("admin")
    return _show(visit, Filled(mend(form)), read_provider(form.get("provider")))


@router.post("/start/save")
async def save(visit: TheVisit, form: TheForm) -> Response:
    """Store it as the common configuration; what is there beside server and sender stays."""
    visit.caller.require("admin")
    raw = _read(form)
    saving = Save(
        vault=visit.office.vault,
        policy=visit.office.policy(any_port=True),
        caller=visit.caller,
        scope=GLOBAL,
        user=None,
        at=visit.at,
        check_version=lambda version: None,
    )
    notices: list[str] = []

    def run(tx: Connection) -> StoredAccount:
        is_new = find_account(tx, GLOBAL) is None
        verb = put_configuration if is_new else patch_configuration
        saved = verb(tx, saving, raw)
        notices[:] = [say(visit, each.code, each.detail) for each in saved.notices]
        return saved.stored

    try:
        await change(visit, run)
    except Refused as error:
        provider = read_provider(form.get("provider"))
        return _show(visit, refill(visit, form, error), provider, status=error.status)
    return visit.go(f"{_PATH}/done", done=visit._("Saved."), warn=notices)


@router.get("/start/done")
async def show_done(visit: TheVisit) -> Response:
    """Say what comes next."""
    visit.caller.require("admin")
    return visit.render("start_done.html", step=3)


def _read(form: Form) -> dict[str, Any]:
    raw = read_document_form(form, {}, inherits=False)
    return {name: raw[name] for name in ("smtp", "sender") if name in raw}


def _propose(provider: Provider, mailbox: Mailbox) -> Proposed:
    server, login = provider.smtp, name_login(provider, mailbox.address)
    return Proposed(server.host, server.port, server.connection, login, provider.auth, "provider")


async def _look_up(visit: Visit, mailbox: Mailbox) -> Guess:
    """Return what ``GET /autoconfig`` says, after 3 s at most."""
    stored = await visit.office.db.read(find_domain, mailbox.domain)
    server = visit.office.settings.dns_server
    return await guess_servers(
        mailbox,
        stored,
        visit.office.policy(any_port=True),
        NameServer(*server) if server else None,
    )


def _ask(visit: Visit, form: Filled, *, is_set_up: bool = False, status: int = 200) -> Response:
    providers = [("", visit._("Find it from the address"))]
    providers += [(each.id, each.name) for each in PROVIDERS]
    return visit.render(
        "start.html", status, form=form, providers=providers, is_set_up=is_set_up, step=1
    )


def _show(
    visit: Visit,
    form: Filled,
    provider: Provider | None,
    *,
    report: dict[str, Any] | None = None,
    origin: Origin | None = None,
    notices: Sequence[Notice] = (),
    status: int = 200,
) -> Response:
    advice = write_advice(provider) if provider else None
    return visit.render(
        "start_server.html",
        status,
        form=form,
        provider=provider,
        advice=advice[visit.language] if advice else "",
        report=report,
        origin=visit._(_ORIGINS[origin]) if origin in _ORIGINS else "",
        is_guess=origin == "guess",
        warnings=[say(visit, each.code, each.detail) for each in notices],
        step=2,
        **WORDS,
    )
