"""Who may do what with an account: one rule, whatever the door; ``docs/accounts.md`` has the table.

The holder of a personal account may do everything with it. Others may what was granted to them, until
the grant ends: ``read`` its mail, ``send`` with it, ``manage`` it (which includes both, and granting).
Everybody sends with the global account. An admin manages all; the role ``sender`` sees them and
sends as the user it names, with that user's rights, or as nobody with a group's account.
"""

from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, or_, select
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.load import load_account
from app.configuration.model import GLOBAL, StoredAccount
from app.configuration.tables import account_right
from app.db import now
from app.errors import Denied, Missing

Right = Literal["read", "send", "manage"]
RIGHTS: tuple[Right, ...] = ("read", "send", "manage")


def list_rights(tx: Connection, stored: StoredAccount, user: str | None) -> frozenset[Right]:
    """Return what ``user`` (None: nobody in particular, on the company's behalf) may do now."""
    if user is None:
        return frozenset(("read", "send")) if stored.user_id is None else frozenset()
    if stored.user_id == user:
        return frozenset(RIGHTS)
    found: set[Right] = {"send"} if stored.scope == GLOBAL else set()
    query = select(account_right).where(
        account_right.c.account_id == stored.id, *is_in_force(tx, user)
    )
    row = tx.execute(query).first()
    return frozenset(found | (read_rights(row) if row else set()))


def is_in_force(tx: Connection, user: str | None) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a grant to ``user`` that has not ended."""
    until = account_right.c.until
    return account_right.c.user_id == user, or_(until.is_(None), until > now(tx))


def read_rights(row: Row[Any]) -> set[Right]:
    """Return what a row grants; who manages an account may also read it and send with it."""
    if row.may_manage:
        return set(RIGHTS)
    return {right for right in ("read", "send") if getattr(row, f"may_{right}")}


def may_send(tx: Connection, stored: StoredAccount, user: str | None) -> bool:
    """Whether ``user`` (None: nobody) may send with an account."""
    return "send" in list_rights(tx, stored, user)


def list_caller_rights(tx: Connection, caller: Caller, stored: StoredAccount) -> frozenset[Right]:
    """Return what a caller may do with an account now."""
    if caller.is_admin:
        return frozenset(RIGHTS)
    if caller.role == "sender":
        return frozenset(("read",))
    return list_rights(tx, stored, caller.user) if caller.role == "user" else frozenset()


def require_account(tx: Connection, caller: Caller, account_id: str, right: Right) -> StoredAccount:
    """Return the account if the caller has ``right`` on it.

    Raises ``Missing`` ``account_not_found`` where there is none, or the caller may not know of it;
    ``Denied`` ``account_not_allowed`` where only this right is lacking.
    """
    stored = load_account(tx, account_id) if account_id.isprintable() else None
    rights = list_caller_rights(tx, caller, stored) if stored and not stored.removed_at else None
    if stored is None or not rights:
        raise Missing("There is no such account.", code="account_not_found")
    if right not in rights:
        raise Denied(
            f"This needs the right to {right} on the account; you have: {', '.join(sorted(rights))}.",
            code="account_not_allowed",
        )
    return stored
