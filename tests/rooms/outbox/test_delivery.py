"""Delivery to real sockets: a worker of this process and a mail server that may misbehave."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.configuration.switch import pause, resume
from app.outbox.again import release, retry
from app.outbox.carry import claim_batch
from app.outbox.health import Health, close_breaker, read_health
from app.outbox.office import Office, open_office
from app.outbox.tables import account_state, message
from app.worker import Worker
from tests.crafts.wire.certificates import make_authority
from tests.flows.peer import DROP, SILENT, Late, Peer, serve
from tests.rooms.outbox.desk import ADMIN, Seen, check_invariants, configure, look, send

pytestmark = pytest.mark.anyio
TO = "anna@klient.example"
LOGIN = {"username": "faktury", "password": "tajne", "allow_insecure_auth": True}


@pytest.fixture
async def peer(anyio_backend: str) -> AsyncIterator[Peer]:
    """A mail server."""
    async with serve() as running:
        yield running


@pytest.fixture
async def worker(office: Office) -> AsyncIterator[Worker]:
    """A worker at work; at the end all invariants hold."""
    async with Worker(office).running() as running:
        yield running
    await office.db.read(check_invariants)


async def until(found: Callable[[], Any], within_s: float = 10) -> Any:
    """Wait until something is true, and return it."""
    async with asyncio.timeout(within_s):
        while not (value := found()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return value


async def watch(
    office: Office, message_id: str, wanted: Callable[[Seen], Any], within_s: float = 10
) -> Seen:
    """Wait until a message is as wanted."""
    async with asyncio.timeout(within_s):
        while not wanted(seen := await office.db.read(look, message_id)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return seen


async def watch_health(office: Office, account_id: str, failures: int) -> Health:
    """Wait until an account has failed so often."""
    async with asyncio.timeout(10):
        while (seen := await office.db.read(read_health, account_id)).failures < failures:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return seen


async def be_given_up_in(office: Office, message_id: str, seconds: float) -> None:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    soon = update(message).where(message.c.id == message_id).values(give_up_at=at)
    await office.db.write(lambda tx: tx.execute(soon))


async def ended(office: Office, message_id: str) -> Seen:
    return await watch(office, message_id, lambda seen: seen.row.ended_at)


async def held(office: Office, message_id: str) -> Seen:
    return await watch(office, message_id, lambda seen: seen.status == "held")


async def test_a_message_is_handed_over_byte_for_byte(
    office: Office, peer: Peer, worker: Worker
) -> None:
    await configure(office, port=peer.port)
    sent = await ended(office, await send(office, "a@x.example", "b@x.example"))
    assert sent.status == "sent"
    taken = peer.taken[0]
    assert (taken.sender, taken.recipients) == (
        "faktury@firma.example",
        ("a@x.example", "b@x.example"),
    )
    assert taken.message_id == sent.row.message_id
    assert {each.reply for each in sent.attempts} == {"taken"}
    assert sent.attempts[0].server == f"127.0.0.1:{peer.port}"


async def test_one_of_three_is_refused_and_the_others_get_it(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.always("rcpt b@x.example", "550 5.1.1 no such user")
    await configure(office, port=peer.port)
    done = await ended(office, await send(office, "a@x.example", "b@x.example", "c@x.example"))
    assert done.status == "partially_sent"
    assert done.states["b@x.example"] == "failed: recipient_refused"
    assert peer.taken[0].recipients == ("a@x.example", "c@x.example")


async def test_who_was_refused_for_now_is_tried_again_alone(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.will("rcpt b@x.example", "451 4.7.1 greylisted", "451 4.7.1 greylisted")
    await configure(office, port=peer.port)
    done = await ended(office, await send(office, "a@x.example", "b@x.example"))
    assert done.status == "sent"
    assert [each.recipients for each in peer.taken] == [("a@x.example",), ("b@x.example",)]
    assert len({each.message_id for each in peer.taken}) == 1
    assert done.verdicts == ["sent", "deferred", "deferred", "sent"]


@pytest.mark.parametrize(
    ("step", "action"),
    [
        ("mail", "451 4.3.0 later"),
        ("data", "451 4.3.0 later"),
        ("data", "421 4.3.2 closing"),
        ("dot", "451 4.3.0 later"),
        ("dot", "452 4.2.2 mailbox full"),
        ("body", DROP),
    ],
)
async def test_what_is_not_for_good_is_tried_again_until_it_goes(
    office: Office, peer: Peer, worker: Worker, step: str, action: str
) -> None:
    peer.will(step, action)
    await configure(office, port=peer.port)
    done = await ended(office, await send(office))
    assert (done.status, done.verdicts) == ("sent", ["deferred", "sent"])
    assert len(peer.delivered()) == 1


async def test_where_groups_are_cut_off_three_times_one_thing_at_a_time_is_said(
    office: Office, peer: Peer, worker: Worker
) -> None:
    for _ in range(3):
        peer.will("rcpt", DROP)
    await configure(office, port=peer.port)
    done = await ended(office, await send(office))
    assert (done.status, done.verdicts) == ("sent", ["deferred", "sent"])
    assert len(peer.delivered()) == 1


@pytest.mark.parametrize("step", ["mail", "data", "dot"])
async def test_a_permanent_refusal_fails_at_once(
    office: Office, peer: Peer, worker: Worker, step: str
) -> None:
    peer.always(step, "554 5.7.1 not wanted")
    await configure(office, port=peer.port)
    done = await ended(office, await send(office))
    assert (done.status, done.verdicts) == ("failed", ["refused"])
    assert (done.attempts[0].code, done.attempts[0].enhanced) == (554, "5.7.1")
    assert not done.attempts[0].local


async def test_a_server_that_never_takes_it_is_given_up(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.always("rcpt", "451 4.3.0 later")
    await configure(office, port=peer.port)
    message_id = await send(office)
    await be_given_up_in(office, message_id, 2)
    done = await ended(office, message_id)
    assert done.states == {TO: "failed: gave_up"}
    assert len(done.attempts) > 1


@pytest.mark.parametrize("action", [DROP, SILENT, "garbage"])
async def test_a_lost_final_reply_is_uncertain_and_the_message_goes_again(
    office: Office, peer: Peer, action: str
) -> None:
    office = replace(
        office, settings=office.settings.model_copy(update={"final_reply_timeout_s": 0.2})
    )
    peer.will("dot", action)
    await configure(office, port=peer.port)
    async with Worker(office).running():
        done = await ended(office, await send(office))
    assert (done.status, done.verdicts) == ("sent", ["uncertain", "sent"])
    assert [each.message_id for each in peer.taken] == [done.row.message_id] * 2


async def test_an_uncertain_message_is_held_for_a_person_where_that_was_asked_for(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.will("dot", DROP)
    await configure(office, port=peer.port, config={"on_uncertain": "hold"})
    message_id = await send(office)
    assert (await held(office, message_id)).states == {TO: "held: uncertain"}
    await office.db.write(
        release, office.vault, ADMIN, message_id, smtp_password=None, delivery="on"
    )
    office.db.ring()
    assert (await ended(office, message_id)).verdicts == ["uncertain", "sent"]


async def test_one_connection_carries_many_messages(
    office: Office, peer: Peer, worker: Worker
) -> None:
    await configure(office, port=peer.port, batch_limit=1000)
    for number in range(5):
        await ended(office, await send(office, f"a{number}@x.example"))
    assert (len(peer.taken), peer.sessions) == (5, 1)


async def test_an_account_never_has_more_connections_than_it_may(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.always("dot", Late(0.02, "250 ok"))
    await configure(office, port=peer.port)
    for number in range(30):
        await send(office, f"a{number}@x.example")
    await until(lambda: len(peer.delivered()) == 30, 20)
    assert 1 < peer.most_open <= office.settings.connections_per_account


async def test_a_saved_configuration_is_used_for_the_next_message(
    office: Office, peer: Peer, worker: Worker
) -> None:
    async with serve() as other:
        await configure(office, port=peer.port)
        await ended(office, await send(office))
        await configure(office, port=other.port)
        await ended(office, await send(office))
        assert (len(peer.taken), len(other.taken)) == (1, 1)


async def test_dsn_parameters_go_out_only_where_the_server_offers_them(
    office: Office, peer: Peer, worker: Worker
) -> None:
    await configure(office, port=peer.port, config={"notifications": ["OnFailure", "Delay"]})
    await ended(office, await send(office))
    assert not any("NOTIFY" in line or "ENVID" in line for line in peer.heard)
    async with serve(extensions=["DSN", "SIZE 1000000"]) as modern:
        await configure(office, port=modern.port, config={"notifications": ["OnFailure", "Delay"]})
        sent = await ended(office, await send(office))
        mail = next(line for line in modern.heard if line.startswith("MAIL"))
        rcpt = next(line for line in modern.heard if line.startswith("RCPT"))
    assert f"ENVID={sent.row.id}." in mail
    assert "RET=HDRS" in mail
    assert "NOTIFY=FAILURE,DELAY" in rcpt
    assert f"ORCPT=rfc822;{TO}" in rcpt


async def test_redirected_mail_goes_once_to_the_one_address(office: Office, peer: Peer) -> None:
    settings = office.settings.model_copy(update={"delivery": "redirect:test@firma.example"})
    office = replace(office, settings=settings)
    await configure(office, port=peer.port)
    async with Worker(office).running():
        done = await ended(office, await send(office, "a@x.example", "b@x.example"))
    assert [each.recipients for each in peer.taken] == [("test@firma.example",)]
    assert set(done.states.values()) == {"sent"}


async def test_with_delivery_off_nothing_leaves(office: Office, peer: Peer) -> None:
    await configure(office, port=peer.port)
    before = await send(office)
    office = replace(office, settings=office.settings.model_copy(update={"delivery": "off"}))
    async with Worker(office).running():
        await held(office, before)
        after = await send(office)
    for each in (before, after):
        assert (await office.db.read(look, each)).states == {TO: "held: delivery_off"}
    assert peer.sessions == 0


async def test_a_lease_is_renewed_while_a_final_reply_takes_its_time(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.will("dot", Late(office.settings.lease_s + 0.7, "250 at last"))
    await configure(office, port=peer.port)
    done = await ended(office, await send(office))
    assert (done.verdicts, len(peer.taken)) == (["sent"], 1)


# Trouble of the configuration


async def test_a_refused_login_pauses_the_account_and_a_corrected_password_sends_at_once(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.extensions.append("AUTH PLAIN")
    peer.password = "nowe"
    account = await configure(office, port=peer.port, **LOGIN)
    first, second = await send(office), await send(office)
    waiting = await watch(office, first, lambda seen: seen.status == "deferred")
    assert waiting.recipients[0].tries == 0
    health = await office.db.read(read_health, account)
    assert health.cause == "credentials_refused"
    assert "535" in health.detail
    assert health.paused_until > datetime.now(UTC) + timedelta(seconds=30)
    logins = sum(line.startswith("AUTH") for line in peer.heard)
    await asyncio.sleep(0.1)  # the account rests: nothing to wait for but that nothing comes
    assert sum(line.startswith("AUTH") for line in peer.heard) == logins
    await configure(office, port=peer.port, **LOGIN | {"password": "nowe"})
    office.db.ring()
    for each in (first, second):
        assert (await ended(office, each)).status == "sent"
    health = await office.db.read(read_health, account)
    assert (health.cause, health.paused_until, health.failures) == (None, None, 0)


async def test_a_dead_host_uses_up_no_try_and_its_mail_goes_when_it_is_back(
    office: Office, worker: Worker
) -> None:
    async with serve() as gone:
        port = gone.port
    account = await configure(office, port=port)
    message_id = await send(office)
    await be_given_up_in(office, message_id, 0)
    seen = await watch(office, message_id, lambda seen: seen.attempts)
    assert seen.states == {TO: "deferred: connection_refused"}
    assert (seen.recipients[0].tries, seen.attempts[0].server) == (0, f"127.0.0.1:{port}")
    async with serve(port):
        await office.db.write(close_breaker, account)
        office.db.ring()
        assert (await ended(office, message_id)).status == "sent"


async def test_the_second_wait_is_longer_and_one_try_is_made_after_each(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.always("connect", "554 5.3.2 no service")
    account = await configure(office, port=peer.port)
    for _ in range(8):
        await send(office)
    await until(lambda: peer.sessions >= 1)

    async def end_pause(failures: int) -> Health:
        # Sessions that failed at the same time pause the account once more: ended until one tries.
        mine = (account_state.c.account_id == account) & (account_state.c.failures == failures)
        ended = update(account_state).where(mine).values(paused_until=datetime.now(UTC))
        await office.db.write(lambda tx: tx.execute(ended))
        await asyncio.sleep(0.02)
        return await office.db.read(read_health, account)

    health = await watch_health(office, account, 1)
    waits_s = [round((health.paused_until - health.failed_at).total_seconds())]
    async with asyncio.timeout(10):
        for failures in (2, 3):
            while (health := await end_pause(failures - 1)).failures < failures:
                pass
            waits_s.append(round((health.paused_until - health.failed_at).total_seconds()))
        assert waits_s == [60, 120, 300]
        tried = peer.sessions
        while peer.sessions == tried:
            await end_pause(3)
    assert peer.sessions == tried + 1


async def test_starttls_that_was_taken_away_is_refused_and_not_done_without(
    office: Office, peer: Peer, worker: Worker, tmp_path: Path
) -> None:
    authority = make_authority(tmp_path)
    peer.context = authority.make_server_context()
    server = {"port": peer.port, "connection": "auto", "ca_pem": authority.pem}
    account = await configure(office, **server)
    assert (await ended(office, await send(office))).attempts[0].tls == "TLSv1.3"
    peer.context = None  # somebody in the middle strips the offer
    await until(lambda: peer.open_sessions == 0)
    stripped = await send(office)
    await watch(office, stripped, lambda seen: seen.attempts)
    assert (await office.db.read(read_health, account)).cause == "starttls_not_offered"
    assert len(peer.taken) == 1


# Passwords that are not stored


async def test_a_refused_password_of_a_message_holds_that_message_only(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.extensions.append("AUTH PLAIN")
    peer.password = "dobre"
    login = LOGIN | {"password_mode": "ask"}
    del login["password"]
    account = await configure(office, port=peer.port, **login)
    wrong = await send(office, smtp_password="złe")
    right = await send(office, smtp_password="dobre")
    assert (await ended(office, right)).status == "sent"
    assert (await held(office, wrong)).states == {TO: "held: password_refused"}
    assert (await office.db.read(read_health, account)).paused_until is None
    await office.db.write(release, office.vault, ADMIN, wrong, smtp_password="dobre", delivery="on")
    office.db.ring()
    done = await ended(office, wrong)
    assert (done.status, done.row.smtp_password) == ("sent", None)


async def test_mail_that_awaits_the_owners_password_is_held_until_it_is_there(
    office: Office, peer: Peer, worker: Worker
) -> None:
    peer.extensions.append("AUTH PLAIN")
    login = LOGIN | {"password_mode": "awaiting"}
    del login["password"]
    await configure(office, port=peer.port, **login)
    waiting = await send(office)
    assert (await office.db.read(look, waiting)).states == {TO: "held: awaiting_password"}
    await configure(office, port=peer.port, **LOGIN)
    office.db.ring()
    assert (await ended(office, waiting)).status == "sent"


# Pauses and lots


async def test_a_paused_account_sends_nothing_but_what_a_person_retries(
    office: Office, peer: Peer, worker: Worker
) -> None:
    await configure(office, port=peer.port)
    await office.db.write(pause, ADMIN, "global", office.clock())
    waiting, wanted = await send(office), await send(office)
    await office.db.write(retry, ADMIN, wanted)
    office.db.ring()
    assert (await ended(office, wanted)).status == "sent"
    assert (await office.db.read(look, waiting)).status == "queued"
    await office.db.write(resume, ADMIN, "global", office.clock())
    office.db.ring()
    assert (await ended(office, waiting)).status == "sent"


async def test_lots_hold_across_two_workers(
    office: Office, settings: Any, peer: Peer, worker: Worker
) -> None:
    peer.always("dot", Late(0.03, "250 ok"))
    await configure(office, port=peer.port, batch_limit=3, batch_wait_s=0.4)
    second = open_office(settings)
    try:
        for number in range(8):
            await send(office, f"a{number}@x.example", f"b{number}@x.example")
        async with Worker(second).running():
            await until(lambda: len(peer.delivered()) == 8, 20)
    finally:
        await second.close()
    taken = sorted(peer.taken, key=lambda each: each.mail_at)
    lots = [taken[0:3], taken[3:6], taken[6:8]]
    for lot, following in pairwise(lots):
        last_reply_at = max(each.answered_at for each in lot)
        assert min(each.mail_at for each in following) >= last_reply_at + 0.4


# One account's server never delays another's (G11)


async def test_a_tarpit_does_not_hold_up_a_healthy_account(
    office: Office, peer: Peer, worker: Worker
) -> None:
    async with serve() as tarpit:
        tarpit.always("connect", Late(60, "220 at last"))
        for number in range(5):
            await configure(office, f"stuck{number}", port=tarpit.port, timeout_ms=60_000)
        await configure(office, port=peer.port)
        for number in range(50):
            await send(office, user=f"stuck{number % 5}")
        await until(lambda: tarpit.open_sessions >= 5)
        for number in range(50):
            await send(office, f"a{number}@x.example")
        await until(lambda: len(peer.delivered()) == 50)
        assert tarpit.open_sessions >= 5


async def test_what_was_claimed_ahead_of_a_slow_server_goes_by_the_present_configuration(
    office: Office, peer: Peer
) -> None:
    peer.always("dot", Late(2.2, "250 ok"))
    await configure(office, port=peer.port, batch_limit=1000)  # one connection
    slow, ahead = await send(office), await send(office, "b@x.example")
    async with serve() as other, Worker(office).running():
        await watch(office, ahead, lambda seen: seen.status == "sending")
        await configure(office, port=other.port, batch_limit=1000)
        assert (await ended(office, ahead)).status == "sent"
        assert (await ended(office, slow)).status == "sent"
        assert [each.recipients for each in other.delivered()] == [("b@x.example",)]


async def test_a_server_that_never_answers_holds_up_neither_the_rest_nor_a_mended_configuration(
    office: Office, peer: Peer
) -> None:
    office = replace(office, settings=office.settings.model_copy(update={"stop_grace_s": 0.1}))
    peer.always("dot", SILENT)
    await configure(office, port=peer.port, batch_limit=1000)  # one connection
    stuck, waiting = await send(office), await send(office, "b@x.example")
    async with serve() as other, Worker(office).running():
        await until(lambda: "." in peer.heard)
        await watch(office, waiting, lambda seen: seen.status == "sending")
        await watch(office, waiting, lambda seen: seen.status == "queued")
        await configure(office, port=other.port, batch_limit=1000)
        assert (await ended(office, waiting)).status == "sent"
        assert (await office.db.read(look, stuck)).status == "sending"
    assert (await office.db.read(look, stuck)).verdicts == ["uncertain"]


async def test_what_was_not_on_the_wire_when_its_account_was_paused_stays(
    office: Office, peer: Peer
) -> None:
    peer.always("dot", Late(0.2, "250 ok"))
    await configure(office, port=peer.port, batch_limit=1000)
    ids = [await send(office, f"a{number}@x.example") for number in range(5)]
    async with Worker(office).running():
        await until(lambda: "." in peer.heard)
        await office.db.write(pause, ADMIN, "global", datetime.now(UTC))
        office.db.ring()
        await watch(office, ids[-1], lambda seen: seen.status == "queued")
        await until(lambda: peer.taken)
        await asyncio.sleep(0.3)
        assert len(peer.taken) <= 2  # the one at the dot, the one that rode along
    assert (await office.db.read(look, ids[-1])).status == "queued"


async def test_a_wrong_password_that_many_messages_bring_along_is_tried_once(
    office: Office, peer: Peer
) -> None:
    peer.extensions.append("AUTH PLAIN")
    peer.password = "dobre"
    login = LOGIN | {"password_mode": "ask"}
    del login["password"]
    await configure(office, port=peer.port, batch_limit=1000, **login)
    wrong = [await send(office, smtp_password="złe") for _ in range(4)]
    async with Worker(office).running():
        for each in wrong:
            assert (await held(office, each)).states == {TO: "held: password_refused"}
    assert peer.sessions == 1


async def test_mail_of_a_test_never_reaches_its_own_address_by_a_crash(
    office: Office, peer: Peer
) -> None:
    def under(delivery: str) -> Office:
        return replace(office, settings=office.settings.model_copy(update={"delivery": delivery}))

    await configure(office, port=peer.port)
    redirected = await send(under("redirect:test@firma.example"))
    await office.db.write(
        claim_batch, (await office.db.read(look, redirected)).row.account_id, "dead.1",
        lease_s=-1, delivery="on", most=5,
    )  # fmt: skip
    async with Worker(under("on")).running():
        assert (await held(office, redirected)).states == {TO: "held: delivery_redirected"}
        assert not peer.taken
        await office.db.write(
            release, office.vault, ADMIN, redirected, smtp_password=None, delivery="on"
        )
        office.db.ring()
        assert (await ended(office, redirected)).status == "sent"
