"""The worker processes: one that dies, hangs or is killed harms nobody else's document."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.mime.frames import read_reply
from app.mime.pool import ProtectPool
from app.sandbox import Sandbox, SandboxDied
from app.sandbox_worker import READY
from tests.crafts.protect.samples import (
    MIB,
    PASSWORD,
    list_files,
    list_workers,
    make_bomb,
    make_pdf,
    open_pool,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def slow() -> bytes:
    """Be large enough to be caught while a worker is at it."""
    return make_pdf(1, page_bytes=20 * MIB)


async def wait_until(condition, bound_s=20):
    deadline = time.monotonic() + bound_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.002)
    return found


async def catch_busy(pool: ProtectPool) -> int:
    """Return the process id of the pool's first worker, once it has begun to read a document."""

    def look():
        return next((pid for pid in list_workers() if read_rss(pid) > 55 * MIB), None)

    return await wait_until(look)


def read_rss(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


async def test_no_process_is_started_before_the_first_document_nor_left_after_closing():
    async with open_pool(workers=1) as pool:
        assert list_workers() == []
        assert (await pool.encrypt(make_pdf(), PASSWORD)).verdict == "pdf_aes256"
        assert len(list_workers()) == 1
    assert list_workers() == []


async def test_documents_wait_their_turn_and_processes_are_used_again():
    async with open_pool(workers=2) as pool:
        documents = [make_pdf(count) for count in range(1, 13)]
        outcomes = await asyncio.gather(*(pool.encrypt(each, "a") for each in documents))
        assert {outcome.verdict for outcome in outcomes} == {"pdf_aes256"}
        assert len({outcome.content for outcome in outcomes}) == 12
        assert len(list_workers()) == 2


async def test_a_document_that_inflates_beyond_the_memory_is_refused_and_its_neighbours_are_not():
    async with open_pool(workers=1, memory_bytes=200 * MIB) as pool:
        before = pool.encrypt(make_pdf(), "a")
        bomb = pool.encrypt(make_bomb(400 * MIB), "a")
        after = pool.encrypt(make_pdf(), "a")
        outcomes = await asyncio.gather(before, bomb, after)
    assert [outcome.verdict for outcome in outcomes] == ["pdf_aes256", "pdf_damaged", "pdf_aes256"]


async def test_a_document_that_takes_too_much_time_is_refused_and_its_neighbours_are_not():
    async with open_pool(workers=1, deadline_s=0.3) as pool:
        began = time.monotonic()
        outcomes = await asyncio.gather(
            *(pool.encrypt(each, "a") for each in (make_pdf(), make_bomb(512 * MIB), make_pdf()))
        )
    assert [outcome.verdict for outcome in outcomes] == ["pdf_aes256", "pdf_damaged", "pdf_aes256"]
    assert time.monotonic() - began < 15


async def test_a_worker_killed_by_somebody_is_replaced_and_the_document_protected(slow):
    async with open_pool(workers=1) as pool:
        running = asyncio.create_task(pool.encrypt(slow, "a"))
        victim = await catch_busy(pool)
        os.kill(victim, signal.SIGKILL)
        assert (await running).verdict == "pdf_aes256"
        assert victim not in list_workers()


@pytest.mark.parametrize("end", [signal.SIGSEGV, signal.SIGABRT, signal.SIGPROF])
async def test_a_worker_that_crashes_over_a_document_lays_it_to_that_document(end, slow):
    async with open_pool(workers=1) as pool:
        running = asyncio.create_task(pool.encrypt(slow, "a"))
        after = asyncio.create_task(pool.encrypt(make_pdf(), "a"))
        os.kill(await catch_busy(pool), end)
        assert (await running).verdict == "pdf_damaged"
        assert (await after).verdict == "pdf_aes256"


async def test_a_worker_killed_while_idle_is_replaced():
    async with open_pool(workers=1) as pool:
        await pool.encrypt(make_pdf(), "a")
        (victim,) = list_workers()
        os.kill(victim, signal.SIGTERM)
        await wait_until(lambda: not list_workers())
        assert (await pool.encrypt(make_pdf(), "a")).verdict == "pdf_aes256"


async def test_workers_that_are_killed_again_and_again_fail_the_protection_and_say_so(slow):
    async with open_pool(workers=1) as pool:
        running = asyncio.create_task(pool.encrypt(slow, "a"))
        for _ in range(2):
            os.kill(await catch_busy(pool), signal.SIGKILL)
            await wait_until(lambda: running.done() or len(list_workers()) == 1)
        with pytest.raises(Unavailable) as failure:
            await running
        assert failure.value.code == "protection_failed"
        assert failure.value.retryable
        assert (await pool.encrypt(make_pdf(), "a")).verdict == "pdf_aes256"


async def test_a_worker_that_is_stopped_by_the_machine_fails_the_protection_not_the_document():
    async with open_pool(workers=1, deadline_s=0.5) as pool:
        await pool.encrypt(make_pdf(), "a")
        (victim,) = list_workers()
        os.kill(victim, signal.SIGSTOP)
        with pytest.raises(Unavailable):
            await pool.encrypt(make_pdf(), "a")
        await wait_until(lambda: victim not in list_workers())
        assert (await pool.encrypt(make_pdf(), "a")).verdict == "pdf_aes256"


async def test_cancelling_one_caller_leaves_the_others_their_own_answers(slow):
    async with open_pool(workers=1) as pool:
        first = asyncio.create_task(pool.encrypt(slow, "a"))
        await catch_busy(pool)
        second = asyncio.create_task(pool.encrypt(make_pdf(3), "a"))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        answer = await second
        assert answer.verdict == "pdf_aes256"
        assert len(answer.content) < MIB
        await wait_until(lambda: len(list_workers()) == 1)


@pytest.mark.parametrize("after_turns", [0, 1, 2, 5])
async def test_cancelling_at_any_moment_leaves_no_process_and_no_half_answer(after_turns):
    async with open_pool(workers=1) as pool:
        task = asyncio.create_task(pool.encrypt(make_pdf(1), "a"))
        for _ in range(after_turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await pool.encrypt(make_pdf(2), "a")).verdict == "pdf_aes256"
    assert list_workers() == []


async def test_closing_ends_a_busy_worker_and_tells_its_caller(slow):
    async with open_pool(workers=1) as pool:
        running = asyncio.create_task(pool.encrypt(slow, "a"))
        waiting = asyncio.create_task(pool.encrypt(make_pdf(), "a"))
        await catch_busy(pool)
        await pool.close()
        assert list_workers() == []
        for task in (running, waiting):
            with pytest.raises(Unavailable):
                await task


async def test_a_pool_that_is_not_open_protects_nothing():
    with pytest.raises(Unavailable):
        await ProtectPool().encrypt(make_pdf(), "a")


async def test_a_memory_limit_too_small_to_work_in_is_not_laid_to_the_document():
    async with open_pool(workers=1, memory_bytes=MIB) as pool:
        with pytest.raises(Unavailable):
            await pool.encrypt(make_pdf(), "a")


async def test_workers_inherit_no_file_no_secret_and_dump_no_core(monkeypatch, tmp_path):
    monkeypatch.setenv("AWIZO_ADMIN_KEY", "a-secret-of-the-service")
    with (tmp_path / "open").open("wb") as file:
        os.set_inheritable(file.fileno(), True)
        async with open_pool(workers=1) as pool:
            await pool.encrypt(make_pdf(), PASSWORD)
            (pid,) = list_workers()
            process = Path(f"/proc/{pid}")
            limits = (process / "limits").read_text()
            assert "Max core file size        0                    0" in limits
            assert PASSWORD.encode() not in (process / "cmdline").read_bytes()
            try:
                environment = (process / "environ").read_bytes()
                assert list_files(pid) == []
            except PermissionError:
                pytest.skip("workers are not dumpable: only root may look into them")
    assert b"AWIZO" not in environment
    assert PASSWORD.encode() not in environment


async def test_workers_end_when_their_parent_is_killed():
    program = (
        "import asyncio\n"
        "from app.mime.pool import ProtectPool\n"
        "from tests.crafts.protect.samples import make_pdf\n"
        "async def main():\n"
        "    pool = ProtectPool(workers=1)\n"
        "    await pool.start()\n"
        "    await pool.encrypt(make_pdf(), 'a')\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).parents[3]
    parent = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root
    )
    with parent:
        assert parent.stdout.readline() == b"ready\n"
        (worker,) = list_workers(parent.pid)
        parent.kill()
    await wait_until(lambda: not Path(f"/proc/{worker}").exists())


@pytest.mark.parametrize(
    "reply", [b"\xff" * 12, b"\0\0\0\2" + b"\0" * 8 + b"{}", b"\0\0\0\2" + b"\0" * 8 + b"[]"]
)
async def test_a_worker_that_talks_nonsense_is_ended(reply):
    worker = Sandbox("app.mime.pdf_worker", 64 * MIB, 1)
    worker.dispose()
    worker.process = subprocess.Popen(  # noqa: ASYNC220
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    worker.process.stdin.write(READY + reply)
    worker.process.stdin.flush()
    with pytest.raises(SandboxDied) as death:
        worker.ask(lambda stream: None, lambda stream: read_reply(stream, 64 * MIB))
    assert death.value.code == -signal.SIGKILL
