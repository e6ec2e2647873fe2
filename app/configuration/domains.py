"""E-mail domains: server settings entered once for every address of a domain (D2).

An account of the domain that names no server of its own uses them (``model.merge_domain``). Saving or
removing a domain decides the password of each such account anew, by the rule of every change of a
server: one that was entered for another or a safer one has to be entered again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.configuration.document import (
    INCOMING,
    SMTP,
    Draft,
    describe_kinds,
    read_block,
    read_members,
)
from app.configuration.domain import Domain
from app.configuration.fields import HOST, Kind, choice, number
from app.configuration.find_domain import find_domain, read_domain
from app.configuration.load import ACCOUNTS, read_account
from app.configuration.model import StoredAccount, read_mailbox_server, read_server
from app.configuration.password import decide_incoming_password, decide_password
from app.configuration.save import CheckVersion
from app.configuration.tables import account, mail_domain
from app.errors import Fault, Missing, refuse
from app.vault import Vault
from app.wire.address_policy import AddressPolicy

_NO_LOGIN = ("username", "password", "password_mode", "password_encoding", "enabled")
DOMAIN_SMTP = {name: kind for name, kind in SMTP.items() if name not in _NO_LOGIN}
DOMAIN_INCOMING = {name: kind for name, kind in INCOMING.items() if name not in _NO_LOGIN}
MEMBERS: Mapping[str, Kind] = {
    "username": choice("address", "local_part"),
    "max_attachment_bytes": number(1, 1 << 30),
}
SHOWN = frozenset(("name", "version", "updated_at", "accounts", "warnings", "dry_run"))


@dataclass(frozen=True, slots=True)
class Touched:
    """An account that a change of its domain changes. password: ``kept``, ``needed`` or ``none``."""

    stored: StoredAccount
    server_before: str | None
    server_after: str | None
    password: str


def read_settings(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Read a domain's settings with every fault; null equals absent."""
    faults: list[Fault] = []
    given = {name: value for name, value in raw.items() if name not in ("smtp", "incoming")}
    document = read_members(given, MEMBERS, SHOWN, "", faults)
    for name, kinds in (("smtp", DOMAIN_SMTP), ("incoming", DOMAIN_INCOMING)):
        shown = frozenset(("effective_port",))
        block = read_block(raw.get(name), f"/{name}", kinds, shown, faults)
        if kept := {member: value for member, value in block.items() if value != ""}:
            if "host" not in kept and not any(
                each.pointer.startswith(f"/{name}/host") for each in faults
            ):
                faults.append(Fault(f"/{name}/host", "required", "Name the server."))
            document[name] = kept
    if not document.keys() & {"smtp", "incoming"} and not faults:
        faults.append(Fault("", "required", "Give smtp or incoming, or both."))
    return document, faults


def describe_input() -> dict[str, Any]:
    """Return the JSON schema of a domain's settings as they are given."""
    schema = describe_kinds(MEMBERS)
    schema["properties"] |= {
        "smtp": describe_kinds(DOMAIN_SMTP, "smtp"),
        "incoming": describe_kinds(DOMAIN_INCOMING, "incoming"),
    }
    return schema


def read_name(given: str, pointer: str = "") -> str:
    """Return a domain's name in lower case and A-labels; raise ``Refused`` where it is none."""
    faults: list[Fault] = []
    name = HOST.read(given.strip().rstrip("."), pointer, faults)
    if not faults and ("." not in name or name.replace(".", "").isdigit()):
        faults.append(Fault(pointer, "invalid_domain", "Give what stands after the @."))
    refuse(faults)
    return str(name)


def list_domains(tx: Connection, *, after: str | None, limit: int) -> list[Domain]:
    """Return the domains in the order of their names."""
    query = select(mail_domain).order_by(mail_domain.c.name).limit(limit)
    if after is not None:
        query = query.where(mail_domain.c.name > after)
    return [read_domain(row) for row in tx.execute(query).mappings()]


def put_domain(
    tx: Connection,
    vault: Vault,
    policy: AddressPolicy,
    caller: Caller,
    name: str,
    raw: Mapping[str, Any],
    at: datetime,
    check_version: CheckVersion,
    *,
    dry_run: bool = False,
) -> tuple[Domain, list[Touched], bool]:
    """Store a domain's settings; return it, the accounts that changed by it, and whether it is new.

    dry_run: change nothing. Raises ``Refused`` with every fault, ``Stale``.
    """
    document, faults = read_settings(raw)
    for block in ("smtp", "incoming"):
        host = document.get(block, {}).get("host")
        if reason := host and policy.check_literal(host):
            faults.append(Fault(f"/{block}/host", "host_not_allowed", f"Not allowed: {reason}."))
    refuse(faults)
    before = find_domain(tx, name)
    check_version(before.version if before else 0)
    after = Domain(name, before.version + 1 if before else 1, document, at)
    decided = _decide_all(tx, vault, caller, name, after)
    if not dry_run:
        values = {"version": after.version, "settings": document, "updated_at": at}
        if before is None:
            tx.execute(insert(mail_domain).values(name=name, created_at=at, **values))
        else:
            tx.execute(update(mail_domain).where(mail_domain.c.name == name).values(**values))
        shown = dict(before.document) if before else None
        audit.record(tx, caller, "domain.put", f"domains/{name}", shown, document, at)
        _apply(tx, caller, name, decided, at)
    return after, [each for each, _ in decided], before is None


def delete_domain(
    tx: Connection,
    vault: Vault,
    caller: Caller,
    name: str,
    at: datetime,
    check_version: CheckVersion,
) -> list[Touched]:
    """Remove a domain's settings; its accounts go back to their own or the global server."""
    before = find_domain(tx, name)
    if before is None:
        raise Missing(f"Nothing is stored for {name}.", code="domain_not_found")
    check_version(before.version)
    decided = _decide_all(tx, vault, caller, name, None)
    tx.execute(delete(mail_domain).where(mail_domain.c.name == name))
    audit.record(tx, caller, "domain.delete", f"domains/{name}", dict(before.document), None, at)
    _apply(tx, caller, name, decided, at)
    return [each for each, _ in decided]


_Decision = tuple[Touched, dict[str, Any]]


def _decide_all(
    tx: Connection, vault: Vault, caller: Caller, name: str, domain: Domain | None
) -> list[_Decision]:
    query = ACCOUNTS.where(account.c.domain == name, account.c.removed_at.is_(None))
    if tx.dialect.name != "sqlite":
        query = query.with_for_update(of=account)
    rows: Sequence[Any] = tx.execute(query.order_by(account.c.id)).mappings().all()
    found = (_decide(vault, caller, read_account(row), domain) for row in rows)
    return [each for each in found if each is not None]


def _decide(
    vault: Vault, caller: Caller, stored: StoredAccount, domain: Domain | None
) -> _Decision | None:
    settings = read_server(stored.document, domain, "none")
    incoming = read_mailbox_server(stored.document, domain)
    now_smtp = stored.settings and replace(stored.settings, password_mode="stored")
    same = now_smtp == (settings and replace(settings, password_mode="stored"))
    if same and stored.incoming == incoming:
        return None
    draft = Draft(dict(stored.document))
    kept = decide_password(vault, stored, draft, settings, caller.owner_id)
    touched = Touched(
        stored,
        stored.settings.server if stored.settings else None,
        settings.server if settings else None,
        {"stored": "kept", "awaiting": "needed", "none": "none"}[kept.state],
    )
    return touched, {
        "password": kept.sealed,
        "password_state": kept.state,
        "password_owner": kept.owner,
        "incoming_password": decide_incoming_password(vault, stored, draft, domain),
        "version": stored.version + 1,
    }


def _apply(
    tx: Connection, caller: Caller, name: str, decided: Sequence[_Decision], at: datetime
) -> None:
    for touched, values in decided:
        stored = touched.stored
        tx.execute(update(account).where(account.c.id == stored.id).values(**values, updated_at=at))
        audit.record(
            tx, caller, "account.domain", f"accounts/{stored.id}",
            {"server": touched.server_before},
            {"server": touched.server_after, "domain": name, "password_state": touched.password}, at,
        )  # fmt: skip
