"""The registry of event types knows what the pages explain and what reports can say."""

import re
from pathlib import Path

import app
from app.inbox.reports import MOVES
from app.outbox.event_types import EVENT_TYPES
from app.outbox.tables import STATES

KNOWN = {each for types in EVENT_TYPES.values() for each in types}


def test_every_move_of_a_recipient_is_in_the_registry():
    moves = {f"recipient.{state}" for state in (*STATES, *MOVES) if state != "sending"}
    assert moves <= KNOWN


def test_every_event_that_the_pages_explain_is_in_the_registry():
    text = "".join(
        (Path(app.__file__).parents[1] / "docs" / name).read_text()
        for name in ("states.md", "inbox.md")
    )
    told = set(re.findall(rf"`((?:{'|'.join(EVENT_TYPES)})\.[a-z_]+)`", text))
    assert told
    assert told - KNOWN == set()
