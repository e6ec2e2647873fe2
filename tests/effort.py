"""How hard the tests look: ``AWIZO_TEST_EFFORT=10 make test`` draws ten times as many inputs.

``ONE_ENGINE`` marks tables about what is decided before a database is asked: SQLite is enough.
"""

import os

import pytest

_EFFORT = int(os.environ.get("AWIZO_TEST_EFFORT", "1"))


def look(times: int) -> int:
    """Return how often to look where ``times`` is enough for every day."""
    return times * _EFFORT


ONE_ENGINE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
