"""``docs/states.md`` against the code: every row of its tables is done and compared."""

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Float, Integer, LargeBinary, Table, insert, select
from sqlalchemy.engine import Connection

from app.accounts.caller import Caller
from app.configuration.tables import account
from app.db import Database, Json, UtcInstant, new_id, now
from app.errors import Conflict
from app.inbox.reports import apply_report
from app.mime.address import Mailbox
from app.outbox.again import release, retry
from app.outbox.cancel import cancel
from app.outbox.erase import erase
from app.outbox.expire import expire
from app.outbox.follow import configuration_removed
from app.outbox.hold import hold_due, hold_queue
from app.outbox.queue import claim
from app.outbox.retry import decide
from app.outbox.rows import lock_message, refresh
from app.outbox.status import LAST, derive_status
from app.outbox.suppressions import Entry, put_suppression
from app.outbox.tables import STATES, message, recipient, suppression
from app.vault import Vault

PAGE = (Path(__file__).parent.parent / "docs" / "states.md").read_text()
ADMIN = Caller(owner_id="owner-1", role="admin", name="Administrator")
ADDRESS = "ksiegowosc@klient.example"
HOUR = timedelta(hours=1)


def read_table(name: str) -> list[list[str]]:
    """Return the rows of a marked table, its head first."""
    marked = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", PAGE, re.DOTALL)
    assert marked, f"no table {name}"
    lines = marked[1].splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in [lines[0], *lines[2:]]
    ]


MOVES = read_table("moves")
VERDICTS = read_table("verdicts")[1:]
STATUS = read_table("status")[1:]


# --- What moves a recipient ----------------------------------------------------------------------


@pytest.fixture
def run(database_url: str) -> Iterator[Callable[..., Any]]:
    """Run a verb in a transaction of its own."""
    db = Database(database_url)
    yield lambda verb, *args, **kwargs: asyncio.run(db.write(verb, *args, **kwargs))
    db.close()


def fill_row(table: Table, **given: Any) -> dict[str, Any]:
    """Return a row whose columns that must have a value have a plain one."""
    row: dict[str, Any] = {}
    for column in table.columns:
        kind = column.type
        if column.nullable or column.name in given:
            continue
        if isinstance(kind, UtcInstant):
            row[column.name] = datetime.now(UTC)
        elif isinstance(kind, Boolean):
            row[column.name] = False
        elif isinstance(kind, Integer | Float):
            row[column.name] = 0
        elif isinstance(kind, LargeBinary):
            row[column.name] = b""
        else:
            row[column.name] = {} if kind is Json else ""
    return row | given


def store(tx: Connection, state: str, *, late: bool) -> str:
    """Store a message of an account of its own with one recipient in ``state``; return its id."""
    at = now(tx)
    row = fill_row(
        account, id=new_id(), scope=f"users/{state}", user_id=state, is_default=True,
        settings={"smtp": {"host": "127.0.0.1"}}, password_state="none",
    )  # fmt: skip
    tx.execute(insert(account).values(row))
    parent = fill_row(
        message, id=new_id(), scope=row["scope"], account_id=row["id"], priority=1,
        on_uncertain="resend", give_up_at=at + HOUR, give_up_after_h=1, sender={},
        not_after=at - HOUR if late else None,
    )  # fmt: skip
    tx.execute(insert(message).values(parent))
    waits, sends = state in ("queued", "deferred"), state == "sending"
    child = fill_row(
        recipient, id=new_id(), message_id=parent["id"], kind="to", address=ADDRESS,
        address_key=ADDRESS, state=state, reason="uncertain" if state == "held" else None,
        due_at=at - HOUR if waits else None, claimed_by="worker.1" if sends else None,
        lease_until=at + HOUR if sends else None, claimed_at=at if sends else None,
    )  # fmt: skip
    tx.execute(insert(recipient).values(child))
    refresh(tx, lock_message(tx, parent["id"]), at)
    return str(parent["id"])


def read_account_id(tx: Connection, message_id: str) -> str:
    return str(tx.scalar(select(message.c.account_id).where(message.c.id == message_id)))


def remove_configuration(tx: Connection, message_id: str) -> None:
    row = lock_message(tx, message_id)
    configuration_removed(tx, row.scope, row.account_id, now(tx))


def claim_due(tx: Connection, message_id: str) -> None:
    claim(tx, read_account_id(tx, message_id), "worker.2", lease_s=60)


def claim_suppressed(tx: Connection, message_id: str) -> None:
    row = fill_row(
        suppression, id=new_id(), address=ADDRESS, address_key=ADDRESS, reason="manual",
        scope=lock_message(tx, message_id).scope,
    )  # fmt: skip
    tx.execute(insert(suppression).values(row))
    claim_due(tx, message_id)


def report(tx: Connection, message_id: str, *actions: str) -> None:
    row = lock_message(tx, message_id)
    told = [{"action": action, "final_recipient": ADDRESS} for action in actions]
    said = {"kind": "dsn", "recipients": told, "disposition": None}
    apply_report(tx, row, new_id(), said, now(tx))


@pytest.fixture
def happenings(tmp_path: Path) -> dict[str, Callable[[Connection, str], Any]]:
    """What the first column of the table names, as something done to a message."""
    vault = Vault.open_or_create(tmp_path / "keyring.json")
    mailbox = Mailbox(ADDRESS, "")
    return {
        "a worker claims it when due": claim_due,
        "`POST …/cancel`": lambda tx, it: cancel(tx, ADMIN, it),
        "`POST …/retry`": lambda tx, it: retry(tx, ADMIN, it),
        "`POST …/release`": lambda tx, it: release(
            tx, vault, ADMIN, it, smtp_password=None, delivery="on"
        ),
        "`not_after` passes": lambda tx, it: expire(tx),
        "it is due and `AWIZO_DELIVERY` is off": lambda tx, it: hold_due(tx),
        "its configuration is removed": remove_configuration,
        "`serve --hold-queue`": lambda tx, it: hold_queue(tx),
        "its address is suppressed": lambda tx, it: put_suppression(
            tx, ADMIN, Entry(mailbox, "global", "manual"), now(tx)
        ),
        "a worker claims it, its address suppressed meanwhile": claim_suppressed,
        "`DELETE /recipients/{address}`": lambda tx, it: erase(tx, ADMIN, mailbox),
        "a report: delivered": lambda tx, it: report(tx, it, "delivered"),
        "a report: failed": lambda tx, it: report(tx, it, "failed"),
        "a report: relayed, delayed, expanded or displayed": lambda tx, it: report(
            tx, it, "relayed", "delayed", "expanded", "displayed"
        ),
    }


def test_the_columns_of_the_moves_are_all_states():
    assert tuple(MOVES[0][1:]) == STATES


@pytest.mark.parametrize("row", MOVES[1:], ids=[row[0] for row in MOVES[1:]])
def test_a_recipient_moves_as_the_table_says(row, run, happenings):
    happening, *expected = row
    for state, wanted in zip(STATES, expected, strict=True):
        message_id = run(store, state, late=happening == "`not_after` passes")
        try:
            run(happenings[happening], message_id)
            refused = False
        except Conflict:
            refused = True
        query = select(recipient.c.state).where(recipient.c.message_id == message_id)
        found = run(lambda tx, query=query: tx.scalar(query))
        shown = "409" if refused else "–" if found == state else found
        # To stay in one's state may be a move, too: `retry` of what is queued begins anew.
        assert shown == wanted or (not refused and found == wanted == state), state


def test_every_happening_has_its_row(happenings):
    assert [row[0] for row in MOVES[1:]] == list(happenings)


# --- What a try comes to -------------------------------------------------------------------------


@pytest.mark.parametrize("row", VERDICTS, ids=[" ".join(row[:2]) for row in VERDICTS])
def test_a_verdict_decides_as_the_table_says(row):
    verdict, condition, state, reason, counts = row
    conditions = {
        "": {},
        "the time is up": {"give_up_at": -HOUR},
        "`not_after` comes first": {"not_after": timedelta(seconds=1)},
        "`on_uncertain: hold`": {"on_uncertain": "hold"},
        "the third time": {"losses": 2},
    }[condition]
    at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    asked: dict[str, Any] = {
        "reason": "cause", "tries": 0, "losses": 0, "at": at, "give_up_at": HOUR, "not_after": None,
        "schedule_s": (60.0,), "jitter": 0.5, "on_uncertain": "resend",
    }  # fmt: skip
    asked |= conditions
    asked |= {name: at + value for name, value in asked.items() if isinstance(value, timedelta)}
    move = decide(verdict, **asked)
    assert (move.state, move.reason or "") == (state, reason)
    assert move.counts == (counts == "yes")
    assert (move.due_at is not None) == (state == "deferred")


# --- The message's status ------------------------------------------------------------------------


def fits(rule: str, states: frozenset[str]) -> bool:
    named = set(re.findall(r"`(\w+)`", rule))
    if rule == "else":
        return True
    return bool(states & named) if rule.startswith("any") else states <= named


def test_the_status_of_every_mixture_of_states_is_the_first_line_that_fits():
    draft, scheduled, *rules = STATUS
    at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    for count in range(1, len(STATES) + 1):
        for mixture in map(frozenset, combinations(STATES, count)):
            expected = next(status for rule, status in rules if fits(rule, mixture))
            assert derive_status(sorted(mixture)) == expected, mixture
            assert derive_status(sorted(mixture), is_draft=True) == draft[1]
            ahead = derive_status(sorted(mixture), send_at=at + HOUR, at=at)
            assert ahead == (scheduled[1] if mixture == {"queued"} else expected), mixture
    assert scheduled[0] == "all `queued`, and `send_at` is ahead"


def test_the_states_that_the_page_calls_last_are_the_codes():
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE, re.MULTILINE)[: len(STATES)]
    assert tuple(state for state, _ in rows) == STATES
    assert {state for state, following in rows if following.startswith("last")} == LAST
