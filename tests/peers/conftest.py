"""Real mail servers, started once per run where the machine has them."""

from collections.abc import Iterator

import pytest

from tests.peers.postfix import Postfix, find_missing, run_postfix


@pytest.fixture(scope="session")
def postfix() -> Iterator[Postfix]:
    """A private Postfix with Dovecot behind its logins."""
    lacking = find_missing()
    if lacking:
        pytest.skip(lacking)
    with run_postfix() as running:
        yield running
