"""An IMAP folder as it is collected: what is new by UID, its bytes, its flags, waiting for more.

UIDs are those of one UIDVALIDITY (RFC 9051 §2.3.1.1). Reading marks nothing (BODY.PEEK); what is
marked or deleted is asked for by itself.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from app.wire.imap import ImapSession
from app.wire.steps import SessionFailed

_SPARE_BYTES = 64 * 1024  # what may stand around a message in its reply
_LIST_BYTES = 32 * 1024 * 1024  # a million UIDs
_HEADER_BYTES = 1024 * 1024
_READING = ("search", "fetch", "store", "idle")
_NEWS = re.compile(rb"\* \d+ (EXISTS|RECENT|EXPUNGE)", re.I)


@dataclass(frozen=True, slots=True)
class Numbering:
    """How a folder numbers its messages (RFC 9051 §2.3.1.1). next_uid: 0 where the server says none."""

    uidvalidity: int
    next_uid: int


@dataclass(frozen=True, slots=True)
class Found:
    """One message of a folder. raw: only its header where ``is_whole`` is false."""

    raw: bytes
    size_bytes: int
    is_whole: bool = True


class ImapFolder(ImapSession):
    """A session whose folder is read."""

    _told: bytes | None = None  # the number of messages that sent ``wait`` back last

    @contextmanager
    def telling(self, step: str, budget_bytes: int | None = None) -> Iterator[None]:
        """As of every session; what nobody asked for is forgotten, which imaplib keeps for ever."""
        if self._client is not None and step in _READING:
            untold = self._client._imap.untagged_responses
            exists = untold.get("EXISTS", ())[-1:]
            untold.clear()
            if exists:
                untold["EXISTS"] = exists
        with super().telling(step, budget_bytes):
            yield

    def select(self, folder: str, *, readonly: bool) -> Numbering:
        """Open a folder."""
        with self.telling("select"):
            answer = self._client.select_folder(folder, readonly=readonly)
        # From here on it is news, see ``wait``.
        self._client._imap.untagged_responses.pop("EXISTS", None)
        found, following = answer.get(b"UIDVALIDITY"), answer.get(b"UIDNEXT")
        if not isinstance(found, int):
            raise SessionFailed("protocol_error", "select", None, "the folder has no UIDVALIDITY")
        return Numbering(found, following if isinstance(following, int) else 0)

    def list_uids(
        self,
        *,
        after: int = 0,
        unseen: bool = False,
        since: date | None = None,
        deleted: bool = False,
    ) -> list[int]:
        """Return the UIDs above ``after``, ascending.

        unseen: only of mail not read yet. since: only of mail that arrived that day or later.
        deleted: of mail that is marked as deleted and still there, instead of the other.
        """
        criteria: list[object] = ["UID", f"{after + 1}:*", "DELETED" if deleted else "UNDELETED"]
        criteria += ["UNSEEN"] if unseen else []
        criteria += ["SINCE", since] if since is not None else []
        with self.telling("search", _LIST_BYTES):
            found = self._client.search(criteria)
        # "n:*" names the last one even where it is below n.
        return sorted({int(uid) for uid in found if int(uid) > after})

    def fetch(self, uid: int, largest_bytes: int) -> Found | None:
        """Return a message; None where the server does not give it: gone meanwhile, or damaged."""
        try:
            return self._fetch(uid, largest_bytes)
        except SessionFailed as failed:
            if failed.cause != "mailbox_refused":
                raise
            return None

    def _fetch(self, uid: int, largest_bytes: int) -> Found | None:
        with self.telling("fetch"):
            sizes = self._client.fetch([uid], ["RFC822.SIZE"])
        size = sizes.get(uid, {}).get(b"RFC822.SIZE")
        if not isinstance(size, int):
            return None
        is_whole = size <= largest_bytes
        # A server may miscount the line ends; twice as much is no message of that size.
        part, most = ("", 2 * size) if is_whole else ("HEADER", _HEADER_BYTES)
        with self.telling("fetch", most + _SPARE_BYTES):
            answer = self._client.fetch([uid], [f"BODY.PEEK[{part}]"])
        raw = answer.get(uid, {}).get(f"BODY[{part}]".encode())
        return Found(raw, size, is_whole) if isinstance(raw, bytes) else None

    def mark_seen(self, uids: Sequence[int]) -> None:
        """Mark messages as read."""
        with self.telling("store"):
            self._client.add_flags(uids, [b"\\Seen"], silent=True)

    def delete(self, uids: Sequence[int]) -> None:
        """Delete messages: these alone where the server can (UIDPLUS), else what is marked so."""
        self._told = None
        with self.telling("store"):
            self._client.add_flags(uids, [b"\\Deleted"], silent=True)
            if self._client.has_capability("UIDPLUS"):
                self._client.uid_expunge(uids)
            else:
                self._client.expunge()

    def wait(self, seconds: float) -> bool:
        """Wait by IDLE (RFC 2177) until the folder changes; True where it did.

        Also where the server told of it since ``select``: it does not tell twice.
        """
        imap = self._client._imap
        with self.telling("idle"):
            told = imap.untagged_responses.pop("EXISTS", None)
            if told and told[-1] != self._told:  # some servers tell it with every reply
                self._told = told[-1]
                return True
            # Not IMAPClient's, which takes news before the continuation for a fault.
            tag = imap._command("IDLE")
            self._client._idle_tag = tag
            has_news = False
            while not (row := imap._get_line()).startswith(b"+"):
                has_news = has_news or bool(_NEWS.match(row))
                if row.startswith(tag):
                    raise imap.error(row.decode("latin-1"))
            self._line.set_timeout(seconds)
            try:
                while not has_news:
                    has_news = bool(_NEWS.match(imap._get_line()))
            except TimeoutError:
                has_news = False
            self._line.set_timeout()
            _, late = self._client.idle_done()
        return has_news or any(b"EXISTS" in each for each in late)
