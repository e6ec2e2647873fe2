"""The outbox of a test: an office on a database of its own, and mail that is really prepared.

``Desk`` runs one verb after another (``desk.do(cancel, ADMIN, id)``); its ``check`` proves what must
hold after every transaction. ``configure``, ``send`` and ``look`` are for async tests as well.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import MetaData, Row, func, select, update
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.model import name_scope
from app.configuration.save import Save, put_configuration
from app.db import new_id
from app.mime.address import Mailbox
from app.outbox.accept import store
from app.outbox.check import ask_ground
from app.outbox.follow import configuration_changed
from app.outbox.office import Office
from app.outbox.order import Order
from app.outbox.prepare import prepare
from app.outbox.queue import Claimed, Mark, Wait, claim, mark
from app.outbox.settle import Outcome, Policy, Settlement, settle, sweep
from app.outbox.status import LAST, WAITING, derive_status
from app.outbox.tables import attempt, message, message_body, recipient
from app.wire.address_policy import AddressPolicy

ADMIN = Caller(owner_id="owner-1", role="admin", name="Administrator")
ANNA = Caller(owner_id="owner-2", role="user", name="Anna", user="anna")
POLICY = Policy((60.0, 300.0))
LEASE_S = 60.0
FAR = datetime(2099, 1, 1, tzinfo=UTC)


async def configure(office: Office, user: str | None = None, **members: Any) -> str:
    """Save a configuration as the door does; members of ``smtp`` by name, others in ``config``."""
    config = members.pop("config", {})
    raw = {
        "smtp": {"host": "127.0.0.1", "port": 25, "connection": "plaintext", **members},
        "sender": {"address": "faktury@firma.example", "name": "Firma"},
        **config,
    }
    save = Save(
        office.vault,
        AddressPolicy(),
        ADMIN,
        name_scope(user),
        user,
        office.clock(),
        lambda version: None,
    )

    def run(tx: Connection) -> str:
        stored = put_configuration(tx, save, raw).stored
        configuration_changed(tx, stored.id, save.at)
        return stored.id

    return await office.db.write(run)


async def send(
    office: Office, *to: str, batch: bool = False, caller: Caller = ADMIN, **order: Any
) -> str:
    """Accept one message as the door does; return its id."""
    order = {"subject": "Faktura", "body": "Dzień dobry", **order}
    mailboxes = tuple(Mailbox(each) for each in to or ("anna@klient.example",))
    wanted = Order(to=mailboxes, **order)
    prepared = await prepare(office, wanted, await ask_ground(office, wanted))
    if batch:
        prepared = replace(prepared, batch_id=new_id())
    await office.db.write(
        store, office.vault, [(caller, prepared)], delivery=office.settings.delivery
    )
    office.db.ring()
    return prepared.id


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as it stands. states: by address, ``"held: uncertain"`` where there is a reason."""

    row: Row[Any]
    recipients: tuple[Row[Any], ...]
    attempts: tuple[Row[Any], ...]

    @property
    def status(self) -> str:
        return str(self.row.status)

    @property
    def states(self) -> dict[str, str]:
        return {
            each.address: f"{each.state}: {each.reason}" if each.reason else each.state
            for each in self.recipients
        }

    @property
    def verdicts(self) -> list[str]:
        return [each.verdict for each in self.attempts]


def dump(tx: Connection) -> str:
    """Return every value of every table as text."""
    tables = MetaData()
    tables.reflect(tx)
    values = []
    for table in tables.tables.values():
        for row in tx.execute(select(table)):
            values += [
                bytes(each).decode("utf-8", "replace")
                if isinstance(each, (bytes, memoryview))
                else str(each)
                for each in row
            ]
    return "\n".join(values).casefold()


def look(tx: Connection, message_id: str) -> Seen:
    """Read a message whole."""
    row = tx.execute(select(message).where(message.c.id == message_id)).one()
    recipients = tx.execute(
        select(recipient).where(recipient.c.message_id == message_id).order_by(recipient.c.position)
    ).all()
    attempts = tx.execute(
        select(attempt)
        .join(recipient, recipient.c.id == attempt.c.recipient_id)
        .where(attempt.c.message_id == message_id)
        .order_by(attempt.c.number, recipient.c.position)
    ).all()
    return Seen(row, tuple(recipients), tuple(attempts))


def check_invariants(tx: Connection) -> None:
    """Assert what holds for every message between two transactions."""
    for row in tx.execute(select(message)).all():
        seen = look(tx, row.id)
        states = [each.state for each in seen.recipients]
        at = datetime.now(UTC)
        derived = derive_status(states, is_draft=row.is_draft, send_at=row.send_at, at=at)
        assert row.status == derived, (row.id, states)
        waiting = [each.due_at for each in seen.recipients if each.state in WAITING]
        assert row.due_at == min(waiting, default=None)
        ended = all(state in LAST for state in states) or row.is_draft
        assert (row.ended_at is not None) == ended
        assert not ended or row.smtp_password is None
        for each in seen.recipients:
            numbers = [tried.number for tried in seen.attempts if tried.recipient_id == each.id]
            assert numbers == list(range(1, each.attempts + 1))
            assert (each.claimed_by is not None) == (each.state == "sending")  # G2
            assert each.marked_at is None or each.state == "sending"


class Desk:
    """One verb at a time, on this test's own event loop."""

    def __init__(self, office: Office, runner: asyncio.Runner) -> None:
        self.office = office
        self._runner = runner
        self._claims = 0

    def wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end."""
        return self._runner.run(work)

    def do(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a verb in a transaction of its own, then check the invariants."""
        try:
            return self.wait_for(self.office.db.write(verb, *args, **kwargs))
        finally:
            self.wait_for(self.office.db.read(check_invariants))

    def configure(self, user: str | None = None, **members: Any) -> str:
        account_id: str = self.wait_for(configure(self.office, user, **members))
        return account_id

    def send(self, *to: str, **order: Any) -> str:
        message_id: str = self.wait_for(send(self.office, *to, **order))
        return message_id

    def look(self, message_id: str) -> Seen:
        seen: Seen = self.wait_for(self.office.db.read(look, message_id))
        return seen

    def claim(self, account_id: str, **options: Any) -> Claimed:
        """Claim the account's next message; there must be one."""
        claimed = self.try_claim(account_id, **options)
        assert isinstance(claimed, Claimed)
        return claimed

    def try_claim(self, account_id: str, **options: Any) -> Claimed | Wait | None:
        self._claims += 1
        options = {"lease_s": LEASE_S, **options}
        got: list[Claimed] | Wait = self.do(claim, account_id, f"w.{self._claims}", **options)
        return got if isinstance(got, Wait) else next(iter(got), None)

    def mark(self, claimed: Claimed) -> bool:
        (marked,) = self.do(mark, [Mark(claimed.id, tuple(each.id for each in claimed.recipients))])
        return bool(marked)

    def settle(self, claimed: Claimed, *verdicts: Any, **options: Any) -> bool:
        """Settle: one verdict, or an ``Outcome``'s members, for each recipient or for all."""
        given = verdicts * len(claimed.recipients) if len(verdicts) == 1 else verdicts
        outcomes = [
            Outcome(each.id, **verdict) if isinstance(verdict, dict) else Outcome(each.id, verdict)
            for each, verdict in zip(claimed.recipients, given, strict=True)
        ]
        options = {"policy": POLICY, "jitter": 0.5, **options}
        (ours,) = self.do(settle, [Settlement(claimed, tuple(outcomes), **options)])
        return bool(ours)

    def sweep(self) -> int:
        return int(self.do(partial(sweep, policy=POLICY, jitter=0.5)))

    def lapse(self, claimed: Claimed, ago_s: float = 1) -> None:
        """Let a claim's lease run out, as if that were so long ago."""
        past = datetime.now(UTC) - timedelta(seconds=ago_s)
        self.change(recipient, recipient.c.claimed_by == claimed.id, lease_until=past)

    def make_due(self, message_id: str) -> None:
        """Let the next try of a message's waiting recipients come now."""
        past = datetime.now(UTC) - timedelta(seconds=1)
        self.change(
            recipient,
            (recipient.c.message_id == message_id) & recipient.c.state.in_(WAITING),
            due_at=past,
        )
        self.change(message, message.c.id == message_id, due_at=past)

    def change(self, table: Any, where: Any, **values: Any) -> None:
        """Change rows behind the verbs' back: time that passes, a disk that loses."""
        self.wait_for(
            self.office.db.write(lambda tx: tx.execute(update(table).where(where).values(**values)))
        )

    def count(self, table: Any) -> int:
        return int(
            self.wait_for(
                self.office.db.read(lambda tx: tx.scalar(select(func.count()).select_from(table)))
            )
        )

    def has_body(self, message_id: str) -> bool:
        query = select(message_body.c.message_id).where(message_body.c.message_id == message_id)
        return self.wait_for(self.office.db.read(lambda tx: tx.execute(query).first())) is not None
