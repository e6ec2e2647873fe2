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


GATHERED = """
import asyncio, io, sys, threading
class Counting(io.StringIO):
    calls = 0
    def flush(self):
        Counting.calls += 1
said, sys.stderr = sys.stderr, Counting()
import structlog
from app.logs import set_up_logs
from app.settings import Settings
set_up_logs(Settings(log_format="json"))
log = structlog.get_logger()
async def work():
    for number in range(3):
        log.info("in_the_loop", number=number)
    assert sys.stderr.getvalue() == ""
    await asyncio.sleep(0)
    assert (sys.stderr.getvalue().count("in_the_loop"), Counting.calls) == (3, 1)
    log.info("at_the_end")
asyncio.run(work())
assert "at_the_end" in sys.stderr.getvalue()
log.info("outside")
assert "outside" in sys.stderr.getvalue()
thread = threading.Thread(target=lambda: log.info("elsewhere"))
thread.start()
thread.join()
assert "elsewhere" in sys.stderr.getvalue()
assert all(line.endswith("}") for line in sys.stderr.getvalue().splitlines())
"""


def test_lines_of_one_moment_in_an_event_loop_are_written_together():
    done = subprocess.run([sys.executable, "-c", GATHERED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
