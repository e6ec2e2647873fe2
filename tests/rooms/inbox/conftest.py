"""What the tests of the inbox may ask for, on both engines: those of the outbox, and a letter box."""

import pytest

from tests.rooms.inbox.letters import LetterBox
from tests.rooms.outbox.conftest import desk, office, settings
from tests.rooms.outbox.desk import Desk

__all__ = ["box", "desk", "office", "settings"]


@pytest.fixture
def box(desk: Desk) -> LetterBox:
    """The mailbox of the common account, into which letters are thrown."""
    return LetterBox(desk)
