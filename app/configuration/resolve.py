"""What a send uses: the stored scopes put together (contract §2 Resolution).

The active scope decides. ``smtp`` and ``sender`` are blocks, inherited whole, never mixed; any
other field that is absent in the personal configuration is inherited, ``macros`` name by name;
what is given empty means none. ``origins`` says of each value where it comes from.
``docs/configuration.md`` has the truth table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import RowMapping, bindparam, select
from sqlalchemy.engine import Connection

from app.accounts.people import Person
from app.accounts.tables import person as person_table
from app.configuration.account_rights import may_send
from app.configuration.closing import list_closing
from app.configuration.correspondence import CORRESPONDENCE
from app.configuration.domain import find_largest_attachment
from app.configuration.load import (
    ACCOUNTS,
    FROM_ACCOUNT,
    place_attachment_password,
    read_account,
)
from app.configuration.model import (
    ACCOUNT_SCOPE,
    DEFAULTS,
    GLOBAL,
    SMTP_DEFAULTS,
    ActiveScope,
    Mode,
    PasswordState,
    Sender,
    SmtpSettings,
    StoredAccount,
    name_scope,
    read_mailboxes,
    read_sender,
)
from app.configuration.senders import check_listed, choose_sender
from app.configuration.sent_copy import SentCopy, choose_sent_copy
from app.configuration.tables import account
from app.errors import Conflict, Denied, Fault, Refused
from app.mime.address import Mailbox
from app.templates_engine.catalogue import resolve as resolve_macro
from app.templates_engine.closing import ClosingText
from app.vault import Vault

_SENDER_MEMBERS = ("address", "name", "return_path")


# Every send reads this: built once, one round trip for both scopes and the user.
_LAYERS = (
    select(
        *ACCOUNTS.selected_columns,
        *(column.label(f"person_{column.name}") for column in person_table.c),
    )
    .select_from(FROM_ACCOUNT.outerjoin(person_table, person_table.c.id == bindparam("user")))
    .where(
        account.c.scope.in_((GLOBAL, bindparam("own"))) | (account.c.id == bindparam("account")),
        account.c.is_default,
        account.c.removed_at.is_(None),
    )
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The configuration one send uses.

    scope: the active one, ``global`` or ``users/<id>``. account_id: the account whose server
    carries the mail (its password, its pauses, its lots). scope_account_id: the active scope's.
    smtp: None only in mode ``draft``.
    closing: signatures and footers, those that are switched off too.
    sent_copy: where the sender's own copy goes; ``folder`` is that of the active scope's mailbox.
    sender: never None after ``resolve``. notifications: None is no NOTIFY parameter.
    attachment_password: sealed; ``open_attachment_password`` opens it.
    origins: by pointer-like name (``bcc``, ``smtp.host``, ``macros.firma``): ``users/…``,
    ``global`` or ``default``.
    """

    user: str | None
    person: Person | None
    active_scope: ActiveScope
    scope: str
    account_id: str
    scope_account_id: str
    mode: Mode
    smtp: SmtpSettings | None
    sender: Sender | None
    reply_to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    bcc: tuple[Mailbox, ...]
    notifications: tuple[str, ...] | None
    return_content: str
    read_receipt: bool
    importance: str
    language: str
    on_uncertain: str
    give_up_after_h: float
    unsubscribe: Mapping[str, Any]
    suppress_hard_bounces: bool
    macros: Mapping[str, Any]
    attachment_password: bytes | None = field(repr=False)
    attachment_password_account: str | None
    password_state: PasswordState
    paused: bool
    max_attachment_bytes: int | None
    origins: Mapping[str, str]
    closing: tuple[ClosingText, ...]
    sent_copy: SentCopy = "off"
    correspondence: Mapping[str, Any] = field(default_factory=dict)


def resolve(
    tx: Connection,
    user: str | None,
    account_id: str | None = None,
    wanted: Mailbox | None = None,
) -> Resolved:
    """Return what a send for ``user`` (None: nobody, the global scope) uses.

    account_id: one to send through instead of the active scope's. wanted: who shall stand in From.
    Raises ``Conflict`` ``no_configuration`` where nothing is stored, or neither scope names a
    server and a sender to send by SMTP with, ``outgoing_off``; ``Refused`` ``account_not_found``,
    ``Denied`` ``account_not_allowed``, ``sender_not_allowed``.
    """
    person, layers = _read_layers(tx, user, account_id)
    if not layers:
        raise Conflict(
            "No mail configuration is stored; put one to /config/global.", code="no_configuration"
        )
    if account_id is not None and not may_send(tx, layers[0], user):
        raise Denied(
            "This account is not yours to send with; its manager can grant the right.",
            code="account_not_allowed",
        )
    resolved = combine(user, person, layers)
    if resolved.sender is None or (resolved.smtp is None and resolved.mode == "smtp"):
        raise Conflict(
            f"The configuration of {resolved.scope} names no sender or no mail server, and there "
            "is no global one to inherit them from.",
            code="no_configuration",
        )
    carriers = {resolved.account_id, resolved.scope_account_id}
    if any(each.document.get("outgoing") is False for each in layers if each.id in carriers):
        raise Conflict(
            f"Sending is switched off for {resolved.scope}; switch outgoing on, or use another account.",
            code="outgoing_off",
        )
    letterhead = next(each for each in layers if "sender" in each.document)
    check_listed(letterhead, layers)
    if wanted is None:
        return resolved
    return replace(resolved, sender=choose_sender(resolved.sender, letterhead.document, wanted))


def look_up(tx: Connection, user: str | None, account_id: str | None = None) -> Resolved | None:
    """Return what ``resolve`` does, also where it cannot send; None where nothing is stored."""
    person, layers = _read_layers(tx, user, account_id)
    return combine(user, person, layers) if layers else None


def _read_layers(
    tx: Connection, user: str | None, account_id: str | None
) -> tuple[Person | None, list[StoredAccount]]:
    asked = {"own": name_scope(user), "user": user, "account": account_id}
    rows = tx.execute(_LAYERS, asked).mappings().all()
    stored = {row["scope"]: row for row in rows}
    person = _read_joined_person(rows[0]) if rows else None
    first = GLOBAL
    if account_id is not None:
        first = next((row["scope"] for row in rows if row["id"] == account_id), "")
        if not first:
            detail = "There is no such account; GET /accounts lists them."
            raise Refused(detail, faults=[Fault("/account", "account_not_found", detail)])
    elif person is not None and person.active_scope == "personal":
        first = name_scope(user)
    scopes = dict.fromkeys((first, GLOBAL))
    return person, [read_account(stored[scope]) for scope in scopes if scope in stored]


def combine(user: str | None, person: Person | None, layers: Sequence[StoredAccount]) -> Resolved:
    """Put the applying configurations together, the narrowest first (at least one)."""
    own = layers[0]
    found = {name: _find(layers, name, fallback) for name, fallback in DEFAULTS.items()}
    origins = {name: origin for name, (_, origin) in found.items()}
    value = {name: given for name, (given, _) in found.items()}
    server = next((layer for layer in layers if "smtp" in layer.document or layer.settings), own)
    letterhead = next((layer for layer in layers if "sender" in layer.document), own)
    protector = next(
        (
            layer
            for layer in layers
            if layer.attachment_password or "attachment_password" in layer.document
        ),
        None,
    )
    origins |= _name_block_origins(server, "smtp", ("host", "port", *SMTP_DEFAULTS))
    origins |= _name_domain_origins(server)
    origins |= _name_block_origins(letterhead, "sender", _SENDER_MEMBERS)
    origins["attachment_password"] = protector.scope if protector else "default"
    macros = _merge_macros(layers, origins)
    reply_to = read_mailboxes(value["reply_to"])
    if not reply_to and _answers_reach_the_user(person, own, letterhead, origins):
        assert person and person.address
        reply_to = (Mailbox(person.address, person.name or ""),)
        origins["reply_to"] = name_scope(person.id)
    elif not reply_to and (mailbox := _find_common_mailbox(own, letterhead, layers[-1], origins)):
        reply_to, origins["reply_to"] = (mailbox,), GLOBAL
    return Resolved(
        user=user,
        person=person,
        active_scope=_name_active(own),
        scope=own.scope,
        account_id=server.id,
        scope_account_id=own.id,
        mode=value["mode"],
        smtp=server.settings,
        sender=read_sender(letterhead.document.get("sender")),
        reply_to=reply_to,
        cc=read_mailboxes(value["cc"]),
        bcc=read_mailboxes(value["bcc"]),
        notifications=tuple(value["notifications"]) or None,
        return_content=value["return_content"],
        read_receipt=value["read_receipt"],
        importance=value["importance"],
        language=value["language"] or DEFAULTS["language"],
        on_uncertain=value["on_uncertain"],
        give_up_after_h=value["give_up_after_h"],
        unsubscribe=value["unsubscribe"],
        suppress_hard_bounces=value["suppress_hard_bounces"],
        macros=macros,
        attachment_password=protector.attachment_password if protector else None,
        attachment_password_account=protector.id if protector else None,
        password_state=server.password_state,
        paused=server.paused_at is not None,
        max_attachment_bytes=find_largest_attachment(server.domain),
        origins=origins,
        closing=list_closing(person, layers),
        sent_copy=choose_sent_copy(own, server.settings),
        correspondence={
            name: own.document[name] for name in CORRESPONDENCE if name in own.document
        },
    )


def open_attachment_password(vault: Vault, resolved: Resolved) -> str | None:
    """Return the attachment password that applies; None where there is none, or explicitly none."""
    if resolved.attachment_password is None or resolved.attachment_password_account is None:
        return None
    place = place_attachment_password(resolved.attachment_password_account)
    return vault.open(resolved.attachment_password, place)


def _read_joined_person(row: RowMapping) -> Person | None:
    if row["person_id"] is None:
        return None
    return Person(**{each.name: row[f"person_{each.name}"] for each in fields(Person)})


def _find(layers: Sequence[StoredAccount], name: str, fallback: Any) -> tuple[Any, str]:
    for layer in layers:
        if name in layer.document:
            return layer.document[name], layer.scope
    return fallback, "default"


def _name_block_origins(layer: StoredAccount, block: str, members: Sequence[str]) -> dict[str, str]:
    given = layer.document.get(block, {})
    return {f"{block}.{name}": layer.scope if name in given else "default" for name in members}


def _name_domain_origins(layer: StoredAccount) -> dict[str, str]:
    """Return the members of ``smtp`` that come from the e-mail domain's settings."""
    block = layer.document.get("smtp", {})
    if layer.domain is None or layer.settings is None or block.get("host"):
        return {}
    shared = {*layer.domain.document.get("smtp", {}), "username"}
    return {f"smtp.{name}": "domain" for name in sorted(shared - set(block))}


def _name_active(own: StoredAccount) -> ActiveScope:
    if own.scope == GLOBAL:
        return "global"
    return "account" if own.scope.startswith(ACCOUNT_SCOPE) else "personal"


def _find_common_mailbox(
    own: StoredAccount,
    letterhead: StoredAccount,
    common: StoredAccount,
    origins: Mapping[str, str],
) -> Mailbox | None:
    """Return where answers go when the sending account cannot receive (D5): the common mailbox."""
    sender = read_sender(common.document.get("sender"))
    if own.incoming is not None or letterhead.scope == GLOBAL or origins["reply_to"] != "default":
        return None
    if common.scope != GLOBAL or common.incoming is None or sender is None:
        return None
    return Mailbox(sender.address, sender.name)


def _merge_macros(layers: Sequence[StoredAccount], origins: dict[str, str]) -> dict[str, Any]:
    """Return the scopes' macros under the names they are kept by, the narrowest scope's value."""
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        for name, given in layer.document.get("macros", {}).items():
            merged[resolve_macro(name)] = given
            origins[f"macros.{resolve_macro(name)}"] = layer.scope
    return merged


def _answers_reach_the_user(
    person: Person | None,
    own: StoredAccount,
    letterhead: StoredAccount,
    origins: Mapping[str, str],
) -> bool:
    """Whether the user's own address is the Reply-To (O2): the common sender writes for them.

    A personal ``reply_to`` that is given, even as none, is that person's wish. The global one has
    nothing wider to switch off, so there none means the same as absent.
    """
    if person is None or not person.address or letterhead.scope != GLOBAL:
        return False
    return own.scope == GLOBAL or origins["reply_to"] != own.scope
