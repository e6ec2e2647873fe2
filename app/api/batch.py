"""``POST /send/batch``: many messages in one request, with what they share said once.

``all_or_nothing`` is one transaction. ``partial`` goes through in slices, each a transaction: should
the process die in between, the same request with its Idempotency-Key sends exactly the rest.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial as bind
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app.accounts.caller import Caller
from app.api.batch_order import Batch, BatchBody, place, read_messages
from app.api.body import read_json, require_json
from app.api.collect import collect
from app.api.gate import TheOffice
from app.api.problem import as_problem
from app.api.send import IdempotencyKey
from app.api.show import BatchResults, show_accepted
from app.api.sign_in import TheSender
from app.db import new_id
from app.errors import AwizoError, Fault, Refused, TooLarge, Unavailable, refuse
from app.outbox.accept import show_status, show_warnings
from app.outbox.batch import (
    Item,
    KeysTaken,
    accept_batch,
    cut_slices,
    prepare_slice,
    read_grounds,
)
from app.outbox.check import Ground, make_refusal
from app.outbox.idempotency import Answered, Attempted, find_replays, make_canonical
from app.outbox.office import Office
from app.outbox.prepare import Prepared
from app.outbox.reach import sees_hidden
from app.outbox.sharing import Sharing

router = APIRouter(tags=["sending"])

# Finished messages of one transaction, all in memory. Only the attachments of defaults, a thousand
# times over, get there; ``partial`` has no such limit.
_MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """One message that was stored; id: None in a dry run."""

    id: str | None
    status: str
    warnings: Sequence[dict[str, Any]] = ()
    replayed: bool = False


@router.post(
    "/send/batch",
    status_code=202,
    response_model=BatchResults,
    responses={200: {"description": "`dry_run`: nothing was stored.", "model": BatchResults}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BatchBody"}}},
        }
    },
)
async def send_batch(
    request: Request,
    caller: TheSender,
    office: TheOffice,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Check, render, protect and store many messages; they go out after single ones.

    `all_or_nothing`: all are stored, or none and every fault is told. `partial`: those that can be
    sent are, and each of the others has its problem.
    """
    content = await request.body()
    require_json(request)
    raw = await asyncio.to_thread(read_json, content)
    body, faults = collect(BatchBody, raw)
    most = office.settings.max_batch_messages
    if not body.messages and not any(each.pointer in ("", "/messages") for each in faults):
        faults.append(Fault("/messages", "required", "Give at least one message."))
    if len(body.messages) > most:
        detail = f"A batch has at most {most} messages, not {len(body.messages)}."
        refuse([*faults, Fault("/messages", "too_many_messages", detail)])
    header = None
    if idempotency_key is not None and not body.dry_run:
        canonical = await asyncio.to_thread(make_canonical, "send/batch", raw)
        header = Attempted(idempotency_key, canonical)
    batch = await asyncio.to_thread(
        read_messages,
        body,
        user=caller.user,
        make_key=bind(_derive_key, body, idempotency_key),
    )
    for user in batch.users:
        caller.acts_as(user)
    run = _Run(request, caller, office, body, batch, header)
    answered, replayed = await run.go([*faults, *batch.faults])
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    if answered.body["batch_id"] is not None:
        headers["Location"] = f"/messages?batch_id={answered.body['batch_id']}"
    return JSONResponse(answered.body, answered.status, headers)


def _derive_key(body: BatchBody, header: str | None, index: int) -> str | None:
    """Return the key under which a slice remembers a message of a ``partial`` batch."""
    if header is None or body.mode == "all_or_nothing":
        return None
    return f"batch:{hashlib.sha256(header.encode()).hexdigest()}/{index}"


@dataclass(slots=True)
class _Run:
    """One batch on its way. results: by index, of what is decided."""

    request: Request
    caller: Caller
    office: Office
    body: BatchBody
    batch: Batch
    header: Attempted | None
    id: str = field(default_factory=new_id)
    results: dict[int, Stored | AwizoError] = field(default_factory=dict)

    async def go(self, faults: Sequence[Fault]) -> tuple[Answered, bool]:
        """Return the answer, and whether it was given before; ``faults``: of the whole."""
        items = self.batch.items
        if not self.body.dry_run:
            attempts = [each.attempted for each in items if each.attempted]
            attempts += [self.header] if self.header else []
            earlier = await self._read_earlier(attempts)
            if self.header and self.header.key in earlier:
                return _take(earlier[self.header.key]), True
            self._replay(earlier)
        rest = [each for each in items if each.index not in self.results]
        grounds = await self.office.db.read(read_grounds, rest)
        drafts = any(isinstance(each, Ground) and each.resolved.mode == "draft" for each in grounds)
        # What is wrong with the whole is refused whole.
        one_by_one = self.body.mode == "partial" and not faults and not drafts
        ready: list[tuple[Item, Prepared]] = []
        sharing = Sharing(self.office.pool, self.batch.shared)
        size_bytes = start = 0
        for part in cut_slices(rest):
            found = grounds[start : start + len(part)]
            start += len(part)
            prepared = await prepare_slice(self.office, part, found, sharing, self.id)
            good = self._sort(part, prepared)
            if self.body.dry_run:
                self.results |= {item.index: self._show(each) for item, each in good}
            elif one_by_one:
                await self._store_slice(good)
            else:
                ready += good
                size_bytes += sum(len(each.composed.raw) for _, each in good)
                if size_bytes > _MOST_BYTES:
                    raise _too_large()
        if not one_by_one:
            self._refuse_whole(faults)
        if self.body.dry_run:
            return self._answer(self.results, 200), False
        if one_by_one and any(
            isinstance(each, AwizoError) and each.retryable for each in self.results.values()
        ):
            return self._answer(self.results), False  # a repetition may send more
        return await self._store(ready, self.header)

    def _sort(
        self, items: Sequence[Item], prepared: Sequence[Prepared | AwizoError]
    ) -> list[tuple[Item, Prepared]]:
        """Return what can be stored; note what cannot."""
        good = []
        for item, each in zip(items, prepared, strict=True):
            if isinstance(each, AwizoError):
                self.results[item.index] = each
            else:
                good.append((item, each))
        return good

    async def _store_slice(self, good: Sequence[tuple[Item, Prepared]]) -> None:
        try:
            await self._store(good, None)
        except Unavailable as error:
            if not any(isinstance(each, Stored) for each in self.results.values()):
                raise
            # Earlier slices are stored: the caller has to hear which.
            self.results |= {item.index: error for item, _ in good}

    async def _store(
        self, good: Sequence[tuple[Item, Prepared]], header: Attempted | None
    ) -> tuple[Answered, bool]:
        """Store messages and keys in one transaction; what another request stored is its."""
        while True:
            rest = [(item, each) for item, each in good if item.index not in self.results]
            results = self.results | {item.index: self._show(each) for item, each in rest}
            answered = self._answer(results)
            kept = [
                (item.attempted, self._answer_one(each)) for item, each in rest if item.attempted
            ]
            if header is not None:
                kept.append((header, answered))
            try:
                if rest or kept:
                    await self.office.db.write(
                        accept_batch,
                        self.office.vault,
                        self.caller,
                        [each for _, each in rest],
                        kept,
                        delivery=self.office.settings.delivery,
                        at=self.office.clock(),
                    )
            except KeysTaken as taken:
                if header is not None and header.key in taken.earlier:
                    return _take(taken.earlier[header.key]), True
                self._replay(taken.earlier)
                if self.body.mode == "all_or_nothing":
                    self._refuse_whole(())
                continue
            self.results = results
            self.office.db.ring()
            return answered, False

    async def _read_earlier(self, attempts: Sequence[Attempted]) -> dict[str, Answered | Refused]:
        if not attempts:
            return {}
        return await self.office.db.read(
            find_replays, self.office.vault, self.caller.owner_id, attempts
        )

    def _replay(self, earlier: dict[str, Answered | Refused]) -> None:
        """Note what the keys of messages were answered before."""
        for item in self.batch.items:
            answer = earlier.get(item.attempted.key) if item.attempted else None
            if isinstance(answer, Answered):
                self.results[item.index] = Stored(
                    answer.message_ids[0], answer.body["status"], replayed=True
                )
            elif answer is not None:
                self.results[item.index] = answer

    def _refuse_whole(self, faults: Sequence[Fault]) -> None:
        """Raise what keeps the whole from being stored, if anything does."""
        errors = [
            (index, each)
            for index, each in sorted(self.results.items())
            if isinstance(each, AwizoError)
        ]
        placed = [*faults]
        for index, error in errors:
            placed += self._place(error, index)
        placed = list(dict.fromkeys(placed))
        if errors and not faults and not any(isinstance(each, Refused) for _, each in errors):
            first = errors[0][1]
            raise type(first)(
                first.detail, code=first.code, faults=placed, retry_after_s=first.retry_after_s
            )
        if placed:
            raise make_refusal(placed)

    def _place(self, error: AwizoError, index: int) -> list[Fault]:
        faults = error.faults or (Fault("", error.code, error.detail),)
        return list(place(faults, index, self.body, len(self.batch.shared)))

    def _show(self, prepared: Prepared) -> Stored:
        status = show_status(prepared, self.office.settings.delivery)
        message_id = None if self.body.dry_run else prepared.id
        return Stored(message_id, status, show_warnings(prepared))

    def _answer_one(self, prepared: Prepared) -> Answered:
        """Return what ``POST /send`` would answer, for the message's own key."""
        shown = show_accepted(
            prepared, self.office.settings.delivery, hidden=sees_hidden(self.caller)
        )
        return Answered(202, shown.model_dump(mode="json"), (prepared.id,))

    def _answer(self, results: dict[int, Stored | AwizoError], status: int = 202) -> Answered:
        data = [self._show_result(index, results[index]) for index in sorted(results)]
        ids = tuple(each["id"] for each in data if "id" in each)
        return Answered(
            status, {"batch_id": None if self.body.dry_run else self.id, "data": data}, ids
        )

    def _show_result(self, index: int, result: Stored | AwizoError) -> dict[str, Any]:
        shown: dict[str, Any] = {"index": index}
        if isinstance(result, AwizoError):
            placed = self._place(result, index)
            error = make_refusal(placed) if isinstance(result, Refused) else result
            if error is result:
                error = type(result)(
                    result.detail, code=result.code, faults=placed if result.faults else ()
                )
            return shown | {"problem": json.loads(bytes(as_problem(self.request, error).body))}
        if result.id is not None:
            shown["id"] = result.id
        shown["status"] = result.status
        if result.warnings:
            shown["warnings"] = list(result.warnings)
        if result.replayed:
            shown["replayed"] = True
        return shown


def _take(earlier: Answered | Refused) -> Answered:
    if isinstance(earlier, Refused):
        raise earlier
    return earlier


def _too_large() -> TooLarge:
    return TooLarge(
        "The finished messages are too large for one transaction; send them with mode partial.",
        code="batch_too_large",
    )
