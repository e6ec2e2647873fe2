"""The log tells where an error came from and nothing that was in memory there."""

import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, structlog
from app.logs import set_up_logs
from app.settings import Settings
set_up_logs(Settings(log_format=sys.argv[1]))
def fail(password):
    1 / 0
try:
    fail("s3cret")
except ZeroDivisionError as error:
    structlog.get_logger().error("unexpected_error", exc_info=error)
    logging.getLogger("library").exception("of a library")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_shows_no_local_variable(form):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True
    )
    assert "ZeroDivisionError" in done.stderr
    assert "unexpected_error" in done.stderr
    assert "of a library" in done.stderr
    assert "s3cret" not in done.stderr.replace('fail("s3cret")', "")
