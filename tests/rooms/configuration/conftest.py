"""The configuration room over a real database, on both engines.

``run``      runs a verb in a transaction: ``run(resolve, "anna")``
``save``     puts a configuration as an admin: ``save("anna", {"cc": "a@b.example"})``
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.accounts.caller import Caller
from app.configuration.model import name_scope
from app.configuration.save import Save, Saved, put_configuration
from app.db import Database
from app.vault import Vault
from app.wire.address_policy import AddressPolicy

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ADMIN = Caller(owner_id="owner-1", role="admin", name="Administrator")
Run = Callable[..., Any]


@pytest.fixture
def run(database_url: str) -> Iterator[Run]:
    """Run a verb in a transaction of its own."""
    db = Database(database_url)
    yield lambda verb, *args, **kwargs: asyncio.run(db.write(verb, *args, **kwargs))
    db.close()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A fresh key ring."""
    return Vault.open_or_create(tmp_path / "keyring.json")


@pytest.fixture
def save(run: Run, vault: Vault) -> Callable[..., Saved]:
    """Put a configuration: user None is the global scope."""

    def put(user: str | None, raw: dict[str, Any], **options: Any) -> Saved:
        order = Save(
            vault, AddressPolicy(), ADMIN, name_scope(user), user, AT, lambda version: None
        )
        saved: Saved = run(put_configuration, order, raw, **options)
        return saved

    return put
