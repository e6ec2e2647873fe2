"""Making, changing and ending webhooks; every change stands in the audit trail, no secret does.

Switching one on, by hand or after it was switched off by itself, has it go on where it stopped, and
so does saving another URL: what waits is due at once.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.db import lock_rows, lock_table, new_id, now
from app.errors import Conflict, Missing
from app.vault import Vault
from app.webhooks.collect import find_present
from app.webhooks.queue import place_secret
from app.webhooks.settle import hasten
from app.webhooks.sign import mint_secret
from app.webhooks.tables import webhook, webhook_delivery
from app.webhooks.wishes import Wish, check_wish
from app.wire.address_policy import AddressPolicy

MOST_WEBHOOKS = 50


def create_webhook(
    tx: Connection, vault: Vault, caller: Caller, wish: Wish, policy: AddressPolicy, at: datetime
) -> tuple[Row[Any], str]:
    """Store a webhook that is told what happens from now on; return it and its secret."""
    check_wish(wish, policy)
    lock_table(tx, webhook)  # two that are made at once count each other
    if (tx.scalar(select(func.count()).select_from(webhook)) or 0) >= MOST_WEBHOOKS:
        raise Conflict(f"There are {MOST_WEBHOOKS} webhooks already.", code="too_many_webhooks")
    webhook_id, secret = new_id(at), mint_secret()
    txid, number = find_present(tx)
    row = tx.execute(
        insert(webhook)
        .values(
            id=webhook_id,
            version=1,
            **_set(wish),
            secret=vault.seal(secret, place_secret(webhook_id)),
            feed_txid=txid,
            feed_number=number,
            missed=0,
            failures=0,
            created_at=at,
            updated_at=at,
        )
        .returning(webhook)
    ).one()
    _record(tx, caller, "create", webhook_id, None, _describe(row), at)
    return row, secret


def change_webhook(
    tx: Connection,
    caller: Caller,
    webhook_id: str,
    change: Callable[[Row[Any]], Wish],
    policy: AddressPolicy,
    at: datetime,
) -> Row[Any]:
    """Store what ``change`` makes of the present row; it may raise, then nothing is changed."""
    before = lock_webhook(tx, webhook_id)
    wish = change(before)
    check_wish(wish, policy)
    values: dict[str, Any] = _set(wish)
    if wish.enabled and not before.enabled:
        values |= {"disabled_reason": None}
    if (wish.enabled and not before.enabled) or wish.url != before.url:
        values |= {"failures": 0, "error": None}
        hasten(tx, webhook_id, now(tx))
    after = _store(tx, before, at, **values)
    _record(tx, caller, "put", webhook_id, _describe(before), _describe(after), at)
    return after


def resume_webhook(
    tx: Connection, caller: Caller, webhook_id: str, *, skip_missed: bool, at: datetime
) -> Row[Any]:
    """Switch a webhook on; ``skip_missed`` gives up what waits and goes on from now."""
    before = lock_webhook(tx, webhook_id)
    values: dict[str, Any] = {"enabled": True, "disabled_reason": None, "failures": 0}
    if skip_missed:
        txid, number = find_present(tx)
        values |= {"feed_txid": txid, "feed_number": number}
        tx.execute(
            update(webhook_delivery)
            .where(
                webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.due_at.is_not(None)
            )
            .values(state="given_up", due_at=None, claimed_by=None, lease_until=None, ended_at=at)
        )
    else:
        hasten(tx, webhook_id, now(tx))
    after = _store(tx, before, at, error=None, **values)
    what = {"enabled": True, "skip_missed": skip_missed}
    _record(tx, caller, "resume", webhook_id, {"enabled": before.enabled}, what, at)
    return after


def rotate_secret(
    tx: Connection, vault: Vault, caller: Caller, webhook_id: str, *, overlap_s: float, at: datetime
) -> tuple[Row[Any], str]:
    """Give a webhook a new secret; until the overlap ends the one before signs, too.

    Of several rotations within one overlap only the last two secrets sign.
    """
    before = lock_webhook(tx, webhook_id)
    secret = mint_secret()
    values: dict[str, Any] = {"old_secret": None, "old_secret_until": None}
    if overlap_s:
        old = vault.open(before.secret, place_secret(webhook_id))
        values = {
            "old_secret": vault.seal(old, place_secret(webhook_id, "old_secret")),
            "old_secret_until": at + timedelta(seconds=overlap_s),
        }
    sealed = vault.seal(secret, place_secret(webhook_id))
    after = _store(tx, before, at, secret=sealed, **values)
    _record(tx, caller, "rotate_secret", webhook_id, None, {"overlap_s": overlap_s}, at)
    return after, secret


def delete_webhook(tx: Connection, caller: Caller, webhook_id: str, at: datetime) -> None:
    """Forget a webhook with its log; what waits is not sent."""
    before = lock_webhook(tx, webhook_id)
    tx.execute(delete(webhook).where(webhook.c.id == webhook_id))
    _record(tx, caller, "delete", webhook_id, _describe(before), None, at)


def lock_webhook(tx: Connection, webhook_id: str) -> Row[Any]:
    """Return a webhook, locked; raise ``Missing`` where there is none."""
    row = tx.execute(lock_rows(tx, select(webhook).where(webhook.c.id == webhook_id))).first()
    if row is None:
        raise missing_webhook()
    return row


def missing_webhook() -> Missing:
    """Return the error for an unknown id."""
    return Missing("There is no such webhook.", code="webhook_not_found")


def _store(tx: Connection, before: Row[Any], at: datetime, **values: Any) -> Row[Any]:
    return tx.execute(
        update(webhook)
        .where(webhook.c.id == before.id)
        .values(version=before.version + 1, updated_at=at, **values)
        .returning(webhook)
    ).one()


def _set(wish: Wish) -> dict[str, Any]:
    return {
        "url": wish.url,
        "events": list(wish.events),
        "name": wish.name,
        "user_id": wish.user,
        "enabled": wish.enabled,
    }


def _describe(row: Row[Any]) -> dict[str, Any]:
    return {
        "url": row.url,
        "events": row.events,
        "name": row.name,
        "user": row.user_id,
        "enabled": row.enabled,
    }


def _record(
    tx: Connection,
    caller: Caller,
    action: str,
    webhook_id: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    at: datetime,
) -> None:
    audit.record(tx, caller, f"webhook.{action}", f"webhooks/{webhook_id}", before, after, at)
