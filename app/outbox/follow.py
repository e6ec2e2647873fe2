"""What a change of the configuration means for the mail that waits; same transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.engine import Connection

from app.configuration.load import load_account
from app.outbox.health import close_breaker
from app.outbox.hold import hold
from app.outbox.rows import lock_message, move, read_recipients, refresh, restart_clock
from app.outbox.tables import message, recipient

FOR_LOGIN = ("awaiting_password", "consent_needed")


def configuration_changed(tx: Connection, account_id: str, at: datetime) -> None:
    """Forget the account's trouble, and let mail go on that was held for its login."""
    close_breaker(tx, account_id)
    stored = load_account(tx, account_id)
    if stored is None or stored.password_state in ("awaiting", "consent_needed"):
        return
    waiting: Sequence[str] = tx.scalars(
        select(message.c.id)
        .where(
            message.c.account_id == account_id,
            message.c.ended_at.is_(None),
            exists(
                select(recipient.c.id).where(
                    recipient.c.message_id == message.c.id,
                    recipient.c.state == "held",
                    recipient.c.reason.in_(FOR_LOGIN),
                )
            ),
        )
        .order_by(message.c.id)
    ).all()
    for message_id in waiting:
        row = lock_message(tx, message_id)
        if row is None:
            continue
        held = [
            each
            for each in read_recipients(tx, message_id)
            if each.state == "held" and each.reason in FOR_LOGIN
        ]
        due_at = max(at, row.send_at) if row.send_at else at
        restart_clock(tx, row, at)
        move(tx, row, held, state="queued", due_at=due_at, at=at, event="released")
        refresh(tx, row, at)


def configuration_removed(tx: Connection, scope: str, account_id: str, at: datetime) -> None:
    """Hold the mail that the removed scope still had to send."""
    while hold(
        tx, "scope_removed", (message.c.scope == scope) | (message.c.account_id == account_id)
    ):
        pass
