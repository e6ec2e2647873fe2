"""How often something may be done, counted in the database, so that it holds across processes."""

import math
from datetime import datetime

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.errors import Throttled
from app.outbox.tables import allowance

_MINUTE_S = 60


def take(tx: Connection, subject: str, *, most: int, at: datetime) -> None:
    """Count one use of ``subject`` in the minute of ``at``; raise ``Throttled`` past ``most``.

    Minutes are fixed windows that begin with the clock's. Callers that take several subjects take
    them in the same order, so that they never wait for each other in a circle.
    """
    second = at.timestamp()
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    used = tx.scalar(
        insert(allowance)
        .values(subject=subject, minute=int(second) // _MINUTE_S, used=1)
        .on_conflict_do_update(
            index_elements=[allowance.c.subject, allowance.c.minute],
            set_={"used": allowance.c.used + 1},
        )
        .returning(allowance.c.used)
    )
    if used is not None and used > most:
        wait_s = math.ceil(_MINUTE_S - second % _MINUTE_S)
        raise Throttled(
            f"At most {most} a minute; try again in {wait_s} s.", retry_after_s=max(1, wait_s)
        )
