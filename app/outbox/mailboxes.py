"""From an account to its mailbox: the server, the address policy and the credential of now."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.configuration.load import open_incoming_password
from app.configuration.model import StoredAccount
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
    target = make_mailbox_target(office, stored)
    # Any port: it was checked when the configuration was saved.
    async with open_mailbox(kind, target, office.policy(any_port=True)) as mailbox:
        yield mailbox


def make_mailbox_target(office: Office, stored: StoredAccount) -> Target:
    """Return where and how to connect to an account's mailbox. Raises ``SessionFailed``."""
    incoming = stored.incoming
    if incoming is None:
        raise SessionFailed("mailbox_off", "connect", None, "the account has no mailbox")
    try:
        password = open_incoming_password(office.vault, stored)
    except CannotOpen as error:
        raise SessionFailed("credentials_refused", "login", None, str(error)) from None
    return Target(
        host=incoming.host,
        port=incoming.port,
        connection=incoming.connection,
        auth=incoming.auth,
        username=incoming.username,
        password=Secret(password) if password else None,
        timeout_ms=incoming.timeout_ms,
        tls_verify=incoming.tls_verify,
        ca_pem=incoming.ca_pem,
        allow_insecure_auth=incoming.allow_insecure_auth,
    )
