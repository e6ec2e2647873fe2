"""The automatic reply: planned with the mail that came in, sent by the clerk, once to a sender.

``plan_reply`` notes with the mail itself whether it is to be answered, so nothing is forgotten. The
answer is composed and then stored in the transaction that takes the note away and remembers the
sender: two workers, a crash, or a second mail at the same moment never make two. Why a mail has no
answer stands on it (``incoming.reply_state``).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Row, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.accounts.audit import SYSTEM
from app.configuration.auto_reply import parse_auto_reply
from app.configuration.load import load_account
from app.configuration.model import StoredAccount
from app.configuration.resolve import look_up
from app.configuration.tables import account
from app.errors import AwizoError, Unavailable
from app.inbox.answerable import Reason, find_target, judge_mail, list_mine
from app.inbox.dispatch import post
from app.inbox.reply_text import ReplyGround, prepare_reply, read_reference
from app.inbox.tables import auto_reply, incoming, incoming_body, mailbox
from app.mime.incoming import Incoming, read_incoming
from app.outbox.events import publish
from app.outbox.office import Office
from app.outbox.suppressed import Asked, find_suppressed, name_scopes
from app.templates_engine.jinja_pool import NO_RENDERER

DUE, SENT = "due", "sent"
MOST_AN_HOUR = 100  # answers of one account: a net against whatever writes under ever new names
MOST_FAILED = 10  # replies of one account that fail one after the other: a Jinja text may take 4 s
_MOST_AT_ONCE = 50
_MOST_OF_ONE = 5
_LATEST = timedelta(days=1)  # whose mail waited longer, in a stopped house, gets no answer
_HOUR = timedelta(hours=1)
_LISTED = (
    "id", "sender_address", "sender_name", "subject",
    "reply_state", "reply_at", "reply_id", "reply_detail",
)  # fmt: skip
_log = structlog.get_logger()


def plan_reply(
    tx: Connection, stored: StoredAccount, read: Incoming, at: datetime
) -> dict[str, Any]:
    """Return the columns of ``incoming`` that say whether the mail is to be answered."""
    wish = parse_auto_reply(stored.document.get("auto_reply"))
    if not wish.enabled:
        return {}
    reason = judge_mail(read, list_mine(stored), at)
    if reason is None and not wish.is_on(at):
        reason = "not_now"
    if reason is None and _is_first_sync(tx, stored.id):
        reason = "first_sync"
    return {"reply_state": reason or DUE, "reply_at": at}


def find_due_replies(tx: Connection) -> list[str]:
    """Return the mails that are to be answered, the oldest first, a few of each account."""
    place = func.row_number().over(partition_by=incoming.c.account_id, order_by=incoming.c.id)
    due = select(incoming.c.id, place.label("place")).where(incoming.c.reply_state == DUE)
    found = due.subquery()
    query = select(found.c.id).where(found.c.place <= _MOST_OF_ONE)
    return list(tx.scalars(query.order_by(found.c.place, found.c.id).limit(_MOST_AT_ONCE)))


async def reply(office: Office, incoming_id: str) -> None:
    """Answer a mail, or note why not. Raises ``Unavailable``: it is tried again."""
    try:
        await _answer(office, incoming_id)
    except Unavailable:
        raise
    except Exception as error:
        # Not tried again at once, for ever, before everybody else's.
        _log.error("auto_reply_broke", incoming=incoming_id, exc_info=error)
        detail = "An error of Awizo; its log has it."
        await office.db.write(_withhold, incoming_id, "failed", office.clock(), detail)


async def _answer(office: Office, incoming_id: str) -> None:
    at = office.clock()
    found = await office.db.read(_find_work, incoming_id, at)
    if isinstance(found, str):
        await office.db.write(_withhold, incoming_id, found, at)
    if not isinstance(found, tuple):
        return
    row, ground = found
    try:
        prepared = await prepare_reply(office, ground)
    except AwizoError as error:
        if isinstance(error, Unavailable) and error.code != NO_RENDERER:
            raise
        _log.warning("auto_reply_failed", incoming=incoming_id, detail=error.detail)
        await office.db.write(_withhold, incoming_id, "failed", at, error.detail)
        return
    await post(office, SYSTEM, prepared, lambda tx: _remember(tx, row, ground, prepared.id, at))


def find_refusal(
    tx: Connection, stored: StoredAccount, read: Incoming, at: datetime
) -> Reason | None:
    """Return why this account does not answer a mail at this moment, as far as can be known."""
    wish = parse_auto_reply(stored.document.get("auto_reply"))
    if not wish.enabled or stored.removed_at is not None:
        return "off"
    if reason := judge_mail(read, list_mine(stored), at):
        return reason
    if not wish.is_on(at):
        return "not_now"
    keys = _name_sender(read)
    if any(map(list_mine(stored).holds, keys)) or _is_own(tx, keys):
        return "own_address"
    if _is_suppressed(tx, stored, keys, at):
        return "suppressed"
    lately = select(auto_reply.c.sender_key).where(
        auto_reply.c.account_id == stored.id,
        auto_reply.c.sender_key.in_(keys),
        auto_reply.c.free_at > at,
    )
    if tx.execute(lately).first() is not None:
        return "recent"
    is_full = _count_lately(tx, stored.id, at) >= MOST_AN_HOUR or _fails(tx, stored, at)
    return "ceiling" if is_full else None


def list_replies(tx: Connection, account_id: str, *, limit: int = 20) -> Sequence[Row[Any]]:
    """Return the last mails that were answered, and those that were not, the newest first."""
    columns = (incoming.c[name] for name in _LISTED)
    query = select(*columns).where(
        incoming.c.account_id == account_id, incoming.c.reply_state.is_not(None)
    )
    return tx.execute(query.order_by(incoming.c.id.desc()).limit(limit)).all()


def may_forget(tx: Connection, at: datetime) -> bool:
    """Whether there is anybody who may be answered again."""
    query = select(auto_reply.c.account_id).where(auto_reply.c.free_at < at)
    return tx.execute(query.limit(1)).first() is not None


def forget_replies(tx: Connection, at: datetime) -> None:
    """Forget who may be answered again."""
    tx.execute(delete(auto_reply).where(auto_reply.c.free_at < at))


def _find_work(
    tx: Connection, incoming_id: str, at: datetime
) -> tuple[Row[Any], ReplyGround] | Reason | None:
    query = select(incoming, incoming_body.c.raw).outerjoin(incoming_body)
    row = tx.execute(
        query.where(incoming.c.id == incoming_id, incoming.c.reply_state == DUE)
    ).first()
    if row is None:
        return None
    stored = load_account(tx, row.account_id)
    if stored is None:
        return "off"
    if row.raw is None or row.received_at < at - _LATEST:
        return "late"
    read = read_incoming(_cut_header(row.raw))
    resolved = look_up(tx, stored.user_id, stored.id)
    target = find_target(read)
    if reason := find_refusal(tx, stored, read, at):
        return reason
    assert target is not None
    assert resolved is not None
    return row, ReplyGround(stored, resolved, read, target, read_reference(row))


def _remember(
    tx: Connection, row: Row[Any], ground: ReplyGround, message_id: str, at: datetime
) -> bool:
    """Note the answer with the transaction that stores it; False where there must be none."""
    if not _note(tx, row.id, SENT, at, reply_id=message_id):
        return False
    free_at = at + timedelta(hours=ground.wish.period_h)
    if _count_lately(tx, row.account_id, at) >= MOST_AN_HOUR:
        return _take_back(tx, row.id, "ceiling")
    for key in sorted(_name_sender(ground.read)):
        if not _take_turn(tx, row.account_id, key, at, free_at):
            return _take_back(tx, row.id, "recent")
    _publish(tx, row, ground.stored, at, message=message_id)
    return True


def _take_turn(tx: Connection, account_id: str, key: str, at: datetime, free_at: datetime) -> bool:
    """Remember a sender; False where they were answered lately, if only a moment ago."""
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    times = {"replied_at": at, "free_at": free_at}
    taken = insert(auto_reply).values(account_id=account_id, sender_key=key, **times)
    taken = taken.on_conflict_do_update(
        index_elements=["account_id", "sender_key"], set_=times, where=auto_reply.c.free_at <= at
    )
    # Not rowcount: of an insert, PostgreSQL's driver does not tell it.
    return tx.execute(taken.returning(auto_reply.c.sender_key)).first() is not None


def _take_back(tx: Connection, incoming_id: str, reason: Reason) -> bool:
    mine = incoming.c.id == incoming_id
    tx.execute(update(incoming).where(mine).values(reply_state=reason, reply_id=None))
    return False


def _withhold(
    tx: Connection, incoming_id: str, reason: Reason, at: datetime, detail: str | None = None
) -> None:
    if not _note(tx, incoming_id, reason, at, reply_detail=detail) or reason != "failed":
        return
    row = tx.execute(select(incoming).where(incoming.c.id == incoming_id)).one()
    if stored := load_account(tx, row.account_id):
        _publish(tx, row, stored, at, failed=detail)


def _note(tx: Connection, incoming_id: str, state: str, at: datetime, **more: Any) -> bool:
    mine = (incoming.c.id == incoming_id) & (incoming.c.reply_state == DUE)
    values = {"reply_state": state, "reply_at": at, **more}
    return bool(tx.execute(update(incoming).where(mine).values(values)).rowcount)


def _publish(
    tx: Connection,
    row: Row[Any],
    stored: StoredAccount,
    at: datetime,
    *,
    message: str | None = None,
    failed: str | None = None,
) -> None:
    told = {
        "id": row.id,
        "account": stored.id,
        "from": row.sender_address,
        "subject": row.subject,
        "message": message,
        "failed": failed,
    }
    publish(tx, "inbox.auto_reply", told, at=at, user=stored.user_id, message_id=row.about_id)


def _name_sender(read: Incoming) -> frozenset[str]:
    """Under which names a sender is remembered: From's and the return path's."""
    both = (read.from_, find_target(read))
    return frozenset(each.key for each in both if each is not None)


def _is_own(tx: Connection, keys: frozenset[str]) -> bool:
    """Whether an address is one of any account here: two of ours never talk to each other."""
    paths = (("sender", "address"), ("smtp", "username"), ("incoming", "username"))
    said = [func.lower(account.c.settings[path].as_string()) for path in paths]
    query = select(account.c.id).where(
        account.c.removed_at.is_(None), or_(*(each.in_(keys) for each in said))
    )
    return tx.execute(query.limit(1)).first() is not None


def _is_suppressed(
    tx: Connection, stored: StoredAccount, keys: frozenset[str], at: datetime
) -> bool:
    asked = Asked(name_scopes(stored.scope, stored.user_id), keys, at)
    return bool(find_suppressed(tx, [asked])[0])


def _count_lately(tx: Connection, account_id: str, at: datetime) -> int:
    query = select(func.count()).where(
        auto_reply.c.account_id == account_id, auto_reply.c.replied_at > at - _HOUR
    )
    return tx.scalar(query) or 0


def _fails(tx: Connection, stored: StoredAccount, at: datetime) -> bool:
    """Whether no reply was to be had lately, since the text was saved."""
    query = select(incoming.c.reply_state, incoming.c.reply_at).where(
        incoming.c.account_id == stored.id, incoming.c.reply_state.in_((SENT, "failed"))
    )
    last = tx.execute(query.order_by(incoming.c.id.desc()).limit(MOST_FAILED)).all()
    since = max(at - _HOUR, stored.updated_at)
    return len(last) == MOST_FAILED and all(
        each.reply_state == "failed" and each.reply_at > since for each in last
    )


def _is_first_sync(tx: Connection, account_id: str) -> bool:
    """Whether the mail that was there before the account was is still being taken in."""
    query = select(mailbox.c.synced_at).where(mailbox.c.account_id == account_id)
    row = tx.execute(query).first()
    return row is not None and row.synced_at is None


def _cut_header(raw: bytes) -> bytes:
    """Return a mail without its body, which was judged when it came."""
    ends = [at for at in (raw.find(b"\r\n\r\n"), raw.find(b"\n\n")) if at >= 0]
    return raw[: min(ends)] + b"\r\n\r\n" if ends else raw
