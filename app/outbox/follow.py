"""What a change of a configuration means for the mail that waits.

Doors call these in the transaction of the change itself, after the verb of the configuration room:
a corrected password or server is tried at once, mail of a removed configuration is held.
"""

from datetime import datetime

from sqlalchemy.engine import Connection

from app.outbox.health import close_breaker


def configuration_changed(tx: Connection, account_id: str, at: datetime) -> None:
    """Forget the account's trouble: what was saved is worth a try."""
    close_breaker(tx, account_id)


def configuration_removed(tx: Connection, scope: str, account_id: str, at: datetime) -> None:
    """Take notice that ``scope`` has no configuration any more."""
    close_breaker(tx, account_id)
