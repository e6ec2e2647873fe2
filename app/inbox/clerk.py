"""What the inbox does by itself, in every worker: reports that had to wait, answers that do not come,
automatic replies."""

from app.inbox.alerts import alert, find_unanswered
from app.inbox.auto_reply import find_due_replies, forget_replies, may_forget, reply
from app.inbox.reports import apply_waiting, find_waiting
from app.outbox.office import Office


async def tidy_up(office: Office) -> None:
    """Do all that is due; of several workers each thing is done by one."""
    for incoming_id in await office.db.read(find_waiting):
        await office.db.write(apply_waiting, incoming_id, office.clock())
    for message_id in await office.db.read(find_unanswered, office.clock()):
        await alert(office, message_id)
    for incoming_id in await office.db.read(find_due_replies):
        await reply(office, incoming_id)
    if await office.db.read(may_forget, office.clock()):
        await office.db.write(forget_replies, office.clock())
