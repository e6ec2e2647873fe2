"""The database knows its key ring: met with another one, a process refuses to start."""

from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection

from app.accounts.tables import installation
from app.db import lock_table
from app.errors import Conflict
from app.vault import CannotOpen, Vault

_PLACE = "installation:1:canary"


def check_key_ring(tx: Connection, vault: Vault, at: datetime) -> None:
    """Raise ``Conflict`` where the ring is not this database's; remember it at the first start."""
    lock_table(tx, installation)
    canary = tx.scalar(select(installation.c.canary).where(installation.c.id == 1))
    if canary is None:
        sealed = vault.seal("awizo", _PLACE)
        tx.execute(insert(installation).values(id=1, canary=sealed, created_at=at))
        return
    try:
        vault.open(canary, _PLACE)
    except CannotOpen:
        raise Conflict(
            "This database was set up with another key ring: its stored passwords cannot be read "
            "with this one. Put the ring of the backup back (AWIZO_KEY_RING_FILE, or keyring.json "
            "in the data directory) and start again.",
            code="wrong_key_ring",
        ) from None
