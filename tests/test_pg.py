"""The tests' own PostgreSQL: each test has a database to itself, and nothing outlives the run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.pg import ROOT, execute

LIMIT_S = 60


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_test_sees_no_table_that_another_one_made(postgres_url, turn):
    execute(postgres_url, "create table mine (turn text)")


def test_postgres_and_its_files_are_gone_after_the_test_run_was_killed(tmp_path):
    hanging = tmp_path / "test_hanging.py"
    hanging.write_text(
        "import pathlib, time\n"
        "def test_hangs(postgres_server_url, test_run):\n"
        f"    pathlib.Path({str(tmp_path / 'new')!r}).write_text(f'{{postgres_server_url}} {{test_run}}')\n"
        f"    pathlib.Path({str(tmp_path / 'new')!r}).rename({str(tmp_path / 'up')!r})\n"
        f"    time.sleep({LIMIT_S})\n"
    )
    pytest_here = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml"]
    run = subprocess.Popen(
        [*pytest_here, "-p", "no:cacheprovider", "-p", "tests.conftest", hanging],
        cwd=ROOT,
        env={name: os.environ[name] for name in os.environ if not name.startswith("PYTEST_")},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    _wait_until((tmp_path / "up").exists)
    url, folder = (tmp_path / "up").read_text().split()
    os.killpg(run.pid, signal.SIGKILL)
    run.wait(LIMIT_S)
    _wait_until(lambda: not Path(folder).exists())
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
