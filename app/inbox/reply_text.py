"""What an automatic reply says: the account's template, filled with the mail that it answers.

What a stranger wrote is a value, never a template: Jinja's text goes into the message as the value of
a macro, so that nothing in it is filled again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from app.configuration.auto_reply import NAMES, AutoReply, parse_auto_reply
from app.configuration.model import StoredAccount
from app.configuration.resolve import Resolved
from app.errors import Fault, Refused
from app.mime.address import Mailbox
from app.mime.incoming import Incoming
from app.mime.outgoing import keep_references
from app.outbox.check import ask_ground
from app.outbox.office import Office
from app.outbox.order import Order, Reference
from app.outbox.prepare import Prepared, prepare
from app.templates_engine.catalogue import resolve as resolve_macro
from app.templates_engine.values import DateValue, TextValue, pick_language

_LATEST = timedelta(days=1)  # what has not gone out by then is no answer any more
_SUBJECT, _BODY = "automatic reply subject", "automatic reply text"


@dataclass(frozen=True, slots=True)
class ReplyGround:
    """What an answer stands on: the account, the mail, to whom it goes, the document it is about."""

    stored: StoredAccount
    resolved: Resolved
    read: Incoming
    target: Mailbox
    reference: Reference

    @property
    def wish(self) -> AutoReply:
        """What the account answers."""
        return parse_auto_reply(self.stored.document.get("auto_reply"))


async def prepare_reply(office: Office, ground: ReplyGround) -> Prepared:
    """Return the finished answer to a mail, which nothing has stored yet.

    Raises what sending raises, ``Refused`` where Jinja fails or the account only writes drafts.
    """
    order = await _write_reply(office, ground)
    prepared = await prepare(office, order, await ask_ground(office, order))
    if prepared.is_draft:
        raise Refused("The account writes drafts; nothing goes out of it by itself.")
    return prepared


async def _write_reply(office: Office, ground: ReplyGround) -> Order:
    stored, read, wish = ground.stored, ground.read, ground.wish
    values = _list_values(ground, wish, office.clock())
    subject, body = wish.heading, wish.body
    if wish.engine == "jinja":
        sources = {"subject": subject, "body": body}
        texts = await office.jinja.render(sources, values)
        if not texts["body"].strip():
            detail = (
                "For this mail nothing is left of the text; begin with words that always stand."
            )
            raise Refused(detail, faults=[Fault("/body", "reply_is_empty", detail)])
        values = {_SUBJECT: " ".join(texts["subject"].split()), _BODY: texts["body"]}
        subject, body = f"{{{_SUBJECT}}}", f"{{{_BODY}}}"
    name = read.from_.name if read.from_ is not None else ""
    return Order(
        to=(Mailbox(ground.target.address, name),),
        user=stored.user_id,
        account=stored.id,
        subject=subject,
        body=body,
        strict_macros=False,
        macros={resolve_macro(each): TextValue(text) for each, text in values.items()},
        notifications=(),
        read_receipt=False,
        not_after=office.clock() + _LATEST,
        reference=ground.reference,
        in_reply_to=next(iter(keep_references((read.message_id,))), None),
        references=_continue_thread(read),
        auto_submitted="auto-replied",
    )


def read_reference(row: Row[Any]) -> Reference:
    """Return the document of a mail; none where it is guessed: who forges a sender learns nothing."""
    if row.about_id is not None and not (row.is_verified or row.linked_by):
        return Reference()
    return Reference(row.reference_type, row.reference_number, row.reference_customer)


def _list_values(ground: ReplyGround, wish: AutoReply, at: datetime) -> dict[str, str]:
    """Return the value of each of ``NAMES``; "" where there is none."""
    read, reference = ground.read, ground.reference
    sender, ours = read.from_, ground.resolved.sender
    language = pick_language(ground.resolved.language)
    address = sender.address if sender else ""
    name = sender.name if sender else ""
    values: dict[str, Any] = {
        "from": f"{name} <{address}>" if name else address,
        "from_name": name or address,
        "from_address": address,
        "subject": read.subject,
        "date": DateValue((read.date or at).date()).write(language),
        "until": _write_moment(wish.until_at, language),
        "our_name": ours.name or ours.address if ours else "",
        "our_address": ours.address if ours else "",
        "reference_type": reference.type or "",
        "reference_number": reference.number or "",
    }
    return {each: values[each] for each in NAMES}


def _write_moment(at: datetime | None, language: str) -> str:
    """Write a day, with the time where it is not midnight, in the zone in which it was given."""
    if at is None:
        return ""
    day = DateValue(at.date()).write(language)
    return day if (at.hour, at.minute) == (0, 0) else f"{day} {at:%H:%M}"


def _continue_thread(read: Incoming) -> tuple[str, ...]:
    """RFC 5322 §3.6.4: the references of what is answered, then itself."""
    before = read.references or read.in_reply_to[:1]
    return keep_references((*before[-20:], read.message_id))
