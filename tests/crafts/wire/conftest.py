"""What the tests of the wire share: both event loops, and an authority for TLS."""

from pathlib import Path
from typing import Any

import pytest

from tests.crafts.wire.certificates import Authority, make_authority
from tests.crafts.wire.real_server import PASSWORD, USER


@pytest.fixture(
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run every async test of the wire on both loops: they differ most where TLS breaks."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority of this run."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def ntlm_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user file of the NTLM server that pyspnego plays."""
    path = tmp_path / "ntlm.txt"
    path.write_text(f":{USER}:{PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(path))
    return path
