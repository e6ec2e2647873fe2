"""Accepting: a finished message becomes rows. After this commit the answer may say 202.

The idempotency row and the message are one transaction (contract §1): of two equal requests at
once, one inserts its key, the other waits for that commit and replays its answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.people import ensure_person
from app.configuration.secrets import seal_for_target
from app.db import new_id
from app.errors import AwizoError, Refused
from app.outbox.answer_watch import watch
from app.outbox.check import Addressed
from app.outbox.events import Note, record
from app.outbox.health import HELD_FOR
from app.outbox.idempotency import Answered, Attempted, remember
from app.outbox.office import Office
from app.outbox.prepare import Prepared
from app.outbox.status import derive_status
from app.outbox.suppressed import STOPPED
from app.outbox.tables import BATCH, SINGLE, message, message_body, recipient
from app.vault import Vault

_MESSAGE, _BODY, _RECIPIENT = insert(message), insert(message_body), insert(recipient)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A finished message to be stored. answered: what its caller is told, kept with the key."""

    office: Office
    caller: Caller
    prepared: Prepared
    answered: Answered
    attempted: Attempted | None = None

    @property
    def name(self) -> tuple[str, str]:
        """What no other request at the same time should have: owner and key."""
        if self.attempted is None:
            return "", self.prepared.id
        return self.caller.owner_id, self.attempted.key


def accept(tx: Connection, asked: Sequence[Acceptance]) -> list[Answered | AwizoError | None]:
    """Store finished messages; say of each what its key was answered before, if it was.

    Merged verb (``db.write_merged``), so that many single sends are as few statements as a batch.
    """
    office = asked[0].office
    firsts: dict[tuple[str, str], Acceptance] = {}
    for each in asked:
        firsts.setdefault(each.name, each)
    taken = _remember_all(tx, office.vault, firsts.values())
    fresh = [(each.caller, each.prepared) for name, each in firsts.items() if name not in taken]
    if fresh:
        store(tx, office.vault, fresh, office.settings.delivery)
    seconds = [each for each in asked if firsts[each.name] is not each]
    replays = iter(accept(tx, seconds) if seconds else ())
    return [taken.get(each.name) if firsts[each.name] is each else next(replays) for each in asked]


def _remember_all(
    tx: Connection, vault: Vault, asked: Iterable[Acceptance]
) -> dict[tuple[str, str], Answered | Refused]:
    """Keep what each key is answered; return those that were answered before, by their names."""
    kept: dict[str, list[tuple[Attempted, Answered]]] = {}
    for each in asked:
        if each.attempted is not None:
            kept.setdefault(each.caller.owner_id, []).append((each.attempted, each.answered))
            at = each.prepared.at
    return {
        (owner_id, key): answer
        for owner_id in sorted(kept)
        for key, answer in remember(tx, vault, owner_id, kept[owner_id], at).items()
    }


def store(
    tx: Connection, vault: Vault, batch: Sequence[tuple[Caller, Prepared]], delivery: str
) -> None:
    """Write finished messages (at least one) with their recipients and first events."""
    at = batch[0][1].at
    for user in sorted({each.order.user for _, each in batch if each.order.user is not None}):
        ensure_person(tx, user, at)
    tx.execute(_MESSAGE, [_message_row(vault, caller, each, delivery) for caller, each in batch])
    tx.execute(_BODY, [{"message_id": each.id, "raw": each.composed.raw} for _, each in batch])
    rows = [_recipient_rows(each, delivery) for _, each in batch]
    tx.execute(_RECIPIENT, [row for several in rows for row in several])
    watch(tx, [each for _, each in batch])
    notes = []
    for (caller, each), several in zip(batch, rows, strict=True):
        what = "message.drafted" if each.is_draft else "message.accepted"
        said = (caller.owner_id, each.order.user, each.at)
        notes.append(Note(what, each.id, *said, data={"status": show_status(each, delivery)}))
        notes += [
            Note(f"recipient.{STOPPED}", each.id, *said, row["id"], _show_stopped(row))
            for row in several
            if row["state"] == STOPPED
        ]
    record(tx, notes)
    for caller, each in batch:
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


def first_state(each: Prepared, addressed: Addressed, delivery: str) -> tuple[str, str | None]:
    """Return state and reason of a recipient of a message just accepted."""
    if each.is_draft:
        return "held", "draft"
    if addressed.suppressed is not None:
        return STOPPED, addressed.suppressed
    if delivery == "off":
        return "held", "delivery_off"
    smtp = each.resolved.smtp
    if (
        smtp is not None
        and smtp.password_mode != "ask"
        and each.resolved.password_state in HELD_FOR
    ):
        return "held", HELD_FOR[each.resolved.password_state]
    return "queued", None


def show_status(each: Prepared, delivery: str) -> str:
    """Return the message's status just after it was accepted."""
    states = [first_state(each, addressed, delivery)[0] for addressed in each.recipients]
    return derive_status(states, is_draft=each.is_draft, send_at=each.send_at, at=each.at)


def smtp_password_place(message_id: str) -> str:
    """Return the place a message's own SMTP password is sealed for."""
    return f"message:{message_id}:smtp_password"


def _message_row(vault: Vault, caller: Caller, each: Prepared, delivery: str) -> dict[str, Any]:
    order, resolved = each.order, each.resolved
    sender, smtp = resolved.sender, resolved.smtp
    assert sender is not None
    states = {first_state(each, addressed, delivery)[0] for addressed in each.recipients}
    ends = each.is_draft or states == {STOPPED}  # its retention starts at once
    smtp_password = None
    if smtp is not None and smtp.password_mode == "ask" and order.smtp_password and not ends:
        place = smtp_password_place(each.id)
        smtp_password = seal_for_target(vault, order.smtp_password, place, smtp)
    return {
        "id": each.id,
        "owner_id": caller.owner_id,
        "user_id": order.user,
        "scope": resolved.scope,
        "account_id": resolved.account_id,
        "copy_account_id": resolved.scope_account_id if resolved.sent_copy == "folder" else None,
        "is_draft": each.is_draft,
        "status": show_status(each, delivery),
        "message_id": each.message_id,
        # RFC 3834 §3.3: nobody is to be told that an automatic reply failed, least of all by another.
        "reverse_path": ""
        if order.auto_submitted == "auto-replied"
        else sender.return_path or sender.address,
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
        "quotes": order.quotes,
        "size_bytes": len(each.composed.raw),
        "smtp_password": smtp_password,
        "send_at": each.send_at,
        "not_after": order.not_after,
        "give_up_after_h": resolved.give_up_after_h,
        "give_up_at": each.give_up_at,
        "due_at": (each.send_at or each.at) if "queued" in states else None,
        "created_at": each.at,
        "ended_at": each.at if ends else None,
        "body_erased_at": None,
        "erase_at_end": False,
    }


def _recipient_rows(each: Prepared, delivery: str) -> list[dict[str, Any]]:
    rows = []
    for position, addressed in enumerate(each.recipients):
        state, reason = first_state(each, addressed, delivery)
        rows.append(
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
        )
    return rows


def _show_stopped(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"address": row["address"], "reason": row["reason"]}


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
