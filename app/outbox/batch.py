"""A batch: many orders prepared a slice at a time, and stored together.

What the messages share is looked up, rendered from and protected once. A slice bounds the memory
that is taken before something is stored, and how long other writers wait; its work is done in one
thread, not in one per message.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.resolve import resolve
from app.db import new_id
from app.errors import AwizoError, Fault, Refused, refuse
from app.mime.protect import Protection
from app.outbox.accept import store
from app.outbox.check import (
    Checked,
    Ground,
    add_faults,
    ask_suppressed,
    check,
    read_template,
    set_suppressed,
)
from app.outbox.health import read_health
from app.outbox.idempotency import Answered, Attempted, remember
from app.outbox.office import Office
from app.outbox.order import Order
from app.outbox.prepare import Prepared, finish, may_protect
from app.outbox.sharing import Sharing
from app.outbox.suppressed import find_suppressed
from app.vault import Vault

_SLICE = 100
_SLICE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """One order of a batch. faults: what the door found; pointers begin at the message."""

    index: int
    order: Order
    faults: tuple[Fault, ...] = ()
    attempted: Attempted | None = field(default=None, repr=False)


class KeysTaken(Exception):
    """Some keys were answered before, in ``earlier`` by key; nothing was stored."""

    def __init__(self, earlier: dict[str, Answered | Refused]) -> None:
        super().__init__(len(earlier))
        self.earlier = earlier


def read_grounds(tx: Connection, items: Sequence[Item]) -> list[Ground | AwizoError]:
    """Read what ``read_ground`` does for each, asking once for what several share."""
    known: dict[Any, Any] = {}

    def once(key: tuple[Any, ...], ask: Any, *args: Any) -> Any:
        if key not in known:
            try:
                known[key] = ask(tx, *args)
            except AwizoError as error:
                known[key] = error
        return known[key]

    found: list[Ground | AwizoError] = []
    for order in (item.order for item in items):
        resolved = once(("way", *order.way), resolve, *order.way)
        if isinstance(resolved, AwizoError):
            found.append(resolved)
            continue
        template = once(order.text, read_template, resolved, *order.text)
        health = once(("server", resolved.account_id), read_health, resolved.account_id)
        found.append(Ground(resolved, template, health))
    return found


def cut_slices(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield the items in their order, as many at once as may be in memory finished."""
    start, size = 0, 0
    for index, item in enumerate(items):
        own = sum(len(part.content) for part in item.order.attachments)
        if index > start and (index - start == _SLICE or size + own > _SLICE_BYTES):
            yield items[start:index]
            start, size = index, 0
        size += own
    if items[start:]:
        yield items[start:]


async def prepare_slice(
    office: Office,
    items: Sequence[Item],
    grounds: Sequence[Ground | AwizoError],
    sharing: Sharing,
    batch_id: str,
) -> list[Prepared | AwizoError]:
    """Return each item's finished message, or all that keeps it from being one."""
    checked = await asyncio.to_thread(_check_all, office, items, grounds)
    good = [each for each in checked if not isinstance(each, AwizoError)]
    asked = [ask_suppressed(each) for each, _ in good]
    reasons = iter(await office.db.read(find_suppressed, asked))
    checked = [
        each if isinstance(each, AwizoError) else (set_suppressed(each[0], next(reasons)), each[1])
        for each in checked
    ]
    protected = await asyncio.gather(
        *(_protect(*each, sharing) for each in checked if not isinstance(each, AwizoError)),
        return_exceptions=True,
    )
    return await asyncio.to_thread(_finish_all, office, checked, protected, sharing, batch_id)


_Found = tuple[Checked, list[Fault]]


def _check_all(
    office: Office, items: Sequence[Item], grounds: Sequence[Ground | AwizoError]
) -> list[_Found | AwizoError]:
    at = office.clock()
    found: list[_Found | AwizoError] = []
    for item, ground in zip(items, grounds, strict=True):
        if isinstance(ground, AwizoError):
            found.append(add_faults(ground, item.faults))
            continue
        checked, faults = check(office, item.order, ground, at)
        if ground.resolved.mode == "draft":
            detail = "Batches go out by SMTP only; set the configuration's mode to smtp."
            faults.append(Fault("/as_user", "smtp_required", detail))
        found.append((checked, [*item.faults, *faults]))
    return found


async def _protect(checked: Checked, faults: list[Fault], sharing: Sharing) -> Protection:
    protection = Protection((), ())
    if checked.order.attachments and may_protect(faults):
        try:
            protection = await sharing.protect(checked)
        except Refused as error:
            faults += error.faults
    refuse(faults)
    return protection


def _finish_all(
    office: Office,
    checked: Sequence[_Found | AwizoError],
    protected: Sequence[Protection | BaseException],
    sharing: Sharing,
    batch_id: str,
) -> list[Prepared | AwizoError]:
    ids = sorted(new_id(office.clock()) for _ in checked)  # listed in the order of the batch
    results = iter(protected)
    done: list[Prepared | AwizoError] = []
    for found, new in zip(checked, ids, strict=True):
        result = found if isinstance(found, AwizoError) else next(results)
        if isinstance(result, AwizoError):
            done.append(result)
        elif isinstance(result, BaseException):
            raise result
        else:
            assert not isinstance(found, AwizoError)
            try:
                done.append(
                    finish(office, found[0], result, new, encode=sharing.encode, batch_id=batch_id)
                )
            except Refused as error:
                done.append(error)
    return done


def accept_batch(
    tx: Connection,
    vault: Vault,
    caller: Caller,
    batch: Sequence[Prepared],
    kept: Sequence[tuple[Attempted, Answered]],
    *,
    delivery: str,
    at: datetime,
) -> None:
    """Store finished messages and what their keys are answered, all or none.

    Raises ``KeysTaken`` where another request had one of the keys first.
    """
    earlier = remember(tx, vault, caller.owner_id, kept, at) if kept else {}
    if earlier:
        raise KeysTaken(earlier)
    if batch:
        store(tx, vault, [(caller, each) for each in batch], delivery)
