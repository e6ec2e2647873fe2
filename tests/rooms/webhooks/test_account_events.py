"""What becomes of an account is told once for each change, however often and to whomever it fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from app.accounts.caller import Caller
from app.configuration.load import load_account
from app.inbox.mailboxes import claim, enroll, note_failed, note_synced
from app.inbox.tables import mailbox
from app.outbox.find import read_events
from app.outbox.health import note_success, note_trouble
from app.outbox.office import Office
from app.outbox.tables import account_state
from app.worker import Worker
from tests.flows.peer import serve
from tests.rooms.outbox.desk import ADMIN, ANNA, configure, send
from tests.rooms.webhooks.carrying import make_webhook
from tests.rooms.webhooks.receiver import Receiver

pytestmark = pytest.mark.anyio

LOGIN = {"username": "faktury", "password": "tajne", "allow_insecure_auth": True}
MAILBOX = {"incoming": {"host": "imap.firma.example", "username": "x", "password": "y"}}
SENDER = Caller(owner_id="owner-3", role="sender", name="Księgowość")
PIOTR = Caller(owner_id="owner-4", role="user", name="Piotr", user="piotr")
STOOD = {
    "capabilities": {}, "starttls_seen": None, "dsn_refused": None, "pipelining_broken": None,
}  # fmt: skip


async def until(found: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not found():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def list_events(office: Office, caller: Caller = ADMIN) -> list[tuple[str, dict[str, Any]]]:
    rows = await office.db.read(read_events, caller, after=(-1, 0), limit=500)
    return [(row.type, row.data) for row in rows if row.type.startswith("account.")]


async def test_a_refused_login_of_many_is_told_once_and_so_is_its_end(
    office: Office, receiver: Receiver
) -> None:
    await make_webhook(office, receiver.url, "account.*")
    async with serve(password="tajne") as peer:
        peer.extensions.append("AUTH PLAIN")
        account = await configure(office, port=peer.port, **LOGIN | {"password": "złe"})
        for _ in range(12):
            await send(office)
        async with Worker(office).running(), Worker(office).running():
            await until(lambda: receiver.heard)
            failures = select(account_state.c.failures)
            async with asyncio.timeout(20):
                while (seen := await office.db.read(lambda tx: tx.scalar(failures))) < 3:
                    # Sessions that failed at the same time pause it once more: ended until one tries.
                    mine = account_state.c.failures == seen
                    past = update(account_state).where(mine).values(paused_until=office.clock())
                    await office.db.write(lambda tx, past=past: tx.execute(past))
                    office.db.ring()
                    await asyncio.sleep(0.02)
            await configure(office, port=peer.port, **LOGIN)
            office.db.ring()
            await until(lambda: len(peer.delivered()) == 12 and len(receiver.heard) > 1)
    assert receiver.types == ["account.paused", "account.resumed"]
    paused, resumed = (each.said["data"]["details"] for each in receiver.heard)
    assert (paused["account"], paused["scope"]) == (account, "global")
    assert (paused["cause"], "535" in paused["detail"]) == ("credentials_refused", True)
    assert paused["until"].endswith("Z")
    assert resumed == {"account": account, "scope": "global", "why": "changed"}
    assert "złe" not in receiver.heard[0].body.decode()


async def test_several_sessions_that_stand_at_the_same_moment_tell_of_one_end(
    office: Office,
) -> None:
    account = await configure(office)
    at = office.clock()
    for _ in range(3):
        await office.db.write(note_trouble, account, cause="timeout", detail="…", at=at)
    several = [office.db.write(note_success, account, at=at, **STOOD) for _ in range(6)]
    await asyncio.gather(*several)
    told = await list_events(office)
    assert [type for type, _ in told] == ["account.paused", "account.resumed"]
    assert told[1][1]["why"] == "works"


async def test_an_accounts_events_are_seen_by_its_holder_and_by_those_who_see_all(
    office: Office,
) -> None:
    common, annas = await configure(office), await configure(office, "anna")
    for each in (common, annas):
        trouble = {"cause": "timeout", "detail": "…", "at": office.clock()}
        await office.db.write(note_trouble, each, **trouble)
    for caller, seen in {ADMIN: 2, SENDER: 2, ANNA: 1, PIOTR: 0}.items():
        assert len(await list_events(office, caller)) == seen
    ((_, data),) = await list_events(office, ANNA)
    assert (data["account"], data["scope"]) == (annas, "users/anna")


async def fail(office: Office, account: str) -> None:
    now = update(mailbox).values(next_at=office.clock())
    await office.db.write(lambda tx: tx.execute(now))
    held = await office.db.write(claim, account, "test.1")
    assert held
    await office.db.write(note_failed, held, "credentials_refused", "no such user")


@pytest.mark.parametrize("why", ["works", "changed"])
async def test_a_mailbox_is_told_when_it_fails_a_second_time_and_when_that_ends(
    office: Office, why: str
) -> None:
    account = await configure(office, config={"name": "Windykacja", **MAILBOX})
    await office.db.write(enroll)
    await fail(office, account)
    assert await list_events(office) == []  # servers cut connections now and then
    for _ in range(3):
        await fail(office, account)
    if why == "works":
        past = update(mailbox).values(next_at=office.clock())
        await office.db.write(lambda tx: tx.execute(past))
        held = await office.db.write(claim, account, "test.2")
        for _ in range(2):
            assert await office.db.write(note_synced, held, None)
    else:
        await configure(office, config={"name": "Windykacja", **MAILBOX})
        for _ in range(2):
            await office.db.write(enroll)
    assert await office.db.read(load_account, account)
    named = {"account": account, "scope": "global", "name": "Windykacja"}
    assert await list_events(office) == [
        ("account.mailbox_failed",
         named | {"cause": "credentials_refused", "detail": "no such user"}),
        ("account.mailbox_recovered", named | {"why": why}),
    ]  # fmt: skip
