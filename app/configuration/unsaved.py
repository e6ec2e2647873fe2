"""What a scope, or values that are not saved yet, would send with: for probes.

The active scope does not matter here: the scope that is asked for is tried. Its stored password is
used for unsaved values too, but only for the server that it was entered for (contract §5).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.engine import Connection

from app.accounts.people import read_person
from app.configuration.document import Draft, read_document
from app.configuration.domain import Domain, name_domain
from app.configuration.find_domain import find_domain
from app.configuration.load import apply_consent, find_account, open_password_for
from app.configuration.model import GLOBAL, StoredAccount, name_scope, read_server
from app.configuration.resolve import Resolved, combine
from app.configuration.rules import check_rules
from app.db import new_id, now
from app.errors import Fault, Missing, refuse
from app.vault import CannotOpen, Vault
from app.wire.address_policy import AddressPolicy


@dataclass(frozen=True, slots=True)
class Trial:
    """A configuration to be tried. password: None where none is stored or it does not open;
    uses_token: it logs in by a token of its account's consent instead.

    account_id: the stored account whose server it is; None for one that is nowhere stored.
    """

    resolved: Resolved
    password: str | None = field(repr=False)
    account_id: str | None
    uses_token: bool = False


def read_trial(
    tx: Connection,
    vault: Vault,
    policy: AddressPolicy,
    *,
    stored: bool,
    user: str | None = None,
    scope: str | None = None,
    raw: Mapping[str, Any] | None = None,
    pointer: str = "/config",
) -> Trial:
    """Return the stored configuration of a scope, ``raw`` in its place, or ``raw`` alone.

    stored: the scope of ``user`` (None: global), or ``scope``, one of theirs, was named; else
    ``raw`` stands for itself.
    Raises ``Missing`` for a scope that has nothing stored, ``Refused`` with pointers under
    ``pointer``.
    """
    scope = scope or name_scope(user)
    before = find_account(tx, scope) if stored else None
    wider = find_account(tx, GLOBAL) if stored and scope != GLOBAL else None
    draft: Draft | None = None
    if raw is not None:
        draft, faults = read_document(raw)
        domain = find_domain(tx, name_domain(draft.document))
        faults += check_rules(draft, wider, policy, domain=domain)
        refuse(Fault(pointer + each.pointer, each.code, each.detail) for each in faults)
        layer = _draft_account(tx, before, draft, scope, user, domain)
    elif before is None:
        raise Missing(f"Nothing is stored for {scope}.", code="configuration_not_found")
    else:
        layer = before
    layers = [layer] if wider is None else [layer, wider]
    resolved = combine(user, None if user is None else read_person(tx, user), layers)
    server = next((each for each in layers if each.id == resolved.account_id), layer)
    is_stored = server is wider or before is not None
    password = draft.password if draft and server is layer else None
    return Trial(
        resolved=resolved,
        password=_open(vault, server) if password is None else password or None,
        account_id=server.id if is_stored else None,
        uses_token=password is None and server.uses_token,
    )


def _draft_account(
    tx: Connection,
    before: StoredAccount | None,
    draft: Draft,
    scope: str,
    user: str | None,
    domain: Domain | None,
) -> StoredAccount:
    settings = read_server(draft.document, domain, "none")
    if before is not None:
        changed = replace(before, document=draft.document, settings=settings, domain=domain)
        return apply_consent(changed, before.consent)
    return StoredAccount(
        id=new_id(),
        scope=scope,
        user_id=user,
        version=0,
        document=draft.document,
        settings=settings,
        incoming=None,
        domain=domain,
        password=None,
        password_state="none",
        password_owner=None,
        incoming_password=None,
        attachment_password=None,
        paused_at=None,
        updated_at=now(tx),
        removed_at=None,
    )


def _open(vault: Vault, server: StoredAccount) -> str | None:
    if server.settings is None or not server.settings.wants_login:
        return None
    try:
        return open_password_for(vault, server, server.settings)
    except CannotOpen:
        return None
