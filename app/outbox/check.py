"""Checking an order against what is configured: everything that can be wrong, all at once.

``Checked`` is an order with its recipients put together, its text rendered and its password chosen;
what it still needs are its attachments protected and the message composed (``prepare``).
Faults point into the message: ``/to``, ``/macros/numer``, ``/attachments/0/content``.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from app.configuration.fill import fill
from app.configuration.resolve import Resolved, open_attachment_password, resolve
from app.configuration.templates import FoundTemplate, find_template, make_inline
from app.errors import AwizoError, Conflict, Denied, Fault, Missing, Notice, Refused, TooLarge
from app.mime.address import Mailbox
from app.mime.protect import check_password
from app.outbox.health import Health, read_health
from app.outbox.office import Office
from app.outbox.order import Order
from app.outbox.suppressed import Asked, name_scopes
from app.templates_engine.render import Rendered

_MOST_AHEAD = timedelta(days=366)
_OVERSIZE = "attachments_too_large"
REMINDER = "overdue-reminder"  # its template; ``reminder`` is the reference's type


Way = tuple[str | None, str | None, Mailbox | None]
Text = tuple[str | None, str | None, str | None, int]


@dataclass(frozen=True, slots=True)
class Ground:
    """What the database says about one order. stored: the template it names, if there is one."""

    resolved: Resolved
    stored: FoundTemplate | None
    health: Health


@dataclass(frozen=True, slots=True)
class Addressed:
    """One recipient and where it stands. hidden: from those whose role is ``user``.

    suppressed: why nothing may go to it, a reason of ``suppression``.
    """

    mailbox: Mailbox
    kind: str
    hidden: bool = False
    suppressed: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """An order and all it needs to become a message. found, rendered: None only beside a fault."""

    order: Order
    ground: Ground
    found: FoundTemplate | None
    recipients: tuple[Addressed, ...]
    rendered: Rendered | None
    password: str | None = field(repr=False)
    notices: tuple[Notice, ...]
    at: datetime

    @property
    def language(self) -> str:
        """The language the message is written in."""
        return self.found.language if self.found else self.ground.resolved.language


def ask_ground(office: Office, order: Order) -> "asyncio.Future[Ground]":
    """Read what an order stands on; orders that stand on the same share it."""
    return office.db.ask(read_ground, order.way, order.text)


async def await_ground(asked: "asyncio.Future[Ground]", faults: Sequence[Fault]) -> Ground:
    """Return what ``ask_ground`` asks for; raise what keeps it, with all the door found too."""
    try:
        return await asked
    except (Conflict, Denied, Refused) as error:
        raise add_faults(error, faults) from None


def add_faults(error: AwizoError, faults: Sequence[Fault]) -> AwizoError:
    """Return ``error``, or what the caller has to mend beside it."""
    if not faults or isinstance(error, Denied):
        return error
    found = error.faults if isinstance(error, Refused) else (Fault("", error.code, error.detail),)
    return Refused(error.detail, faults=[*faults, *found])


def make_refusal(faults: Sequence[Fault]) -> AwizoError:
    """Return one error of all ``faults``: ``TooLarge`` where size is all that is wrong."""
    kind = TooLarge if {each.code for each in faults} == {_OVERSIZE} else Refused
    detail = faults[0].detail
    if len(faults) > 1:
        detail = f"{len(faults)} members of the request are wrong."
    return kind(detail, faults=faults)


def read_ground(tx: Connection, way: Way, text: Text) -> Ground:
    """Read configuration, template and what is known of the server (``Order.way``, ``Order.text``).

    Raises what ``resolve`` raises.
    """
    resolved = resolve(tx, *way)
    stored = read_template(tx, resolved, *text)
    return Ground(resolved, stored, read_health(tx, resolved.account_id))


def ask_suppressed(checked: Checked) -> Asked:
    """Return the question who of the recipients may not be written to."""
    resolved = checked.ground.resolved
    keys = frozenset(each.mailbox.key for each in checked.recipients)
    return Asked(name_scopes(resolved.scope, checked.order.user), keys, checked.at)


def set_suppressed(checked: Checked, reasons: Mapping[str, str]) -> Checked:
    """Return the order with those marked whom nothing goes to; ``reasons`` by ``Mailbox.key``."""
    if not reasons:
        return checked
    recipients = tuple(
        replace(each, suppressed=reasons.get(each.mailbox.key)) for each in checked.recipients
    )
    what = "a draft names it" if checked.ground.resolved.mode == "draft" else "nothing goes to it"
    notices = [
        Notice(
            "recipient_suppressed",
            f"{each.mailbox.address} is not to be written to ({each.suppressed}): {what}.",
            f"/{each.kind}",
        )
        for each in recipients
        if each.suppressed is not None and not each.hidden
    ]
    return replace(checked, recipients=recipients, notices=(*checked.notices, *notices))


def read_template(
    tx: Connection,
    resolved: Resolved,
    user: str | None,
    template: str | None,
    language: str | None,
    level: int,
) -> FoundTemplate | None:
    """Return the template of that name; None where there is none, or none is named."""
    if template is None:
        return None
    try:
        return find_template(tx, resolved, user, template, language, level=level)
    except Missing:
        return None


def check(
    office: Office, order: Order, ground: Ground, at: datetime
) -> tuple[Checked, list[Fault]]:
    """Return the order with what can be said of it, and every fault."""
    resolved = ground.resolved
    recipients = _list_recipients(order, resolved)
    faults = _check_recipients(office, order, recipients)
    faults += _check_size(office, order, resolved)
    faults += _check_way_out(order, resolved)
    faults += _check_times(order, resolved, at)
    text = _choose_text(order, ground)
    rendered = _render(office, order, text, resolved, faults)
    password, notices = _choose_password(office, order, resolved, faults)
    if not password:
        faults += _check_zip_wishes(order)
    checked = Checked(order, ground, text, recipients, rendered, password, tuple(notices), at)
    return checked, faults


def _list_recipients(order: Order, resolved: Resolved) -> tuple[Addressed, ...]:
    """Put request and configuration together; who is named twice gets one copy.

    An automatic reply goes to whom it answers and nobody else.
    """
    if order.auto_submitted == "auto-replied":
        return tuple(Addressed(each, "to") for each in order.to)
    seen: dict[str, Addressed] = {}
    for kind, mailboxes in (
        ("to", order.to),
        ("cc", (*order.cc, *resolved.cc)),
        ("bcc", order.bcc),
    ):
        for mailbox in mailboxes:
            seen.setdefault(mailbox.key, Addressed(mailbox, kind))
    common = resolved.origins.get("bcc") == "global"
    if resolved.sent_copy in ("cc", "bcc") and resolved.sender is not None:
        own = Mailbox(resolved.sender.address, resolved.sender.name)
        seen.setdefault(own.key, Addressed(own, resolved.sent_copy))
    for mailbox in resolved.bcc:
        seen.setdefault(mailbox.key, Addressed(mailbox, "bcc", hidden=common))
    return tuple(seen.values())


def _check_recipients(office: Office, order: Order, recipients: Sequence[Addressed]) -> list[Fault]:
    most = office.settings.max_recipients
    if len(recipients) <= most:
        return []
    detail = f"{len(recipients)} recipients, copies of the configuration included; at most {most}."
    return [Fault("/to", "too_many_recipients", detail)]


def _check_size(office: Office, order: Order, resolved: Resolved) -> list[Fault]:
    most = office.settings.max_attachment_bytes
    if resolved.max_attachment_bytes is not None:  # what the domain's server takes
        most = min(most, resolved.max_attachment_bytes)
    size_bytes = sum(len(each.content) for each in order.attachments)
    if size_bytes <= most:
        return []
    detail = f"The attachments have {size_bytes} bytes, at most {most} are taken."
    return [Fault("/attachments", _OVERSIZE, detail)]


def _check_way_out(order: Order, resolved: Resolved) -> list[Fault]:
    """Say what the sending mode forbids or asks for."""
    if resolved.mode == "draft":
        detail = "Overdue reminders go out by SMTP only; set the configuration's mode to smtp."
        if order.template == REMINDER:
            return [Fault("/template", "smtp_required", detail)]
        if order.reference.is_reminder:
            return [Fault("/reference/type", "smtp_required", detail)]
    elif resolved.smtp and resolved.smtp.password_mode == "ask" and not order.smtp_password:
        detail = "This configuration stores no password; give smtp_password."
        return [Fault("/smtp_password", "smtp_password_required", detail)]
    return []


def _check_times(order: Order, resolved: Resolved, at: datetime) -> list[Fault]:
    faults = []
    if order.not_after is not None and order.not_after <= max(order.send_at or at, at):
        detail = "not_after lies before it could be sent."
        faults.append(Fault("/not_after", "not_after_passed", detail))
    if order.send_at is not None and order.send_at > at + _MOST_AHEAD:
        faults.append(Fault("/send_at", "send_at_too_far", "send_at is at most a year ahead."))
    return faults


def _choose_text(order: Order, ground: Ground) -> FoundTemplate | None:
    """Return the template, or the order's own subject and body as one."""
    if order.template is not None:
        return ground.stored
    language = order.language or ground.resolved.language
    return make_inline(order.subject or "", order.body or "", language)


def _render(
    office: Office,
    order: Order,
    found: FoundTemplate | None,
    resolved: Resolved,
    faults: list[Fault],
) -> Rendered | None:
    if found is None:
        detail = f"There is no template named {order.template!r}; GET /templates lists them."
        faults.append(Fault("/template", "template_not_found", detail))
        return None
    try:
        return fill(
            found,
            resolved,
            macros=order.macros,
            documents=order.documents,
            strict=order.strict_macros,
            max_rendered_bytes=office.settings.max_rendered_bytes,
            closing=order.closing,
        )
    except Refused as error:
        faults += error.faults
        return None


def _check_zip_wishes(order: Order) -> list[Fault]:
    """Nothing that was to be locked goes out open because nobody gave a password."""
    detail = "protect: zip needs an attachment_password, here or in the configuration."
    return [
        Fault(f"/attachments/{index}/protect", "attachment_password_required", detail)
        for index, part in enumerate(order.attachments)
        if part.protect == "zip"
    ]


def _choose_password(
    office: Office, order: Order, resolved: Resolved, faults: list[Fault]
) -> tuple[str | None, Sequence[Notice]]:
    """Return the password that protects: the request's, else the configuration's, else None."""
    if order.attachment_password is not None:
        password, wrong, notices = check_password(order.attachment_password, "/attachment_password")
        faults += wrong
        return password, notices
    if not order.attachments:
        return None, ()
    return open_attachment_password(office.vault, resolved) or None, ()
