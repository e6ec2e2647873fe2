"""Idempotency-Key: the same request twice is one message and the same answer.

The body is remembered as an HMAC over canonical JSON (null members left out, because null equals
absent) and the SHA-256 of each part; the content itself is not kept. Only successes are
remembered. The HMAC names its key, so it holds across a rotation of the key ring.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.errors import Fault, Refused
from app.outbox.tables import idempotency
from app.vault import Vault

_PURPOSE = "idempotency"


@dataclass(frozen=True, slots=True)
class Attempted:
    """One request under a key. canonical: what ``make_canonical`` returned."""

    key: str
    canonical: bytes


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer the key was given first."""

    status: int
    answer: dict[str, Any]
    message_ids: tuple[str, ...]


def make_canonical(request: str, body: object, parts: Sequence[bytes] = ()) -> bytes:
    """Return a digest of a request: its kind (``send``), its JSON body, its file parts.

    Two bodies that mean the same (order of members, null or absent) are equal.
    """
    seen = hashlib.sha256(request.encode())
    seen.update(
        json.dumps(
            _strip_nulls(body), sort_keys=True, separators=(",", ":"), ensure_ascii=True
        ).encode()
    )
    for part in parts:
        seen.update(hashlib.sha256(part).digest())
    return seen.digest()


def _strip_nulls(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _strip_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_strip_nulls(each) for each in value]
    return value


def find_replay(tx: Connection, vault: Vault, owner_id: str, attempted: Attempted) -> Replay | None:
    """Return the answer this key was given, if it was; raise ``Refused`` for another body."""
    row = tx.execute(
        select(idempotency).where(
            idempotency.c.owner_id == owner_id, idempotency.c.key == attempted.key
        )
    ).first()
    return None if row is None else _replay(vault, row, attempted)


def remember(
    tx: Connection,
    vault: Vault,
    owner_id: str,
    attempted: Attempted,
    status: int,
    answer: dict[str, Any],
    message_ids: Sequence[str],
    at: datetime,
) -> Replay | None:
    """Keep the answer under the key; return the earlier one if another request was first."""
    to_insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    inserted = tx.execute(
        to_insert(idempotency)
        .values(
            owner_id=owner_id,
            key=attempted.key,
            digest=vault.digest(_PURPOSE, attempted.canonical),
            status=status,
            answer=answer,
            message_ids=list(message_ids),
            created_at=at,
        )
        .on_conflict_do_nothing()
    )
    return None if inserted.rowcount else find_replay(tx, vault, owner_id, attempted)


def _replay(vault: Vault, row: Row[Any], attempted: Attempted) -> Replay:
    if not vault.matches(_PURPOSE, attempted.canonical, row.digest):
        raise Refused(
            "This Idempotency-Key was used for another request; take a new key.",
            code="idempotency_key_reused",
            faults=[
                Fault("", "idempotency_key_reused", "The body differs from the one sent before.")
            ],
        )
    return Replay(row.status, row.answer, tuple(row.message_ids))
