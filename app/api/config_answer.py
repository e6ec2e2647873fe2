"""A configuration as an answer: what is stored, and how its server is doing.

``change`` runs a verb that alters a configuration and tells the mail that waits
(``outbox.follow``), in one transaction.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import WithJsonSchema
from sqlalchemy.engine import Connection

from app.accounts.people import read_person
from app.api.body import show_instant
from app.api.scope import Scope
from app.configuration.consent_state import Consent
from app.configuration.load import find_account, load_account
from app.configuration.model import ACCOUNT_SCOPE, StoredAccount
from app.configuration.show import show_document
from app.configuration.shown_document import describe_answer
from app.db import now
from app.errors import Missing, Stale
from app.inbox.standing import read_standing
from app.outbox.follow import configuration_changed
from app.outbox.health import name_state, read_health
from app.outbox.manners import find_limits
from app.outbox.office import Office

Configuration = Annotated[dict[str, Any], WithJsonSchema(describe_answer())]


async def change(
    office: Office,
    scope: Scope,
    response: Response,
    run: Callable[[Connection], StoredAccount],
    at: datetime,
) -> dict[str, Any]:
    """Change a configuration, tell the mail that waits, and show what is stored now."""

    def run_and_read(tx: Connection) -> tuple[StoredAccount, dict[str, Any]]:
        require_unmoved(tx, scope)
        configuration_changed(tx, run(tx).id, at)
        return read_shown(tx, scope)

    shown = await office.db.write(run_and_read)
    office.db.ring()
    return answer(response, *shown)


def require_unmoved(tx: Connection, scope: Scope) -> None:
    """Raise ``Stale`` where the account that a path names stands in another scope by now: another
    account became the default meanwhile, and what was meant for this one is not written to that."""
    stored = load_account(tx, scope.account_id) if scope.account_id else None
    if stored is not None and stored.scope != scope.name:
        raise Stale("Another account became the default meanwhile; repeat your change.")


def read_shown(tx: Connection, scope: Scope) -> tuple[StoredAccount, dict[str, Any]]:
    stored = find_account(tx, scope.name)
    if stored is None:
        raise Missing(f"Nothing is stored for {scope.name}.", code="configuration_not_found")
    health = read_health(tx, stored.id)
    trouble = health.cause and {
        "cause": health.cause,
        "detail": health.detail,
        "failed_at": show_instant(health.failed_at),
        "next_try_at": show_instant(health.paused_until),
    }
    given = stored.consent
    if given is not None and given.state == "needs_consent" and stored.uses_token:
        trouble = {
            "cause": "consent_needed",
            "detail": given.error,
            "failed_at": show_instant(given.failed_at),
            "next_try_at": None,
        }
    at = now(tx)
    limits = find_limits(health, stored.settings.host if stored.settings else "", at)
    slowed = limits.until and {
        "reason": health.slow_reason,
        "detail": health.slow_detail,
        "slowed_at": show_instant(health.slowed_at),
        "next_try_at": show_instant(health.slow_until),
        "until": show_instant(limits.until),
    }
    known: dict[str, Any] = {
        "scope": stored.scope,
        "version": stored.version,
        "updated_at": show_instant(stored.updated_at),
        "state": name_state(stored, health, at),
        "trouble": trouble,
        "slowed": slowed,
        "limits": {
            "per_minute": limits.per_minute and round(limits.per_minute, 1),
            "connections": limits.connections,
            "per_connection": limits.per_connection,
        },
        "paused_at": show_instant(stored.paused_at),
        "consent": given and show_consent(given, at),
        "mailbox": _show_mailbox(tx, stored),
    }
    known |= {
        "id": stored.id,
        "kind": "group" if stored.user_id is None else "personal",
        "holder": stored.user_id,
        "is_default": not stored.scope.startswith(ACCOUNT_SCOPE),
    }
    if stored.user_id is not None:
        person = read_person(tx, stored.user_id)
        known["user"] = stored.user_id
        known["active_scope"] = person.active_scope if person else "global"
    return stored, known | show_document(stored)


def _show_mailbox(tx: Connection, stored: StoredAccount) -> dict[str, Any] | None:
    standing = read_standing(tx, stored)
    if standing is None:
        return None
    return {
        "synced_at": show_instant(standing.synced_at),
        "unread": standing.unread,
        "next_try_at": show_instant(standing.next_try_at),
        "failed_at": show_instant(standing.failed_at),
        "cause": standing.cause,
        "detail": standing.detail,
        "advice": standing.advice,
    }


def show_consent(given: Consent, at: datetime) -> dict[str, Any]:
    """Return an OAuth2 consent for people: never a token."""
    asked_until = given.asked_until
    return {
        "provider": given.provider,
        "grant": given.grant,
        "state": given.state,
        "address": given.address,
        "scopes": given.scopes.split() if given.scopes else [],
        "error": given.error,
        "failed_at": show_instant(given.failed_at),
        "granted_at": show_instant(given.granted_at),
        "refreshed_at": show_instant(given.refreshed_at),
        "expires_at": show_instant(given.expires_at),
        "asked_until": show_instant(asked_until if asked_until and at < asked_until else None),
    }


def answer(response: Response, stored: StoredAccount, shown: dict[str, Any]) -> dict[str, Any]:
    response.headers["ETag"] = f'"{stored.version}"'
    return shown
