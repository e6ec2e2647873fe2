"""Users: the ids of the caller's ERP, and what is known of the person behind each.

An id needs no registration: the first send, configuration, key or PUT that names it makes the row
(``ensure_person``). Name, address and language are optional.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.tables import person
from app.db import lock_rows
from app.errors import Fault, Refused, refuse
from app.mime.address import UNPRINTABLE, parse_mailbox
from app.templates_engine.closing import read_piece

MOST_CHARACTERS = 128
_LANGUAGE = re.compile(
    r"(?:[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,3})?"
)  # RFC 5646, without extensions


@dataclass(frozen=True, slots=True)
class Person:
    """One user. language: a tag such as ``pl``. active_scope: ``global`` or ``personal``.

    signature: ``html`` and ``text``, each where it was given.
    """

    id: str
    name: str | None
    address: str | None
    language: str | None
    active_scope: str
    signature: Mapping[str, str] | None
    created_at: datetime
    updated_at: datetime


def check_user_id(value: str, pointer: str = "") -> str:
    """Return the id in NFC; raise ``Refused`` where it is none (contract §1, Users)."""
    wrong = find_wrong_in_user_id(unicodedata.normalize("NFC", value))
    if wrong:
        raise Refused(wrong, faults=[Fault(pointer, "invalid_user", wrong)])
    return unicodedata.normalize("NFC", value)


def find_wrong_in_user_id(user: str) -> str | None:
    """Return what keeps ``user`` from being a user id, as a sentence."""
    if not 1 <= len(user) <= MOST_CHARACTERS:
        return f"A user id has 1 to {MOST_CHARACTERS} characters."
    if "/" in user:
        return "A user id has no slash."
    # Cc controls, Cs lone surrogates, Zl and Zp line ends; U+FFFD stands for bytes that were no UTF-8.
    if any(
        unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") or each == "\ufffd" for each in user
    ):
        return "A user id has no control characters, and is valid UTF-8."
    # "." and ".." are steps in a URL: clients take them out before they send.
    if not user.strip() or user in (".", ".."):
        return "A user id is more than blanks or dots of a path."
    return None


def ensure_person(tx: Connection, user: str, at: datetime) -> None:
    """Make the user's row where there is none."""
    dialect = sqlite if tx.dialect.name == "sqlite" else postgresql
    tx.execute(
        dialect.insert(person)
        .values(id=user, active_scope="global", created_at=at, updated_at=at)
        .on_conflict_do_nothing()
    )


def read_person(tx: Connection, user: str) -> Person | None:
    """Return what is known of a user, or None before the first use."""
    row = tx.execute(select(person).where(person.c.id == user)).first()
    return None if row is None else _show(row)


def list_people(tx: Connection, *, after: str | None, limit: int) -> Sequence[Person]:
    """Return users in the order of their ids; ``after`` is the last id of the page before."""
    query = select(person).order_by(person.c.id).limit(limit)
    if after is not None:
        query = query.where(person.c.id > after)
    return [_show(row) for row in tx.execute(query)]


def save_person(
    tx: Connection,
    caller: Caller,
    user: str,
    *,
    name: str | None,
    address: object,
    language: str | None,
    signature: object = None,
    at: datetime,
    faults: Sequence[Fault] = (),
) -> Person:
    """Replace what is known of a user, whose row is made where there is none.

    signature: ``{"html", "text"}``, see ``closing.read_piece``; None leaves it as it is, so that an
    ERP that tells names does not take what its users wrote; "" removes it.
    faults: what the door found already. Raises ``Refused`` with them and all that is found here.
    """
    faults = list(faults)
    if name is not None and UNPRINTABLE.search(name):
        faults.append(Fault("/name", "invalid_character", "A name has no control characters."))
    if language is not None and not _LANGUAGE.fullmatch(language):
        faults.append(Fault("/language", "invalid_language", "Give a tag such as pl or fr-CH."))
    mailbox = None
    if address not in (None, ""):
        mailbox, wrong = parse_mailbox(address, "/address")
        faults += wrong
    piece = None if signature is None else read_piece(signature, "/signature", faults)
    refuse(faults)
    ensure_person(tx, user, at)
    query = lock_rows(tx, select(person).where(person.c.id == user))
    before = tx.execute(query).one()
    tx.execute(
        update(person)
        .where(person.c.id == user)
        .values(
            name=name or None,
            address=mailbox.address if mailbox else None,
            language=language or None,
            signature=before.signature if signature is None else piece or None,
            updated_at=at,
        )
    )
    after = tx.execute(query).one()
    audit.record(tx, caller, "user.put", f"users/{user}", _describe(before), _describe(after), at)
    return _show(after)


def _describe(row: Row[Any]) -> dict[str, Any]:
    return {
        "name": row.name,
        "address": row.address,
        "language": row.language,
        "signature": row.signature,
    }


def _show(row: Row[Any]) -> Person:
    return Person(
        id=row.id,
        name=row.name,
        address=row.address,
        language=row.language,
        active_scope=row.active_scope,
        signature=row.signature,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
