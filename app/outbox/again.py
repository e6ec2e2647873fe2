"""Once more: retry the same message now, or release one that is held."""

from collections.abc import Container, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, update
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.load import load_account
from app.configuration.model import SmtpSettings
from app.configuration.secrets import seal_for_target
from app.db import now
from app.errors import Conflict, Fault, Refused
from app.outbox.accept import smtp_password_place
from app.outbox.events import Note, record
from app.outbox.reach import lock_visible
from app.outbox.rows import ERASED, move, read_recipients, refresh, restart_clock
from app.outbox.suppressed import STOPPED, find_suppressed_of
from app.outbox.tables import FORCED, message
from app.vault import Vault

_RETRIABLE = {"queued", "deferred", "failed"}


def retry(tx: Connection, caller: Caller, message_id: str) -> None:
    """Send the same bytes again now to unfinished and failed recipients, pauses aside."""
    row = lock_visible(tx, caller, message_id)
    _require_sendable(row)
    at = now(tx)
    recipients = read_recipients(tx, row.id)
    suppressed = find_suppressed_of(tx, row)
    again = [
        each
        for each in recipients
        if each.state in _RETRIABLE
        and each.address != ERASED
        and each.address_key not in suppressed
    ]
    if not again:
        _refuse_suppressed(recipients, suppressed)
        raise Conflict(
            "There is nothing to retry: no recipient is waiting or has failed. A held message is "
            "released, a sent one sent anew with resend.",
            code="nothing_to_retry",
        )
    restart_clock(tx, row, at, priority=FORCED, send_at=None)
    _note(tx, row, caller, "message.retried", at)
    move(
        tx,
        row,
        again,
        state="queued",
        due_at=at,
        at=at,
        event="queued",
        tries=0,
    )
    refresh(tx, lock_visible(tx, caller, message_id), at)


def release(
    tx: Connection,
    vault: Vault,
    caller: Caller,
    message_id: str,
    *,
    smtp_password: str | None,
    delivery: str,
) -> None:
    """Queue held recipients again; raise ``Conflict`` while what held them still stands.

    smtp_password: for an account that stores none; sealed with the message.
    """
    row = lock_visible(tx, caller, message_id)
    _require_sendable(row)
    at = now(tx)
    recipients = read_recipients(tx, row.id)
    held = [each for each in recipients if each.state == "held"]
    if not held:
        _refuse_suppressed(recipients, {})
        raise Conflict("No recipient of this message is held.", code="not_held")
    if delivery == "off":
        raise Conflict("AWIZO_DELIVERY is off; nothing leaves.", code="delivery_off")
    settings = _require_way_out(tx, row, {each.reason for each in held}, smtp_password)
    if smtp_password is not None and settings.password_mode == "ask":
        sealed = seal_for_target(vault, smtp_password, smtp_password_place(row.id), settings)
        tx.execute(update(message).where(message.c.id == row.id).values(smtp_password=sealed))
    restart_clock(tx, row, at, delivery=delivery)
    _note(tx, row, caller, "message.released", at)
    due_at = max(at, row.send_at) if row.send_at else at
    move(tx, row, held, state="queued", due_at=due_at, at=at, event="queued")
    refresh(tx, row, at)


def _refuse_suppressed(recipients: Iterable[Row[Any]], suppressed: Container[str]) -> None:
    """Raise where nothing goes on because of those who are not to be written to."""
    if any(each.state == STOPPED or each.address_key in suppressed for each in recipients):
        raise Conflict(
            "Its recipients are not to be written to. Where that is wrong, delete the suppression "
            "(GET /suppressions?address=…), then resend the message.",
            code="recipient_suppressed",
        )


def _require_sendable(row: Row[Any]) -> None:
    if row.is_draft:
        raise Conflict("A draft is not sent by Awizo; open it in a mail program.", code="is_draft")
    if row.body_erased_at is not None:
        raise Conflict("The content was erased; it cannot be sent again.", code="body_erased")


def _require_way_out(
    tx: Connection, row: Row[Any], reasons: set[str | None], smtp_password: str | None
) -> SmtpSettings:
    """Return the server it will go to; raise what keeps it from going."""
    account = load_account(tx, row.account_id)
    if account is None or account.removed_at is not None or account.settings is None:
        raise Conflict(
            "The configuration this message was accepted under is gone; store it again first.",
            code="scope_removed",
        )
    if account.settings.password_mode == "ask":
        # Refused, or sealed for another server: the one that was given does not open any door.
        spent = reasons & {"password_refused", "awaiting_password"}
        if smtp_password is None and (row.smtp_password is None or spent):
            detail = "This configuration stores no password; give smtp_password."
            raise Refused(
                detail, faults=[Fault("/smtp_password", "smtp_password_required", detail)]
            )
        return account.settings
    if account.password_state == "consent_needed":
        raise Conflict(
            f"The provider wants the consent for {account.scope} again.", code="consent_needed"
        )
    if account.settings.wants_login and account.password_state == "awaiting":
        raise Conflict(
            f"The password of {account.scope} is still to be entered.", code="awaiting_password"
        )
    return account.settings


def _note(tx: Connection, row: Row[Any], caller: Caller, what: str, at: datetime) -> None:
    record(
        tx,
        [
            Note(
                type=what,
                message_id=row.id,
                owner_id=row.owner_id,
                user_id=row.user_id,
                at=at,
                data={"by": caller.name},
            )
        ],
    )
