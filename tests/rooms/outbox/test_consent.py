"""Mail sent by OAuth2: tokens of a real endpoint, logins at a real SMTP server, on both engines."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from app.accounts.tables import audit
from app.configuration.consent import begin_consent, grant, grant_application, take_answer
from app.configuration.consent_client import find_client as find_oauth_client
from app.configuration.load import load_account, open_incoming_password, open_password
from app.configuration.model import SmtpSettings, StoredAccount
from app.configuration.tables import consent
from app.outbox.access import find_access_token
from app.outbox.again import release
from app.outbox.follow import configuration_changed
from app.outbox.health import close_breaker, name_state, read_health
from app.outbox.office import Office, open_office
from app.outbox.probe import probe
from app.outbox.probe_ground import Wanted
from app.outbox.reseal import reseal_all
from app.outbox.tables import event
from app.settings import Settings
from app.wire import oauth
from app.wire.steps import SessionFailed
from app.worker import Worker
from tests.rooms.outbox.desk import ADMIN, check_invariants, configure, look, send
from tests.rooms.outbox.oauth_peers import BACK, OWNER, MailServer, Provider, serve_smtp
from tests.rooms.outbox.test_delivery import ended, held, watch

pytestmark = pytest.mark.anyio
TO = "anna@klient.example"


@pytest.fixture
async def provider(anyio_backend: str) -> AsyncIterator[Provider]:
    running = Provider()
    yield running
    running.close()


@pytest.fixture
async def office(settings: Settings, provider: Provider) -> AsyncIterator[Office]:
    opened = open_office(settings.model_copy(update=provider.settings))
    yield opened
    await opened.close()


@pytest.fixture
async def server(provider: Provider) -> AsyncIterator[MailServer]:
    async with serve_smtp(provider) as running:
        yield running


@pytest.fixture
async def worker(office: Office) -> AsyncIterator[Worker]:
    async with Worker(office).running() as running:
        yield running
    await office.db.read(check_invariants)


async def set_up(office: Office, port: int, **members: Any) -> str:
    """Store an account whose server takes XOAUTH2 alone."""
    login = {"username": OWNER, "allow_insecure_auth": True, "auth": "xoauth2"}
    return await configure(office, port=port, **{**login, **members})


async def load(office: Office, account_id: str) -> StoredAccount:
    stored = await office.db.read(load_account, account_id)
    assert stored is not None
    return stored


async def consent_to(office: Office, provider: Provider, account_id: str) -> oauth.Tokens:
    """Let the owner consent, as the doors do."""
    stored, at = await load(office, account_id), office.clock()
    begun = await office.db.write(
        begin_consent, office.vault, office.settings, ADMIN, stored, "microsoft", at
    )
    brought = provider.authorize(begun.authorize_url)
    pending = await office.db.write(take_answer, office.vault, brought["state"], at)
    client = find_oauth_client(office.settings, "microsoft", "authorization_code")
    tokens = await oauth.trade_code(client, brought["code"], pending.verifier, BACK)
    assert isinstance(tokens, oauth.Tokens)

    def run(tx: Connection) -> None:
        grant(tx, office.vault, pending, tokens, office.clock())
        configuration_changed(tx, account_id, office.clock())

    await office.db.write(run)
    office.db.ring()
    return tokens


async def change(office: Office, account_id: str, **values: Any) -> None:
    """Let time pass: change the row behind the verbs' back."""
    statement = update(consent).where(consent.c.account_id == account_id).values(**values)
    await office.db.write(lambda tx: tx.execute(statement))


async def let_end(office: Office, account_id: str, *, in_s: float = -1) -> None:
    at = datetime.now(UTC)
    end, begun = at + timedelta(seconds=in_s), at - timedelta(hours=1)
    await change(office, account_id, expires_at=end, refreshed_at=begun)


async def find(office: Office, account_id: str, **options: Any) -> str:
    stored = await load(office, account_id)
    assert stored.settings is not None
    token = await find_access_token(office, account_id, stored.settings, **options)
    return token.reveal()


async def test_mail_waits_for_the_consent_and_goes_out_by_a_login_with_its_token(
    office: Office, provider: Provider, server: MailServer, worker: Worker
) -> None:
    account_id = await set_up(office, server.port)
    waiting = await send(office)
    assert (await office.db.read(look, waiting)).states == {TO: "held: awaiting_password"}
    tokens = await consent_to(office, provider, account_id)
    assert (await ended(office, waiting)).status == "sent"
    assert server.logins == [tokens.access.reveal()]
    assert provider.refreshes == 0
    stored = await load(office, account_id)
    assert stored.consent is not None
    assert (stored.consent.state, stored.consent.address) == ("granted", OWNER)
    assert stored.settings is not None
    assert stored.settings.auth == "xoauth2"


async def test_auto_logs_in_by_token_once_there_is_a_consent(
    office: Office, provider: Provider, server: MailServer, worker: Worker
) -> None:
    account_id = await set_up(office, server.port, auth="auto", password="tajne")
    await consent_to(office, provider, account_id)
    assert (await ended(office, await send(office))).status == "sent"


async def test_until_a_consent_is_stored_the_password_is_the_access_token(
    office: Office, provider: Provider, server: MailServer, worker: Worker
) -> None:
    provider.valid.add("entered by hand")
    await set_up(office, server.port, password="entered by hand")
    assert (await ended(office, await send(office))).status == "sent"
    assert server.logins == ["entered by hand"]


async def test_a_token_is_replaced_five_minutes_early_and_the_refresh_token_rotates(
    office: Office, provider: Provider, server: MailServer, worker: Worker
) -> None:
    account_id = await set_up(office, server.port)
    first = await consent_to(office, provider, account_id)
    await let_end(office, account_id, in_s=310)
    assert await find(office, account_id) == first.access.reveal()
    await let_end(office, account_id, in_s=290)
    second = await find(office, account_id)
    assert second != first.access.reveal()
    # The old refresh token is refused from now on, so the new one must have been stored.
    assert first.refresh is not None
    assert first.refresh.reveal() not in provider.good
    await let_end(office, account_id)
    third = await find(office, account_id)
    assert provider.refreshes == 2
    assert (await ended(office, await send(office))).status == "sent"
    assert server.logins == [third]


async def test_a_provider_that_gives_no_new_refresh_token_keeps_the_old_one_good(
    office: Office, provider: Provider, server: MailServer
) -> None:
    provider.rotates = False
    account_id = await set_up(office, server.port)
    await consent_to(office, provider, account_id)
    for _ in range(2):
        await let_end(office, account_id)
        await find(office, account_id)
    assert provider.refreshes == 2


async def test_a_token_that_never_lasts_long_is_used_and_not_replaced_all_the_time(
    office: Office, provider: Provider, server: MailServer
) -> None:
    provider.lasts_s = 120
    account_id = await set_up(office, server.port)
    first = await consent_to(office, provider, account_id)
    assert await find(office, account_id) == first.access.reveal()
    provider.lasts_s = 0  # good for nothing before it is there: used all the same, once
    await let_end(office, account_id)
    await find(office, account_id)
    assert provider.refreshes == 1


async def test_of_many_who_need_a_token_in_two_processes_one_asks_for_it(
    office: Office, provider: Provider, server: MailServer
) -> None:
    other = replace(open_office(office.settings), clock=office.clock)
    account_id = await set_up(office, server.port)
    await consent_to(office, provider, account_id)
    await let_end(office, account_id)
    provider.delay_s = 0.15
    several = [find(each, account_id) for each in (office, other) * 4]
    tokens = await asyncio.gather(*several)
    await other.close()
    assert len(set(tokens)) == 1
    assert tokens[0] in provider.valid
    assert provider.refreshes == 1


async def test_while_one_asks_others_use_what_is_still_good(
    office: Office, provider: Provider, server: MailServer
) -> None:
    account_id = await set_up(office, server.port)
    first = await consent_to(office, provider, account_id)
    await let_end(office, account_id, in_s=100)
    soon = datetime.now(UTC) + timedelta(seconds=20)
    await change(office, account_id, lease_until=soon)
    assert await find(office, account_id) == first.access.reveal()
    assert provider.refreshes == 0
    past = datetime.now(UTC) - timedelta(seconds=1)  # who asked is gone
    await change(office, account_id, lease_until=past)
    assert await find(office, account_id) != first.access.reveal()


async def test_a_rotated_token_is_stored_although_who_asked_was_told_to_go(
    office: Office, provider: Provider, server: MailServer
) -> None:
    account_id = await set_up(office, server.port)
    await consent_to(office, provider, account_id)
    await let_end(office, account_id)
    provider.delay_s = 0.1
    asking = asyncio.create_task(find(office, account_id))
    async with asyncio.timeout(5):
        while not provider.refreshes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    asking.cancel()
    provider.delay_s = 0
    assert await find(office, account_id) in provider.valid
    assert provider.refreshes == 1


async def test_a_consent_taken_back_holds_the_mail_and_a_new_one_lets_it_go(
    office: Office, provider: Provider, server: MailServer, worker: Worker
) -> None:
    account_id = await set_up(office, server.port)
    await consent_to(office, provider, account_id)
    await let_end(office, account_id)
    provider.revoke()
    waiting = [await send(office) for _ in range(3)]
    for each in waiting:
        seen = await held(office, each)
        assert seen.states == {TO: "held: consent_needed"}
        assert seen.recipients[0].tries == 0
    assert provider.refreshes == 1  # nobody asks again what only a person can answer
    assert server.logins == []
    stored = await load(office, account_id)
    assert stored.consent is not None
    assert (stored.consent.state, stored.password_state) == ("needs_consent", "consent_needed")
    assert "invalid_grant" in str(stored.consent.error)
    told = select(event.c.data).where(event.c.type == "account.consent_needed")
    (data,) = await office.db.read(lambda tx: tx.scalars(told).all())
    assert (data["account"], data["cause"]) == (account_id, "consent_needed")
    assert "invalid_grant" in data["detail"]
    assert "refresh-" not in str(stored.consent.error)
    health = await office.db.read(read_health, account_id)
    assert name_state(stored, health, office.clock()) == "consent_needed"
    assert health.paused_until is None
    later = await send(office)
    assert (await office.db.read(look, later)).states == {TO: "held: consent_needed"}
    with pytest.raises(Exception, match="consent"):
        await office.db.write(
            release, office.vault, ADMIN, later, smtp_password=None, delivery="on"
        )
    await consent_to(office, provider, account_id)
    for each in (*waiting, later):
        assert (await ended(office, each)).status == "sent"


async def test_an_endpoint_in_trouble_pauses_the_account_and_costs_no_try(
    office: Office, provider: Provider, server: MailServer, worker: Worker
) -> None:
    account_id = await set_up(office, server.port)
    await consent_to(office, provider, account_id)
    await let_end(office, account_id)
    provider.answer = 503, "away"
    waiting = await send(office)
    seen = await watch(office, waiting, lambda seen: seen.status == "deferred")
    assert seen.states == {TO: "deferred: token_unavailable"}
    assert seen.recipients[0].tries == 0
    health = await office.db.read(read_health, account_id)
    assert health.cause == "token_unavailable"
    assert "503" in str(health.detail)
    stored = await load(office, account_id)
    assert stored.consent is not None
    assert stored.consent.state == "granted"
    provider.answer = None
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    await change(office, account_id, failed_at=long_ago)
    await office.db.write(lambda tx: close_breaker(tx, account_id))
    office.db.ring()
    assert (await ended(office, waiting)).status == "sent"
    assert (await load(office, account_id)).consent.error is None  # type: ignore[union-attr]


async def test_trouble_does_not_matter_while_the_token_in_hand_is_good(
    office: Office, provider: Provider, server: MailServer
) -> None:
    account_id = await set_up(office, server.port)
    first = await consent_to(office, provider, account_id)
    await let_end(office, account_id, in_s=100)
    provider.answer = 400, '{"error": "invalid_client"}'
    assert await find(office, account_id) == first.access.reveal()
    assert await find(office, account_id) == first.access.reveal()
    assert provider.refreshes == 1  # and not for every message
    await let_end(office, account_id)
    with pytest.raises(SessionFailed, match="invalid_client"):
        await find(office, account_id)


async def test_a_token_that_the_server_refuses_is_replaced_once(
    office: Office, provider: Provider, server: MailServer, worker: Worker
) -> None:
    account_id = await set_up(office, server.port)
    first = await consent_to(office, provider, account_id)
    provider.valid.clear()  # revoked before its time
    assert (await ended(office, await send(office))).status == "sent"
    assert provider.refreshes == 1
    assert server.logins[0] == first.access.reveal()
    assert len(server.logins) == 2


async def test_a_login_that_is_refused_with_every_token_is_the_accounts_trouble(
    office: Office, provider: Provider, server: MailServer, worker: Worker
) -> None:
    account_id = await set_up(office, server.port, username="piotr@firma.example")
    await consent_to(office, provider, account_id)
    waiting = await send(office)
    seen = await watch(office, waiting, lambda seen: seen.status == "deferred")
    assert seen.states == {TO: "deferred: credentials_refused"}
    assert (provider.refreshes, len(server.logins)) == (1, 2)
    assert (await office.db.read(read_health, account_id)).cause == "credentials_refused"


async def test_tokens_open_for_no_other_server_and_no_other_user(
    office: Office, provider: Provider, server: MailServer, worker: Worker
) -> None:
    account_id = await set_up(office, server.port)
    await consent_to(office, provider, account_id)
    async with serve_smtp(provider) as foreign:
        await set_up(office, foreign.port)
        assert (await load(office, account_id)).password_state == "consent_needed"
        seen = await office.db.read(look, await send(office))
        assert seen.states == {TO: "held: consent_needed"}
        # Nor where somebody edits the row of the account in the database.
        await set_up(office, server.port)
        await consent_to(office, provider, account_id)
        stored = await load(office, account_id)
        assert isinstance(stored.settings, SmtpSettings)
        for other in (
            replace(stored.settings, port=foreign.port),
            replace(stored.settings, username="szef@firma.example"),
        ):
            with pytest.raises(SessionFailed, match="another server"):
                await find_access_token(office, account_id, other, unsaved=True)
        await find(office, account_id)
        await change(office, account_id, grant_type="client_credentials")
        with pytest.raises(SessionFailed, match="consent_needed"):
            await find(office, account_id)
        assert foreign.logins == []


async def test_an_application_logs_in_without_the_owners_consent(
    office: Office, provider: Provider, server: MailServer, worker: Worker
) -> None:
    account_id = await set_up(office, server.port)
    stored = await load(office, account_id)

    def run(tx: Connection) -> None:
        at = office.clock()
        grant_application(tx, office.vault, office.settings, ADMIN, stored, "microsoft", at)
        configuration_changed(tx, account_id, at)

    await office.db.write(run)
    assert (await ended(office, await send(office))).status == "sent"
    assert [each["grant_type"] for each in provider.asked] == ["client_credentials"]
    await let_end(office, account_id)
    assert await find(office, account_id) in provider.valid


async def test_a_probe_logs_in_by_token_and_unsaved_values_never_get_it(
    office: Office, provider: Provider, server: MailServer
) -> None:
    account_id = await set_up(office, server.port)
    await consent_to(office, provider, account_id)
    report = await probe(office, ADMIN, Wanted(mode="login", names_scope=True))
    assert (report.ok, report.auth) == (True, "xoauth2")
    async with serve_smtp(provider) as foreign:
        smtp = {
            "host": "127.0.0.1", "port": foreign.port, "connection": "plaintext", "auth": "auto",
            "username": OWNER, "allow_insecure_auth": True,
        }  # fmt: skip
        config = {"smtp": smtp, "sender": {"address": OWNER}}
        wanted = Wanted(mode="login", names_scope=True, config=config)
        report = await probe(office, ADMIN, wanted)
        assert (report.cause, report.failed_at) == ("consent_needed", "token")
        assert foreign.logins == []
    assert await find(office, account_id)  # the consent stands
    provider.answer = 503, "away"
    await let_end(office, account_id)
    report = await probe(office, ADMIN, Wanted(mode="login", names_scope=True))
    assert (report.cause, report.failed_at) == ("token_unavailable", "token")


async def test_the_passwords_of_a_mailbox_are_sealed_anew_as_well(office: Office) -> None:
    incoming = {"protocol": "imap", "host": "127.0.0.1", "password": "skrzynka"}
    account_id = await set_up(office, 25, password="tajne", config={"incoming": incoming})
    office.vault.rotate()
    assert await office.db.write(reseal_all, office.vault) == 2
    assert await office.db.write(reseal_all, office.vault) == 0
    stored = await load(office, account_id)
    assert open_password(office.vault, stored) == "tajne"
    assert open_incoming_password(office.vault, stored) == "skrzynka"


async def test_tokens_are_sealed_in_the_database_and_sealed_anew_with_a_new_key(
    office: Office, provider: Provider, server: MailServer
) -> None:
    account_id = await set_up(office, server.port)
    tokens = await consent_to(office, provider, account_id)
    row = await office.db.read(lambda tx: tx.execute(select(consent)).one())
    assert tokens.refresh is not None
    for secret in (tokens.access, tokens.refresh):
        assert secret.reveal().encode() not in b"".join(
            bytes(each) for each in row if isinstance(each, bytes | memoryview)
        )
    said = await office.db.read(lambda tx: tx.execute(select(audit)).all())
    assert "refresh-" not in str(said)
    assert "access-" not in str(said)
    office.vault.rotate()
    assert await office.db.write(reseal_all, office.vault) == 2
    assert await find(office, account_id) == tokens.access.reveal()
    await let_end(office, account_id)
    assert await find(office, account_id) in provider.valid
