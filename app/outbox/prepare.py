"""From an order to a finished message: resolve, check, render, protect, compose.

Everything that can be wrong is found before anything is stored, and all of it at once. The bytes
made here are the ones every try sends. Unprotected content stays in memory: it goes from the
request to the protecting processes and is dropped.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from app.configuration.fill import fill
from app.configuration.resolve import Resolved, open_attachment_password, resolve
from app.configuration.templates import FoundTemplate, find_template, make_inline
from app.db import new_id
from app.errors import Conflict, Fault, Notice, Refused, refuse
from app.mime.address import Mailbox
from app.mime.compose import Attachment, Composed, Outgoing, compose
from app.mime.protect import Protection, check_password, protect
from app.outbox.health import Health, read_health
from app.outbox.identity import make_message_id
from app.outbox.office import Office
from app.outbox.order import Order
from app.templates_engine.render import Rendered
from app.wire.dsn import choose_notify

_IN_THREAD_BYTES = 256 * 1024  # above it, encoding would hold the event loop for milliseconds


@dataclass(frozen=True, slots=True)
class Ground:
    """What the database said about one order, read in one go."""

    resolved: Resolved
    found: FoundTemplate
    health: Health


@dataclass(frozen=True, slots=True)
class Addressed:
    """One recipient and where it stands. hidden: from those whose role is ``user``."""

    mailbox: Mailbox
    kind: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A finished message, ready to be stored as it is."""

    id: str
    order: Order
    resolved: Resolved
    found: FoundTemplate
    recipients: tuple[Addressed, ...]
    rendered: Rendered
    protection: Protection
    composed: Composed
    message_id: str | None
    notify: tuple[str, ...]
    importance: str
    at: datetime
    send_at: datetime | None
    give_up_at: datetime
    warnings: tuple[Notice, ...]
    unprotected: tuple[str, ...]  # files that `protect: none` kept open although a password applies
    resent_of: str | None = None
    batch_id: str | None = None

    @property
    def is_draft(self) -> bool:
        """Whether it is handed to the user's mail program instead of a server."""
        return self.resolved.mode == "draft"


async def prepare(
    office: Office, order: Order, *, faults: Sequence[Fault] = (), batch_id: str | None = None
) -> Prepared:
    """Return the finished message; raise ``Refused`` with ``faults`` and all that is found here.

    faults: what the door found already; with any of them nothing is protected or composed.
    """
    at = office.clock()
    ground = await office.db.read(read_ground, order)
    found_faults = list(faults)
    recipients = _list_recipients(order, ground.resolved)
    found_faults += _check(office, order, ground, recipients, at)
    rendered, render_faults = await _render(office, order, ground)
    found_faults += render_faults
    password, password_faults, notices = _choose_password(office, order, ground.resolved)
    found_faults += password_faults
    refuse(found_faults)
    if rendered is None:
        raise AssertionError("a template that was not rendered left a fault")
    protection = await protect(
        order.attachments,
        password,
        language=ground.found.language,
        pool=office.pool,
        pointer=f"{order.pointer}/attachments",
    )
    return await _compose(
        office, order, ground, recipients, rendered, protection, notices, password, at, batch_id
    )


def read_ground(tx: Connection, order: Order) -> Ground:
    """Read configuration, template and what is known of the server. Raises ``Conflict``."""
    resolved = resolve(tx, order.user)
    if order.template is None:
        found = make_inline(
            order.subject or "", order.body or "", order.language or resolved.language
        )
    else:
        found = find_template(
            tx, resolved, order.user, order.template, order.language, level=order.level
        )
    return Ground(resolved, found, read_health(tx, resolved.account_id))


def _list_recipients(order: Order, resolved: Resolved) -> tuple[Addressed, ...]:
    """Put request and configuration together; who is named twice gets one copy."""
    seen: dict[str, Addressed] = {}
    for kind, mailboxes in (
        ("to", order.to),
        ("cc", (*order.cc, *resolved.cc)),
        ("bcc", order.bcc),
    ):
        for mailbox in mailboxes:
            seen.setdefault(mailbox.key, Addressed(mailbox, kind))
    common = resolved.origins.get("bcc") == "global"
    for mailbox in resolved.bcc:
        seen.setdefault(mailbox.key, Addressed(mailbox, "bcc", hidden=common))
    return tuple(seen.values())


def _check(
    office: Office,
    order: Order,
    ground: Ground,
    recipients: Sequence[Addressed],
    at: datetime,
) -> list[Fault]:
    here, resolved, faults = order.pointer, ground.resolved, []
    most = office.settings.max_recipients
    if len(recipients) > most:
        faults.append(
            Fault(
                f"{here}/to",
                "too_many_recipients",
                f"{len(recipients)} recipients, copies of the configuration included; at most {most}.",
            )
        )
    if resolved.mode == "draft":
        if order.template == "overdue-reminder" or order.reference.type == "reminder":
            faults.append(
                Fault(
                    f"{here}/template" if order.template else f"{here}/reference/type",
                    "smtp_required",
                    "Overdue reminders go out by SMTP only; set the configuration's mode to smtp.",
                )
            )
    elif (
        resolved.smtp is not None
        and resolved.smtp.password_mode == "ask"
        and not order.smtp_password
    ):
        faults.append(
            Fault(
                f"{here}/smtp_password",
                "smtp_password_required",
                "This configuration stores no password; give smtp_password.",
            )
        )
    starts_at = order.send_at or at
    if order.not_after is not None and order.not_after <= max(starts_at, at):
        faults.append(
            Fault(
                f"{here}/not_after", "not_after_passed", "not_after lies before it could be sent."
            )
        )
    if order.send_at is not None and order.send_at > at + timedelta(days=366):
        faults.append(
            Fault(f"{here}/send_at", "send_at_too_far", "send_at is at most a year ahead.")
        )
    return faults


async def _render(
    office: Office, order: Order, ground: Ground
) -> tuple[Rendered | None, list[Fault]]:
    try:
        return (
            await asyncio.to_thread(
                fill,
                ground.found,
                ground.resolved,
                macros=order.macros,
                documents=order.documents,
                strict=order.strict_macros,
                max_rendered_bytes=office.settings.max_rendered_bytes,
            ),
            [],
        )
    except Refused as error:
        faults = error.faults or (Fault("/body", error.code, error.detail),)
        return None, [Fault(order.pointer + f.pointer, f.code, f.detail) for f in faults]


def _choose_password(
    office: Office, order: Order, resolved: Resolved
) -> tuple[str | None, Sequence[Fault], Sequence[Notice]]:
    """Return the password that protects: the request's, else the configuration's, else None."""
    if order.attachment_password is not None:
        return check_password(order.attachment_password, f"{order.pointer}/attachment_password")
    if not order.attachments:
        return None, (), ()
    return open_attachment_password(office.vault, resolved) or None, (), ()


async def _compose(
    office: Office,
    order: Order,
    ground: Ground,
    recipients: tuple[Addressed, ...],
    rendered: Rendered,
    protection: Protection,
    notices: Sequence[Notice],
    password: str | None,
    at: datetime,
    batch_id: str | None,
) -> Prepared:
    resolved, found = ground.resolved, ground.found
    if resolved.sender is None:
        raise Conflict("The configuration names no sender address.", code="no_configuration")
    sender = Mailbox(resolved.sender.address, resolved.sender.name)
    draft = resolved.mode == "draft"
    new = new_id(at)
    message_id = None if draft else make_message_id(office.vault, new, sender.domain)
    send_at = order.send_at if order.send_at is not None and order.send_at > at else None
    read_receipt = resolved.read_receipt if order.read_receipt is None else order.read_receipt
    importance = order.importance or resolved.importance
    outgoing = Outgoing(
        sender=sender,
        to=_boxes(recipients, "to"),
        cc=_boxes(recipients, "cc"),
        bcc=_boxes(recipients, "bcc"),
        reply_to=resolved.reply_to if order.reply_to is None else order.reply_to,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        date=send_at or at,
        attachments=tuple(
            Attachment(part.filename, part.media_type, part.content, part.content_id)
            for part in protection.parts
        ),
        message_id=message_id,
        importance=importance,
        read_receipt_to=sender if read_receipt else None,
        unsent=draft,
        language=found.language,
    )
    size = sum(len(part.content) for part in protection.parts)
    if size > _IN_THREAD_BYTES:
        composed = await asyncio.to_thread(compose, outgoing, boundary_seed=secrets.token_hex(12))
    else:
        composed = compose(outgoing, boundary_seed=secrets.token_hex(12))
    notify = choose_notify(
        order.notifications if order.notifications is not None else resolved.notifications or ()
    )
    warnings = (
        *rendered.warnings,
        *notices,
        *protection.warnings,
        *_warn(order, ground, composed, notify),
    )
    return Prepared(
        id=new,
        order=order,
        resolved=resolved,
        found=found,
        recipients=recipients,
        rendered=rendered,
        protection=protection,
        composed=composed,
        message_id=message_id,
        notify=notify,
        importance=importance,
        at=at,
        send_at=send_at,
        give_up_at=(send_at or at) + timedelta(hours=resolved.give_up_after_h),
        warnings=warnings,
        unprotected=tuple(
            part.filename for part in order.attachments if password and part.protect == "none"
        ),
        batch_id=batch_id,
    )


def _boxes(recipients: Sequence[Addressed], kind: str) -> tuple[Mailbox, ...]:
    return tuple(each.mailbox for each in recipients if each.kind == kind)


def _warn(order: Order, ground: Ground, composed: Composed, notify: Sequence[str]) -> list[Notice]:
    """Say what the server, as far as it is known, cannot do for this message."""
    found: list[Notice] = []
    if order.smtp_password is not None and (
        ground.resolved.smtp is None or ground.resolved.smtp.password_mode != "ask"
    ):
        found.append(
            Notice(
                "smtp_password_ignored", "The configuration has its password; yours is not used."
            )
        )
    known: dict[str, Any] | None = dict(ground.health.capabilities or {}) or None
    if known is None or ground.resolved.mode == "draft":
        return found
    if notify and not known.get("dsn"):
        found.append(
            Notice("dsn_not_offered", "The server offers no DSN: it will not report on delivery.")
        )
    size = known.get("size")
    if size and len(composed.raw) > size:
        found.append(
            Notice(
                "size_over_server_limit",
                f"The message has {len(composed.raw)} bytes, the server takes {size}.",
            )
        )
    if composed.needs_smtputf8 and not known.get("smtputf8"):
        found.append(Notice("smtputf8_not_offered", "The server takes no address outside ASCII."))
    return found
