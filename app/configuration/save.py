"""Save a configuration: PUT replaces it, PATCH merges into it (RFC 7396).

Both read, check and store in one transaction, so the answer is what a send uses from then on. A
secret that is not given stays as it is; the audit gets before and after without secrets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.people import ensure_person
from app.accounts.tables import person
from app.configuration.cautions import find_cautions
from app.configuration.closing import check_global_only
from app.configuration.consent_tokens import check_servers
from app.configuration.document import Draft, read_document
from app.configuration.domain import name_domain
from app.configuration.find_domain import find_domain
from app.configuration.load import (
    claim_account,
    find_account,
    lock_account,
    place_attachment_password,
)
from app.configuration.model import GLOBAL, StoredAccount, name_object, name_scope, read_server
from app.configuration.password import decide_incoming_password, decide_password
from app.configuration.port_options import expand_port
from app.configuration.rules import check_rules
from app.configuration.show import show_document
from app.configuration.tables import account
from app.errors import Fault, Notice, refuse
from app.vault import Vault
from app.wire.address_policy import AddressPolicy

CheckVersion = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Save:
    """Who saves for whom, when, and what holds for them.

    scope: whose configuration, see ``tables``. user: who holds it; None: a group, or everybody.
    check_version: raises ``Stale`` for a version that is not the one the caller edited.
    """

    vault: Vault
    policy: AddressPolicy
    caller: Caller
    scope: str
    user: str | None
    at: datetime
    check_version: CheckVersion


@dataclass(frozen=True, slots=True)
class Saved:
    """A configuration that was saved. notices: what the caller should know."""

    stored: StoredAccount
    created: bool
    notices: tuple[Notice, ...]


def put_configuration(
    tx: Connection,
    save: Save,
    raw: Mapping[str, Any],
    *,
    activate: bool = False,
    apply_to_everyone: bool = False,
) -> Saved:
    """Replace a scope's configuration, or create it (a personal one is then made active).

    activate: make a personal one active though it was there before. apply_to_everyone: set every
    user's active scope to global (Symfonia's meaning of saving for all).
    Raises ``Refused`` with every fault, ``Stale``.
    """
    draft, faults = read_document(raw)
    before = claim_account(tx, save.scope, save.user, save.at)
    created = before.removed_at is not None
    save.check_version(0 if created else before.version)
    saved = _store(tx, save, before, draft, faults, "config.put")
    is_default = save.scope == name_scope(save.user)
    if save.user is not None and is_default and (created or activate):
        make_personal_active(tx, save.user, save.at)
    if save.scope == GLOBAL and apply_to_everyone:
        tx.execute(
            update(person)
            .where(person.c.active_scope != "global")
            .values(active_scope="global", updated_at=save.at)
        )
        audit.record(
            tx, save.caller, "config.apply_to_everyone", "config/global", None, None, save.at
        )
    return saved


def patch_configuration(tx: Connection, save: Save, patch: Mapping[str, Any]) -> Saved:
    """Merge ``patch`` into a scope's configuration; null removes, also a secret."""
    before = lock_account(tx, save.scope)
    save.check_version(before.version)
    early: list[Fault] = []
    smtp = patch.get("smtp")
    if isinstance(smtp, Mapping):
        # Options behind the port replace stored members; only those given beside them conflict.
        patch = {**patch, "smtp": expand_port(smtp, "/smtp", early)}
    merged = _merge(before.document, patch)
    if isinstance(smtp, Mapping) and smtp.get("password", "") is None:
        merged["smtp"]["password"] = ""
    draft, faults = read_document(merged)
    drops = "attachment_password" in patch and patch["attachment_password"] is None
    return _store(
        tx, save, before, draft, early + faults, "config.patch", drops_attachment_password=drops
    )


def make_personal_active(tx: Connection, user: str, at: datetime) -> None:
    """Make the personal scope the one that sends for ``user``."""
    ensure_person(tx, user, at)
    tx.execute(
        update(person)
        .where(person.c.id == user, person.c.active_scope != "personal")
        .values(active_scope="personal", updated_at=at)
    )


def _store(
    tx: Connection,
    save: Save,
    before: StoredAccount,
    draft: Draft,
    faults: Sequence[Fault],
    action: str,
    *,
    drops_attachment_password: bool = False,
) -> Saved:
    wider = None if save.scope == GLOBAL else find_account(tx, GLOBAL)
    replaced = before if before.removed_at is None else None
    domain = find_domain(tx, name_domain(draft.document))
    faults = [*faults, *check_global_only(draft.document, save.scope)]
    refuse([*faults, *check_rules(draft, wider, save.policy, replaced, domain)])
    settings = read_server(draft.document, domain, "none")
    kept = decide_password(save.vault, before, draft, settings, save.caller.owner_id)
    incoming_password = decide_incoming_password(save.vault, before, draft, domain)
    attachment_password = None if drops_attachment_password else before.attachment_password
    if draft.attachment_password:
        place = place_attachment_password(before.id)
        attachment_password = save.vault.seal(draft.attachment_password, place)
    elif "attachment_password" in draft.document:
        attachment_password = None
    tx.execute(
        update(account)
        .where(account.c.id == before.id)
        .values(
            settings=draft.document,
            domain=name_domain(draft.document),
            version=before.version + 1,
            password=kept.sealed,
            password_state=kept.state,
            password_owner=kept.owner,
            incoming_password=incoming_password,
            attachment_password=attachment_password,
            updated_at=save.at,
            removed_at=None,
        )
    )
    told = check_servers(tx, save.vault, before.id, settings) if before.consent else ()
    stored = lock_account(tx, before.scope)
    created = before.removed_at is not None
    audit.record(
        tx,
        save.caller,
        action,
        name_object(before.scope),
        None if created else show_document(before),
        show_document(stored),
        save.at,
    )
    notices = (*draft.notices, *kept.notices, *told, *find_cautions(stored))
    return Saved(stored, created, notices)


def _merge(target: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``target`` with ``patch`` merged in (RFC 7396 §2)."""
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = _merge(merged.get(name), value)
        else:
            merged[name] = value
    return merged
