"""Whose incoming mail a caller may read.

Who may read an account may read its mail (``account_rights``): admins and the role ``sender`` all of
it, a user that of their own accounts and of those granted to them, as long as the grant lasts.
"""

from sqlalchemy import ColumnElement, CompoundSelect, select
from sqlalchemy.engine import Connection

from app.accounts.caller import SENDERS, Caller
from app.configuration.account_rights import is_in_force
from app.configuration.tables import account, account_right


def may_read(tx: Connection, caller: Caller, account_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition under which the caller may read what came to an account."""
    caller.require(*SENDERS)
    if caller.user is None:
        return account_id.is_not(None)
    return account_id.in_(_select_readable(tx, caller.user))


def list_readable(tx: Connection, caller: Caller) -> list[str] | None:
    """Return the accounts whose mail the caller may read; None: all there are.

    For lists: a database that walks each account's mail by itself finds the newest without a sort.
    """
    caller.require(*SENDERS)
    return None if caller.user is None else list(tx.scalars(_select_readable(tx, caller.user)))


def _select_readable(tx: Connection, user: str) -> CompoundSelect[tuple[str]]:
    granted = select(account_right.c.account_id).where(
        *is_in_force(tx, user), account_right.c.may_read | account_right.c.may_manage
    )
    return select(account.c.id).where(account.c.user_id == user).union(granted)
