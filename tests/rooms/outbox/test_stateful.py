"""Random sequences of everything that may happen to mail; after each step all must hold.

Beside ``check_invariants`` a model of the mail server counts the final dots: a recipient gets a
message more often than once only after attempts that say ``uncertain`` (G6).
"""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import delete, select
from sqlalchemy.engine import Connection

from app.configuration.switch import pause, resume
from app.errors import Conflict
from app.outbox.again import release, retry
from app.outbox.cancel import cancel
from app.outbox.erase import erase
from app.outbox.expire import expire
from app.outbox.health import note_trouble
from app.outbox.hold import hold_queue
from app.outbox.queue import Claimed, Lot, Mark, mark, renew
from app.outbox.suppressions import Entry, put_suppression
from app.outbox.tables import account_state, attempt, event, message, suppression
from tests.rooms.outbox.desk import ADMIN, FAR, Desk, Mailbox

ADDRESSES = ("a@x.example", "b@x.example", "c@x.example")
VERDICTS = ("sent", "deferred", "refused", "uncertain", "trouble", None)


class Outbox(RuleBasedStateMachine):
    messages = Bundle("messages")
    claims = Bundle("claims")
    desk: Desk

    @initialize(on_uncertain=st.sampled_from(["resend", "hold"]))
    def begin(self, on_uncertain: str) -> None:
        for table in (event, message, account_state, suppression):
            self.desk.wait_for(self.desk.office.db.write(lambda tx, t=table: tx.execute(delete(t))))
        self.account = self.desk.configure(config={"on_uncertain": on_uncertain})
        self.dots: Counter[str] = Counter()

    @rule(target=messages, to=st.lists(st.sampled_from(ADDRESSES), min_size=1, unique=True),
          batch=st.booleans(), not_after=st.sampled_from([None, FAR]))  # fmt: skip
    def send(self, to: list[str], batch: bool, not_after: datetime | None) -> str:
        return self.desk.send(*to, batch=batch, not_after=not_after)

    @rule(target=claims, lot=st.sampled_from([None, Lot(2, 0)]))
    def claim(self, lot: Lot | None) -> Claimed | None:
        claimed = self.desk.try_claim(self.account, lot=lot)
        return claimed if isinstance(claimed, Claimed) else None

    @rule(claimed=claims, verdicts=st.lists(st.sampled_from(VERDICTS), min_size=3, max_size=3))
    def carry(self, claimed: Claimed | None, verdicts: list[Any]) -> None:
        """A worker goes on with what it holds, or believes to hold, and settles it."""
        if claimed is None:
            return
        given = dict(zip([each.id for each in claimed.recipients], verdicts, strict=False))
        wanted = [each for each, verdict in given.items() if verdict in ("sent", "uncertain")]
        if wanted and self.desk.do(mark, [Mark(claimed.id, tuple(wanted))]) == [False]:
            given = dict.fromkeys(given)  # no dot without its mark
        else:
            self.dots.update(wanted)
        self.desk.settle(claimed, *given.values())

    @rule(claimed=claims)
    def die_after_the_dot(self, claimed: Claimed | None) -> None:
        if claimed is not None and self.desk.mark(claimed):
            self.dots.update(each.id for each in claimed.recipients)
            self.desk.lapse(claimed)

    @rule(claimed=claims)
    def lapse(self, claimed: Claimed | None) -> None:
        if claimed is not None:
            self.desk.lapse(claimed)

    @rule()
    def sweep(self) -> None:
        self.desk.sweep()

    @rule(claimed=claims)
    def renew(self, claimed: Claimed | None) -> None:
        if claimed is not None:
            self.desk.do(renew, (claimed.id,), lease_s=60)

    @rule(message_id=messages)
    def wait(self, message_id: str) -> None:
        if self.desk.look(message_id).row.due_at is not None:
            self.desk.make_due(message_id)

    @rule(message_id=messages, verb=st.sampled_from([cancel, retry]))
    def intervene(self, message_id: str, verb: Any) -> None:
        self.attempt(verb, ADMIN, message_id)

    @rule(message_id=messages)
    def release(self, message_id: str) -> None:
        vault = self.desk.office.vault
        self.attempt(release, vault, ADMIN, message_id, smtp_password=None, delivery="on")

    @rule(message_id=messages)
    def run_out_of_time(self, message_id: str) -> None:
        past = datetime(2020, 1, 1, tzinfo=UTC)
        self.desk.change(message, message.c.id == message_id, not_after=past, give_up_at=past)

    @rule()
    def expire(self) -> None:
        self.desk.do(expire)

    @rule()
    def hold_queue(self) -> None:
        while self.desk.do(hold_queue):
            pass

    @rule(verb=st.sampled_from([pause, resume]))
    def switch(self, verb: Any) -> None:
        self.desk.do(verb, ADMIN, "global", datetime.now(UTC))

    @rule()
    def get_into_trouble(self) -> None:
        self.desk.do(note_trouble, self.account, cause="timeout", detail="…", at=datetime.now(UTC))

    @rule(on_uncertain=st.sampled_from(["resend", "hold"]))
    def save(self, on_uncertain: str) -> None:
        self.desk.configure(config={"on_uncertain": on_uncertain})

    @rule(address=st.sampled_from(ADDRESSES))
    def erase(self, address: str) -> None:
        self.desk.do(erase, ADMIN, Mailbox(address))

    @rule(address=st.sampled_from(ADDRESSES), scope=st.sampled_from(["global", "users/anna"]))
    def suppress(self, address: str, scope: str) -> None:
        entry = Entry(Mailbox(address), scope, "manual")
        self.desk.do(put_suppression, ADMIN, entry, datetime.now(UTC))

    @rule()
    def lift(self) -> None:
        self.desk.wait_for(self.desk.office.db.write(lambda tx: tx.execute(delete(suppression))))

    @invariant()
    def nobody_gets_a_message_twice_without_doubt(self) -> None:
        doubts = Counter(self.desk.wait_for(self.desk.office.db.read(read_doubts)))
        for recipient_id, dots in getattr(self, "dots", {}).items():
            assert dots <= 1 + doubts[recipient_id]

    def attempt(self, verb: Any, *args: Any, **options: Any) -> None:
        try:
            self.desk.do(verb, *args, **options)
        except Conflict:
            return  # what the state forbids changes nothing, which ``do`` has checked


def read_doubts(tx: Connection) -> list[str]:
    """Return the recipient of every attempt that is uncertain."""
    return list(tx.scalars(select(attempt.c.recipient_id).where(attempt.c.verdict == "uncertain")))


def test_random_sequences_keep_every_promise(desk: Desk) -> None:
    run_machine(
        type("OnThisDesk", (Outbox,), {"desk": desk}),
        settings=settings(
            max_examples=10,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
