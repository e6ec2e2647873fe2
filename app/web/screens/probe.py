"""Try a mail server beside the form, on values that are not saved yet.

With JavaScript the answer is a stream of panels, each whole, one for every step that ended (`RS`, ASCII 30,
between them); without it, it is the page with the report. Nothing is kept between two requests, so any
process can answer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, get_args

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from app.errors import AwizoError, Fault, Refused
from app.mime.address import parse_mailboxes
from app.outbox.advice import ADVICE
from app.outbox.probe import probe
from app.outbox.probe_ground import Mode, Wanted
from app.outbox.probe_report import Report
from app.web.faults import say, say_all
from app.web.form import Filled, Form, TheForm, place_faults
from app.web.screens.config import read_view, render_config
from app.web.screens.config_fields import POINTERS, read_document_form
from app.web.screens.config_words import CHOICES, LABELS
from app.web.screens.scope import EACH, Scope, WriteScope
from app.web.visit import TheVisit, Visit
from app.web.words import mark
from app.wire.steps import Step

router = APIRouter()
END_OF_PANEL = "\x1e"
STEPS: Mapping[str, str] = {
    "token": mark("Ask for an access token (OAuth2)"),
    "resolve": mark("Find the server"),
    "connect": mark("Connect"),
    "tls": mark("Encrypt (TLS)"),
    "greeting": mark("Greeting"),
    "ehlo": mark("What the server can do"),
    "starttls": mark("Encrypt (STARTTLS)"),
    "auth": mark("Sign in"),
    "mail": mark("Sender"),
    "rcpt": mark("Recipients"),
    "data": mark("Message"),
    "quit": mark("Goodbye"),
}
WARNINGS: Mapping[str, str] = {
    "delivery_off": mark("Delivery is off: only the envelope was tried."),
    "redirected": mark("Delivery is redirected: the test message went there."),
    "password_missing": mark("There is no password for this server. Enter it again."),
    "not_encrypted": mark("The connection is not encrypted: mail can be read on its way."),
    "certificate_not_verified": mark("The certificate was not verified: this may be another server."),
    "certificate_expires_soon": mark("The server's certificate expires soon."),
    "dsn_not_offered": mark("The server offers no delivery reports."),
}  # fmt: skip
_POINTERS = {f"/config{pointer}": name for pointer, name in POINTERS.items()} | {
    "/to": "probe.to",
    "/smtp_password": "probe.smtp_password",
}


async def try_config(visit: TheVisit, scope: WriteScope, form: TheForm) -> Response:
    """Try what the form says, and show every step."""
    view = await visit.office.db.read(read_view, scope)
    raw = read_document_form(form, view.document, inherits=scope.inherits)
    wanted, faults = read_wanted(form, scope, raw)
    if form.get("probe.to"):
        visit.caller.require("admin")
    if form.get("live") == "1":
        return StreamingResponse(
            stream_probe(visit, wanted, faults, f"{scope.path}/mend"),
            media_type="text/html; charset=utf-8",
        )
    try:
        report = await probe(visit.office, visit.caller, wanted, faults)
    except AwizoError as error:
        filled = Filled(form.values(), place_errors(visit, error))
        return render_config(visit, view, filled, status=error.status)
    filled = Filled(form.values())
    return render_config(
        visit, view, filled, report=show_report(visit, report, f"{scope.path}/mend")
    )


async def apply_fix(visit: TheVisit, scope: WriteScope, form: TheForm) -> Response:
    """Show the form with what a probe found to help; nothing is saved yet."""
    view = await visit.office.db.read(read_view, scope)
    filled = Filled(mend(form))
    note = visit._("Put in; nothing is saved yet. Test again, then save.")
    return render_config(visit, view, filled, note)


for _path in EACH:
    router.add_api_route(f"{_path}/test", try_config, methods=["POST"])
    router.add_api_route(f"{_path}/mend", apply_fix, methods=["POST"])


def read_wanted(form: Form, scope: Scope, raw: Mapping[str, Any]) -> tuple[Wanted, Sequence[Fault]]:
    """Return the probe that a form asks for, and what is wrong with it."""
    wish = form.get("probe.mode")
    mode: Mode = wish if wish in get_args(Mode) else "send"  # type: ignore[assignment]
    to, faults = parse_mailboxes(form.get("probe.to"), "/to")
    wanted = Wanted(
        mode=mode,
        names_scope=True,
        user=scope.user,
        scope=scope.name,
        config=raw,
        to=to,
        smtp_password=form.get("probe.smtp_password") or None,
    )
    return wanted, faults


def mend(form: Form) -> dict[str, str]:
    """Return a form's values with the fix in it that its button carries."""
    values = form.values()
    try:
        found = json.loads(form.get("fix"))
    except ValueError:
        return values
    if isinstance(found, dict):
        known = {name: value for name, value in found.items() if name in LABELS}
        values |= {name: value for name, value in known.items() if isinstance(value, str)}
    return values


def place_errors(visit: Visit, error: AwizoError) -> dict[str, str]:
    """Return why a probe did not run, by field."""
    if isinstance(error, Refused) and error.faults:
        return place_faults(error.faults, _POINTERS, say_all(visit))
    return {"": say(visit, error.code, error.detail)}


async def stream_probe(
    visit: Visit, wanted: Wanted, faults: Sequence[Fault], mend: str
) -> AsyncIterator[str]:
    """Yield a panel for every step that ended, at last the report. mend: where its fix is put in."""
    ended: asyncio.Queue[Step | None] = asyncio.Queue()
    running = asyncio.create_task(
        probe(visit.office, visit.caller, wanted, faults, ended.put_nowait)
    )
    running.add_done_callback(lambda _: ended.put_nowait(None))
    steps: list[Step] = []
    try:
        yield _panel(visit, steps=[], running=True)
        while (step := await ended.get()) is not None:
            steps.append(step)
            yield _panel(visit, steps=show_steps(steps), running=True)
        try:
            yield _panel(visit, **show_report(visit, await running, mend))
        except AwizoError as error:
            yield _panel(visit, trouble=list(place_errors(visit, error).items()))
    finally:
        running.cancel()


def _panel(visit: Visit, **values: Any) -> str:
    return visit.render_part("report.html", report=values, labels=LABELS) + END_OF_PANEL


def show_report(visit: Visit, report: Report, mend: str) -> dict[str, Any]:
    """Return what the panel shows of a report."""
    fix = _name_fix(report.fix)
    return {
        "ok": report.ok,
        "mode": report.mode,
        "server": f"{report.host}:{report.port}",
        "connection": report.connection,
        "auth": report.auth,
        "recipients": report.recipients,
        "steps": show_steps(report.steps),
        "failed": STEPS.get(report.failed_at or "", report.failed_at),
        "cause": report.cause,
        "advice": ADVICE[report.cause][visit.language] if report.cause else "",
        "fix": {name: _show_fix(visit, name, value) for name, value in fix.items()},
        "fix_value": json.dumps(fix),
        "mend": mend,
        "warnings": [
            visit._(WARNINGS[each.code]) if each.code in WARNINGS else each.detail
            for each in report.warnings
        ],
        "transcript": _write_transcript(report),
    }


def show_steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return each step with its name, and the server's reply apart from our own words."""
    return [
        {
            "name": STEPS.get(step.step, step.step),
            "ok": step.ok,
            "ms": step.ms,
            "reply": _write_reply(step),
            "detail": step.detail,
            "tls": step.tls,
        }
        for step in steps
    ]


def _name_fix(fix: Mapping[str, Any] | None) -> dict[str, str]:
    """Return a merge patch by the form's fields; what it removes becomes empty."""
    named: dict[str, str] = {}
    for block, members in (fix or {}).items():
        for name, value in members.items():
            shown = "" if value is None else "on" if value is True else str(value)
            named[f"{block}.{name}"] = "" if value is False else shown
    return named


def _show_fix(visit: Visit, name: str, value: str) -> str:
    words = CHOICES.get(name, {})
    if value in words:
        return visit._(words[value])
    return visit._("Yes") if value == "on" else value or visit._("empty")


def _write_reply(step: Step) -> str:
    return " ".join(str(part) for part in (step.code, step.reply) if part)


def _write_transcript(report: Report) -> str:
    """Return a report as plain text to send to a provider; it holds no secret."""
    lines = [f"{report.host}:{report.port} connection={report.connection} auth={report.auth}"]
    for step in report.steps:
        words = [step.step, "ok" if step.ok else "FAILED", f"{step.ms} ms"]
        lines.append("  ".join(part for part in (*words, _write_reply(step), step.detail) if part))
    if report.cause:
        lines.append(f"failed at {report.failed_at}: {report.cause}")
    if report.recipients:
        lines.append("recipients: " + ", ".join(report.recipients))
    return "\n".join(lines)
