"""Telling people that a message was not answered in time: once, by mail and as an event.

The mail is composed first, then accepted in the transaction that notes the alert, so that neither is
without the other. Whoever cannot be told by mail, because the configuration cannot send, leaves the
event alone. A message that is still on its way is looked at again.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Row, select, update
from sqlalchemy.engine import Connection

from app.accounts.audit import SYSTEM
from app.configuration.load import load_account
from app.configuration.model import DEFAULT_LANGUAGE, StoredAccount, read_mailboxes
from app.errors import AwizoError, Unavailable
from app.inbox.dispatch import dispatch
from app.outbox.answer_watch import answer_watch
from app.outbox.events import Note, record
from app.outbox.office import Office
from app.outbox.order import Order, Reference
from app.outbox.status import SENT
from app.outbox.tables import message, recipient
from app.templates_engine.values import DateValue, TextValue

_MOST_AT_ONCE = 100
_WORDS: Mapping[str, tuple[str, str]] = {
    "pl": (
        "Brak odpowiedzi: {topic}",
        "Nikt nie odpowiedział na czas.\n\nTemat: {topic}\nDo: {receivers}\nWysłano: {written at}\n"
        "Dokument: {document}\nWiadomość: {identifier}",
    ),
    "fr": (
        "Sans réponse : {topic}",
        "Personne n'a répondu à temps.\n\nObjet : {topic}\nÀ : {receivers}\nEnvoyé : {written at}\n"
        "Document : {document}\nMessage : {identifier}",
    ),
    "en": (
        "No answer: {topic}",
        "Nobody answered in time.\n\nSubject: {topic}\nTo: {receivers}\nSent: {written at}\n"
        "Document: {document}\nMessage: {identifier}",
    ),
}
_log = structlog.get_logger()


def find_unanswered(tx: Connection, at: datetime) -> list[str]:
    """Return the messages that went out and should have been answered by now."""
    query = (
        select(answer_watch.c.message_id)
        .join(message, message.c.id == answer_watch.c.message_id)
        .where(_IS_OPEN, answer_watch.c.due_at <= at, message.c.status.in_(SENT))
    )
    return list(tx.scalars(query.order_by(answer_watch.c.due_at).limit(_MOST_AT_ONCE)))


async def alert(office: Office, message_id: str) -> None:
    """Tell whom the account names, once, that nobody answered a message."""
    found = await office.db.read(_read, message_id)
    if found is None:
        return
    row, stored, addresses = found
    order = _make_order(row, stored, addresses, office.settings.public_url)
    at = office.clock()
    if order is not None:
        try:
            await dispatch(office, SYSTEM, order, lambda tx: _note(tx, row, stored, at))
            return
        except Unavailable:
            raise
        except AwizoError as error:
            _log.warning("alert_not_sent", message=message_id, detail=error.detail)
    await office.db.write(_note, row, stored, at)


_IS_OPEN = answer_watch.c.answered_at.is_(None) & answer_watch.c.alerted_at.is_(None)


def _read(tx: Connection, message_id: str) -> tuple[Row[Any], StoredAccount, list[str]] | None:
    row = tx.execute(select(message).where(message.c.id == message_id)).first()
    watched = select(answer_watch.c.account_id).where(answer_watch.c.message_id == message_id)
    account_id = tx.scalar(watched)
    stored = load_account(tx, account_id) if account_id else None
    if row is None or stored is None:
        return None
    shown = select(recipient.c.address).where(
        recipient.c.message_id == message_id, recipient.c.kind != "bcc"
    )
    return row, stored, list(tx.scalars(shown.order_by(recipient.c.position)))


def _note(tx: Connection, row: Row[Any], stored: StoredAccount, at: datetime) -> bool:
    """Note the alert; False where it was noted, or answered, meanwhile."""
    mine = (answer_watch.c.message_id == row.id) & _IS_OPEN
    if not tx.execute(update(answer_watch).where(mine).values(alerted_at=at)).rowcount:
        return False
    told = {"account": stored.id, "subject": row.subject}
    record(tx, [Note("message.unanswered", row.id, row.owner_id, row.user_id, at, data=told)])
    return True


def _make_order(
    row: Row[Any], stored: StoredAccount, addresses: list[str], public_url: str | None
) -> Order | None:
    wish = stored.document.get("answer_alert") or {}
    to = read_mailboxes(wish.get("to", []))
    if not to or stored.removed_at is not None:
        return None
    language = str(stored.document.get("language") or DEFAULT_LANGUAGE)
    language = language if language in _WORDS else "en"
    subject, body = _WORDS[language]
    zone = (wish.get("hours") or {}).get("timezone", "UTC")
    written_at = row.created_at.astimezone(ZoneInfo(zone))
    document = (row.reference_type, row.reference_number, row.reference_customer)
    values = {
        "topic": row.subject,
        "receivers": ", ".join(addresses[:20]),
        "written at": f"{DateValue(written_at.date()).write(language)} {written_at:%H:%M} ({zone})",
        "document": " ".join(each for each in document if each) or "–",
        "identifier": f"{public_url}/ui/messages/{row.id}" if public_url else row.id,
    }
    return Order(
        to=to,
        user=stored.user_id,
        account=stored.id,
        language=language,
        subject=subject,
        body=body,
        strict_macros=False,
        macros={name: TextValue(text) for name, text in values.items()},
        notifications=(),
        read_receipt=False,
        reference=Reference(*document),
        auto_submitted="auto-generated",
        quotes=row.id,
    )
