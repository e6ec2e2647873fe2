"""After a rotation of the key ring: every stored secret sealed with the new key."""

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from app.configuration.reseal import reseal
from app.configuration.secrets import reseal_for_target
from app.outbox.accept import smtp_password_place
from app.outbox.tables import message
from app.vault import Vault


def reseal_all(tx: Connection, vault: Vault) -> int:
    """Reseal configurations' and waiting messages' passwords; return how many."""
    count = reseal(tx, vault)
    waiting = tx.execute(
        select(message.c.id, message.c.smtp_password).where(message.c.smtp_password.is_not(None))
    ).all()
    for row in waiting:
        sealed = reseal_for_target(vault, row.smtp_password, smtp_password_place(row.id))
        if sealed is not None:
            tx.execute(update(message).where(message.c.id == row.id).values(smtp_password=sealed))
            count += 1
    return count
