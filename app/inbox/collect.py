"""Collecting one mailbox: what is new is stored, then the mailbox is touched, then the place is kept.

In this order (G9), for IMAP and POP3 alike: a cut at any point leaves mails that are listed again,
known by their UID, and touched then. At the first time ``first_sync`` and ``last`` choose what is
taken, and the place is kept only at the end of it. ``check`` counts what is unread and stores nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from app.configuration.model import IncomingSettings
from app.inbox.mailboxes import (
    Claim,
    note_position,
    note_synced,
    note_uidls,
    read_uidls,
)
from app.inbox.take import Taken, find_known, take, understand
from app.outbox.events import publish
from app.outbox.mailboxes import open_account_mailbox
from app.outbox.office import Office
from app.wire.imap_folder import Found, ImapFolder
from app.wire.mailbox import Mailbox
from app.wire.pop3 import Pop3Session

BATCH = 20
BATCH_BYTES = 16 * 1024 * 1024
_IDLE_SLICE_S = 20.0  # between two looks whether it is still ours
_RECREATED = timedelta(days=2)  # INTERNALDATE has days of an unknown time zone


class LostClaim(Exception):
    """The mailbox is another worker's by now, or its configuration was changed."""


class Collecting:
    """One claim's work on a mailbox. is_wanted: asked while waiting, ends it without harm."""

    def __init__(self, office: Office, held: Claim, is_wanted: Callable[[], bool]) -> None:
        self._office = office
        self._held = held
        self._is_wanted = is_wanted
        incoming = held.stored.incoming
        assert incoming is not None
        self._wish: IncomingSettings = incoming
        self._uidvalidity, self._last_uid = held.uidvalidity, held.last_uid
        self._unread = held.unread

    async def run(self) -> None:
        """Take what is new; over IDLE wait for more, for hours. Raises ``SessionFailed``,
        ``LostClaim``."""
        if self._wish.protocol == "pop3":
            await self._run_pop3()
            return
        async with open_account_mailbox(self._office, self._held.stored, ImapFolder) as mailbox:
            can_wait = await mailbox.do(ImapFolder.can, "IDLE")
            while True:
                await self._sync(mailbox)
                if not can_wait or not await self._wait(mailbox):
                    return

    # IMAP

    async def _wait(self, mailbox: Mailbox[ImapFolder]) -> bool:
        """Wait for news or the poll's time; False when it is time to go."""
        ends_at = asyncio.get_running_loop().time() + self._wish.poll_s
        while self._is_wanted():
            left_s = ends_at - asyncio.get_running_loop().time()
            if left_s <= 0 or await mailbox.do(ImapFolder.wait, min(left_s, _IDLE_SLICE_S)):
                return True
        return False

    async def _sync(self, mailbox: Mailbox[ImapFolder]) -> None:
        wish = self._wish
        readonly = wish.mode == "check" or wish.after == "leave"
        uidvalidity = await mailbox.do(ImapFolder.select, wish.folder, readonly=readonly)
        if wish.mode == "check":
            unread = await mailbox.do(ImapFolder.list_uids, unseen=True)
            await self._note_unread(len(unread))
            return
        is_first = self._uidvalidity is None
        is_renumbered = not is_first and uidvalidity != self._uidvalidity
        begins = is_first or is_renumbered
        # What is left out stays out. Asked first: what comes meanwhile is among those that are taken.
        before = await mailbox.do(ImapFolder.list_uids) if begins else []
        uids = await self._list_new(mailbox, is_first, is_renumbered)
        place = max([0 if begins else self._last_uid, *before[-1:], *uids[-1:]])
        for start in range(0, len(uids), BATCH):
            part = uids[start : start + BATCH]
            await self._take_part(mailbox, uidvalidity, part, is_renumbered)
            if not begins:
                await self._keep_place(uidvalidity, part[-1])
        await self._keep_place(uidvalidity, place)
        await self._note_synced()

    async def _list_new(
        self, mailbox: Mailbox[ImapFolder], is_first: bool, is_renumbered: bool
    ) -> list[int]:
        if is_first:
            unseen = self._wish.first_sync == "unseen"
            found = await mailbox.do(ImapFolder.list_uids, unseen=unseen)
            most = self._wish.last
            return found if most is None else found[len(found) - min(most, len(found)) :]
        if is_renumbered:
            since = self._held.synced_at
            return await mailbox.do(
                ImapFolder.list_uids, since=since.date() - _RECREATED if since else None
            )
        return await mailbox.do(ImapFolder.list_uids, after=self._last_uid)

    async def _take_part(
        self, mailbox: Mailbox[ImapFolder], uidvalidity: int, uids: list[int], is_renumbered: bool
    ) -> None:
        names = {f"{uidvalidity}:{uid}": uid for uid in uids}
        known = await self._office.db.read(find_known, self._held.account_id, names)
        fresh = [name for name in names if name not in known]

        async def fetch(name: str) -> Found | None:
            return await mailbox.do(ImapFolder.fetch, names[name], self._wish.largest_bytes)

        await self._store(fresh, fetch, is_renumbered)
        if self._wish.after == "seen":
            await mailbox.do(ImapFolder.mark_seen, uids)
        elif self._wish.after == "delete":
            await mailbox.do(ImapFolder.delete, uids)

    async def _keep_place(self, uidvalidity: int, last_uid: int) -> None:
        self._uidvalidity, self._last_uid = uidvalidity, last_uid
        await self._office.db.write(note_position, self._held, uidvalidity, last_uid)

    # POP3

    async def _run_pop3(self) -> None:
        db, wish = self._office.db, self._wish
        async with open_account_mailbox(self._office, self._held.stored, Pop3Session) as mailbox:
            listed = await mailbox.do(Pop3Session.list_uids)
            if wish.mode == "check":
                await mailbox.do(Pop3Session.quit)
                await self._note_unread(len(listed))
                return
            seen = await db.read(read_uidls, self._held.account_id)
            new = [uid for uid in listed if uid not in seen]
            chosen = new
            if self._held.synced_at is None and wish.last is not None:
                chosen = new[len(new) - min(wish.last, len(new)) :]

            async def fetch(uid: str) -> Found | None:
                return await mailbox.do(Pop3Session.fetch, listed[uid], uid, wish.largest_bytes)

            for start in range(0, len(chosen), BATCH):
                part = chosen[start : start + BATCH]
                known = await db.read(find_known, self._held.account_id, part)
                await self._store([uid for uid in part if uid not in known], fetch, False)
                if wish.after == "delete":
                    for uid in part:
                        await mailbox.do(Pop3Session.delete, listed[uid])
            await mailbox.do(Pop3Session.quit)
        await db.write(note_uidls, self._held, new, seen - listed.keys())
        await self._note_synced()

    # Both

    async def _store(
        self,
        names: list[str],
        fetch: Callable[[str], Awaitable[Found | None]],
        is_renumbered: bool,
    ) -> None:
        """Fetch and store, a few megabytes in hand at once."""
        batch: list[Taken] = []
        for position, name in enumerate(names):
            found = await fetch(name)
            if found is not None:  # gone meanwhile: somebody moved it
                batch.append(await asyncio.to_thread(understand, name, found.raw, found.size_bytes))
            is_last = position == len(names) - 1
            if batch and (is_last or sum(len(each.raw) for each in batch) > BATCH_BYTES):
                stored = await self._office.db.write(
                    take, self._office.vault, self._held, batch, is_renumbered=is_renumbered
                )
                if stored is None:
                    raise LostClaim
                batch = []

    async def _note_unread(self, unread: int) -> None:
        if self._unread is not None and unread > self._unread:
            told = {"account": self._held.account_id, "unread": unread}
            await self._office.db.write(
                publish, "inbox.unread", told,
                at=self._office.clock(), user=self._held.stored.user_id,
            )  # fmt: skip
        self._unread = unread
        await self._note_synced()

    async def _note_synced(self) -> None:
        if not await self._office.db.write(note_synced, self._held, self._unread):
            raise LostClaim
        self._office.db.ring()
