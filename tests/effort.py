"""How hard the tests that draw their input look: ``AWIZO_TEST_EFFORT=10 make test`` looks ten times."""

import os

_EFFORT = int(os.environ.get("AWIZO_TEST_EFFORT", "1"))


def look(times: int) -> int:
    """Return how often to look where ``times`` is enough for every day."""
    return times * _EFFORT
