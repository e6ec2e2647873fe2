"""What a probe stands on: read before it runs, in one transaction, and what it leaves behind.

``read_ground`` resolves what is to be tried (``configuration.unsaved``) and finishes the message;
``admit`` counts the probe; ``remember`` keeps what the server can do, so that later sends warn, and
closes the circuit breaker after a success of what is stored. The sockets are in between, in no
transaction.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.configuration.load import load_account
from app.configuration.model import SmtpSettings, name_object, name_scope
from app.configuration.resolve import Resolved
from app.configuration.unsaved import Trial, read_trial
from app.db import new_id
from app.errors import Conflict, Fault, Notice, Refused, refuse
from app.mime.address import Mailbox
from app.mime.protect import Protection
from app.outbox.allowance import take
from app.outbox.check import Addressed, Ground, check, read_template
from app.outbox.health import Health, ensure_state, note_success, read_health
from app.outbox.judge import make_target
from app.outbox.office import Office
from app.outbox.order import Order
from app.outbox.prepare import Prepared, finish
from app.outbox.tables import account_state
from app.wire.address_policy import AddressPolicy
from app.wire.capabilities import Capabilities
from app.wire.target import Secret, Target

Mode = Literal["connect", "login", "envelope", "send"]

PROBES_PER_SERVER = 30  # a minute, per host and login (contract §5): a password is not guessed so


@dataclass(frozen=True, slots=True)
class Wanted:
    """What shall be tried.

    names_scope: the scope of ``user`` (None: global), or ``scope``, is meant; else ``config`` stands
    for itself.
    config: unsaved values, as ``PUT /config/{scope}`` takes them. to: instead of the sender's own
    address and the copies. smtp_password: for ``password_mode: ask``. timeout_ms: for the whole.
    """

    mode: Mode
    names_scope: bool = False
    user: str | None = None
    scope: str | None = None
    config: Mapping[str, Any] | None = field(default=None, repr=False)
    to: tuple[Mailbox, ...] = ()
    smtp_password: str | None = field(default=None, repr=False)
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ProbeGround:
    """Everything a probe needs. letter: None where it ends before MAIL.

    account_id: the stored account whose server it may be. uses_token: by its consent's token.
    """

    target: Target
    account_id: str | None
    resolved: Resolved
    letter: Prepared | None
    notices: tuple[Notice, ...]
    uses_token: bool = False

    @property
    def recipients(self) -> tuple[Addressed, ...]:
        """Whom the test message is for."""
        return self.letter.recipients if self.letter else ()


def read_ground(
    tx: Connection,
    office: Office,
    policy: AddressPolicy,
    wanted: Wanted,
    faults: Sequence[Fault],
    at: datetime,
) -> ProbeGround:
    """Return what the probe needs; raise ``Refused`` with ``faults`` and all that is found here.

    Raises ``Missing`` for a scope that has nothing stored, ``Conflict`` where it names no server.
    """
    trial = _read_trial(tx, office, policy, wanted, faults)
    resolved = trial.resolved
    settings = resolved.smtp
    if settings is None or (resolved.sender is None and wanted.mode in ("envelope", "send")):
        detail = "This names no mail server, or no sender; there is nothing to try."
        if wanted.config is not None:
            refuse([Fault("/config/smtp/host", "required", detail)])
        raise Conflict(detail, code="no_configuration")
    health = read_health(tx, trial.account_id) if trial.account_id else Health()
    password = trial.password
    if settings.password_mode == "ask":
        password = wanted.smtp_password
        if settings.wants_login and wanted.mode != "connect" and password is None:
            detail = "This configuration stores no password; give smtp_password."
            refuse([Fault("/smtp_password", "smtp_password_required", detail)])
    target = make_target(
        settings,
        Secret(password) if password and settings.wants_login else None,
        starttls_seen=health.starttls_seen == settings.server,
    )
    letter = None
    if wanted.mode in ("envelope", "send"):
        letter = _write_letter(tx, office, wanted, resolved, at)
    uses_token = trial.uses_token and trial.account_id is not None and wanted.mode != "connect"
    notices = () if uses_token else tuple(_warn_of_password(wanted, settings, target))
    return ProbeGround(target, trial.account_id, resolved, letter, notices, uses_token)


def _read_trial(
    tx: Connection,
    office: Office,
    policy: AddressPolicy,
    wanted: Wanted,
    faults: Sequence[Fault],
) -> Trial:
    if wanted.config is None:
        refuse(faults)
    try:
        trial = read_trial(
            tx,
            office.vault,
            policy,
            stored=wanted.names_scope,
            user=wanted.user,
            scope=wanted.scope,
            raw=wanted.config,
        )
    except Refused as error:
        refuse([*faults, *error.faults])
        raise
    refuse(faults)
    return trial


def _write_letter(
    tx: Connection, office: Office, wanted: Wanted, resolved: Resolved, at: datetime
) -> Prepared:
    """Compose the test message as ``/send`` would, also where the mode is ``draft``."""
    sender = resolved.sender
    assert sender is not None
    resolved = replace(resolved, mode="smtp")
    if wanted.to:
        resolved = replace(resolved, cc=(), bcc=())
    own = Mailbox(sender.address, sender.name)
    order = Order(
        to=wanted.to or (own,),
        user=wanted.user,
        template="test",
        smtp_password=wanted.smtp_password,
    )
    # What was known of the server before does not count: the probe asks it now.
    ground = Ground(resolved, read_template(tx, resolved, *order.text), Health())
    checked, faults = check(office, order, ground, at)
    refuse(faults)
    return finish(office, checked, Protection((), ()), new_id(at))


def _warn_of_password(wanted: Wanted, settings: SmtpSettings, target: Target) -> list[Notice]:
    if wanted.mode == "connect" or not settings.wants_login or target.password is not None:
        return []
    detail = (
        "There is no password to log in with: none is stored, or it was entered for another server "
        "or a safer connection and is not used for this one. Enter it again."
    )
    return [Notice("password_missing", detail)]


def admit(
    tx: Connection,
    office: Office,
    caller: Caller,
    wanted: Wanted,
    ground: ProbeGround,
    at: datetime,
) -> None:
    """Count one probe of a caller and of a server; raise ``Throttled`` for one too many.

    A test message that goes elsewhere than to the configuration's own addresses is audited.
    """
    settings, target = office.settings, ground.target
    most = settings.probe_rate_admin if caller.is_admin else settings.probe_rate
    take(tx, f"probe:{caller.owner_id}", most=most, at=at)
    login = f"{target.tls_name.casefold()}\n{target.username or ''}"
    name = hashlib.sha256(login.encode("utf-8", "replace")).hexdigest()
    take(tx, f"probed:{name}", most=PROBES_PER_SERVER, at=at)
    if wanted.to and wanted.mode == "send":
        scope = wanted.scope or name_scope(wanted.user)
        place = name_object(scope) if wanted.names_scope else "test-smtp"
        sent = {"to": [each.address for each in wanted.to], "host": target.host}
        audit.record(tx, caller, "probe.send", place, None, sent, at)


def remember(
    tx: Connection,
    ground: ProbeGround,
    capabilities: Capabilities,
    *,
    starttls_offered: bool,
    dsn_refused: bool,
    proven: bool,
    at: datetime,
) -> None:
    """Keep what a server can do, provided that it is still the stored account's.

    proven: what is stored works, login included: the circuit breaker is closed.
    """
    stored = load_account(tx, ground.account_id) if ground.account_id else None
    if stored is None or stored.settings is None:
        return
    tried = replace(ground.target, password=None, starttls_seen=False)
    if make_target(stored.settings, None, starttls_seen=False) != tried:
        return
    server, known = stored.settings.server, read_health(tx, stored.id)
    found = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(capabilities).items()
    }
    # Under TLS from the first byte STARTTLS is not offered; that takes nothing back.
    starttls_seen = server if starttls_offered else known.starttls_seen
    refused = server if dsn_refused else known.dsn_refused
    if proven:
        note_success(
            tx, stored.id, at=at, capabilities=found, starttls_seen=starttls_seen,
            dsn_refused=refused, pipelining_broken=known.pipelining_broken,
        )  # fmt: skip
        return
    ensure_state(tx, stored.id)
    tx.execute(
        update(account_state)
        .where(account_state.c.account_id == stored.id)
        .values(capabilities=found, starttls_seen=starttls_seen, dsn_refused=refused)
    )
