"""One mail that came in: stored, connected with what it is about, and applied; one transaction.

The same mail changes nothing a second time: neither under its uid nor, as a report that a server sent
twice, under another one. What it may move is locked first, as every verb does it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.configuration.model import StoredAccount
from app.db import new_id
from app.inbox.about import choose_reference, find_about
from app.inbox.answers import note_answer
from app.inbox.auto_reply import plan_reply
from app.inbox.entry import describe, read_answer
from app.inbox.reports import apply_report
from app.inbox.tables import incoming, incoming_body
from app.mime.incoming import Incoming
from app.outbox.events import publish
from app.outbox.rows import lock_message
from app.vault import Vault


def take_in(
    tx: Connection,
    vault: Vault,
    stored: StoredAccount,
    uid: str,
    raw: bytes,
    read: Incoming,
    at: datetime,
    *,
    answer: str | None = None,
    size_bytes: int | None = None,
) -> str | None:
    """Take in a mail of this account's mailbox; return its id, or None where it is stored already.

    uid: ``<uidvalidity>:<uid>``, or POP3's unique id. answer: ``read_answer(read)``, where it was
    read before. size_bytes: of the mail, where ``raw`` is not all of it.
    """
    known = select(incoming.c.id).where(incoming.c.account_id == stored.id, incoming.c.uid == uid)
    if tx.execute(known).first() is not None:
        return None
    about = find_about(tx, vault, stored, read)
    row = None if about is None else lock_message(tx, about.message_id)
    is_verified = about is not None and about.is_verified and row is not None
    values = describe(read, read_answer(read) if answer is None else answer, at) | {
        "id": new_id(at),
        "account_id": stored.id,
        "uid": uid,
        "size_bytes": len(raw) if size_bytes is None else size_bytes,
        "about_id": row.id if row else None,
        "is_verified": is_verified,
        **choose_reference(stored, row, is_report=read.report is not None),
        **plan_reply(tx, stored, read, at),
    }
    is_repeated = row is not None and _is_known_report(tx, values)
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    fresh = insert(incoming).values(values).on_conflict_do_nothing().returning(incoming.c.id)
    if tx.execute(fresh).first() is None:
        return None
    tx.execute(incoming_body.insert().values(incoming_id=values["id"], raw=raw))
    _tell(tx, stored, values, row, at)
    if row is not None and is_verified and not is_repeated:
        if read.report is not None:
            apply_report(tx, row, values["id"], values["report"], at)
        else:
            note_answer(tx, row.id, values, at)
    return str(values["id"])


def _is_known_report(tx: Connection, values: dict[str, Any]) -> bool:
    """Whether this report came before, in another mailbox or under another uid."""
    if values["report"] is None:
        return False
    query = select(incoming.c.report, incoming.c.is_verified).where(
        incoming.c.about_id == values["about_id"],
        incoming.c.kind == values["kind"],
        incoming.c.message_id == values["message_id"],
    )
    return any(each.is_verified and each.report == values["report"] for each in tx.execute(query))


def _tell(
    tx: Connection,
    stored: StoredAccount,
    values: dict[str, Any],
    row: Row[Any] | None,
    at: datetime,
) -> None:
    told = {
        "id": values["id"],
        "account": stored.id,
        "kind": values["kind"],
        "from": values["sender_address"],
        "subject": values["subject"],
        "message": values["about_id"],
        "verified": values["is_verified"],
    }
    kinds = ["inbox.received"]
    if values["report"] is not None:
        kinds.append("inbox.report")
    elif row is not None:
        kinds.append("inbox.answer")
    for each in kinds:
        publish(tx, each, told, at=at, user=stored.user_id, message_id=values["about_id"])
