"""A claimed batch made ready for the wire: bodies, envelopes, the password to log in with.

What cannot be carried is settled here: a configuration that is gone, mail of a test that would reach
real customers, a password that is still to be entered or was refused a moment ago, erased content.
"""

import asyncio
from collections import deque

from app.configuration.load import open_password
from app.configuration.model import StoredAccount
from app.configuration.secrets import open_for_target
from app.errors import Unavailable
from app.outbox.accept import smtp_password_place
from app.outbox.carry import Batch, read_body
from app.outbox.job import Job
from app.outbox.judge import hold_all, make_envelope, refuse_erased
from app.outbox.office import Office
from app.outbox.queue import Claimed, was_redirected
from app.outbox.settle import Outcome
from app.outbox.settler import Settler
from app.vault import CannotOpen
from app.wire.target import Secret


async def unpack(
    office: Office, settler: Settler, batch: Batch
) -> tuple[deque[Job], Secret | None]:
    """Return what can be carried, and the password to log in with; settle the rest."""
    stored = batch.carriage.stored
    jobs: deque[Job] = deque()
    password = None
    for claimed in batch.claimed:
        everyone = [each.id for each in claimed.recipients]
        outcomes: list[Outcome] | None = None
        body = None
        if stored.settings is None:
            outcomes = hold_all(everyone, "scope_removed")
        elif stored.password_state == "consent_needed":
            outcomes = hold_all(everyone, "consent_needed")
        elif was_redirected(claimed.message.delivery, office.settings.delivery):
            # Written while a test ran: only a person can say that its customers are to have it.
            outcomes = hold_all(everyone, "delivery_redirected")
        else:
            try:
                password = _open_password(office, claimed, stored)
            except CannotOpen:
                outcomes = hold_all(everyone, "awaiting_password")
            else:
                body = batch.bodies.get(claimed.message.id)
                if body is None:
                    body = await _read_body(office, claimed)
                if body is None:
                    outcomes = [refuse_erased(each) for each in everyone]
        if body is None:
            settler.tell_untried(claimed, stored, outcomes or [])
            continue
        envelope = make_envelope(office, claimed, office.settings.redirect_to)
        jobs.append(Job(office, claimed, envelope, body))
    return jobs, password


async def _read_body(office: Office, claimed: Claimed) -> bytes | None:
    """Return a body that was too large to be read with its claim."""
    while True:
        try:
            return await office.db.read(read_body, claimed.message.id)
        except Unavailable:
            await asyncio.sleep(1)


def _open_password(office: Office, claimed: Claimed, stored: StoredAccount) -> Secret | None:
    """Return the password to log in with; raise ``CannotOpen`` where it is to be entered."""
    settings = stored.settings
    if settings is None or not settings.wants_login or stored.uses_token:
        return None
    if settings.password_mode == "ask":
        sealed = claimed.message.smtp_password
        if sealed is None:
            raise CannotOpen("this message's password was never given")
        place = smtp_password_place(claimed.message.id)
        return Secret(open_for_target(office.vault, sealed, place, settings))
    if stored.password_state != "stored":
        raise CannotOpen("the account's password is still to be entered")
    password = open_password(office.vault, stored)
    return None if password is None else Secret(password)
