"""Where a password applies, the unprotected content never reaches a disk (guarantee G4).

A real server process takes 5 MB of marked content while a watcher looks at every folder it could
write to, at every regular file that it and its workers hold open, and at the bytes the kernel
counts for them. Afterwards no file of its data directory, SQLite's log included, has the mark.
"""

import base64
import ctypes
import io
import json
import os
import secrets
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pikepdf
import pytest

from tests.doors.sending import CONFIG, LETTER, encode_form

ROOT = Path(__file__).parents[2]
KEY = {"Authorization": "Bearer " + "k" * 40}
SIZE_BYTES = 5 * 1024 * 1024
MARK = secrets.token_bytes(63)  # 63 is divisible by 3: its base64 repeats, too
TEXT_MARK = base64.b64encode(MARK)[:40]
SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")

IN_CREATE, IN_MODIFY, IN_MOVED_TO, IN_CLOSE_WRITE = 0x100, 0x2, 0x80, 0x8
_libc = ctypes.CDLL(None, use_errno=True)


class Watcher:
    """Records where marked content shows, from its start until ``finish``."""

    def __init__(self, pid: int, folders: list[Path]) -> None:
        self._pid = pid
        self._private = folders
        self.found: set[str] = set()
        self.created: set[str] = set()
        self._inotify = _libc.inotify_init1(os.O_NONBLOCK)
        assert self._inotify >= 0
        self._paths: dict[int, Path] = {}
        for folder in (*folders, *map(Path, SHARED_FOLDERS)):
            self._watch(folder)
        self._written_before = self._count_written()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self) -> int:
        """Stop; return how many bytes the server and its workers wrote to block devices."""
        self._ending.set()
        self._thread.join()
        os.close(self._inotify)
        return self._count_written() - self._written_before

    def _watch(self, folder: Path) -> None:
        mask = IN_CREATE | IN_MODIFY | IN_MOVED_TO | IN_CLOSE_WRITE
        number = _libc.inotify_add_watch(self._inotify, str(folder).encode(), mask)
        if number >= 0:
            self._paths[number] = folder

    def _run(self) -> None:
        while not self._ending.is_set():
            self._read_events()
            for pid in list_family(self._pid):
                self._look_into(pid)
            time.sleep(0.0005)  # shares the processors with the server it watches
        self._read_events()

    def _read_events(self) -> None:
        with suppress(BlockingIOError):
            while True:
                data, at = os.read(self._inotify, 1 << 16), 0
                while at < len(data):
                    number, _, _, length = struct.unpack_from("iIII", data, at)
                    name = data[at + 16 : at + 16 + length].rstrip(b"\0").decode()
                    at += 16 + length
                    path = self._paths.get(number, Path("?")) / name
                    if path.parent in self._private:
                        self.created.add(path.name)
                    self._search(path, str(path))

    def _look_into(self, pid: int) -> None:
        with suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    name = str(Path(entry.path).readlink())
                    if stat.S_ISREG(entry.stat().st_mode) and not name.startswith("/memfd:"):
                        self._search(Path(entry.path), name)

    def _search(self, path: Path, name: str) -> None:
        # The last megabyte is enough: the mark repeats through all of the content.
        with suppress(OSError), path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return
            file.seek(max(0, os.fstat(file.fileno()).st_size - (1 << 20)))
            if has_mark(file.read(1 << 20)):
                self.found.add(name)

    def _count_written(self) -> int:
        total = 0
        for pid in list_family(self._pid):
            with suppress(OSError):
                counts = Path(f"/proc/{pid}/io").read_text().split()
                total += int(counts[counts.index("write_bytes:") + 1])
        return total


def has_mark(content: bytes) -> bool:
    return MARK in content or TEXT_MARK in content


def list_family(pid: int) -> list[int]:
    """Return a process and its children, and theirs."""
    found = [pid]
    for task in found:
        with suppress(OSError):
            for children in Path(f"/proc/{task}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found


@contextmanager
def run_server(tmp_path):
    """Run ``serve`` with folders of its own; gives a client, the process and the folders."""
    folders = [tmp_path / name for name in ("data", "tmp", "cwd")]
    for folder in folders:
        folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve"],
        cwd=folders[2],
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(folders[1]), "AWIZO_DATA_DIR": str(folders[0]), "AWIZO_PORT": str(port),
            "AWIZO_ADMIN_KEY": "k" * 40, "AWIZO_DELIVERY": "off", "AWIZO_LOG_LEVEL": "error",
        },
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=KEY, timeout=60) as client:
            wait_until_ready(client, process)
            assert client.put("/config/global", json=CONFIG).status_code in (200, 201)
            yield client, process, folders
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def wait_until_ready(client, process):
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx.TransportError):
            if client.get("/readyz").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the server did not start")


def make_marked_pdf() -> bytes:
    pdf = pikepdf.new()
    page = pdf.add_blank_page()
    page.Contents = pdf.make_stream(b"% " + MARK * (SIZE_BYTES // 2 // len(MARK)))
    written = io.BytesIO()
    pdf.save(written, compress_streams=False)
    return written.getvalue()


def send_json(client, files, **members):
    attachments = [
        {"filename": name, "content": base64.b64encode(content).decode()}
        for name, content in files.items()
    ]
    return client.post("/send", json=LETTER | {"attachments": attachments} | members)


def send_form(client, files, **members):
    parts = [(name, "application/octet-stream", content) for name, content in files.items()]
    body, header = encode_form(json.dumps(LETTER | members), *parts)
    return client.post("/send", content=body, headers=header)


@pytest.mark.parametrize("send", [send_json, send_form])
def test_unprotected_content_reaches_no_disk(tmp_path, send):
    files = {"dane.bin": MARK * (SIZE_BYTES // 2 // len(MARK)), "FV.pdf": make_marked_pdf()}
    assert all(has_mark(content) for content in files.values())
    with run_server(tmp_path) as (client, process, folders):
        known = {"awizo.db", "awizo.db-wal", "awizo.db-shm"}
        watcher = Watcher(process.pid, folders)
        dry = send(client, files, attachment_password="tajne", dry_run=True)
        written_bytes = watcher.finish()
        assert dry.status_code == 200, dry.text
        assert watcher.found == set()
        assert written_bytes < SIZE_BYTES / 10  # heartbeats of the worker, no more
        watcher = Watcher(process.pid, folders)
        answer = send(client, files, attachment_password="tajne")
        watcher.finish()
        assert answer.status_code == 202, answer.text
        assert watcher.found == set()
        assert watcher.created <= known
        assert {each["protection"] for each in answer.json()["attachments"]} == {
            "pdf_aes256", "zip_aes256",
        }  # fmt: skip
        search_folders(folders)
    search_folders(folders)


def search_folders(folders):
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert found
    for path in found:
        assert not has_mark(path.read_bytes()), path


def test_without_a_password_the_watcher_sees_the_content(tmp_path):
    """What is watched for above is seen where it does happen: it is stored in the database."""
    files = {"dane.bin": MARK * (SIZE_BYTES // len(MARK))}
    with run_server(tmp_path) as (client, process, folders):
        watcher = Watcher(process.pid, folders)
        assert send_form(client, files).status_code == 202
        written_bytes = watcher.finish()
        assert {Path(name).name for name in watcher.found} >= {"awizo.db-wal"}
        assert written_bytes > SIZE_BYTES


SPOOL = """
import sys, tempfile
sys.stdin.readline()
with tempfile.TemporaryFile() as file:  # without a name, as Starlette's form parser does it
    for _ in range(80):
        file.write({mark!r} * 1000)
        file.flush()
    print("done", flush=True)
    sys.stdin.readline()
"""


def test_a_file_without_a_name_is_seen_too(tmp_path):
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SPOOL.format(mark=MARK)],
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        watcher = Watcher(process.pid, [tmp_path / "tmp"])
        process.stdin.write(b"go\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"done\n"
        process.stdin.write(b"end\n")
        process.stdin.flush()
        process.wait(10)
        watcher.finish()
    assert len(watcher.found) == 1
