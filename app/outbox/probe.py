"""Try a mail server step by step, and say which step fails, why, and what mends it (contract §5).

The whole ends within its time plus a second, whatever the server does; no transaction is open
meanwhile, and nothing of the delivery is held: sessions and threads for names are a probe's own.
Failing is an answer; `host_not_allowed` is a refusal, because then nothing was tried.

To callers other than admins a port that is closed, filtered or no mail server's looks the same:
cause `connection_refused` at `connect`, without the server's words or times. How long the answer
takes still differs; the ports they reach and the rate limits bound what can be learned from it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import structlog

from app.accounts.caller import Caller
from app.errors import Fault, Notice, Refused
from app.mime.address import parse_mailbox
from app.outbox.access import find_access_token
from app.outbox.office import Office
from app.outbox.probe_fix import SILENT, find_change, speaks_smtp, suggest
from app.outbox.probe_ground import ProbeGround, Wanted, admit, read_ground, remember
from app.outbox.probe_report import Mended, Report, make_veil, warn, write_report
from app.outbox.probe_talk import Failure, Talk
from app.wire.address_policy import AddressPolicy
from app.wire.envelope import Envelope, Recipient
from app.wire.steps import Observe, SessionFailed

LEAST_TIMEOUT_MS, MOST_TIMEOUT_MS, USUAL_TIMEOUT_MS = 1_000, 120_000, 30_000

_FIX_SHARE, _FIX_MOST_S = 0.2, 4.0  # of the probe's time: kept for trying out what may mend it
_NO_SMTP_CODES = (500, 502, 530)  # what an FTP server says to EHLO and HELO
_log = structlog.get_logger()

# A pool of its own: names that hang in probes must not keep the delivery from asking for others.
_resolvers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe-resolve")


async def probe(
    office: Office,
    caller: Caller,
    wanted: Wanted,
    faults: Sequence[Fault] = (),
    observe: Observe | None = None,
) -> Report:
    """Run a probe. faults: what the door found already. observe: told of each step as it ends, and
    only for an admin: what others may know of a step is known at the end.

    Raises ``Refused`` (with every fault; ``host_not_allowed``), ``Missing``, ``Conflict``,
    ``Throttled``.
    """
    at, redirect = office.clock(), office.settings.redirect_to
    policy = replace(office.policy(any_port=caller.is_admin), resolvers=_resolvers)
    ground = await office.db.read(read_ground, office, policy, wanted, faults, at)
    notices = list(ground.notices)
    if wanted.mode == "send" and office.settings.delivery == "off":
        wanted = replace(wanted, mode="envelope")
        notices.append(Notice("delivery_off", "Delivery is off: only the envelope was tried."))
    elif wanted.mode == "send" and redirect:
        notices.append(
            Notice("redirected", f"Delivery is redirected: all mail goes to {redirect}.")
        )
    else:
        redirect = None
    await office.db.write(admit, office, caller, wanted, ground, at)
    usual_ms = min(max(ground.target.timeout_ms, USUAL_TIMEOUT_MS), MOST_TIMEOUT_MS)
    ends_at = asyncio.get_running_loop().time() + (wanted.timeout_ms or usual_ms) / 1000
    ground, failed = await _find_token(office, wanted, ground, ends_at)
    watch = observe if caller.is_admin else None
    talk = Talk(ground.target, policy, office.ehlo_name, watch, make_veil(caller, wanted, ground))
    if failed is not None:
        talk.fail(failed)
        mended = Mended()
    else:
        mended = await _converse(office, caller, policy, wanted, ground, talk, redirect, ends_at)
    _refuse_place(talk, policy, wanted)
    if talk.session is not None:
        await _remember(office, wanted, ground, talk)
    notices += warn(talk, ground, at)
    report = write_report(caller, wanted, ground, talk, mended, redirect, tuple(notices))
    _log.info(
        "probe", mode=report.mode, host=report.host, port=report.port, owner=caller.owner_id,
        failed_at=report.failed_at, cause=report.cause,
    )  # fmt: skip
    return report


async def _find_token(
    office: Office, wanted: Wanted, ground: ProbeGround, ends_at: float
) -> tuple[ProbeGround, SessionFailed | None]:
    """Return the ground with the access token to log in with, or why there is none."""
    settings, account_id = ground.resolved.smtp, ground.account_id
    if not ground.uses_token or settings is None or account_id is None:
        return ground, None
    try:
        async with asyncio.timeout_at(ends_at):
            unsaved = wanted.config is not None
            token = await find_access_token(office, account_id, settings, unsaved=unsaved)
    except SessionFailed as failed:
        return ground, failed
    except TimeoutError:
        return ground, SessionFailed("token_unavailable", "token", None, "the time is up")
    return replace(ground, target=replace(ground.target, password=token)), None


async def _converse(
    office: Office,
    caller: Caller,
    policy: AddressPolicy,
    wanted: Wanted,
    ground: ProbeGround,
    talk: Talk,
    redirect: str | None,
    ends_at: float,
) -> Mended:
    """Talk, and where that failed try what mends it, all within the probe's time."""
    clock = asyncio.get_running_loop().time
    total_s = max(0.1, ends_at - clock())
    letter = ground.letter
    senders = _list_senders(ground) if letter else {}
    await talk.run(
        login=wanted.mode != "connect",
        envelope=_make_envelope(ground, redirect) if letter else None,
        body=letter.composed.raw if letter and wanted.mode == "send" else None,
        other_senders=tuple(senders),
        timeout_s=total_s - min(total_s * _FIX_SHARE, _FIX_MOST_S),
    )
    failure = talk.failure
    if failure is None:
        return Mended()
    if talk.accepted_sender is not None:
        return Mended(senders[talk.accepted_sender])
    left_s = min(ends_at - clock(), _FIX_MOST_S)
    target = ground.target
    change = await find_change(
        target, suggest(target, failure), policy, office.ehlo_name, timeout_s=left_s
    )
    # An inherited server is mended where it is stored, not here.
    inherited = ground.resolved.account_id != ground.resolved.scope_account_id
    fix = None if change is None or inherited else {"smtp": dict(change)}
    if caller.is_admin or not _is_unproven(talk, failure):
        return Mended(fix)
    answers = change is not None and "port" not in change
    if failure.cause.startswith("certificate_"):
        answers = await speaks_smtp(target, policy, office.ehlo_name, timeout_s=left_s)
    return Mended(fix, veiled=not answers)


def _make_envelope(ground: ProbeGround, redirect: str | None) -> Envelope:
    letter, sender = ground.letter, ground.resolved.sender
    assert letter is not None
    assert sender is not None
    addresses = [redirect] if redirect else [each.mailbox.address for each in letter.recipients]
    return Envelope(
        sender=sender.return_path or sender.address,
        recipients=tuple(Recipient(address, letter.notify) for address in addresses),
        ret=ground.resolved.return_content,
        smtputf8=letter.composed.needs_smtputf8,
    )


def _list_senders(ground: ProbeGround) -> dict[str, Mapping[str, Any]]:
    """Return other envelope senders that may be taken, each with the patch that makes it so."""
    found: dict[str, Mapping[str, Any]] = {}
    sender = ground.resolved.sender
    login, _ = parse_mailbox(ground.target.username, "")
    if sender and sender.return_path and sender.return_path != sender.address:
        found[sender.address] = {"sender": {"return_path": None}}
    if sender and login and login.address not in (sender.address, sender.return_path):
        drops = {"return_path": None} if sender.return_path else {}
        found[login.address] = {"sender": {"address": login.address, **drops}}
    return found


def _is_unproven(talk: Talk, failure: Failure) -> bool:
    """Whether nothing shows yet that a mail server answers at this port."""
    if any(step.step == "ehlo" and step.ok for step in talk.steps):
        return False
    return failure.step in ("connect", "tls", "greeting", "ehlo") and (
        failure.cause in SILENT
        or failure.cause.startswith("certificate_")
        or (failure.step == "ehlo" and failure.code in _NO_SMTP_CODES)
    )


def _refuse_place(talk: Talk, policy: AddressPolicy, wanted: Wanted) -> None:
    """Raise ``Refused`` where the address policy forbids the server."""
    failure = talk.failure
    if failure is None or failure.cause != "host_not_allowed":
        return
    member = "port" if policy.refuse_port(talk.target.port) else "host"
    pointer = "/scope" if wanted.config is None else f"/config/smtp/{member}"
    detail = f"Not allowed: {failure.detail}."
    raise Refused(detail, faults=[Fault(pointer, "host_not_allowed", detail)])


async def _remember(office: Office, wanted: Wanted, ground: ProbeGround, talk: Talk) -> None:
    session = talk.session
    assert session is not None
    await office.db.write(
        remember,
        ground,
        session.capabilities,
        starttls_offered=session.starttls_offered,
        dsn_refused=session.dsn_refused,
        proven=wanted.config is None and wanted.mode != "connect" and talk.failure is None,
        at=office.clock(),
    )
    office.db.ring()  # mail that waited for the breaker goes now
