"""Seal every password of the configurations anew after the key ring was rotated."""

from sqlalchemy import or_, select, update
from sqlalchemy.engine import Connection

from app.configuration.consent_tokens import reseal_consents
from app.configuration.load import (
    place_attachment_password,
    place_incoming_password,
    place_password,
)
from app.configuration.secrets import reseal_for_target
from app.configuration.tables import account
from app.db import lock_rows
from app.vault import Vault


def reseal(tx: Connection, vault: Vault) -> int:
    """Re-seal what an older key made; return how many secrets that were.

    Raises ``CannotOpen`` for one that does not open at all: then nothing is changed.
    """
    query = select(account).where(
        or_(
            account.c.password.is_not(None),
            account.c.incoming_password.is_not(None),
            account.c.attachment_password.is_not(None),
        )
    )
    done = 0
    for row in tx.execute(lock_rows(tx, query.order_by(account.c.id))).all():
        changed: dict[str, bytes] = {}
        for column, place in (
            ("password", place_password(row.id)),
            ("incoming_password", place_incoming_password(row.id)),
        ):
            sealed = row._mapping[column]
            again = None if sealed is None else reseal_for_target(vault, sealed, place)
            if again is not None:
                changed[column] = again
        sealed, place = row.attachment_password, place_attachment_password(row.id)
        if sealed is not None and not vault.is_current(sealed):
            changed["attachment_password"] = vault.seal(vault.open(sealed, place), place)
        if changed:
            tx.execute(update(account).where(account.c.id == row.id).values(**changed))
            done += len(changed)
    return done + reseal_consents(tx, vault)
