"""A mail that came in, sent on to a colleague: as an order for the ordinary way out.

The whole mail goes along as a file, so that nothing of it is lost; its words stand in the text as what
they are, quoted. They are given as macros: what a stranger writes is never a template.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.errors import Fault, refuse
from app.inbox.dispatch import dispatch
from app.inbox.find import find_incoming, read_raw
from app.mime.address import Mailbox, parse_mailboxes
from app.mime.outgoing import keep_references
from app.mime.protect import Plain
from app.outbox.office import Office
from app.outbox.order import Order, Reference
from app.outbox.prepare import Prepared
from app.templates_engine.values import TextValue

_LINES = "{note}\n\nFrom: {writer}\nDate: {written at}\nSubject: {topic}\n\n{quoted}"
_MOST_QUOTED_CHARS = 20_000


def make_forward(
    row: Row[Any], raw: bytes, *, to: tuple[Mailbox, ...], note: str, user: str | None
) -> Order:
    """Return the order that sends the stored mail ``row`` on, through the account it came to."""
    name, address = row.sender_name, row.sender_address
    quoted = "\n".join(f"> {line}" for line in row.text[:_MOST_QUOTED_CHARS].split("\n"))
    written_at = (row.sent_at or row.received_at).isoformat(" ", "minutes")
    values = {
        "note": note,
        "topic": row.subject,
        "writer": f"{name} <{address}>" if name else address,
        "written at": written_at,
        "quoted": quoted,
    }
    return Order(
        to=to,
        user=user,
        account=row.account_id,
        subject="Fwd: {topic}",
        body=_LINES,
        strict_macros=False,
        macros={name: TextValue(text) for name, text in values.items()},
        attachments=(Plain(f"{row.id}.eml", "message/rfc822", raw, protect="none"),),
        reference=Reference(row.reference_type, row.reference_number, row.reference_customer),
        references=keep_references((row.message_id or "",)),
        answer_within_min=0,
        quotes=row.id,
    )


async def forward(
    office: Office,
    caller: Caller,
    incoming_id: str,
    *,
    to: object,
    note: str,
    as_user: str | None,
    faults: Sequence[Fault] = (),
) -> Prepared:
    """Send a mail on, as ``as_user`` or, where None, as the caller's own user.

    faults: what the door found already. Raises ``Refused`` with these and those at ``/to``,
    ``Missing`` where the caller may not read the mail, ``Denied`` where they may not send with its
    account, and what ``dispatch`` raises.
    """
    mailboxes, wrong = parse_mailboxes(to, "/to")
    if not mailboxes and not wrong:
        wrong = (Fault("/to", "required", "Say to whom it goes."),)
    named = {each.pointer for each in faults}
    refuse([*faults, *(each for each in wrong if each.pointer not in named)])

    def read(tx: Connection) -> tuple[Row[Any], bytes]:
        row = find_incoming(tx, caller, incoming_id)
        return row, read_raw(tx, caller, incoming_id)

    user = caller.acts_as(as_user)
    row, raw = await office.db.read(read)
    order = make_forward(row, raw, to=mailboxes, note=note, user=user)

    def record(tx: Connection) -> bool:
        told = {"to": [each.address for each in mailboxes]}
        audit.record(tx, caller, "inbox.forward", f"inbox/{row.id}", None, told, office.clock())
        return True

    prepared = await dispatch(office, caller, order, record)
    assert prepared is not None
    return prepared
