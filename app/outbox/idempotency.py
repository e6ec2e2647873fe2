"""Idempotency-Key: the same request twice is one message and the same answer.

The body is remembered as an HMAC over canonical JSON (null members left out, because null equals
absent) and the SHA-256 of each part; the content itself is not kept. Only successes are
remembered. The HMAC names its key, so it holds across a rotation of the key ring.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.errors import AwizoError, Fault, Refused
from app.outbox.tables import idempotency
from app.vault import Vault

_PURPOSE = "idempotency"
_LONG = 1024  # characters; longer texts are attachments and bodies, hashed by themselves


@dataclass(frozen=True, slots=True)
class Attempted:
    """One request under a key. canonical: what ``make_canonical`` returned."""

    key: str
    canonical: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request was answered, and the messages that came of it."""

    status: int
    body: dict[str, Any]
    message_ids: tuple[str, ...]


def make_canonical(
    request: str, body: object, parts: Sequence[bytes] = (), seen: dict[int, str] | None = None
) -> bytes:
    """Return a digest of a request: its kind (``send``), its JSON body, its file parts.

    Two bodies that mean the same (order of members, null or absent) are equal. seen: digests of
    long texts by their ``id``, for many bodies that share some; the caller keeps those texts.
    """
    canonical = _make_canonical(body, {} if seen is None else seen)
    whole = hashlib.sha256(request.encode())
    whole.update(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode())
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.digest()


def _make_canonical(value: object, seen: dict[int, str]) -> object:
    if isinstance(value, str) and len(value) > _LONG:
        if id(value) not in seen:
            # NUL: no other text of a request begins like this
            seen[id(value)] = "\0" + hashlib.sha256(value.encode()).hexdigest()
        return seen[id(value)]
    if isinstance(value, Mapping):
        return {
            name: _make_canonical(each, seen) for name, each in value.items() if each is not None
        }
    if isinstance(value, list):
        return [_make_canonical(each, seen) for each in value]
    return value


def find_each_replay(
    tx: Connection, asked: Sequence[tuple[Vault, str, Attempted]]
) -> list[Answered | AwizoError | None]:
    """Return the answer each key was given, if it was, or what is wrong with asking again.

    asked: the vault, the owner, the attempt. Merged verb (``db.ask_merged``).
    """
    keys: dict[str, set[str]] = {}
    for _, owner_id, attempted in asked:
        keys.setdefault(owner_id, set()).add(attempted.key)
    rows = {
        (owner_id, row.key): row
        for owner_id, own in keys.items()
        for row in _read(tx, owner_id, own)
    }
    return [
        _replay(vault, rows[owner_id, attempted.key], attempted)
        if (owner_id, attempted.key) in rows
        else None
        for vault, owner_id, attempted in asked
    ]


def find_replays(
    tx: Connection, vault: Vault, owner_id: str, attempts: Sequence[Attempted]
) -> dict[str, Answered | Refused]:
    """Return by key what those of ``attempts`` that were answered before were answered."""
    by_key = {each.key: each for each in attempts}
    return {row.key: _replay(vault, row, by_key[row.key]) for row in _read(tx, owner_id, by_key)}


def remember(
    tx: Connection,
    vault: Vault,
    owner_id: str,
    answers: Sequence[tuple[Attempted, Answered]],
    at: datetime,
) -> dict[str, Answered | Refused]:
    """Keep what each key is answered; return, by key, what others were answered before."""
    to_insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    rows = [
        {
            "owner_id": owner_id,
            "key": attempted.key,
            "digest": vault.digest(_PURPOSE, attempted.canonical),
            "status": answer.status,
            "answer": answer.body,
            "message_ids": list(answer.message_ids),
            "created_at": at,
        }
        # One order everywhere: two requests with the same keys wait for each other, not in a ring.
        for attempted, answer in sorted(answers, key=lambda each: each[0].key)
    ]
    kept = to_insert(idempotency).on_conflict_do_nothing().returning(idempotency.c.key)
    fresh = set(tx.scalars(kept, rows))
    taken = [attempted for attempted, _ in answers if attempted.key not in fresh]
    return find_replays(tx, vault, owner_id, taken) if taken else {}


def _read(tx: Connection, owner_id: str, keys: Iterable[str]) -> Sequence[Row[Any]]:
    wanted = (idempotency.c.owner_id == owner_id, idempotency.c.key.in_(list(keys)))
    return tx.execute(select(idempotency).where(*wanted)).all()


def _replay(vault: Vault, row: Row[Any], attempted: Attempted) -> Answered | Refused:
    if vault.matches(_PURPOSE, attempted.canonical, row.digest):
        return Answered(row.status, row.answer, tuple(row.message_ids))
    return Refused(
        "This Idempotency-Key was used for another request; take a new key.",
        faults=[Fault("", "idempotency_key_reused", "The body differs from the one sent before.")],
    )
