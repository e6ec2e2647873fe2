"""A link with which the owner of an account enters its password, once, without an API key (D3).

The token is shown once, to who makes the link; here stands only its keyed digest. It says nothing
about the account that its owner does not know, and opens nothing but this one door. The digest holds
the servers too: where they change, the password would go elsewhere than the owner is shown, so the
link ends.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, insert, select, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.configuration.load import load_account
from app.configuration.model import StoredAccount
from app.configuration.password import enter_password
from app.configuration.secrets import describe_targets
from app.configuration.tables import password_link
from app.db import lock_rows, new_id
from app.errors import Conflict, Missing
from app.vault import Vault

_PURPOSE = "password_link"
_SECRET_BYTES = 24


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is handed out; ``token`` is shown this once."""

    token: str
    expires_at: datetime


def make_link(
    tx: Connection,
    vault: Vault,
    caller: Caller,
    stored: StoredAccount,
    at: datetime,
    lasts: timedelta,
) -> Link:
    """Return a new link for an account whose server wants a password; older ones end.

    Raises ``Conflict`` ``no_password_wanted``.
    """
    settings = stored.settings
    if settings is None or not settings.wants_login or settings.password_mode == "ask":
        raise Conflict(
            "This account has no login of its own that a password is stored for.",
            code="no_password_wanted",
        )
    tx.execute(
        update(password_link)
        .where(password_link.c.account_id == stored.id, password_link.c.used_at.is_(None))
        .values(used_at=at)
    )
    link_id, secret = new_id(at), secrets.token_urlsafe(_SECRET_BYTES)
    token = f"{link_id}.{secret}"
    tx.execute(
        insert(password_link).values(
            id=link_id,
            account_id=stored.id,
            hash=vault.digest(_PURPOSE, _bind(token, stored)),
            user_id=stored.user_id,
            made_by=caller.name,
            made_at=at,
            expires_at=at + lasts,
        )
    )
    what = f"accounts/{stored.id}"
    audit.record(tx, caller, "account.password_link", what, None, {"link": link_id}, at)
    return Link(token, at + lasts)


def read_link(tx: Connection, vault: Vault, token: str, at: datetime) -> StoredAccount:
    """Return the account a link is for.

    Raises ``Missing`` ``link_not_found`` for one that is forged, used, replaced or too old: alike.
    """
    return _find(tx, vault, token, at, _by_token(token))[1]


def use_link(
    tx: Connection, vault: Vault, token: str, password: object, at: datetime
) -> StoredAccount:
    """Enter the password by a link, which is then used up; return the account as it was."""
    link_id, stored = _find(tx, vault, token, at, lock_rows(tx, _by_token(token)))
    # Nobody may have it shown again: it was entered by no key.
    owner = Caller(f"link:{link_id}", "user", "password link", stored.user_id or "")
    entered = enter_password(tx, vault, owner, stored.scope, password, at)
    tx.execute(update(password_link).where(password_link.c.id == link_id).values(used_at=at))
    return entered


def _by_token(token: str) -> Select[Any]:
    return select(password_link).where(password_link.c.id == token.partition(".")[0])


def _bind(token: str, stored: StoredAccount) -> bytes:
    """Return what a link's digest is of: the token, and the servers that the password opens."""
    return "\n".join((token, *describe_targets(stored.settings, stored.incoming))).encode()


def _find(
    tx: Connection, vault: Vault, token: str, at: datetime, query: Select[Any]
) -> tuple[str, StoredAccount]:
    row = tx.execute(query).first() if token.isprintable() else None
    stored = load_account(tx, row.account_id) if row else None
    if (
        row is None
        or stored is None
        or stored.removed_at is not None
        or row.used_at is not None
        or row.expires_at <= at
        or not vault.matches(_PURPOSE, _bind(token, stored), row.hash)
    ):
        raise Missing(
            "This link is not valid, was used, or is too old; ask for a new one.",
            code="link_not_found",
        )
    return row.id, stored
