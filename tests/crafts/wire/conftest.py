"""What the tests of the wire share: an authority for TLS."""

import pytest

from tests.crafts.wire.certificates import Authority, make_authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority of this run."""
    return make_authority(tmp_path_factory.mktemp("authority"))
