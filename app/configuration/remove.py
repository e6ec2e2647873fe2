"""Remove a configuration. The row stays, empty: mail that waits names it, and a new one takes it."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.tables import person
from app.configuration.consent import drop_consent
from app.configuration.load import lock_account
from app.configuration.model import StoredAccount, name_object, name_scope
from app.configuration.save import CheckVersion
from app.configuration.show import show_document
from app.configuration.tables import account


def delete_configuration(
    tx: Connection, caller: Caller, scope: str, at: datetime, check_version: CheckVersion
) -> StoredAccount:
    """Remove a scope's configuration and its secrets; return it as it was.

    A user whose personal one is removed sends by the global scope from then on.
    """
    before = lock_account(tx, scope)
    check_version(before.version)
    tx.execute(
        update(account)
        .where(account.c.id == before.id)
        .values(
            settings={},
            domain=None,
            version=before.version + 1,
            password=None,
            password_state="none",
            password_owner=None,
            incoming_password=None,
            attachment_password=None,
            paused_at=None,
            paused_by=None,
            updated_at=at,
            removed_at=at,
        )
    )
    drop_consent(tx, before.id)
    if before.user_id is not None and scope == name_scope(before.user_id):
        tx.execute(
            update(person)
            .where(person.c.id == before.user_id)
            .values(active_scope="global", updated_at=at)
        )
    what = name_object(before.scope)
    audit.record(tx, caller, "config.delete", what, show_document(before), None, at)
    return before
