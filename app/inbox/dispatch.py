"""Mail that the inbox has sent: by the ordinary way, in a transaction that the caller may add to."""

from collections.abc import Callable

from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.outbox.accept import store
from app.outbox.check import ask_ground
from app.outbox.office import Office
from app.outbox.order import Order
from app.outbox.prepare import Prepared, prepare


async def dispatch(
    office: Office, caller: Caller, order: Order, may_go: Callable[[Connection], bool]
) -> Prepared | None:
    """Have a message accepted; None where ``may_go``, asked in the transaction that stores it, says
    no. Raises what ``prepare`` and ``ask_ground`` raise."""
    prepared = await prepare(office, order, await ask_ground(office, order))
    return prepared if await post(office, caller, prepared, may_go) else None


async def post(
    office: Office, caller: Caller, prepared: Prepared, may_go: Callable[[Connection], bool]
) -> bool:
    """Accept a finished message; False where ``may_go`` says no."""

    def run(tx: Connection) -> bool:
        if not may_go(tx):
            return False
        store(tx, office.vault, [(caller, prepared)], office.settings.delivery)
        return True

    is_stored = await office.db.write(run)
    office.db.ring()
    return is_stored
