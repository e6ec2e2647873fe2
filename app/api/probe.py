"""``POST /test-smtp``: try a mail server step by step; failing is an answer.

``fix`` is a merge patch: ``PATCH /config/{scope}`` with it, and the failing step works. A new port is
a new server to a stored password, which has then to be entered again.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi import Body as JsonBody
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from app.accounts.caller import Caller
from app.accounts.people import find_wrong_in_user_id
from app.api.body import Addresses, Body, Choice, Route, ShownInstant
from app.api.collect import collect
from app.api.gate import TheOffice
from app.api.sign_in import Guard
from app.configuration.document import PASSWORD, describe_input
from app.errors import Fault
from app.mime.address import parse_mailboxes
from app.outbox.advice import ADVICE
from app.outbox.probe import LEAST_TIMEOUT_MS, MOST_TIMEOUT_MS, probe
from app.outbox.probe_ground import Mode, Wanted
from app.outbox.probe_report import Report
from app.wire.causes import CAUSES
from app.wire.reply import escape
from app.wire.steps import Step

router = APIRouter(route_class=Route, tags=["test"])

TheTester = Annotated[Caller, Depends(Guard("admin", "user", "probe"))]

_GLOBAL, _PERSONAL = "global", "users/"


class ProbeBody(Body):
    """What to try: a stored scope, values that are not saved yet, or those in place of a scope's."""

    scope: str | None = Field(
        None,
        description="Whose configuration: `global` or `users/{user}`.",
        examples=["global", "users/anna"],
    )
    config: Annotated[dict[str, Any] | None, WithJsonSchema(describe_input())] = Field(
        None,
        description="Unsaved values, as `PUT /config/{scope}` takes them. With `scope`, that scope's "
        "stored password is used where they give none, but only for its own server.",
    )
    mode: Annotated[Mode, Choice] = Field(
        "send",
        description="How far: `connect` (EHLO and TLS), `login`, `envelope` (up to RCPT, then RSET; "
        "nothing is delivered), `send` (a test message to the sender's own address, CC and BCC).",
    )
    to: Addresses | None = Field(
        None, description="Instead of the sender's own address and the copies; admin only."
    )
    smtp_password: str | None = Field(
        None, min_length=1, description="For `password_mode: ask`; never stored."
    )
    probe_timeout_ms: int | None = Field(
        None,
        ge=LEAST_TIMEOUT_MS,
        le=MOST_TIMEOUT_MS,
        description="The whole probe ends within it plus a second; "
        "absent: the greater of `timeout_ms` and 30000.",
    )


class ShownCapabilities(BaseModel):
    """What the server offers. size: bytes, 0 for no limit, null where it does not say."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    size: int | None
    dsn: bool
    starttls: bool
    auth: list[str]
    pipelining: bool
    smtputf8: bool
    eightbitmime: bool = Field(alias="8bitmime")
    chunking: bool


class ShownTls(BaseModel):
    """The handshake, and the server's certificate."""

    version: str
    cipher: str
    subject: str | None
    issuer: str | None
    not_after: ShownInstant | None
    san: list[str]


class ShownStep(BaseModel):
    """One step. Members that say nothing are left out."""

    step: Literal[
        "token", "resolve", "connect", "tls", "greeting", "ehlo", "starttls", "auth", "mail", "rcpt",
        "data", "quit",
    ]  # fmt: skip
    ok: bool
    ms: int = 0
    code: int | None = None
    enhanced: str | None = None
    reply: str | None = Field(None, description="The server's words: 512 bytes at most, escaped.")
    detail: str | None = Field(None, description="Ours: addresses, the mechanism, what went wrong.")
    capabilities: ShownCapabilities | None = None
    tls: ShownTls | None = None


class ShownAdvice(BaseModel):
    """What the cause means and what to do."""

    pl: str
    fr: str
    en: str


class ShownWarning(BaseModel):
    """Something that is doubtful although it works."""

    code: str
    detail: str
    pointer: str | None


class ProbeAnswer(BaseModel):
    """What became of the probe."""

    ok: bool
    mode: Mode
    host: str
    port: int
    connection: str = Field(description="What `auto` has come to, once that is known.")
    auth: str = Field(description="The mechanism that was used, once that is known.")
    recipients: list[str] = Field(description="Whom the envelope names; without a hidden BCC.")
    steps: list[ShownStep]
    failed_at: str | None
    cause: Annotated[
        str | None,
        WithJsonSchema({"anyOf": [{"type": "string", "enum": sorted(CAUSES)}, {"type": "null"}]}),
    ]
    advice: ShownAdvice | None
    fix: dict[str, Any] | None = Field(
        description="A JSON merge patch for the configuration that was seen to help."
    )
    warnings: list[ShownWarning]


Given = Annotated[
    dict[str, Any],
    WithJsonSchema(ProbeBody.model_json_schema()),
    JsonBody(
        examples=[
            {"scope": "global"},
            {"scope": "users/anna", "mode": "login"},
            {
                "config": {
                    "smtp": {"host": "smtp.firma.example", "username": "faktury", "password": "…"},
                    "sender": {"address": "faktury@firma.example"},
                },
                "mode": "envelope",
            },
        ]
    ),
]


@router.post("/test-smtp", response_model_exclude_unset=True)
async def test_smtp(caller: TheTester, office: TheOffice, given: Given) -> ProbeAnswer:
    """Try a mail server and say which step fails, why, and what mends it.

    `200` whenever the probe ran, `ok` says how it went. For credentials other than `admin` a port
    that is closed, filtered or no mail server's looks the same (`connection_refused` at `connect`);
    only how long the answer takes may differ. At most `AWIZO_PROBE_RATE` a minute for one owner, and
    30 a minute for one host and login: `429` beyond. A success of what is stored, login included,
    ends the account's trouble: mail that waited for it is tried at once.
    """
    body, faults = collect(ProbeBody, given)
    names_scope, user = _read_scope(body.scope, faults)
    _check_rights(caller, given, names_scope, user)
    if body.scope is None and body.config is None and not faults:
        faults.append(Fault("/scope", "required", "Name a scope, or give a configuration."))
    to, wrong = parse_mailboxes(body.to, "/to")
    faults += wrong
    if body.smtp_password is not None:
        PASSWORD.read(body.smtp_password, "/smtp_password", faults)
    wanted = Wanted(
        mode=body.mode,
        names_scope=names_scope,
        user=user,
        config=body.config,
        to=to,
        smtp_password=body.smtp_password,
        timeout_ms=body.probe_timeout_ms,
    )
    return _show(await probe(office, caller, wanted, faults))


def _read_scope(scope: str | None, faults: list[Fault]) -> tuple[bool, str | None]:
    """Return whether a scope is named, and the user whose it is (None: global)."""
    if scope is None:
        return False, None
    word = scope.strip()
    if word.lower() == _GLOBAL:
        return True, None
    user = unicodedata.normalize("NFC", word[len(_PERSONAL) :])
    wrong = find_wrong_in_user_id(user)
    if word.lower().startswith(_PERSONAL) and not wrong:
        return True, user
    detail = wrong if wrong and word.lower().startswith(_PERSONAL) else None
    faults.append(Fault("/scope", "invalid_scope", detail or "Give global or users/{user}."))
    return False, None


def _check_rights(
    caller: Caller, given: Mapping[str, Any], names_scope: bool, user: str | None
) -> None:
    """Raise ``Denied`` or ``Missing`` by the role table (contract §1)."""
    if given.get("to") is not None:
        caller.require("admin")
    if caller.role == "probe" and (given.get("config") is not None or user is not None):
        caller.require("admin", "user")
    if caller.role == "user" and names_scope:
        if user is None:
            caller.require("admin", "probe")
        else:
            caller.require_own(user)


def _show(report: Report) -> ProbeAnswer:
    return ProbeAnswer(
        ok=report.ok,
        mode=report.mode,
        host=report.host,
        port=report.port,
        connection=report.connection,
        auth=report.auth,
        recipients=list(report.recipients),
        steps=[_show_step(step) for step in report.steps],
        failed_at=report.failed_at,
        cause=report.cause,
        advice=ShownAdvice(**ADVICE[report.cause]) if report.cause else None,
        fix=None if report.fix is None else dict(report.fix),
        warnings=[ShownWarning(**asdict(each)) for each in report.warnings],
    )


def _show_step(step: Step) -> ShownStep:
    said = {name: value for name, value in asdict(step).items() if value is not None}
    if "tls" in said:  # a certificate says what its maker likes
        said["tls"] |= {
            name: value and escape(value)
            for name, value in said["tls"].items()
            if name in ("subject", "issuer")
        } | {"san": [escape(name) for name in said["tls"]["san"]]}
    return ShownStep.model_validate(said)
