"""What every part of the post office works with, opened once per process.

Doors open it, rooms are handed it; tests open one on a database of their own.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.db import Database
from app.mime.pool import ProtectPool
from app.settings import Settings
from app.templates_engine.jinja_pool import JinjaPool
from app.vault import Vault
from app.wire.address_policy import AddressPolicy


def read_clock() -> datetime:
    """Return this host's time, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Office:
    """The tools of one process; ``close`` gives them back.

    jinja_trials: for previews, behind which no reply waits.
    """

    settings: Settings
    db: Database
    vault: Vault
    pool: ProtectPool
    ehlo_name: str
    clock: Callable[[], datetime] = read_clock
    jinja: JinjaPool = field(default_factory=JinjaPool)
    jinja_trials: JinjaPool = field(default_factory=JinjaPool)

    def policy(self, *, any_port: bool) -> AddressPolicy:
        """Return where mail servers may stand; admins (``any_port``) reach every port."""
        return AddressPolicy(
            deny=self.settings.smtp_deny,
            allow=self.settings.smtp_allow,
            ports=None if any_port else self.settings.smtp_ports,
        )

    async def close(self) -> None:
        """Stop the processes and close the database."""
        await self.pool.close()
        await self.jinja.close()
        await self.jinja_trials.close()
        await asyncio.to_thread(self.db.close)


def open_office(settings: Settings) -> Office:
    """Open database, key ring and protecting processes (started when first needed)."""
    return Office(
        settings=settings,
        db=Database(settings.url),
        vault=Vault.open_or_create(settings.key_ring_path),
        pool=ProtectPool(
            workers=settings.protect_workers,
            memory_bytes=settings.protect_memory_bytes,
            deadline_s=settings.protect_deadline_s,
        ),
        ehlo_name=settings.ehlo_name or _name_host(),
    )


def _name_host() -> str:
    """Return the name we give in EHLO (RFC 5321 §4.1.1.1: a full name, or an address literal)."""
    name = socket.getfqdn()
    return name if "." in name and name.isascii() else "[127.0.0.1]"
