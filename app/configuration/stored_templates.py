"""The templates of one scope: every saved version is kept, the newest is in force.

A removed template falls back to the wider scope, then to the built-in one; its versions stay and
their numbers go on. Saving an old version again restores it.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.people import read_person
from app.configuration.language import read_language
from app.configuration.load import claim_account, find_account
from app.configuration.model import name_scope
from app.configuration.resolve import look_up
from app.configuration.save import make_personal_active
from app.configuration.show import show_document
from app.configuration.tables import account, template, template_version
from app.configuration.templates import prefer_languages
from app.db import lock_rows, new_id
from app.errors import Fault, Missing, Notice, Refused, refuse
from app.templates_engine.catalogue import resolve as resolve_macro
from app.templates_engine.lint import lint
from app.templates_engine.names import is_name
from app.templates_engine.parse import compile_template

MOST_REQUIRED = 100
_NAME = re.compile(r"[^\W_][\w.-]{0,127}")


@dataclass(frozen=True, slots=True)
class Key:
    """Which template: user None is the global scope."""

    user: str | None
    name: str
    language: str

    @property
    def scope(self) -> str:
        """The scope it belongs to."""
        return name_scope(self.user)


@dataclass(frozen=True, slots=True)
class Text:
    """What is saved."""

    subject: str
    body: str
    requires: tuple[str, ...] = ()
    strict_macros: bool = False


@dataclass(frozen=True, slots=True)
class SavedTemplate:
    """The outcome of a save. account_id: of the personal configuration that it made."""

    version: Row[Any]
    created: bool
    notices: tuple[Notice, ...]
    account_id: str | None = None


def name_template(tx: Connection, user: str | None, name: str, language: str | None) -> Key:
    """Return which template a path means; without a language the scope's own one.

    Raises ``Refused`` ``invalid_name``, ``invalid_language``.
    """
    name = unicodedata.normalize("NFC", name)
    faults = []
    if not _NAME.fullmatch(name):
        detail = (
            "A template's name is 1 to 128 letters, digits and - _ . , the first a letter or digit."
        )
        faults.append(Fault("", "invalid_name", detail))
    tag = None if language is None else read_language(language)
    if tag is None and language is not None:
        faults.append(Fault("", "invalid_language", "Give a language tag such as pl or fr-CH."))
    refuse(faults)
    return Key(user, name, tag or prefer_languages(tx, look_up(tx, user), user, None)[0])


def put_template(
    tx: Connection,
    caller: Caller,
    key: Key,
    text: Text,
    at: datetime,
    check_version: Callable[[int], None],
) -> SavedTemplate:
    """Save a template as its scope's newest version; what is there already makes no new one.

    A user's first one, without a personal configuration, makes one that inherits everything, and
    activates it (contract §3). Raises ``Refused``, ``Stale``.
    """
    notices = _check(tx, key, text)
    before = _claim(tx, key, at)
    created = before.removed_at is not None
    check_version(0 if created else before.version)
    current = None if created else read_version(tx, key, before.version)
    if current is not None and _read_text(current) == text:
        return SavedTemplate(current, False, notices)
    version = before.version + 1
    tx.execute(
        insert(template_version).values(
            id=new_id(at),
            scope=key.scope,
            name=key.name,
            language=key.language,
            version=version,
            subject=text.subject,
            body=text.body,
            requires=list(text.requires),
            strict_macros=text.strict_macros,
            saved_at=at,
            saved_by=caller.name,
        )
    )
    tx.execute(update(template).where(*_is(template, key)).values(version=version, removed_at=None))
    old = None if current is None else {"version": before.version, "subject": current.subject}
    _record(tx, caller, "template.put", key, old, {"version": version, "subject": text.subject}, at)
    made = _ensure_personal(tx, caller, key.user, at) if key.user is not None else None
    if is_dormant(tx, key.user):
        detail = "It applies when the user's active scope is personal; now it is global."
        notices = (*notices, Notice("template_dormant", detail))
    return SavedTemplate(read_version(tx, key, version), created, notices, made)


def delete_template(
    tx: Connection, caller: Caller, key: Key, at: datetime, check_version: Callable[[int], None]
) -> None:
    """Fall back to the wider scope, then to the built-in; raise ``Missing``, ``Stale``."""
    tx.execute(lock_rows(tx, select(template).where(*_is(template, key))))
    before = read_template(tx, key)
    check_version(before.version)
    tx.execute(update(template).where(*_is(template, key)).values(removed_at=at))
    old = {"version": before.version, "subject": before.subject}
    _record(tx, caller, "template.delete", key, old, None, at)


def read_template(tx: Connection, key: Key) -> Row[Any]:
    """Return the version in force; raise ``Missing`` where the scope has none."""
    query = select(template.c.version).where(*_is(template, key), template.c.removed_at.is_(None))
    version = tx.scalar(query)
    if version is None:
        raise Missing(
            f"{key.scope} has no template {key.name!r} in {key.language}.",
            code="template_not_found",
        )
    return read_version(tx, key, version)


def read_version(tx: Connection, key: Key, version: int) -> Row[Any]:
    """Return one version, in force or not; raise ``Missing``."""
    query = select(template_version).where(
        *_is(template_version, key), template_version.c.version == version
    )
    row = tx.execute(query).first()
    if row is None:
        raise Missing(f"There is no version {version}.", code="version_not_found")
    return row


def list_versions(
    tx: Connection, key: Key, *, before: int | None, limit: int
) -> Sequence[Row[Any]]:
    """Return versions, the newest first; raise ``Missing`` where there never was one."""
    query = select(template_version).where(*_is(template_version, key))
    if before is not None:
        query = query.where(template_version.c.version < before)
    rows = tx.execute(query.order_by(template_version.c.version.desc()).limit(limit)).all()
    if not rows and before is None:
        raise Missing(f"{key.scope} has no template {key.name!r}.", code="template_not_found")
    return rows


def is_dormant(tx: Connection, user: str | None) -> bool:
    """Whether the templates of this scope do not apply now."""
    if user is None:
        return False
    person = read_person(tx, user)
    return person is None or person.active_scope != "personal"


def _check(tx: Connection, key: Key, text: Text) -> tuple[Notice, ...]:
    faults = [
        Fault(f"/requires/{index}", "invalid_macro_name", "This is no name of a macro.")
        for index, name in enumerate(text.requires)
        if not is_name(resolve_macro(name))
    ]
    if len(text.requires) > MOST_REQUIRED:
        faults.append(Fault("/requires", "too_many", f"At most {MOST_REQUIRED} names."))
    try:
        compiled = compile_template(text.subject, text.body)
    except Refused as error:
        raise Refused(error.detail, faults=[*error.faults, *faults]) from None
    refuse(faults)
    resolved = look_up(tx, key.user)
    return lint(compiled, (*text.requires, *(resolved.macros if resolved else ())))


def _claim(tx: Connection, key: Key, at: datetime) -> Row[Any]:
    dialect = sqlite if tx.dialect.name == "sqlite" else postgresql
    fresh = dialect.insert(template).values(
        scope=key.scope, name=key.name, language=key.language, version=0, removed_at=at
    )
    tx.execute(fresh.on_conflict_do_nothing())
    return tx.execute(lock_rows(tx, select(template).where(*_is(template, key)))).one()


def _ensure_personal(tx: Connection, caller: Caller, user: str, at: datetime) -> str | None:
    if find_account(tx, name_scope(user)) is not None:
        return None
    before = claim_account(tx, name_scope(user), user, at)
    tx.execute(
        update(account)
        .where(account.c.id == before.id)
        .values(version=before.version + 1, updated_at=at, removed_at=None)
    )
    make_personal_active(tx, user, at)
    after = show_document(before)
    audit.record(tx, caller, "config.put", f"config/{before.scope}", None, after, at)
    return before.id


def _read_text(row: Row[Any]) -> Text:
    return Text(row.subject, row.body, tuple(row.requires), row.strict_macros)


def _is(table: Table, key: Key) -> tuple[ColumnElement[bool], ...]:
    return (
        table.c.scope == key.scope,
        table.c.name == key.name,
        table.c.language == key.language,
    )


def _record(
    tx: Connection,
    caller: Caller,
    action: str,
    key: Key,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
    at: datetime,
) -> None:
    what = f"config/{key.scope}/templates/{key.name}?language={key.language}"
    audit.record(tx, caller, action, what, before, after, at)
