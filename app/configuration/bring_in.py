"""Bring in what ``export`` wrote, or what somebody else's system knows: all of it, or nothing.

Each thing goes through the verb that its own door uses; what is there already is left alone, what
the document does not name stays. A stored secret is kept where the server stays the same, else its
owner has to enter it again (``password.decide_password``). A rehearsal does the same and takes it
back, so that it tells exactly what would change.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import unescape
from typing import Any

from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.people import find_wrong_in_user_id, read_person, save_person
from app.configuration.accounts import Grant, grant, list_grants
from app.configuration.document import read_document
from app.configuration.domains import put_domain, read_name, read_settings
from app.configuration.export import export_configuration, name_items
from app.configuration.find_domain import find_domain
from app.configuration.load import find_account, load_account
from app.configuration.model import (
    ACCOUNT_SCOPE,
    GLOBAL,
    StoredAccount,
    name_object,
)
from app.configuration.portable import (
    Account,
    Change,
    Given,
    MailDomain,
    Template,
    User,
    compare,
)
from app.configuration.resolve import look_up
from app.configuration.save import Save, put_configuration
from app.configuration.stored_templates import Key, Text, name_template, put_template
from app.configuration.switch import set_active_scope
from app.configuration.templates import find_template
from app.errors import AwizoError, Fault, Missing, Notice, Refused, refuse
from app.mime.address import parse_mailbox
from app.vault import Vault
from app.wire.address_policy import AddressPolicy

_ACCOUNT_ID = re.compile(r"[0-9A-Za-z]{1,32}")
_TITLE = re.compile(r"<title[^>]{0,100}>(.{1,998}?)</title", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class BroughtIn:
    """What was brought in. account_ids: accounts whose settings changed, for the mail that waits."""

    changes: Sequence[Change]
    notices: Sequence[Notice]
    account_ids: frozenset[str]


@dataclass(slots=True)
class _Errand:
    """One import under way."""

    tx: Connection
    vault: Vault
    policy: AddressPolicy
    caller: Caller
    at: datetime
    faults: list[Fault]
    notices: list[Notice] = field(default_factory=list)
    account_ids: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)

    @contextmanager
    def at_pointer(self, pointer: str) -> Iterator[None]:
        """Add what is refused inside to the faults, under ``pointer``."""
        try:
            yield
        except Refused as error:
            found = error.faults or (Fault("", error.code, error.detail),)
            self.faults += [Fault(pointer + each.pointer, each.code, each.detail) for each in found]
        except AwizoError as error:
            if error.retryable:
                raise
            self.faults.append(Fault(pointer, error.code, error.detail))

    def name(self, path: str) -> None:
        """Remember what the document names; refuse what it names twice."""
        if path in self.named:
            raise Refused("", faults=[Fault("", "duplicate", f"{path} is given twice.")])
        self.named.add(path)

    def note(self, notices: Sequence[Notice], pointer: str) -> None:
        """Keep what the caller should know."""
        self.notices += [
            Notice(each.code, each.detail, pointer + (each.pointer or "")) for each in notices
        ]


def bring_in(
    tx: Connection,
    vault: Vault,
    policy: AddressPolicy,
    caller: Caller,
    given: Given,
    at: datetime,
    *,
    dry_run: bool,
) -> BroughtIn:
    """Bring in a document; dry_run: change nothing and tell what would change.

    Raises ``Refused`` with every fault, each with its pointer into the document.
    """
    errand = _Errand(tx, vault, policy, caller, at, list(given.faults))
    before = name_items(export_configuration(tx, at))
    with tx.begin_nested() as savepoint:
        _take_all(errand, given)
        refuse(errand.faults)
        changes = compare(before, name_items(export_configuration(tx, at)), errand.named)
        if dry_run:
            savepoint.rollback()
    counts = {kind: sum(each.kind == kind for each in changes) for kind in ("created", "changed")}
    if not dry_run and any(counts.values()):
        audit.record(tx, caller, "configuration.import", "import", None, counts, at)
    return BroughtIn(changes, errand.notices, frozenset(errand.account_ids))


def _take_all(errand: _Errand, given: Given) -> None:
    for pointer, user in given.users.items():
        with errand.at_pointer(pointer):
            _take_user(errand, user)
    for pointer, domain in given.domains.items():
        with errand.at_pointer(pointer):
            _take_domain(errand, pointer, domain)
    # Others inherit from the global one, so it is there first.
    in_order = sorted(given.accounts.items(), key=lambda each: each[1].scope != GLOBAL)
    for pointer, each in in_order:
        with errand.at_pointer(pointer):
            _take_account(errand, pointer, each)
    for pointer, text in given.templates.items():
        with errand.at_pointer(pointer):
            _take_template(errand, pointer, text)
    # Last: a first personal configuration or template makes itself active.
    for pointer, user in given.users.items():
        with errand.at_pointer(f"{pointer}/active_scope"):
            known = read_person(errand.tx, user.id)
            if known and user.active_scope not in (None, known.active_scope):
                set_active_scope(errand.tx, errand.caller, user.id, user.active_scope, errand.at)


def _take_user(errand: _Errand, user: User) -> None:
    errand.name(f"users/{user.id}")
    known = read_person(errand.tx, user.id)
    mailbox, wrong = parse_mailbox(user.address, "") if user.address else (None, [])
    if known is not None and not wrong:
        wanted = (user.name or None, mailbox and mailbox.address, user.language or None)
        same = wanted == (known.name, known.address, known.language)
        if same and user.signature in (None, known.signature):
            return
    save_person(
        errand.tx,
        errand.caller,
        user.id,
        name=user.name,
        address=user.address,
        language=user.language,
        signature=user.signature,
        at=errand.at,
    )


def _take_domain(errand: _Errand, pointer: str, domain: MailDomain) -> None:
    name = read_name(domain.name, "/name")
    errand.name(f"domains/{name}")
    known = find_domain(errand.tx, name)
    with errand.at_pointer(f"{pointer}/settings"):
        if known is not None and read_settings(domain.settings) == (known.document, []):
            return
        _, touched, _ = put_domain(
            errand.tx,
            errand.vault,
            errand.policy,
            errand.caller,
            name,
            domain.settings,
            errand.at,
            _any_version,
        )
        errand.account_ids |= {each.stored.id for each in touched}


def _take_account(errand: _Errand, pointer: str, given: Account) -> None:
    holder = _read_holder(errand.tx, given)
    errand.name(name_object(given.scope))
    raw = _forget_states(given.configuration)
    with errand.at_pointer(f"{pointer}/configuration"):
        draft, wrong = read_document(raw)
        has_secrets = draft.password or draft.attachment_password or draft.incoming_password
        stored = find_account(errand.tx, given.scope)
        if stored is None or wrong or has_secrets or draft.document != stored.document:
            saving = Save(
                errand.vault,
                errand.policy,
                errand.caller,
                given.scope,
                holder,
                errand.at,
                _any_version,
            )
            saved = put_configuration(errand.tx, saving, raw)
            stored = saved.stored
            errand.note(saved.notices, f"{pointer}/configuration")
            errand.account_ids.add(stored.id)
        if raw.get("attachment_password_set") is True and stored.attachment_password is None:
            detail = "Where this comes from, attachments have a password; enter it here again."
            notice = Notice("attachment_password_missing", detail, "/attachment_password")
            errand.note([notice], f"{pointer}/configuration")
    if stored is not None:
        for index, right in enumerate(given.rights):
            where = f"{pointer}/rights/{index}"
            with errand.at_pointer(where):
                _take_right(errand, where, stored, right)


def _take_right(errand: _Errand, pointer: str, stored: StoredAccount, right: Grant) -> None:
    if right.until is not None and right.until <= errand.at:
        ended = Notice("until_passed", f"What was granted to {right.user} has ended.", "/until")
        errand.note([ended], pointer)
        return
    known = [
        replace(each, granted_by="", granted_at=None) for each in list_grants(errand.tx, stored.id)
    ]
    if right not in known:
        grant(errand.tx, errand.caller, stored, right, errand.at)


def _read_holder(tx: Connection, given: Account) -> str | None:
    """Return who holds the account of a scope; raise ``Refused`` where it cannot be."""
    if given.scope.startswith(ACCOUNT_SCOPE):
        account_id = given.scope.removeprefix(ACCOUNT_SCOPE)
        if not _ACCOUNT_ID.fullmatch(account_id):
            raise _refuse_at("/scope", "invalid_scope", "accounts/ is followed by an account's id.")
        known = load_account(tx, account_id)
        if known is not None and known.scope != given.scope:
            detail = f"Here this account is {name_object(known.scope)}; name it so."
            raise _refuse_at("/scope", "account_is_default", detail)
        if known is not None and known.user_id != given.holder:
            detail = f"Here this account's holder is {known.user_id or 'nobody'}."
            raise _refuse_at("/holder", "other_holder", detail)
        return given.holder
    user = _read_user(given.scope)
    if given.holder not in (None, user):
        raise _refuse_at("/holder", "other_holder", f"The holder of {given.scope} is {user}.")
    return user


def _read_user(scope: str) -> str | None:
    """Return the user of ``users/<id>``, None for ``global``; raise ``Refused`` for anything else."""
    user = None if scope == GLOBAL else scope.removeprefix("users/")
    if user is not None and (user == scope or find_wrong_in_user_id(user)):
        raise _refuse_at("/scope", "invalid_scope", "Give global, users/<id> or accounts/<id>.")
    return user


def _take_template(errand: _Errand, pointer: str, given: Template) -> None:
    user = _read_user(given.scope)
    key = name_template(errand.tx, user, given.name, given.language)
    errand.name(f"config/{key.scope}/templates/{key.name}?language={key.language}")
    subject = given.subject
    if subject is None and (found := _TITLE.search(given.body)):
        subject = " ".join(unescape(found[1]).split())
    if not subject and given.subject is None:
        subject = _find_subject(errand.tx, key)
    text = Text(subject or "", given.body, given.requires, given.strict_macros)
    saved = put_template(errand.tx, errand.caller, key, text, errand.at, _any_version)
    errand.note(saved.notices, pointer)
    if saved.account_id is not None:
        errand.account_ids.add(saved.account_id)


def _find_subject(tx: Connection, key: Key) -> str:
    """Return the subject of the template that applies so far."""
    try:
        return find_template(tx, look_up(tx, key.user), key.user, key.name, key.language).subject
    except Missing:
        detail = "Give a subject; neither the source nor another template of this name has one."
        raise _refuse_at("/subject", "required", detail) from None


def _forget_states(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what a configuration says of the passwords that were stored elsewhere."""
    smtp = raw.get("smtp")
    if not isinstance(smtp, Mapping) or smtp.get("password_mode") not in ("stored", "awaiting"):
        return raw
    kept = {name: value for name, value in smtp.items() if name != "password_mode"}
    return {**raw, "smtp": kept}


def _refuse_at(pointer: str, code: str, detail: str) -> Refused:
    return Refused(detail, faults=[Fault(pointer, code, detail)])


def _any_version(version: int) -> None:
    """Take whatever is stored: the difference was shown, and ``before`` is in the audit."""
