"""API keys: made, shown once, found again, rotated, revoked.

A key is ``awizo_<prefix>_<secret>``: the prefix finds the row, the whole key is stored only as the
vault's HMAC of it (256 bits need no slow hash) and compared in constant time. A key and those
rotated from it are one owner. The key of ``AWIZO_ADMIN_KEY`` has any form and the prefix
``environment``; it is changed by that setting only.
"""

import base64
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, insert, or_, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller, Role
from app.accounts.people import ensure_person
from app.accounts.tables import api_key
from app.db import lock_rows, new_id
from app.errors import Conflict, Denied, Fault, Missing, refuse
from app.vault import Vault

ENVIRONMENT_PREFIX = "environment"
PURPOSE = "api-key"
_FORM = re.compile(r"awizo_([a-z2-7]{12})_[a-z2-7]{52}")

KeyRow = Row[Any]


def mint_key() -> tuple[str, str]:
    """Return a fresh key and its prefix: 60 bits to find it by, 256 bits of secret."""
    prefix = _draw(8)[:12]
    return f"awizo_{prefix}_{_draw(32)}", prefix


def candidate_prefixes(token: str) -> tuple[str, ...]:
    """Return the prefixes of the rows that ``token`` may belong to."""
    match = _FORM.fullmatch(token)
    return (match[1], ENVIRONMENT_PREFIX) if match else (ENVIRONMENT_PREFIX,)


def find_keys(tx: Connection, prefixes: Iterable[str]) -> dict[str, KeyRow]:
    """Return the keys of ``prefixes`` by prefix, revoked and expired ones too."""
    rows = tx.execute(select(api_key).where(api_key.c.prefix.in_(list(prefixes))))
    return {row.prefix: row for row in rows}


def find_key(tx: Connection, key_id: str) -> KeyRow | None:
    """Return a key by its id, a revoked or expired one too."""
    return tx.execute(select(api_key).where(api_key.c.id == key_id)).first()


def create_key(
    tx: Connection,
    vault: Vault,
    caller: Caller,
    *,
    role: Role,
    name: str,
    user: str | None,
    expires_at: datetime | None,
    at: datetime,
) -> tuple[KeyRow, str]:
    """Store a new key; return its row and the key itself, which nobody can read again."""
    refuse(_find_faults(role, user, expires_at, at))
    if user is not None:
        ensure_person(tx, user, at)
    row, key = insert_key(
        tx, vault, role=role, name=name, user=user, expires_at=expires_at, source="api", at=at
    )
    audit.record(tx, caller, "key.create", f"keys/{row.id}", None, describe_key(row), at)
    return row, key


def insert_key(
    tx: Connection,
    vault: Vault,
    *,
    role: str,
    name: str,
    source: str,
    at: datetime,
    user: str | None = None,
    expires_at: datetime | None = None,
    owner_id: str | None = None,
    given: str | None = None,
) -> tuple[KeyRow, str]:
    """Insert one row, for a fresh key or the ``given`` one of the environment."""
    key_id = new_id(at)
    key, prefix = (given, ENVIRONMENT_PREFIX) if given is not None else mint_key()
    row = tx.execute(
        insert(api_key)
        .values(
            id=key_id,
            owner_id=owner_id or key_id,
            role=role,
            name=name,
            user_id=user,
            prefix=prefix,
            hash=vault.digest(PURPOSE, key.encode()),
            source=source,
            created_at=at,
            expires_at=expires_at,
        )
        .returning(api_key)
    ).one()
    return row, key


def list_keys(
    tx: Connection, *, include_revoked: bool, before: str | None, limit: int
) -> Sequence[KeyRow]:
    """Return keys, the newest first; ``before`` is the last id of the page before."""
    query = select(api_key).order_by(api_key.c.id.desc()).limit(limit)
    if not include_revoked:
        query = query.where(api_key.c.revoked_at.is_(None))
    if before is not None:
        query = query.where(api_key.c.id < before)
    return tx.execute(query).all()


def revoke_key(tx: Connection, caller: Caller, key_id: str, at: datetime) -> None:
    """End a key at once. The last admin key that works stays, or nobody could make another."""
    admins = tx.execute(
        lock_rows(tx, select(api_key).where(_works(at), api_key.c.role == "admin"))
        .order_by(api_key.c.id)
    ).all()  # fmt: skip
    row = tx.execute(lock_rows(tx, select(api_key).where(api_key.c.id == key_id))).first()
    if row is None or row.revoked_at is not None:
        raise Missing("There is no such key.")
    if row.source == "environment":
        raise Conflict(
            "This key is set by AWIZO_ADMIN_KEY; change that and start again.",
            code="key_from_environment",
        )
    if [admin.id for admin in admins] == [key_id]:
        raise Conflict(
            "This is the last admin key that works; make another one first.", code="last_admin_key"
        )
    tx.execute(update(api_key).where(api_key.c.id == key_id).values(revoked_at=at))
    audit.record(tx, caller, "key.revoke", f"keys/{key_id}", describe_key(row), None, at)


def rotate_key(
    tx: Connection, vault: Vault, caller: Caller, key_id: str, *, overlap_s: float, at: datetime
) -> tuple[KeyRow, str]:
    """Replace the caller's own key; the old one works for ``overlap_s`` more seconds.

    The new key never outlives the old one's ``expires_at``. Rotating again within the overlap is
    for an answer that got lost: it replaces a successor that was never used.
    """
    if caller.key_id != key_id:
        raise Denied("A key is rotated with that key itself.", code="not_this_key")
    old = tx.execute(lock_rows(tx, select(api_key).where(api_key.c.id == key_id))).one()
    if old.source == "environment":
        raise Conflict(
            "This key is set by AWIZO_ADMIN_KEY; change that and start again.",
            code="key_from_environment",
        )
    expires_at = old.expires_at
    if old.rotated_to is not None:
        successor = tx.execute(
            lock_rows(tx, select(api_key).where(api_key.c.id == old.rotated_to))
        ).one()
        if successor.last_used_at or successor.revoked_at or successor.rotated_to:
            raise Conflict("This key was rotated already; use the new one.", code="already_rotated")
        expires_at = successor.expires_at
        tx.execute(update(api_key).where(api_key.c.id == successor.id).values(revoked_at=at))
    new, key = insert_key(
        tx, vault, role=old.role, name=old.name, user=old.user_id, expires_at=expires_at,
        source="api", owner_id=old.owner_id, at=at,
    )  # fmt: skip
    overlap_ends_at = at + timedelta(seconds=overlap_s)
    old_ends_at = min(old.expires_at or overlap_ends_at, overlap_ends_at)
    tx.execute(
        update(api_key)
        .where(api_key.c.id == old.id)
        .values(rotated_to=new.id, expires_at=old_ends_at)
    )
    after = describe_key(new) | {"old_key_expires_at": old_ends_at.isoformat()}
    audit.record(tx, caller, "key.rotate", f"keys/{old.id}", describe_key(old), after, at)
    return new, key


def touch_key(tx: Connection, key_id: str, at: datetime) -> None:
    """Note that a key was used; a later note stays."""
    tx.execute(
        update(api_key)
        .where(
            api_key.c.id == key_id,
            or_(api_key.c.last_used_at.is_(None), api_key.c.last_used_at < at),
        )
        .values(last_used_at=at)
    )


def count_working_admins(tx: Connection, at: datetime) -> int:
    """Return how many admin keys work at ``at``."""
    return len(tx.execute(select(api_key.c.id).where(_works(at), api_key.c.role == "admin")).all())


def describe_key(row: KeyRow) -> dict[str, Any]:
    """Return what the audit trail keeps of a key."""
    return {
        "id": row.id,
        "role": row.role,
        "name": row.name,
        "user": row.user_id,
        "prefix": row.prefix,
        "source": row.source,
        "expires_at": None if row.expires_at is None else row.expires_at.isoformat(),
    }


def _works(at: datetime) -> Any:
    return and_(
        api_key.c.revoked_at.is_(None),
        or_(api_key.c.expires_at.is_(None), api_key.c.expires_at > at),
    )


def check_binding(role: str, user: str | None) -> Fault | None:
    """Return what is wrong with a key of ``role`` that acts as ``user``."""
    if role == "user" and user is None:
        return Fault("/user", "required", "A key of role user is bound to one user id.")
    if role != "user" and user is not None:
        return Fault("/user", "not_allowed", f"A key of role {role} is bound to no user.")
    return None


def _find_faults(
    role: str, user: str | None, expires_at: datetime | None, at: datetime
) -> list[Fault]:
    unfit = check_binding(role, user)
    faults = [] if unfit is None else [unfit]
    if expires_at is not None and expires_at <= at:
        faults.append(Fault("/expires_at", "in_the_past", "Give a time to come."))
    return faults


def _draw(size_bytes: int) -> str:
    return base64.b32encode(secrets.token_bytes(size_bytes)).decode().rstrip("=").lower()
