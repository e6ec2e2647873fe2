"""The audit trail hides secrets by itself, whatever it is given."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from app.accounts import audit
from app.accounts.caller import Caller
from app.accounts.tables import audit as table
from app.db import Database

AT = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.anyio
async def test_members_named_like_secrets_are_hidden_at_any_depth(database_url):
    db = Database(database_url)
    given = {
        "smtp": {"password": "s3cret", "password_mode": "stored", "host": "h"},
        "attachment_password": "s3cret",
        "list": [{"key": "s3cret"}, ("token", {"token": "s3cret"})],
        "password_set": True,
        "secret": None,
    }
    caller = Caller(owner_id="o", role="sender", name="ERP", request_id="r")
    await db.write(audit.record, caller, "config.put", "config/global", None, given, AT)
    row = await db.read(lambda tx: tx.execute(select(table)).one())
    assert "s3cret" not in str(row)
    assert row.before is None
    assert row.after == {
        "smtp": {"password": "***", "password_mode": "stored", "host": "h"},
        "attachment_password": "***",
        "list": [{"key": "***"}, ["token", {"token": "***"}]],
        "password_set": True,
        "secret": None,
    }
    assert (row.at, row.owner_id, row.actor, row.role) == (AT, "o", "ERP", "sender")
    assert row.request_id == "r"
    db.close()


@pytest.mark.anyio
async def test_a_change_that_is_undone_leaves_no_line(database_url):
    db = Database(database_url)

    def change(tx):
        audit.record(tx, audit.SYSTEM, "key.create", "keys/1", None, {}, AT)
        raise RuntimeError("undone")

    with pytest.raises(RuntimeError):
        await db.write(change)
    assert await db.read(lambda tx: tx.execute(select(table)).all()) == []
    db.close()
