"""What a probe tells its caller: the steps without secrets, what failed, what is doubtful."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from app.accounts.caller import Caller
from app.errors import Notice
from app.outbox.probe_ground import Mode, ProbeGround, Wanted
from app.outbox.probe_talk import Failure, Talk
from app.wire.steps import Step
from app.wire.target import Target

_SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a probe. fix: a merge patch for the configuration."""

    mode: Mode
    host: str
    port: int
    connection: str
    auth: str
    recipients: tuple[str, ...]
    steps: tuple[Step, ...]
    failed_at: str | None
    cause: str | None
    fix: Mapping[str, Any] | None
    warnings: tuple[Notice, ...]

    @property
    def ok(self) -> bool:
        """Whether all that was asked for worked."""
        return self.cause is None


@dataclass(frozen=True, slots=True)
class Mended:
    """What trying on has shown. veiled: nothing of the port may be told to this caller."""

    fix: Mapping[str, Any] | None = None
    veiled: bool = False


def write_report(
    caller: Caller,
    wanted: Wanted,
    ground: ProbeGround,
    talk: Talk,
    mended: Mended,
    redirect: str | None,
    notices: tuple[Notice, ...],
) -> Report:
    """Return what this caller is told. redirect: where the test message went instead."""
    target, failure, steps = ground.target, talk.failure, talk.steps
    if mended.veiled:
        failure = Failure("connect", "connection_refused")
        refused = Step("connect", ok=False, ms=0, detail="no mail server answers at this port")
        steps = [*(step for step in steps if step.step == "resolve"), refused]
    hidden = _list_hidden(caller, wanted, ground)
    shown = [each.mailbox.address for each in ground.recipients]
    recipients = [redirect] if redirect else [each for each in shown if each not in hidden]
    veil = make_veil(caller, wanted, ground)
    return Report(
        mode=wanted.mode,
        host=target.host,
        port=target.port,
        connection=_name_connection(ground, steps),
        auth=_name_auth(ground, steps),
        recipients=tuple(recipients),
        steps=tuple(map(veil, steps)),
        failed_at=failure.step if failure else None,
        cause=failure.cause if failure else None,
        fix=mended.fix,
        warnings=notices,
    )


def make_veil(caller: Caller, wanted: Wanted, ground: ProbeGround) -> Callable[[Step], Step]:
    """Return what takes secrets and hidden addresses out of a step's texts."""
    secrets, hidden = _list_secrets(ground.target), _list_hidden(caller, wanted, ground)

    def cover(text: str | None) -> str | None:
        if text is not None:
            for words, label in ((secrets, "[secret]"), (hidden, "[hidden]")):
                for word in words:
                    text = re.sub(re.escape(word), label, text, flags=re.IGNORECASE)
        return text

    return lambda step: replace(step, reply=cover(step.reply), detail=cover(step.detail))


def warn(talk: Talk, ground: ProbeGround, at: datetime) -> list[Notice]:
    """Say what is doubtful although it works."""
    session, letter = talk.session, ground.letter
    if session is None:
        return []
    found = []
    tls = session.tls_facts
    if tls is None:
        detail = "The connection is not encrypted: mail can be read on its way."
        found.append(Notice("not_encrypted", detail))
    elif not ground.target.tls_verify:
        detail = "The certificate was not verified: this may be another server."
        found.append(Notice("certificate_not_verified", detail))
    elif tls.not_after is not None and tls.not_after - at < _SOON:
        detail = f"The server's certificate expires on {tls.not_after:%Y-%m-%d}."
        found.append(Notice("certificate_expires_soon", detail))
    if letter and letter.notify and not session.offers_dsn:
        detail = "The server offers no DSN: it will not report on delivery."
        found.append(Notice("dsn_not_offered", detail))
    return found


def _name_connection(ground: ProbeGround, steps: Sequence[Step]) -> str:
    """Return what ``auto`` has come to; ``auto`` where it never came to anything."""
    names = [step.step for step in steps]
    if "tls" in names:
        return "ssl_tls"
    if "starttls" in names:
        return "starttls"
    return "plaintext" if "auth" in names or "mail" in names else ground.target.connection


def _name_auth(ground: ProbeGround, steps: Sequence[Step]) -> str:
    """Return the mechanism that was used, or what is configured where none was."""
    target = ground.target
    if not target.wants_login:
        return "none"
    used = (step.detail for step in steps if step.step == "auth" and step.code is not None)
    return next((mechanism for mechanism in used if mechanism), target.auth)


def _list_secrets(target: Target) -> list[str]:
    """Return the forms of the password that must not be shown.

    The wire masks them in replies already; a server may know them from another session.
    """
    password = target.password.reveal() if target.password else ""
    if len(password) < 4:  # it would mask every other word
        return []
    forms = [password, f"\0{target.username or ''}\0{password}"]
    encoded = (base64.b64encode(form.encode("utf-8", "replace")).decode() for form in forms)
    return [password, *encoded]


def _list_hidden(caller: Caller, wanted: Wanted, ground: ProbeGround) -> list[str]:
    """Return whose addresses are not shown: the common BCC, unless the caller wrote it."""
    keeps = not caller.is_admin and wanted.names_scope
    return [each.mailbox.address for each in ground.recipients if keeps and each.hidden]
