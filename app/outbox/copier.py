"""A worker's part in the copies for Sent folders: one session for each account at a time.

Every account has a task of its own, so that a slow mailbox delays nobody, least of all the mail. A
task ends before its lease does.
"""

import asyncio
from functools import partial
from itertools import count

import structlog

from app.configuration.model import StoredAccount
from app.errors import Unavailable
from app.outbox.mailboxes import open_account_mailbox
from app.outbox.office import Office
from app.outbox.sent_copy import (
    LEASE_S,
    MOST_AT_ONCE,
    Copy,
    claim_copies,
    find_due,
    give_back,
    note_copied,
    note_not_copied,
)
from app.wire.imap import ImapSession
from app.wire.mailbox import Mailbox
from app.wire.steps import SessionFailed

_WORK_S = LEASE_S - 60
_MOST_SESSIONS = 32
_OF_ONE = ("mailbox_refused", "mailbox_full")
_log = structlog.get_logger()


class Copier:
    """The sessions of one worker; ``step`` whenever it may be time, ``stop`` once at the end."""

    def __init__(self, office: Office, worker_id: str) -> None:
        self._office = office
        self._worker_id = worker_id
        self._numbers = count(1)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.bell = asyncio.Event()  # an account ended, and may have more

    async def step(self) -> None:
        """Start a session for every account with copies to make."""
        if self._stopping:
            return
        for account_id in await self._office.db.read(find_due):
            if account_id in self._busy or len(self._busy) >= _MOST_SESSIONS:
                continue
            task = asyncio.create_task(self._serve(account_id))
            self._busy[account_id] = task
            task.add_done_callback(partial(self._end, account_id))

    async def stop(self, grace_s: float) -> None:
        """Begin nothing new, let the copies under way finish, and give back what takes longer."""
        self._stopping = True
        tasks = list(self._busy.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _end(self, account_id: str, task: asyncio.Task[None]) -> None:
        self._busy.pop(account_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # What it held comes back with its lease.
            _log.error("copying_failed", account=account_id, exc_info=error)

    async def _serve(self, account_id: str) -> None:
        db, fence = self._office.db, f"{self._worker_id}.{next(self._numbers)}"
        found = await db.write(claim_copies, account_id, fence)
        if found is None:
            return
        left = list(found.copies)
        try:
            async with asyncio.timeout(_WORK_S):
                await self._copy(found.stored, left)
        except (SessionFailed, TimeoutError) as error:
            cause, detail = "timeout", "The mailbox took too long."
            if isinstance(error, SessionFailed):
                cause, detail = error.cause, error.detail
            _log.warning("copy_failed", account=account_id, cause=cause, count=len(left))
            # A message that is not taken says nothing of the others.
            count_failed = 1 if cause in _OF_ONE else len(left)
            for each in left[:count_failed]:
                await db.write(note_not_copied, each, cause, detail)
            del left[:count_failed]
        finally:
            if left:
                try:
                    await db.write(give_back, left)
                except Unavailable:
                    _log.warning("copies_left_to_their_leases", account=account_id)
        if left or len(found.copies) == MOST_AT_ONCE:
            self.bell.set()

    async def _copy(self, stored: StoredAccount, left: list[Copy]) -> None:
        """Make the copies in turn, taking each off ``left`` when that is written."""
        async with open_account_mailbox(self._office, stored, ImapSession) as mailbox:
            folder = await mailbox.do(ImapSession.find_sent_folder)
            while left and not self._stopping:
                if left[0].raw is not None:
                    await _append(mailbox, folder, left[0], left[0].raw)
                # Not merged: it is there, and a crash from here on must not make it twice.
                await self._office.db.write(
                    note_copied, left[0], None if left[0].raw is None else folder
                )
                del left[0]


async def _append(mailbox: Mailbox[ImapSession], folder: str, copy: Copy, raw: bytes) -> None:
    # Gmail files what its own SMTP server sends; through another server it does not.
    looks = copy.is_retry or mailbox.session.keeps_sent
    if looks and await mailbox.do(ImapSession.holds, folder, copy.rfc_message_id):
        return
    await mailbox.do(ImapSession.append, folder, raw)
