"""Resending: a new message with the content of an old one, its protected parts included."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.account_rights import may_send
from app.configuration.load import load_account
from app.configuration.model import ACCOUNT_SCOPE, StoredAccount
from app.db import now
from app.errors import Conflict, Denied
from app.mime.restamp import restamp
from app.outbox.carry import read_body
from app.outbox.events import Note, record
from app.outbox.identity import make_message_id
from app.outbox.reach import lock_visible
from app.outbox.rows import read_recipients
from app.outbox.status import derive_status
from app.outbox.suppressed import STOPPED, find_suppressed_of
from app.outbox.tables import SINGLE, message, message_body, recipient
from app.vault import Vault


def resend(
    tx: Connection, vault: Vault, caller: Caller, message_id: str, new: str, *, delivery: str
) -> str:
    """Store the copy under the id ``new`` and return it; to every recipient of the old one.

    Raises ``Conflict`` for a draft, an erased message, or one whose configuration is gone or
    switched off; ``Denied`` where its user may not send with that account any more.
    """
    row = lock_visible(tx, caller, message_id)
    raw = read_body(tx, row.id)
    account = load_account(tx, row.account_id)
    if row.is_draft:
        raise Conflict("A draft is not sent by Awizo; open it in a mail program.", code="is_draft")
    if raw is None or row.erase_at_end:
        raise Conflict("The content was erased; it cannot be sent again.", code="body_erased")
    if account is None or account.removed_at is not None or account.settings is None:
        raise Conflict("The configuration of this message is gone.", code="scope_removed")
    _require_may_send(tx, row, account)
    if account.settings.password_mode == "ask":
        raise Conflict(
            "This configuration stores no password, so the message cannot be resent; "
            "send it again with smtp_password.",
            code="smtp_password_required",
        )
    at = now(tx)
    usual = ("held", "delivery_off") if delivery == "off" else ("queued", None)
    suppressed = find_suppressed_of(tx, row)
    recipients = read_recipients(tx, row.id)
    starts = [
        (STOPPED, suppressed[each.address_key]) if each.address_key in suppressed else usual
        for each in recipients
    ]
    status = derive_status([state for state, _ in starts])
    domain = row.sender["address"].rpartition("@")[2]
    fresh_id = make_message_id(vault, new, domain)
    body = restamp(raw, message_id=fresh_id, date=at)
    kept = {column.name: getattr(row, column.name) for column in message.c}
    fresh = _refresh_row(kept, caller, new, fresh_id, row.id, len(body), delivery, at)
    fresh |= {
        "status": status,
        "due_at": at if status == "queued" else None,
        "ended_at": at if status == STOPPED else None,
    }
    tx.execute(insert(message).values(fresh))
    tx.execute(insert(message_body).values(message_id=new, raw=body))
    tx.execute(
        insert(recipient),
        [
            {
                "id": f"{new[:22]}{each.position:04d}",
                "message_id": new,
                "position": each.position,
                "kind": each.kind,
                "address": each.address,
                "address_key": each.address_key,
                "name": each.name,
                "hidden": each.hidden,
                "state": state,
                "reason": reason,
                "due_at": at if state == "queued" else None,
                "attempts": 0,
                "tries": 0,
                "updated_at": at,
            }
            for each, (state, reason) in zip(recipients, starts, strict=True)
        ],
    )
    said = (caller.owner_id, row.user_id, at)
    stopped = [
        Note(
            f"recipient.{STOPPED}", new, *said, f"{new[:22]}{each.position:04d}",
            {"address": each.address, "reason": reason},
        )
        for each, (state, reason) in zip(recipients, starts, strict=True)
        if state == STOPPED
    ]  # fmt: skip
    for what, which, owner_id, data in (
        ("message.accepted", new, caller.owner_id, {"status": status, "resent_of": row.id}),
        ("message.resent", row.id, row.owner_id, {"as": new, "by": caller.name}),
    ):
        record(tx, [Note(what, which, owner_id, row.user_id, at, data=data)])
    record(tx, stopped)
    return new


def _require_may_send(tx: Connection, row: Row[Any], carrier: StoredAccount) -> None:
    """Raise where the message could not be accepted now: the right has ended, sending is off."""
    named = row.scope.removeprefix(ACCOUNT_SCOPE) if row.scope.startswith(ACCOUNT_SCOPE) else None
    author = load_account(tx, named) if named and named != carrier.id else carrier
    for each in (carrier, author or carrier):
        if not may_send(tx, each, row.user_id):
            detail = "This account is not the user's to send with any more."
            raise Denied(detail, code="account_not_allowed")
        if each.document.get("outgoing") is False:
            detail = "Sending is switched off for the account of this message."
            raise Conflict(detail, code="outgoing_off")


def _refresh_row(
    kept: dict[str, Any],
    caller: Caller,
    new: str,
    fresh_id: str,
    resent_of: str,
    size_bytes: int,
    delivery: str,
    at: datetime,
) -> dict[str, Any]:
    return kept | {
        "id": new,
        "owner_id": caller.owner_id,
        "message_id": fresh_id,
        "delivery": delivery,
        "priority": SINGLE,
        "batch_id": None,
        "resent_of": resent_of,
        "size_bytes": size_bytes,
        "smtp_password": None,
        "send_at": None,
        "not_after": None,
        "give_up_at": at + timedelta(hours=kept["give_up_after_h"]),
        "created_at": at,
        "ended_at": None,
        "erase_at_end": False,
    }
