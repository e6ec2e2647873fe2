"""A mailbox of a real Dovecot, opened by XOAUTH2 with the token of a consent."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.outbox.mailboxes import open_account_mailbox
from app.outbox.office import Office, open_office
from app.settings import Settings
from app.wire.imap import ImapSession
from app.wire.steps import SessionFailed
from tests.peers.dovecot import Dovecot, find_missing_dovecot, run_dovecot
from tests.rooms.outbox.oauth_peers import OWNER, Provider
from tests.rooms.outbox.test_consent import change, consent_to, let_end, load, set_up

pytestmark = [pytest.mark.anyio, pytest.mark.peer]
OAUTH = """
auth_mechanisms = $auth_mechanisms xoauth2
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {args}
}}
"""


@pytest.fixture
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.close()


@pytest.fixture
def mail_server(provider: Provider, tmp_path: Path) -> Iterator[Dovecot]:
    """Dovecot that asks the provider whether a token is good."""
    if missing := find_missing_dovecot():
        pytest.skip(missing)
    args = Path("/tmp") / f"awizo-{tmp_path.name}.oauth2"
    args.write_text(
        f"introspection_url = {provider.url}/introspect\nintrospection_mode = post\n"
        "username_attribute = username\nactive_attribute = active\nactive_value = true\n"
    )
    args.chmod(0o644)
    try:
        with run_dovecot(OAUTH.format(args=args)) as running:
            yield running
    finally:
        args.unlink()


@pytest.fixture
async def office(
    sqlite_url: str, tmp_path: Path, provider: Provider, anyio_backend: str
) -> AsyncIterator[Office]:
    settings = Settings(data_dir=tmp_path / "data", database_url=sqlite_url)
    opened = open_office(settings.model_copy(update=provider.settings))
    yield opened
    await opened.close()


async def test_a_mailbox_is_opened_by_the_token_of_the_consent_and_by_the_next_one(
    office: Office, provider: Provider, mail_server: Dovecot
) -> None:
    incoming = {
        "protocol": "imap", "host": "127.0.0.1", "port": mail_server.ports["imaps"],
        "connection": "ssl_tls", "username": OWNER, "ca_pem": mail_server.ca_pem,
    }  # fmt: skip
    account_id = await set_up(office, 25, config={"incoming": incoming})
    await consent_to(office, provider, account_id)

    async def find_sent() -> str:
        stored = await load(office, account_id)
        async with open_account_mailbox(office, stored, ImapSession) as mailbox:
            return await mailbox.do(ImapSession.find_sent_folder)

    assert await find_sent() == "Sent"
    assert provider.refreshes == 0
    await let_end(office, account_id)
    assert await find_sent() == "Sent"
    assert provider.refreshes == 1
    provider.valid.clear()  # the server refuses what should be good: replaced once
    assert await find_sent() == "Sent"
    assert provider.refreshes == 2
    await change(office, account_id, provider="google")  # not who gave it
    with pytest.raises(SessionFailed, match="consent_needed"):
        await find_sent()
