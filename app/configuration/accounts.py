"""All mail accounts, default ones too: listing them, granting rights, choosing a default."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, exists, func, or_, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.people import ensure_person
from app.configuration.account_rights import is_in_force
from app.configuration.closing import GLOBAL_ONLY
from app.configuration.load import ACCOUNTS, load_account, read_account
from app.configuration.model import (
    ACCOUNT_SCOPE,
    GLOBAL,
    StoredAccount,
    name_object,
    name_scope,
)
from app.configuration.save import make_personal_active
from app.configuration.tables import account, account_right
from app.db import lock_rows
from app.errors import Conflict, Denied, Fault, Missing, Refused


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which accounts are asked for. query: what name, address or server contain, in any case."""

    holder: str | None = None
    kind: str | None = None
    query: str | None = None


def list_accounts(
    tx: Connection, caller: Caller, wanted: Wanted, *, after: str | None, limit: int
) -> list[StoredAccount]:
    """Return the accounts that the caller may know of, in the order of their ids."""
    query = ACCOUNTS.where(account.c.removed_at.is_(None), *_choose(wanted))
    if caller.role == "user":
        query = query.where(_is_known_to(tx, caller.user))
    if after is not None:
        query = query.where(account.c.id > after)
    rows = tx.execute(query.order_by(account.c.id).limit(limit)).mappings()
    return [read_account(row) for row in rows]


def _choose(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.holder is not None:
        found.append(account.c.user_id == wanted.holder)
    if wanted.kind is not None:
        is_group = account.c.user_id.is_(None)
        found.append(is_group if wanted.kind == "group" else ~is_group)
    if wanted.query:
        settings = account.c.settings
        members = (settings["name"], settings["sender", "address"], settings["smtp", "host"])
        # As it is typed too: SQLite's lower() knows ASCII alone.
        found.append(
            or_(
                *(member.as_string().contains(wanted.query, autoescape=True) for member in members),
                *(
                    func.lower(member.as_string()).contains(wanted.query.lower(), autoescape=True)
                    for member in members
                ),
            )
        )
    return found


def _is_known_to(tx: Connection, user: str | None) -> ColumnElement[bool]:
    granted = exists(
        select(account_right.c.account_id).where(
            account_right.c.account_id == account.c.id,
            *is_in_force(tx, user),
        )
    )
    return or_(account.c.user_id == user, account.c.scope == GLOBAL, granted)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one person may do with an account. until: None has no end; past: it has ended."""

    user: str
    read: bool
    send: bool
    manage: bool
    until: datetime | None
    granted_by: str = ""
    granted_at: datetime | None = None


def list_grants(tx: Connection, account_id: str) -> list[Grant]:
    """Return every grant on an account, ended ones too, in the order of the users' ids."""
    query = (
        select(account_right)
        .where(account_right.c.account_id == account_id)
        .order_by(account_right.c.user_id)
    )
    return [_read_grant(row) for row in tx.execute(query)]


def grant(
    tx: Connection, caller: Caller, stored: StoredAccount, given: Grant, at: datetime
) -> Grant:
    """Let a person do what ``given`` says with an account, instead of what was granted before.

    Raises ``Refused`` for a grant of nothing, one that has ended, one to the holder, or one that
    lasts longer than the caller's own: who manages until August gives nothing beyond it.
    """
    faults = []
    if not (given.read or given.send or given.manage):
        faults.append(Fault("", "required", "Grant read, send or manage; DELETE takes all away."))
    if given.until is not None and given.until <= at:
        faults.append(Fault("/until", "until_passed", "This moment has passed."))
    own_end = _find_end(tx, caller, stored)
    if own_end is not None and (given.until is None or given.until > own_end):
        detail = f"Your own right ends at {own_end.isoformat()}; grant until then at most."
        faults.append(Fault("/until", "until_beyond_own", detail))
    if given.user == stored.user_id:
        faults.append(Fault("", "holder_has_all", "The holder of the account may do all of it."))
    if faults:
        raise Refused(faults[0].detail, faults=faults)
    ensure_person(tx, given.user, at)
    before = _take(tx, stored.id, given.user)
    tx.execute(
        account_right.insert().values(
            account_id=stored.id,
            user_id=given.user,
            may_read=given.read,
            may_send=given.send,
            may_manage=given.manage,
            until=given.until,
            granted_by=caller.name,
            granted_at=at,
        )
    )
    what = f"accounts/{stored.id}/rights/{given.user}"
    shown_before = _describe(before) if before else None
    audit.record(tx, caller, "account.grant", what, shown_before, _describe(given), at)
    return list_grants_of(tx, stored.id, given.user)


def list_grants_of(tx: Connection, account_id: str, user: str) -> Grant:
    """Return what is granted to one person; raise ``Missing`` where nothing is."""
    query = select(account_right).where(
        account_right.c.account_id == account_id, account_right.c.user_id == user
    )
    row = tx.execute(query).first()
    if row is None:
        raise Missing("Nothing is granted to this user here.", code="right_not_found")
    return _read_grant(row)


def revoke(tx: Connection, caller: Caller, stored: StoredAccount, user: str, at: datetime) -> None:
    """Take away what was granted; raise ``Missing`` where nothing was."""
    before = _take(tx, stored.id, user)
    if before is None:
        raise Missing("Nothing is granted to this user here.", code="right_not_found")
    what = f"accounts/{stored.id}/rights/{user}"
    audit.record(tx, caller, "account.revoke", what, _describe(before), None, at)


def _find_end(tx: Connection, caller: Caller, stored: StoredAccount) -> datetime | None:
    """Return when the caller's own right to grant ends; None: never."""
    if caller.role != "user" or caller.user == stored.user_id:
        return None
    key = (account_right.c.account_id == stored.id, account_right.c.user_id == caller.user)
    end: datetime | None = tx.scalar(select(account_right.c.until).where(*key))
    return end


def make_default(tx: Connection, caller: Caller, stored: StoredAccount, at: datetime) -> None:
    """Make an account the default of its holder, or of everybody; the former stays beside it.

    The two exchange their scopes, so ``/config/…`` edits the new one from now on. Only its holder or
    an admin may: a right to manage an account is none to change what its holder sends with.
    """
    if not caller.is_admin and caller.user != stored.user_id:
        raise Denied("Only its holder or an admin chooses the default.", code="account_not_allowed")
    scope = name_scope(stored.user_id)
    if stored.scope == scope:
        return
    if stored.user_id is None:
        _check_stands_alone(stored)
    query = select(account.c.id).where(account.c.scope.in_((scope, stored.scope)))
    ids: Sequence[str] = tx.scalars(lock_rows(tx, query.order_by(account.c.id))).all()
    for former in ids:
        if former != stored.id:
            _set_scope(tx, former, f"{ACCOUNT_SCOPE}{former}", at)
            if scope == GLOBAL:
                _move_footers(tx, former, stored)
    _set_scope(tx, stored.id, scope, at)
    if stored.user_id is not None:
        make_personal_active(tx, stored.user_id, at)
    audit.record(
        tx, caller, "account.default", f"accounts/{stored.id}",
        {"path": name_object(stored.scope)}, {"path": name_object(scope)}, at,
    )  # fmt: skip


def _check_stands_alone(stored: StoredAccount) -> None:
    """Refuse as everybody's account one that inherits what it sends with: then nobody could send."""
    if not stored.document.get("sender"):
        raise Conflict("The account for everybody needs a sender.", code="sender_missing")
    if stored.settings is None and stored.document.get("mode", "smtp") == "smtp":
        raise Conflict("The account for everybody needs a mail server.", code="server_missing")


def _move_footers(tx: Connection, former_id: str, stored: StoredAccount) -> None:
    """Move what belongs to the whole instance from the former common account to the new one."""
    former = dict(reload(tx, former_id).document)
    moved = {name: former.pop(name) for name in GLOBAL_ONLY if name in former}
    for account_id, document in ((former_id, former), (stored.id, {**stored.document, **moved})):
        tx.execute(update(account).where(account.c.id == account_id).values(settings=document))


def reload(tx: Connection, account_id: str) -> StoredAccount:
    """Return an account that is there."""
    stored = load_account(tx, account_id)
    assert stored is not None
    return stored


def _set_scope(tx: Connection, account_id: str, scope: str, at: datetime) -> None:
    tx.execute(
        update(account)
        .where(account.c.id == account_id)
        .values(scope=scope, version=account.c.version + 1, updated_at=at)
    )


def _take(tx: Connection, account_id: str, user: str) -> Grant | None:
    key = (account_right.c.account_id == account_id, account_right.c.user_id == user)
    row = tx.execute(lock_rows(tx, select(account_right).where(*key))).first()
    tx.execute(delete(account_right).where(*key))
    return _read_grant(row) if row else None


def _read_grant(row: Row[Any]) -> Grant:
    return Grant(
        user=row.user_id,
        read=row.may_read,
        send=row.may_send,
        manage=row.may_manage,
        until=row.until,
        granted_by=row.granted_by,
        granted_at=row.granted_at,
    )


def _describe(given: Grant) -> dict[str, Any]:
    return {
        "read": given.read,
        "send": given.send,
        "manage": given.manage,
        "until": given.until and given.until.isoformat(),
    }
