"""Remove a configuration. The row stays, empty: mail that waits names it, and a new one takes it."""

from datetime import datetime

from sqlalchemy import delete, update
from sqlalchemy.engine import Connection

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.tables import person
from app.configuration.consent import drop_consent
from app.configuration.load import lock_account
from app.configuration.model import StoredAccount, name_object, name_scope
from app.configuration.save import CheckVersion
from app.configuration.show import show_document
from app.configuration.tables import account, account_right, password_link


def delete_configuration(
    tx: Connection, caller: Caller, scope: str, at: datetime, check_version: CheckVersion
) -> StoredAccount:
    """Remove a scope's configuration, its secrets, what was granted on it and the links to it;
    return it as it was.

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
    # What is put here later is another mailbox, and nobody's but its holder's.
    tx.execute(delete(account_right).where(account_right.c.account_id == before.id))
    tx.execute(
        update(password_link)
        .where(password_link.c.account_id == before.id, password_link.c.used_at.is_(None))
        .values(used_at=at)
    )
    if before.user_id is not None and scope == name_scope(before.user_id):
        tx.execute(
            update(person)
            .where(person.c.id == before.user_id)
            .values(active_scope="global", updated_at=at)
        )
    what = name_object(before.scope)
    audit.record(tx, caller, "config.delete", what, show_document(before), None, at)
    return before
