"""Accepting: a finished message becomes rows. After this commit the answer may say 202.

The idempotency row and the message are one transaction (contract §1): of two equal requests at
once, one inserts its key, the other waits for that commit and replays its answer.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.people import ensure_person
from app.configuration.secrets import seal_for_target
from app.db import new_id
from app.errors import Refused
from app.outbox.events import Note, record
from app.outbox.idempotency import Answered, Attempted, remember
from app.outbox.prepare import Prepared
from app.outbox.status import derive_status
from app.outbox.tables import BATCH, SINGLE, message, message_body, recipient
from app.vault import Vault


def accept(
    tx: Connection,
    vault: Vault,
    caller: Caller,
    prepared: Prepared,
    *,
    delivery: str,
    answered: Answered,
    attempted: Attempted | None = None,
) -> Answered | None:
    """Store a finished message; or return what the same key was answered before.

    answered: what the caller is told, remembered with the key. Grouped verb: the id comes with
    ``prepared``.
    """
    if attempted is not None:
        kept = [(attempted, answered)]
        earlier = remember(tx, vault, caller.owner_id, kept, prepared.at).get(attempted.key)
        if isinstance(earlier, Refused):
            raise earlier
        if earlier is not None:
            return earlier
    store(tx, vault, caller, (prepared,), delivery)
    return None


def store(
    tx: Connection, vault: Vault, caller: Caller, batch: Sequence[Prepared], delivery: str
) -> None:
    """Write finished messages (at least one) with their recipients and first events."""
    for user in sorted({each.order.user for each in batch if each.order.user is not None}):
        ensure_person(tx, user, batch[0].at)
    tx.execute(insert(message), [_message_row(vault, caller, each, delivery) for each in batch])
    tx.execute(
        insert(message_body),
        [{"message_id": each.id, "raw": each.composed.raw} for each in batch],
    )
    tx.execute(
        insert(recipient), [row for each in batch for row in _recipient_rows(each, delivery)]
    )
    record(
        tx,
        [
            Note(
                type="message.drafted" if each.is_draft else "message.accepted",
                message_id=each.id,
                owner_id=caller.owner_id,
                user_id=each.order.user,
                at=each.at,
                data={"status": show_status(each, delivery)},
            )
            for each in batch
        ],
    )
    for each in batch:
        if each.unprotected:
            audit.record(
                tx,
                caller,
                "message.unprotected",
                f"messages/{each.id}",
                before=None,
                after={"files": list(each.unprotected)},
                at=each.at,
            )


def first_state(each: Prepared, delivery: str) -> tuple[str, str | None]:
    """Return state and reason of the recipients of a message just accepted."""
    if each.is_draft:
        return "held", "draft"
    if delivery == "off":
        return "held", "delivery_off"
    smtp = each.resolved.smtp
    if (
        smtp is not None
        and smtp.password_mode != "ask"
        and each.resolved.password_state == "awaiting"
    ):
        return "held", "awaiting_password"
    return "queued", None


def show_status(each: Prepared, delivery: str) -> str:
    """Return the message's status just after it was accepted."""
    state, _ = first_state(each, delivery)
    return derive_status([state], is_draft=each.is_draft, send_at=each.send_at, at=each.at)


def smtp_password_place(message_id: str) -> str:
    """Return the place a message's own SMTP password is sealed for."""
    return f"message:{message_id}:smtp_password"


def _message_row(vault: Vault, caller: Caller, each: Prepared, delivery: str) -> dict[str, Any]:
    order, resolved = each.order, each.resolved
    sender, smtp = resolved.sender, resolved.smtp
    assert sender is not None
    smtp_password = None
    if smtp is not None and smtp.password_mode == "ask" and order.smtp_password:
        place = smtp_password_place(each.id)
        smtp_password = seal_for_target(vault, order.smtp_password, place, smtp)
    waits = first_state(each, delivery)[0] == "queued"
    return {
        "id": each.id,
        "owner_id": caller.owner_id,
        "user_id": order.user,
        "scope": resolved.scope,
        "account_id": resolved.account_id,
        "is_draft": each.is_draft,
        "status": show_status(each, delivery),
        "message_id": each.message_id,
        "reverse_path": sender.return_path or sender.address,
        "subject": each.rendered.subject,
        "sender": {"address": sender.address, "name": sender.name},
        "notify": list(each.notify) or None,
        "return_content": resolved.return_content,
        "needs_smtputf8": each.composed.needs_smtputf8,
        "on_uncertain": resolved.on_uncertain,
        "delivery": delivery,
        "priority": SINGLE if each.batch_id is None else BATCH,
        "batch_id": each.batch_id,
        "reference_type": order.reference.type,
        "reference_number": order.reference.number,
        "reference_customer": order.reference.customer,
        "metadata": dict(order.metadata),
        "template": show_template(each),
        "server": None if smtp is None else smtp.server,
        "attachments": show_attachments(each),
        "warnings": show_warnings(each),
        "resent_of": None,
        "size_bytes": len(each.composed.raw),
        "smtp_password": smtp_password,
        "send_at": each.send_at,
        "not_after": order.not_after,
        "give_up_after_h": resolved.give_up_after_h,
        "give_up_at": each.give_up_at,
        "due_at": (each.send_at or each.at) if waits else None,
        "created_at": each.at,
        "ended_at": each.at if each.is_draft else None,  # a draft's retention starts at once
        "body_erased_at": None,
        "erase_at_end": False,
    }


def _recipient_rows(each: Prepared, delivery: str) -> list[dict[str, Any]]:
    state, reason = first_state(each, delivery)
    return [
        {
            "id": new_id(each.at),
            "message_id": each.id,
            "position": position,
            "kind": addressed.kind,
            "address": addressed.mailbox.address,
            "address_key": addressed.mailbox.key,
            "name": addressed.mailbox.name,
            "hidden": addressed.hidden,
            "state": state,
            "reason": reason,
            "due_at": (each.send_at or each.at) if state == "queued" else None,
            "attempts": 0,
            "tries": 0,
            "updated_at": each.at,
        }
        for position, addressed in enumerate(each.recipients)
    ]


def show_template(each: Prepared) -> dict[str, Any] | None:
    """Return which template was used, or None for subject and body given inline."""
    if each.order.template is None:
        return None
    found = each.found
    return {"name": found.name, "origin": found.origin, "language": found.language}


def show_attachments(each: Prepared) -> list[dict[str, Any]]:
    """Return the attachments as they go out."""
    return [
        {
            "filename": part.filename,
            "content_type": part.media_type,
            "protection": part.protection,
            "bytes": part.size_bytes,
        }
        for part in each.enclosed
    ]


def show_warnings(each: Prepared) -> list[dict[str, Any]]:
    """Return the warnings as the API shows them."""
    return [
        {"code": notice.code, "detail": notice.detail}
        | ({} if notice.pointer is None else {"pointer": notice.pointer})
        for notice in each.warnings
    ]
