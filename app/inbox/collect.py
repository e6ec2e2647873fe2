"""Collecting one mailbox: what is new is stored, then the mailbox is touched, then the place is kept.

In this order (G9), for IMAP and POP3 alike: a cut at any point leaves mails that are listed again,
known by their UID, and touched then. At the first time ``first_sync`` and ``last`` choose what is
taken, once: what was left out is noted before anything is touched. A folder that numbers its messages
anew, or went back to an old backup, is looked through from two days before the last sync; what is
here already is known by what it is. ``check`` counts what is unread and stores nothing.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import NoReturn, TypeVar

from app.configuration.model import IncomingSettings
from app.inbox.mailboxes import (
    Claim,
    name_target,
    note_choice,
    note_position,
    note_synced,
    note_uidls,
    read_uidls,
)
from app.inbox.take import Taken, find_known, take, understand
from app.outbox.events import publish
from app.outbox.mailboxes import open_account_mailbox
from app.outbox.office import Office
from app.wire.imap_folder import Found, ImapFolder, Numbering
from app.wire.mailbox import Mailbox
from app.wire.pop3 import Pop3Session
from app.wire.steps import SessionFailed

T = TypeVar("T")
BATCH = 20
BATCH_BYTES = 16 * 1024 * 1024
_IDLE_SLICE_S = 20.0  # between two looks whether it is still ours
_RECREATED = timedelta(days=2)  # INTERNALDATE has days of an unknown time zone
_UIDVALIDITY_BITS = 32  # RFC 9051 §9, nz-number


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
        self._numbering, self._last_uid = held.numbering, held.last_uid
        self._synced_at, self._unread = held.synced_at, held.unread
        # UIDs of several servers may be the same.
        target = name_target(held.stored) or ""
        self._mark = hashlib.sha256(target.encode()).hexdigest()[:8]

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
        found = await mailbox.do(ImapFolder.select, wish.folder, readonly=readonly)
        if wish.mode == "check":
            unread = await mailbox.do(ImapFolder.list_uids, unseen=True)
            await self._note_unread(len(unread))
            return
        numbering = self._follow(found)
        is_first = self._numbering is None or self._synced_at is None
        begins = is_first or numbering != self._numbering
        if wish.after == "delete":
            await self._finish_deleting(mailbox, numbering, 0 if begins else self._last_uid)
        if begins:
            uids, place = await self._begin(mailbox, numbering, is_first)
        else:
            uids = await mailbox.do(ImapFolder.list_uids, after=self._last_uid)
            place = max([self._last_uid, *uids])
        withheld: list[int] = []
        for start in range(0, len(uids), BATCH):
            part = uids[start : start + BATCH]
            withheld += await self._take_part(mailbox, numbering, part, is_renumbered=begins)
            if not begins and not withheld:
                await self._keep_place(numbering, part[-1])
        if withheld:  # most often somebody moved it away
            there = await mailbox.do(ImapFolder.list_uids, after=withheld[0] - 1)
            withheld = sorted({*withheld} & {*there})
            place = min([place, *(uid - 1 for uid in withheld)])
        self._numbering, self._last_uid = numbering, place
        await self._note_synced((numbering, place))
        if withheld:
            _complain([str(uid) for uid in withheld])

    def _follow(self, found: Numbering) -> int:
        """Name the numbering of the UIDs: the UIDVALIDITY and, above its bits, how often it went back.

        A server that was restored from a backup gives the same UIDs a second time.
        """
        kept = self._numbering
        if kept is None or kept % (1 << _UIDVALIDITY_BITS) != found.uidvalidity:
            return found.uidvalidity
        went_back = 0 < found.next_uid <= self._last_uid
        return kept + (went_back << _UIDVALIDITY_BITS)

    async def _begin(
        self, mailbox: Mailbox[ImapFolder], numbering: int, is_first: bool
    ) -> tuple[list[int], int]:
        """Choose what is taken at first, or of a folder numbered anew; and the place after it."""
        # Asked first: what comes meanwhile is looked at again.
        there = await mailbox.do(ImapFolder.list_uids)
        place = there[-1] if there else 0
        if self._synced_at is not None and not is_first:
            since = self._synced_at.date() - _RECREATED
            return await mailbox.do(ImapFolder.list_uids, since=since), place
        is_chosen = numbering == self._numbering
        found = await mailbox.do(
            ImapFolder.list_uids,
            after=self._last_uid if is_chosen else 0,
            unseen=self._wish.first_sync == "unseen",
        )
        if not is_chosen:
            found = _take_last(found, self._wish.last)
            await self._keep_choice(numbering, found[0] - 1 if found else place)
        return found, place

    async def _finish_deleting(
        self, mailbox: Mailbox[ImapFolder], numbering: int, after: int
    ) -> None:
        """Delete what was marked when the connection was cut."""
        marked = await mailbox.do(ImapFolder.list_uids, after=after, deleted=True)
        names = {self._name(f"{numbering}:{uid}"): uid for uid in marked}
        known = await self._office.db.read(find_known, self._held.account_id, names)
        if known:
            await mailbox.do(ImapFolder.delete, sorted(names[name] for name in known))

    async def _take_part(
        self, mailbox: Mailbox[ImapFolder], numbering: int, uids: list[int], is_renumbered: bool
    ) -> list[int]:
        """Store and touch; return those that the server did not give, which are left alone."""
        names = {self._name(f"{numbering}:{uid}"): uid for uid in uids}
        known = await self._office.db.read(find_known, self._held.account_id, names)
        fresh = [name for name in names if name not in known]

        async def fetch(name: str) -> Found | None:
            return await mailbox.do(ImapFolder.fetch, names[name], self._wish.largest_bytes)

        withheld = await self._store(fresh, fetch, is_renumbered)
        stored = [uid for name, uid in names.items() if name not in withheld]
        if stored and self._wish.after == "seen":
            await mailbox.do(ImapFolder.mark_seen, stored)
        elif stored and self._wish.after == "delete":
            await mailbox.do(ImapFolder.delete, stored)
        return [names[name] for name in withheld]

    async def _keep_place(self, numbering: int, last_uid: int) -> None:
        self._numbering, self._last_uid = numbering, last_uid
        await self._office.db.write(note_position, self._held, numbering, last_uid)

    async def _keep_choice(
        self, numbering: int, last_uid: int = 0, left_out: Sequence[str] = ()
    ) -> None:
        """Write what was chosen at first; it is the first time until all of that is taken."""
        self._numbering, self._last_uid, self._synced_at = numbering, last_uid, None
        await self._office.db.write(note_choice, self._held, numbering, last_uid, left_out)

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
            # Of what is listed nothing was seen: the first time, another server, all was deleted.
            is_renumbered = len(new) == len(listed)
            if self._numbering is None and not seen:
                chosen = _take_last(new, wish.last)
                left_out, new = new[: len(new) - len(chosen)], chosen
                await self._keep_choice(0, left_out=left_out)

            async def fetch(name: str) -> Found | None:
                return await mailbox.do(Pop3Session.fetch, listed[names[name]], wish.largest_bytes)

            withheld: list[str] = []
            for start in range(0, len(new), BATCH):
                names = {self._name(uid): uid for uid in new[start : start + BATCH]}
                known = await db.read(find_known, self._held.account_id, names)
                fresh = [name for name in names if name not in known]
                withheld += [
                    names.pop(name) for name in await self._store(fresh, fetch, is_renumbered)
                ]
                if wish.after == "delete":
                    for uid in names.values():
                        await mailbox.do(Pop3Session.delete, listed[uid])
            await mailbox.do(Pop3Session.quit)
        taken = [uid for uid in new if uid not in withheld]
        await db.write(note_uidls, self._held, taken, seen - listed.keys())
        await self._note_synced()
        if withheld:
            _complain(withheld)

    # Both

    def _name(self, uid: str) -> str:
        return f"{self._mark}.{uid}"

    async def _store(
        self,
        names: list[str],
        fetch: Callable[[str], Awaitable[Found | None]],
        is_renumbered: bool,
    ) -> list[str]:
        """Fetch and store, a few megabytes in hand at once; return what the server did not give."""
        batch: list[Taken] = []
        withheld: list[str] = []
        for position, name in enumerate(names):
            found = await fetch(name)
            if found is None:
                withheld.append(name)
            else:
                batch.append(await asyncio.to_thread(understand, name, found.raw, found.size_bytes))
            is_last = position == len(names) - 1
            if batch and (is_last or sum(len(each.raw) for each in batch) > BATCH_BYTES):
                stored = await self._office.db.write(
                    take, self._office.vault, self._held, batch, is_renumbered=is_renumbered
                )
                if stored is None:
                    raise LostClaim
                batch = []
        return withheld

    async def _note_unread(self, unread: int) -> None:
        if self._unread is not None and unread > self._unread:
            told = {"account": self._held.account_id, "unread": unread}
            await self._office.db.write(
                publish, "inbox.unread", told,
                at=self._office.clock(), user=self._held.stored.user_id,
            )  # fmt: skip
        self._unread = unread
        await self._note_synced()

    async def _note_synced(self, place: tuple[int, int] | None = None) -> None:
        synced_at = await self._office.db.write(note_synced, self._held, self._unread, place)
        if synced_at is None:
            raise LostClaim
        self._synced_at = synced_at
        self._office.db.ring()


def _complain(withheld: Sequence[str]) -> NoReturn:
    """All else was taken; these are asked for again at the next try."""
    detail = f"the server does not give {len(withheld)} of its messages: {', '.join(withheld[:5])}"
    raise SessionFailed("mailbox_refused", "fetch", None, detail)


def _take_last(found: list[T], most: int | None) -> list[T]:
    return found if most is None else found[len(found) - min(most, len(found)) :]
