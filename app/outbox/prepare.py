"""From an order to a finished message: check, render, protect, compose.

Everything that can be wrong is found before anything is stored, and all of it at once. The bytes
made here are the ones every try sends. Unprotected content stays in memory: it goes from the
request to the protecting processes and is dropped.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.chance import draw_bytes
from app.configuration.cautions import NO_ROOM
from app.configuration.resolve import Resolved
from app.configuration.templates import FoundTemplate
from app.db import new_id
from app.errors import Fault, Notice, Refused
from app.mime.address import Mailbox
from app.mime.compose import Attachment, Composed, Outgoing, compose
from app.mime.protect import Plain, Protected, Protection, protect
from app.outbox.check import (
    Addressed,
    Checked,
    Ground,
    ask_suppressed,
    check,
    make_refusal,
    set_suppressed,
)
from app.outbox.document_tag import choose_reply_to, find_base, has_room
from app.outbox.identity import make_message_id
from app.outbox.office import Office
from app.outbox.order import Order
from app.outbox.suppressed import find_suppressed
from app.outbox.unsubscribe import Parting, add_parting
from app.templates_engine.render import Rendered
from app.wire.dsn import choose_notify

# Above these, encoding or rendering would hold the event loop for milliseconds.
_IN_THREAD_BYTES = 256 * 1024
_IN_THREAD_DOCUMENTS = 50


@dataclass(frozen=True, slots=True)
class Enclosed:
    """One attachment as it goes out, without its content."""

    filename: str
    media_type: str
    protection: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A finished message, ready to be stored as it is.

    unprotected: files that ``protect: none`` kept open although a password applies.
    """

    id: str
    order: Order
    resolved: Resolved
    found: FoundTemplate
    recipients: tuple[Addressed, ...]
    rendered: Rendered
    enclosed: tuple[Enclosed, ...]
    composed: Composed
    message_id: str | None
    notify: tuple[str, ...]
    at: datetime
    send_at: datetime | None
    give_up_at: datetime
    warnings: tuple[Notice, ...]
    unprotected: tuple[str, ...]
    batch_id: str | None = None

    @property
    def is_draft(self) -> bool:
        """Whether it is handed to the user's mail program instead of a server."""
        return self.resolved.mode == "draft"


async def prepare(
    office: Office, order: Order, ground: Ground, *, faults: Sequence[Fault] = ()
) -> Prepared:
    """Return the finished message; raise ``Refused`` with ``faults`` and all that is found here,
    ``TooLarge`` where that is the size of the attachments alone.

    faults: what the door found already.
    """
    there_is_much = len(order.documents) > _IN_THREAD_DOCUMENTS
    checking = (office, order, ground, office.clock())
    checked, more = await asyncio.to_thread(check, *checking) if there_is_much else check(*checking)
    found = [*faults, *more]
    suppressed = office.db.ask_merged(find_suppressed, ask_suppressed(checked))
    protection = None
    if may_protect(found):
        try:
            protection = await protect(
                order.attachments,
                checked.password,
                language=checked.language,
                pool=office.pool,
            )
        except Refused as error:
            found += error.faults
    if found:
        raise make_refusal(found)
    assert protection is not None
    checked = set_suppressed(checked, await suppressed)
    if sum(len(part.content) for part in protection.parts) > _IN_THREAD_BYTES:
        return await asyncio.to_thread(finish, office, checked, protection, new_id(checked.at))
    return finish(office, checked, protection, new_id(checked.at))


def may_protect(faults: Sequence[Fault]) -> bool:
    """Whether the attachments can be tried: they were read whole, and the password is right."""
    return not any(each.pointer.startswith("/attachment") for each in faults)


def finish(
    office: Office,
    checked: Checked,
    protection: Protection,
    new: str,
    *,
    encode: Callable[[Protected], bytes | None] = lambda part: None,
    batch_id: str | None = None,
) -> Prepared:
    """Compose the message ``new`` of an order without faults.

    encode: the base64 of an attachment where it is known already.
    """
    order, resolved, rendered = checked.order, checked.ground.resolved, checked.rendered
    sender, found, draft = resolved.sender, checked.found, resolved.mode == "draft"
    assert sender is not None
    assert found is not None
    assert rendered is not None
    later = order.send_at is not None and order.send_at > checked.at and not draft
    send_at = order.send_at if later else None
    starts_at = send_at or checked.at
    message_id = (
        None if draft else make_message_id(office.vault, new, Mailbox(sender.address).domain)
    )
    attachments = tuple(
        Attachment(part.filename, part.media_type, part.content, part.content_id, encode(part))
        for part in protection.parts
    )
    parting = add_parting(office, checked, new)
    reply_to = choose_reply_to(office.vault, resolved, order, new)
    outgoing = _write_down(checked, parting, attachments, message_id, starts_at, reply_to)
    composed = compose(outgoing, boundary_seed=draw_bytes(12).hex())
    given = order.notifications if order.notifications is not None else resolved.notifications
    notify = choose_notify(given or ())
    left_open = [part for part in order.attachments if checked.password and _is_left_open(part)]
    return Prepared(
        id=new,
        order=order,
        resolved=resolved,
        found=found,
        recipients=checked.recipients,
        rendered=parting.rendered,
        enclosed=tuple(
            Enclosed(part.filename, part.media_type, part.protection, len(part.content))
            for part in protection.parts
        ),
        composed=composed,
        message_id=message_id,
        notify=notify,
        at=checked.at,
        send_at=send_at,
        give_up_at=starts_at + timedelta(hours=resolved.give_up_after_h),
        warnings=(
            *rendered.warnings,
            *checked.notices,
            *parting.notices,
            *protection.warnings,
            *(_warn_inline(part) for part in left_open if part.protect != "none"),
            *_warn(checked, composed, notify),
        ),
        unprotected=tuple(part.filename for part in left_open),
        batch_id=batch_id,
    )


def _is_left_open(part: Plain) -> bool:
    """Whether a file that a password would lock goes out open; pictures in the text always do."""
    inline = part.content_id is not None and not part.media_type.startswith("image/")
    return part.protect == "none" or inline


def _warn_inline(part: Plain) -> Notice:
    detail = f"{part.filename} is inline (content_id), so the password does not protect it."
    return Notice("inline_not_protected", detail)


def _write_down(
    checked: Checked,
    parting: Parting,
    attachments: tuple[Attachment, ...],
    message_id: str | None,
    date: datetime,
    reply_to: tuple[Mailbox, ...],
) -> Outgoing:
    order, resolved, rendered = checked.order, checked.ground.resolved, parting.rendered
    assert resolved.sender is not None
    sender = Mailbox(resolved.sender.address, resolved.sender.name)
    read_receipt = resolved.read_receipt if order.read_receipt is None else order.read_receipt

    def list_boxes(kind: str) -> tuple[Mailbox, ...]:
        return tuple(each.mailbox for each in checked.recipients if each.kind == kind)

    return Outgoing(
        sender=sender,
        to=list_boxes("to"),
        cc=list_boxes("cc"),
        bcc=list_boxes("bcc"),
        reply_to=reply_to,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        date=date,
        attachments=attachments,
        message_id=message_id,
        importance=order.importance or resolved.importance,
        read_receipt_to=sender if read_receipt else None,
        in_reply_to=order.in_reply_to,
        references=order.references,
        auto_submitted=order.auto_submitted,
        unsent=resolved.mode == "draft",
        list_unsubscribe=parting.urls,
        extra_headers=parting.fields,
        language=checked.language,
    )


def _warn(checked: Checked, composed: Composed, notify: Sequence[str]) -> list[Notice]:
    """Say what is not used, and what the server, as far as it is known, cannot do."""
    order, resolved = checked.order, checked.ground.resolved
    found = []
    if order.smtp_password is not None and (
        resolved.smtp is None or resolved.smtp.password_mode != "ask"
    ):
        detail = "The configuration has its password; yours is not used."
        found.append(Notice("smtp_password_ignored", detail, "/smtp_password"))
    wanted, sender = order.sender, resolved.sender
    if wanted and sender and wanted.address.casefold() != sender.address.casefold():
        detail = f"This account always writes as {sender.address}."
        found.append(Notice("sender_replaced", detail, "/from"))
    answered_at = find_base(resolved, order)
    if answered_at and not has_room(resolved, answered_at):
        detail = NO_ROOM.format(address=answered_at.address)
        found.append(Notice("document_address_without_room", detail))
    if resolved.mode == "draft":
        detail = "A draft goes out when its user sends it."
        found += [
            Notice("ignored_in_draft", detail, f"/{name}")
            for name in ("send_at", "not_after")
            if getattr(order, name) is not None
        ]
        return found
    known = checked.ground.health.capabilities
    if not known:
        return found
    if notify and not known.get("dsn"):
        detail = "The server offers no DSN: it will not report on delivery."
        found.append(Notice("dsn_not_offered", detail, "/notifications"))
    most_bytes = known.get("size")
    if most_bytes and len(composed.raw) > most_bytes:
        detail = f"The message has {len(composed.raw)} bytes, the server takes {most_bytes}."
        found.append(Notice("size_over_server_limit", detail))
    if composed.needs_smtputf8 and not known.get("smtputf8"):
        detail = "The server takes no address outside ASCII."
        found.append(Notice("smtputf8_not_offered", detail))
    return found
