"""From a form to an accepted message: the same verbs as ``POST /send``, once for each form.

``once`` is the form's own word: the same form sent twice is one message; another content under the
same word is refused (``idempotency_key_reused``).
"""

from collections.abc import Mapping
from dataclasses import replace

from app.errors import Fault
from app.outbox.accept import Acceptance, accept
from app.outbox.check import ask_ground, await_ground
from app.outbox.idempotency import Answered, Attempted, find_each_replay, make_canonical
from app.outbox.order import Order
from app.outbox.prepare import prepare
from app.web.visit import Visit

_ALONE_BYTES = 1024 * 1024  # a large message alone: others' commits must not wait behind it


async def send_order(
    visit: Visit,
    order: Order,
    faults: list[Fault],
    *,
    once: str,
    fields: Mapping[str, str] | None = None,
    as_draft: bool = False,
) -> str:
    """Store a message, or a draft for a mail program; return its id.

    faults: what was found in the form already. fields: what the form said.
    Raises ``Refused`` with all that is wrong, ``TooLarge``, ``Conflict``.
    """
    office, caller = visit.office, visit.caller
    caller.require("admin", "sender", "user")
    said = {"draft": as_draft, **(fields or {"order": repr(order)})}
    canonical = make_canonical("page", said, [part.content for part in order.attachments])
    attempted = Attempted(f"page:{once[:100]}", canonical) if once else None
    if attempted is not None:
        question = (office.vault, caller.owner_id, attempted)
        replay = await office.db.ask_merged(find_each_replay, question)
        if replay is not None and isinstance(replay, Answered):
            return replay.message_ids[0]
    ground = await await_ground(ask_ground(office, order), faults)
    if as_draft:
        ground = replace(ground, resolved=replace(ground.resolved, mode="draft"))
    prepared = await prepare(office, order, ground, faults=faults)
    answered = Answered(201 if prepared.is_draft else 202, {"id": prepared.id}, (prepared.id,))
    acceptance = Acceptance(office, caller, prepared, answered, attempted)
    alone = len(prepared.composed.raw) > _ALONE_BYTES
    first = await office.db.write_merged(accept, acceptance, alone=alone)
    office.db.ring()
    return (first if isinstance(first, Answered) else answered).message_ids[0]
