"""Allowances: exact however many take at once, on both engines."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from app.db import Database
from app.errors import Throttled
from app.outbox.allowance import take

pytestmark = pytest.mark.anyio
AT = datetime(2026, 11, 22, 9, 30, 59, 500_000, tzinfo=UTC)


async def test_of_many_at_once_through_two_processes_exactly_as_many_pass_as_are_allowed(
    database_url: str,
) -> None:
    databases = [Database(database_url), Database(database_url)]
    try:
        results = await asyncio.gather(
            *(databases[number % 2].write(take, "x", most=7, at=AT) for number in range(30)),
            return_exceptions=True,
        )
        refused = [each for each in results if isinstance(each, Throttled)]
        assert results.count(None) == 7
        assert len(refused) == 23
        assert {each.retry_after_s for each in refused} == {1}
        await databases[0].write(take, "y", most=7, at=AT)
        await databases[0].write(take, "x", most=7, at=AT + timedelta(seconds=1))
    finally:
        for db in databases:
            db.close()
