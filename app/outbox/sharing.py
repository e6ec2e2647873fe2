"""What the messages of a batch share is made once: protected attachments and their base64.

The attachments of the batch's defaults stand in every message. Each of their PDFs is encrypted once
per password, their ZIP is packed once per password and language, and each result is encoded once.
Results of the last few passwords are kept, so memory stays bounded when every message has its own.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from app.mime.compose import encode_base64
from app.mime.frames import Outcome
from app.mime.pool import ProtectPool
from app.mime.protect import Plain, Protected, Protection, protect
from app.outbox.check import Checked

T = TypeVar("T")

_PASSWORDS = 4  # whose results are kept


class Sharing:
    """Protects the attachments of one batch's messages; of one event loop.

    shared: what the defaults bring, in front of each message's own.
    """

    def __init__(self, pool: ProtectPool, shared: Sequence[Plain]) -> None:
        self._pool = pool
        self._shared = tuple(shared)
        self._most = _PASSWORDS * max(1, len(shared))
        self._unprotected = {id(part.content) for part in shared}
        self._made: dict[tuple[Any, ...], asyncio.Task[Any]] = {}
        # By its id, each content that several messages carry, and its base64 once it was asked for.
        self._carried: dict[int, tuple[bytes, bytes | None]] = {}

    async def protect(self, checked: Checked) -> Protection:
        """Do what ``mime.protect`` does, once for all messages with the same files and password."""
        order, password, language = checked.order, checked.password, checked.language

        def make() -> Coroutine[Any, Any, Protection]:
            return protect(order.attachments, password, language=language, pool=self)

        if order.attachments != self._shared:
            return await make()
        protection = await self._make_once(("all", password, language), make)
        self._carry(part.content for part in protection.parts)
        return protection

    async def encrypt(self, content: bytes, password: str) -> Outcome:
        """Encrypt one PDF; what ``mime.protect`` asks of a pool."""
        if id(content) not in self._unprotected:
            return await self._pool.encrypt(content, password)
        outcome = await self._make_once(
            (id(content), password), lambda: self._pool.encrypt(content, password)
        )
        self._carry([outcome.content])
        return outcome

    def encode(self, part: Protected) -> bytes | None:
        """Return the base64 of what other messages carry too; None for another content."""
        content, encoded = self._carried.get(id(part.content), (None, None))
        if content is not None and encoded is None:
            encoded = encode_base64(content)
            self._carried[id(content)] = content, encoded
        return encoded

    async def _make_once(
        self, key: tuple[Any, ...], make: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        task = self._made.get(key)
        if task is None:
            task = self._made[key] = asyncio.create_task(make())
            _forget_oldest(self._made, self._most)
        # Shielded: one caller that goes away must not take it from the others.
        return await asyncio.shield(task)

    def _carry(self, contents: Iterable[bytes]) -> None:
        for content in contents:
            self._carried.setdefault(id(content), (content, None))
        _forget_oldest(self._carried, self._most)


def _forget_oldest(kept: dict[Any, Any], most: int) -> None:
    while len(kept) > most:
        del kept[next(iter(kept))]
