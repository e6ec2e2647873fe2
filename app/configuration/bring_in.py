"""Bring in what ``export`` wrote, or what somebody else's system knows: all of it, or nothing.

Each thing goes through the verb that its own door uses; what is there already is left alone, what
the document does not name stays. A stored secret is kept where the server stays the same, else its
owner has to enter it again (``password.decide_password``). A rehearsal does the same and takes it
back, so that it tells exactly what would change.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from html import unescape
from typing import Any, Literal

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
from app.configuration.model import ACCOUNT_SCOPE, GLOBAL, ActiveScope
from app.configuration.resolve import look_up
from app.configuration.save import Save, put_configuration
from app.configuration.stored_templates import Text, name_template, put_template
from app.configuration.switch import set_active_scope
from app.configuration.templates import find_template
from app.errors import AwizoError, Fault, Missing, Notice, Refused, refuse
from app.mime.address import parse_mailbox
from app.vault import Vault
from app.wire.address_policy import AddressPolicy

_ACCOUNT_ID = re.compile(r"[0-9A-Za-z]{1,32}")
_TITLE = re.compile(r"<title[^>]*>([^<]{1,998})</title", re.IGNORECASE)
Kind = Literal["created", "changed", "unchanged", "kept"]


@dataclass(frozen=True, slots=True)
class User:
    """A user. address: as a caller writes it. signature: None leaves it as it is."""

    id: str
    name: str | None = None
    address: object = None
    language: str | None = None
    active_scope: ActiveScope | None = None
    signature: object = None


@dataclass(frozen=True, slots=True)
class MailDomain:
    """An e-mail domain's server settings."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """A scope's configuration. holder: of ``accounts/<id>``; the others' follows from the scope."""

    scope: str
    configuration: Mapping[str, Any]
    holder: str | None = None
    rights: Sequence[Grant] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A template. subject: None takes the one from ``<title>`` or of the template that is replaced."""

    name: str
    body: str
    scope: str = GLOBAL
    language: str | None = None
    subject: str | None = None
    requires: tuple[str, ...] = ()
    strict_macros: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """A document that was read. Each thing stands under the pointer to it; what was misread is not
    among them, its faults are."""

    users: Mapping[str, User] = field(default_factory=dict)
    domains: Mapping[str, MailDomain] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    templates: Mapping[str, Template] = field(default_factory=dict)
    faults: Sequence[Fault] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one thing. members: pointer, before and after of each that differs."""

    object: str
    kind: Kind
    members: Sequence[tuple[str, Any, Any]] = ()


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
        changes = _compare(before, name_items(export_configuration(tx, at)), errand.named)
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
            _take_domain(errand, domain)
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


def _take_domain(errand: _Errand, domain: MailDomain) -> None:
    name = read_name(domain.name, "/name")
    errand.name(f"domains/{name}")
    known = find_domain(errand.tx, name)
    with errand.at_pointer_of("/settings"):
        if known is not None and (known.document, []) == read_settings(domain.settings):
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
    ...
