"""What became of each message that a carrier claimed: told once, settled in the background.

Nothing that was claimed is forgotten: what nobody told about is handed back untried. A claim's lease
is renewed until all of its messages are settled.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Sequence

import structlog

from app.configuration.model import StoredAccount
from app.errors import Unavailable
from app.outbox.carry import Stand, Tried, settle_tries
from app.outbox.complaint import Complaint, hear, hear_failed
from app.outbox.judge import (
    describe_failed,
    find_trouble,
    judge,
    judge_failed,
    reached_mail,
    return_all,
    spread,
)
from app.outbox.office import Office
from app.outbox.queue import Claimed
from app.outbox.settle import Outcome, Policy, Settlement
from app.schedule import parse_schedule
from app.wire.envelope import Transaction, Verdict
from app.wire.session import Session
from app.wire.steps import SessionFailed

_PROMPT_S = 1.0  # a session that ends sooner after its last message was not idle
_BEHIND = 256  # past that the database is behind, and claiming more would not help it
_log = structlog.get_logger()


class Settler:
    """Of one carrier. active: ids of claims whose leases the worker renews."""

    def __init__(self, office: Office, worker_id: str, active: set[str]) -> None:
        self._office = office
        self._worker_id = worker_id
        self._active = active
        self._policy = Policy(parse_schedule(office.settings.retry_schedule))
        self._untold: set[Claimed] = set()
        self._unsettled: Counter[str] = Counter()  # by claim
        self._writing: set[asyncio.Task[None]] = set()
        self._noted: Stand | None = None
        self._told_at = 0.0  # by the event loop's clock
        self._doubted = 0  # messages after which a session was ended without a plain word

    @property
    def is_behind(self) -> bool:
        """More is waiting to be written than is good."""
        return len(self._writing) >= _BEHIND

    async def wait(self) -> None:
        """Wait until all that was told is written."""
        if self._writing:
            await asyncio.wait(self._writing)

    def expect(self, claimed: Sequence[Claimed]) -> None:
        """Remember what is in our hands."""
        self._untold.update(claimed)
        self._unsettled.update(each.id for each in claimed)

    def give_back(self, several: Iterable[Claimed], stored: StoredAccount) -> None:
        """Hand back untried those that nobody told about."""
        for claimed in several:
            if claimed in self._untold:
                outcomes = return_all([each.id for each in claimed.recipients])
                self.tell_untried(claimed, stored, outcomes)

    def tell_untried(
        self,
        claimed: Claimed,
        stored: StoredAccount,
        outcomes: Sequence[Outcome],
        trouble: tuple[str, str] | None = None,
        complaint: Complaint | None = None,
    ) -> None:
        """Settle what no session took."""
        settlement = Settlement(
            claimed,
            tuple(outcomes),
            self._policy,
            _draw(),
            server=stored.settings.server if trouble and stored.settings else None,
            reached_mail=False,
        )
        host = stored.settings.host if stored.settings else ""
        self._tell(Tried(settlement, stored.version, None, trouble, complaint, host))

    def tell_failed(self, claimed: Claimed, stored: StoredAccount, failed: SessionFailed) -> None:
        """Settle what was waiting for a session that did not come about."""
        outcomes = [judge_failed(each.id, failed, stored.settings) for each in claimed.recipients]
        # A refused password of the message's own: the account is not to blame.
        blamed = not any(each.hold for each in outcomes)
        trouble = describe_failed(failed) if blamed else None
        self.tell_untried(claimed, stored, outcomes, trouble, hear_failed(failed))

    def tell(
        self, claimed: Claimed, stored: StoredAccount, session: Session, transaction: Transaction
    ) -> bool:
        """Settle what a session took; return whether the account is to stop for now."""
        redirect = self._office.settings.redirect_to
        verdicts = spread(transaction, len(claimed.recipients), redirect)
        trouble = find_trouble(verdicts)
        complaint = self._hear(session, verdicts)
        server = f"{session.target.host}:{session.target.port}"
        settlement = Settlement(
            claimed,
            tuple(
                judge(each.id, verdict)
                for each, verdict in zip(claimed.recipients, verdicts, strict=True)
            ),
            self._policy,
            _draw(),
            server=server,
            tls=session.tls_facts.version if session.tls_facts else None,
            reached_mail=reached_mail(transaction),
        )
        stand = Stand(
            server,
            session.capabilities,
            session.starttls_offered,
            session.dsn_refused,
            session.pipelining_broken and not session.group_cut,
        )
        news = None if stand == self._noted else stand
        if trouble is None:
            self._noted = stand
        host = session.target.host
        self._tell(Tried(settlement, stored.version, news, trouble, complaint, host))
        return trouble is not None or (complaint is not None and complaint.kind != "session")

    def _hear(self, session: Session, verdicts: Sequence[Verdict]) -> Complaint | None:
        told_at, self._told_at = self._told_at, asyncio.get_running_loop().time()
        is_prompt = self._told_at - told_at < _PROMPT_S
        complaint = hear(verdicts, messages=session.messages_begun, is_prompt=is_prompt)
        if complaint is None or complaint.is_plain:
            return complaint
        # Once may be chance: a restart; twice after as many messages is a rule.
        doubted, self._doubted = self._doubted, complaint.messages
        return complaint if doubted == complaint.messages else None

    def forget_stand(self) -> None:
        """Have the next session's server noted, known or not."""
        self._noted = None

    def _tell(self, tried: Tried) -> None:
        claimed = tried.settlement.claimed
        self._untold.discard(claimed)
        task = asyncio.create_task(self._write(tried))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, tried: Tried) -> None:
        """Write what came of it, again and again while the database is away."""
        while True:
            try:
                ours = await self._office.db.write_merged(settle_tries, tried)
                break
            except Unavailable:
                await asyncio.sleep(1)
        claimed = tried.settlement.claimed
        claim_id = claimed.id
        self._unsettled[claim_id] -= 1
        if not self._unsettled[claim_id]:
            del self._unsettled[claim_id]
            self._active.discard(claim_id)
        # What came back, and what waited for a trial to end well, may be carried now.
        is_usual = (
            tried.stand is None
            and not claimed.is_trial
            and all(each.verdict == "sent" for each in tried.settlement.outcomes)
        )
        self._office.db.ring("verdict" if is_usual else "work")
        _write_log(self._office, self._worker_id, tried.settlement, ours=ours)


def _draw() -> float:
    return random.random()  # noqa: S311 - spreads retries, guards nothing


def _write_log(office: Office, worker_id: str, settlement: Settlement, *, ours: bool) -> None:
    claimed = settlement.claimed
    names = {each.id: each.address for each in claimed.recipients}
    for outcome in settlement.outcomes:
        _log.info(
            "recipient",
            message=claimed.message.id,
            recipient=(
                names[outcome.recipient_id]
                if office.settings.log_addresses
                else outcome.recipient_id
            ),
            verdict=outcome.verdict or "returned",
            code=outcome.code,
            cause=outcome.cause,
            worker=worker_id,
            fenced=not ours,
        )
