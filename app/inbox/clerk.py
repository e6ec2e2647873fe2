"""What the inbox does by itself, in every worker: reports that had to wait, answers that do not come,
automatic replies."""

from collections.abc import Awaitable, Callable, Iterable

import structlog

from app.errors import Unavailable
from app.inbox.alerts import alert, find_unanswered
from app.inbox.auto_reply import find_due_replies, forget_replies, may_forget, reply
from app.inbox.reports import apply_waiting, find_waiting
from app.outbox.office import Office

_log = structlog.get_logger()


async def tidy_up(office: Office) -> None:
    """Do all that is due; of several workers each thing is done by one."""
    db = office.db
    await _each(
        await db.read(find_waiting), lambda each: db.write(apply_waiting, each, office.clock())
    )
    await _each(await db.read(find_unanswered, office.clock()), lambda each: alert(office, each))
    await _each(await db.read(find_due_replies), lambda each: reply(office, each))
    if await db.read(may_forget, office.clock()):
        await db.write(forget_replies, office.clock())


async def _each(ids: Iterable[str], do: Callable[[str], Awaitable[object]]) -> None:
    """Do one after the other; what breaks at one keeps none of the others waiting."""
    for each in ids:
        try:
            await do(each)
        except Unavailable:
            raise
        except Exception as error:
            _log.error("clerk_failed", about=each, exc_info=error)
