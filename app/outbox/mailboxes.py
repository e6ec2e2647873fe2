"""From an account to its mailbox: the server, the address policy and the credential of now."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.configuration.load import open_incoming_password
from app.configuration.model import StoredAccount
from app.outbox.access import find_access_token
from app.outbox.office import Office
from app.vault import CannotOpen
from app.wire.mailbox import Mailbox, S, open_mailbox
from app.wire.steps import SessionFailed
from app.wire.target import Secret, Target


@asynccontextmanager
async def open_account_mailbox(
    office: Office, stored: StoredAccount, kind: type[S]
) -> AsyncIterator[Mailbox[S]]:
    """Open a session with an account's mailbox, logged in. Raises ``SessionFailed``."""
    policy = office.policy(any_port=True)  # it was checked when the configuration was saved
    async with AsyncExitStack() as stack:
        password = await find_secret(office, stored)
        target = make_mailbox_target(stored, password)
        try:
            mailbox = await stack.enter_async_context(open_mailbox(kind, target, policy))
        except SessionFailed as failed:
            if failed.cause != "credentials_refused" or not stored.mailbox_uses_token:
                raise
            fresh = await find_secret(office, stored, refused=password)
            target = make_mailbox_target(stored, fresh)
            mailbox = await stack.enter_async_context(open_mailbox(kind, target, policy))
        yield mailbox


async def find_secret(
    office: Office, stored: StoredAccount, refused: Secret | None = None
) -> Secret | None:
    """Return the mailbox's password, or its consent's token. refused: one that was not taken."""
    if stored.incoming is not None and stored.mailbox_uses_token:
        return await find_access_token(office, stored.id, stored.incoming, refused=refused)
    try:
        password = open_incoming_password(office.vault, stored)
    except CannotOpen as error:
        raise SessionFailed("credentials_refused", "login", None, str(error)) from None
    return Secret(password) if password else None


def make_mailbox_target(stored: StoredAccount, password: Secret | None) -> Target:
    """Return where and how to connect to an account's mailbox. Raises ``SessionFailed``."""
    incoming = stored.incoming
    if incoming is None:
        raise SessionFailed("mailbox_off", "connect", None, "the account has no mailbox")
    return Target(
        host=incoming.host,
        port=incoming.port,
        connection=incoming.connection,
        auth=incoming.auth,
        username=incoming.username,
        password=password,
        timeout_ms=incoming.timeout_ms,
        tls_verify=incoming.tls_verify,
        ca_pem=incoming.ca_pem,
        allow_insecure_auth=incoming.allow_insecure_auth,
    )
