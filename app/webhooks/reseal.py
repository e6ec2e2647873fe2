"""After a rotation of the key ring: every webhook's secret sealed with the new key."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from app.db import lock_rows
from app.vault import Vault
from app.webhooks.queue import place_secret
from app.webhooks.tables import webhook


def reseal_webhooks(tx: Connection, vault: Vault) -> int:
    """Seal again what an older key sealed; return how many secrets that were."""
    done = 0
    for row in tx.execute(lock_rows(tx, select(webhook).order_by(webhook.c.id))).all():
        changed: dict[str, Any] = {}
        for column in ("secret", "old_secret"):
            sealed, place = row._mapping[column], place_secret(row.id, column)
            if sealed is not None and not vault.is_current(sealed):
                changed[column] = vault.seal(vault.open(sealed, place), place)
        if changed:
            tx.execute(update(webhook).where(webhook.c.id == row.id).values(**changed))
            done += len(changed)
    return done
