"""From a bearer token to a ``Caller``: an API key, or a JWT of the OIDC issuer.

Every request looks its key up anew, so a revoked key ends at once in all processes; requests that
arrive together share one read, which keeps that cheap. ``last_used_at`` is written beside the
request, at most once a minute for a key.
This is the one place outside the doors that opens transactions: both doors sign in by it.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from app.accounts import keys
from app.accounts.caller import Caller
from app.accounts.keys import KeyRow
from app.db import Database
from app.errors import AwizoError, Unauthenticated
from app.settings import Settings
from app.vault import Vault

if TYPE_CHECKING:
    from app.accounts.provider import Provider
    from app.accounts.tokens import TokenReader

_TOUCH_EVERY = timedelta(minutes=1)
_MOST_TOKEN_CHARACTERS = 16_384  # a JWT with many claims; no proxy passes longer headers
_log = structlog.get_logger()


class SignIn:
    """Knows callers by their credentials; ``close`` finishes the notes under way.

    provider: where people sign in to the admin page; None: with keys alone.
    """

    def __init__(
        self, settings: Settings, db: Database, vault: Vault, clock: Callable[[], datetime]
    ) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._tokens: TokenReader | None = None
        self.provider: Provider | None = None
        if settings.oidc_issuer:
            from app.accounts import provider, tokens  # a tenth of a second, for those who use it

            self._tokens = tokens.TokenReader(settings, clock)
            if settings.oidc_client_id:
                self.provider = provider.Provider(settings, self._tokens, clock)
        self._touching: dict[str, asyncio.Task[None]] = {}

    async def identify(self, token: str, request_id: str | None = None) -> Caller:
        """Return who ``token`` stands for; raise ``Unauthenticated`` where it is no good."""
        if not token.isascii() or len(token) > _MOST_TOKEN_CHARACTERS:
            raise _refuse()
        refusal = _refuse()
        for row in (await self._db.ask(keys.find_keys, keys.candidate_prefixes(token))).values():
            if self._vault.matches(keys.PURPOSE, token.encode(), row.hash):
                try:
                    return self._admit(row, request_id)
                except Unauthenticated as error:  # AWIZO_ADMIN_KEY may repeat a key of ours
                    refusal = error
        if self._tokens is not None and token.count(".") == 2:
            return await self._tokens.read(token, request_id)
        raise refusal

    async def resume(self, key_id: str, request_id: str | None = None) -> Caller:
        """Return the holder of a key that signed in before; raise ``Unauthenticated`` once it ended."""
        row = await self._db.ask(keys.find_key, key_id)
        if row is None:
            raise _refuse()
        return self._admit(row, request_id)

    async def close(self) -> None:
        """Wait for notes of use that are being written."""
        await asyncio.gather(*self._touching.values())

    def _admit(self, row: KeyRow, request_id: str | None) -> Caller:
        at = self._clock()
        if row.revoked_at is not None:
            raise Unauthenticated("This key was revoked.", code="key_revoked")
        if row.expires_at is not None and row.expires_at <= at:
            raise Unauthenticated("This key has expired.", code="key_expired")
        if row.last_used_at is None or at - row.last_used_at >= _TOUCH_EVERY:
            self._note_use(row.id, at)
        return Caller(
            owner_id=row.owner_id,
            role=row.role,
            name=row.name,
            user=row.user_id,
            key_id=row.id,
            request_id=request_id,
        )

    def _note_use(self, key_id: str, at: datetime) -> None:
        if key_id not in self._touching:
            task = asyncio.create_task(self._touch(key_id, at))
            self._touching[key_id] = task
            task.add_done_callback(lambda _: self._touching.pop(key_id))

    async def _touch(self, key_id: str, at: datetime) -> None:
        try:
            await self._db.write(keys.touch_key, key_id, at)
        except AwizoError as error:  # the request it belongs to has its own answer
            _log.warning("last_used_at_not_written", key=key_id, cause=error.code)


def _refuse() -> Unauthenticated:
    return Unauthenticated("This credential is not known here.", code="invalid_token")
