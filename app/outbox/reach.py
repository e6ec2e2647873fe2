"""What a caller may see and move: all messages, or a user's own without the common BCC."""

from typing import Any

from sqlalchemy import Row, Select
from sqlalchemy.engine import Connection

from app.accounts.caller import SENDERS, Caller
from app.errors import Missing
from app.outbox.rows import lock_message
from app.outbox.tables import message


def narrow_to_visible(query: Select[Any], caller: Caller) -> Select[Any]:
    """Return ``query`` over messages with somebody else's left out."""
    caller.require(*SENDERS)
    return query if caller.user is None else query.where(message.c.user_id == caller.user)


def lock_visible(tx: Connection, caller: Caller, message_id: str) -> Row[Any]:
    """Return the message, locked; raise ``Missing`` where there is none for this caller."""
    caller.require(*SENDERS)
    row = lock_message(tx, message_id)
    if row is None or not caller.may_see(owner_id=row.owner_id, user=row.user_id):
        raise Missing("There is no such message.")
    return row


def sees_hidden(caller: Caller) -> bool:
    """Whether the caller is shown the BCC of the global configuration."""
    return caller.role != "user"
