"""What an account would answer to a mail, and whether: by the code that answers, storing nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.configuration.auto_reply import advise_on_auto_reply, parse_auto_reply, read_auto_reply
from app.configuration.model import StoredAccount
from app.configuration.resolve import Resolved, look_up
from app.errors import Fault, Missing, Notice, Refused, refuse
from app.inbox.answerable import Reason, find_target, list_mine
from app.inbox.auto_reply import find_refusal
from app.inbox.reply_text import ReplyGround, prepare_reply, read_reference
from app.inbox.tables import incoming, incoming_body
from app.mime.incoming import Incoming, read_incoming
from app.outbox.office import Office
from app.outbox.order import Reference
from app.outbox.prepare import Prepared


@dataclass(frozen=True, slots=True)
class Sample:
    """A mail made up. to: None is the account's own address. headers: further fields by name."""

    from_: str = "Jan Kowalski <jan@klient.example>"
    to: str | None = None
    subject: str = "Oferta"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is tried. settings: unsaved ones; None: those that are stored. mail: the id of one that
    came in, or a sample."""

    settings: Mapping[str, Any] | None
    mail: str | Sample


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be answered; None where the mail names nobody. reason: why it would not go out."""

    prepared: Prepared | None
    reason: Reason | None
    notices: tuple[Notice, ...]


async def preview_reply(office: Office, stored: StoredAccount, asked: Asked) -> Preview:
    """Return what the account answers to a mail.

    Raises ``Refused`` for what is wrong with the settings or the text (pointers in ``/auto_reply``),
    ``Missing`` ``incoming_not_found``, and what sending raises.
    """
    stored = _take_settings(stored, asked.settings)
    wish = parse_auto_reply(stored.document.get("auto_reply"))
    if not wish.body.strip():
        detail = "Nothing is set up for this account; give auto_reply with a body."
        raise Refused(detail, faults=[Fault("/auto_reply/body", "required", detail)])

    def read(tx: Connection) -> tuple[Incoming, Reference, Reason | None, Resolved | None]:
        mail, reference = _read_mail(tx, stored, asked)
        reason = find_refusal(tx, stored, mail, office.clock())
        return mail, reference, reason, look_up(tx, stored.user_id, stored.id)

    mail, reference, reason, resolved = await office.db.read(read)
    target = find_target(mail) or mail.from_
    prepared, trials = None, replace(office, jinja=office.jinja_trials)
    if target is not None and resolved is not None:
        try:
            ground = ReplyGround(stored, resolved, mail, target, reference)
            prepared = await prepare_reply(trials, ground)
        except Refused as error:
            raise _point_at_text(error) from None
    notices = advise_on_auto_reply(stored.document)
    return Preview(prepared, reason, (*notices, *(prepared.warnings if prepared else ())))


def _take_settings(stored: StoredAccount, given: Mapping[str, Any] | None) -> StoredAccount:
    if given is None:
        return stored
    faults: list[Fault] = []
    read = read_auto_reply(given, "/auto_reply", faults)
    refuse(faults)
    return replace(stored, document={**stored.document, "auto_reply": read})


def _read_mail(tx: Connection, stored: StoredAccount, asked: Asked) -> tuple[Incoming, Reference]:
    if isinstance(asked.mail, Sample):
        return read_incoming(_write_sample(asked.mail, stored)), Reference()
    query = select(incoming, incoming_body.c.raw).join(incoming_body)
    mine = (incoming.c.id == asked.mail) & (incoming.c.account_id == stored.id)
    row = tx.execute(query.where(mine)).first()
    if row is None:
        raise Missing("There is no such mail in this account.", code="incoming_not_found")
    return read_incoming(bytes(row.raw)), read_reference(row)


def _write_sample(sample: Sample, stored: StoredAccount) -> bytes:
    """Return a mail as a mailbox would hold it; nothing in a field ends it."""
    to = sample.to
    if to is None:
        own = stored.document.get("sender", {}).get("address")
        to = own or min(list_mine(stored).keys, default="")
    fields = {"From": sample.from_, "To": to, "Subject": sample.subject, **sample.headers}
    head = "".join(f"{name}: {' '.join(value.split())}\r\n" for name, value in fields.items())
    return f"{head}\r\nDzień dobry\r\n".encode("utf-8", "replace")


def _point_at_text(error: Refused) -> Refused:
    """What is wrong with the order is wrong with the text that it was made of."""
    known = ("/subject", "/body", "/macros")
    faults = [
        replace(each, pointer=f"/auto_reply{each.pointer}")
        if each.pointer.startswith(known)
        else each
        for each in error.faults
    ]
    return Refused(error.detail, faults=faults)
