"""Real mail servers, started once per run where the machine has them."""

from collections.abc import Iterator

import pytest

from tests.peers.collecting import empty, office
from tests.peers.dovecot import Dovecot, find_missing_dovecot, run_dovecot
from tests.peers.postfix import Postfix, find_missing, run_postfix

__all__ = ["dovecot", "office", "postfix"]


@pytest.fixture(scope="session")
def postfix() -> Iterator[Postfix]:
    """A private Postfix with Dovecot behind its logins."""
    lacking = find_missing()
    if lacking:
        pytest.skip(lacking)
    with run_postfix() as running:
        yield running


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """A private Dovecot with mailboxes."""
    lacking = find_missing_dovecot()
    if lacking:
        pytest.skip(lacking)
    with run_dovecot() as running:
        yield running


@pytest.fixture
def emptied(dovecot: Dovecot) -> Iterator[None]:
    """The inboxes are empty again afterwards."""
    yield
    empty(dovecot)
