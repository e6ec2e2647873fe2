"""POST /send (P5) and /send/batch (P6) against the same app's routes that store nothing.

Run: python -m bench.bench_accept [sqlite] [postgres] [single] [batch]. A real server process,
64 keep-alive clients, a text of 5 KB and an Idempotency-Key, every message another one. Batches: 2
clients, 1000 messages of one text of 5 KB with macros. Slices of load are interleaved; shown are
medians and the spread of the ratios.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import httpx

from bench.load import Slice, make_head, run_slice
from bench.stock import show_load
from tests.pg import run_postgres

KEY = "bench-of-accepting-mail-0123456789"
REPETITIONS = 5
SLICE_S = 1.5
CLIENTS = 64
LINE = "Szanowni Państwo, prosimy o zapłatę zaległej należności; termin minął przed tygodniem.\n"
MESSAGE = {
    "to": "Klient Sp. z o.o. <ksiegowosc@klient.example>",
    "subject": "Wezwanie do zapłaty NUMBER",
    "body": "Dokument NUMBER\n\n" + LINE * 52,
    "reference": {"type": "reminder", "number": "FV NUMBER", "customer": "KONTR-0042"},
}
CONFIGURATION = {
    "smtp": {"host": "127.0.0.1", "port": 2525, "connection": "plaintext"},
    "sender": {"address": "faktury@firma.example", "name": "Firma Sp. z o.o."},
}
# What `awizo serve` does before it serves.
PREPARE = """
import asyncio
from app.__main__ import _announce, _prepare
from app.settings import Settings
settings = Settings()
_prepare(settings)
asyncio.run(_announce(settings, hold=False))
"""
_numbers = count(10_000_000)
Make = Callable[[], bytes]


def make_single(path: str) -> Make:
    """Return what makes requests of one message; every one has a key and a text of its own."""
    return _make(path, json.dumps(MESSAGE, ensure_ascii=False).encode())


def _make(path: str, body: bytes) -> Make:
    length = len(body.replace(b"NUMBER", b"00000000"))  # numbers have eight digits
    head = make_head(path, length, Authorization=f"Bearer {KEY}", Idempotency_Key="NUMBER")
    parts = (head + body).split(b"NUMBER")
    return lambda: str(next(_numbers)).encode().join(parts)


def make_batch(path: str) -> Make:
    """Return what makes requests of 1000 messages."""
    messages = [
        {
            "to": f"ksiegowosc{number}@klient.example",
            "macros": {"NUMER": f"FV {number}"},
            "reference": {"number": f"FV NUMBER {number}", "customer": f"KONTR-{number}"},
        }
        for number in range(1000)
    ]
    text = "Dokument {{NUMER}} z serii NUMBER\n\n" + LINE * 52
    defaults = {"subject": "Wezwanie do zapłaty {{NUMER}}", "body": text}
    batch = {"defaults": defaults, "messages": messages}
    return _make(path, json.dumps(batch, ensure_ascii=False).encode())


@contextmanager
def run_server(
    database_url: str | None, folder: Path, *args: str, **environment_: str
) -> Iterator[tuple[int, int]]:
    """Run the service on a fresh database; yield its port and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"AWIZO_DATA_DIR": tempfile.mkdtemp(dir=folder), "AWIZO_ADMIN_KEY": KEY}
    if database_url:
        settings["AWIZO_DATABASE_URL"] = database_url
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWIZO_")}
    environment = kept | settings | environment_
    subprocess.run([sys.executable, "-c", PREPARE], env=environment, check=True)
    command = [sys.executable, "-m", "bench.accept_server", str(port), *args]
    server = subprocess.Popen(command, env=environment)
    try:
        configure(port, server)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait(20)


def configure(port: int, server: "subprocess.Popen[bytes]") -> None:
    """Wait until the service answers, then give it a mail configuration."""
    url, headers = f"http://127.0.0.1:{port}/config/global", {"Authorization": f"Bearer {KEY}"}
    deadline = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < deadline:
        try:
            httpx.put(url, headers=headers, json=CONFIGURATION, timeout=20).raise_for_status()
            return
        except httpx.ConnectError:
            time.sleep(0.05)
    raise RuntimeError("the server did not start")


def compare(title: str, goal: str, slices: dict[str, Callable[[float], Slice]]) -> None:
    """Run the slices in turns and print them; the last one is ours, the others are its anchors."""
    for run in slices.values():
        run(0.5)
    taken: dict[str, list[Slice]] = {name: [] for name in slices}
    for _ in range(REPETITIONS):
        for name, run in slices.items():
            taken[name].append(run(SLICE_S))
    ours = list(taken)[-1]
    print(f"\n{title} (goal: {goal})")
    print(f"{'':<34}{'msg/s':>8}{'µs CPU':>9}{'median ms':>11}{'p99 ms':>9}   {'ours / it':<20}CPU")
    for name, found in taken.items():
        rates = [mine.rate / it.rate for mine, it in zip(taken[ours], found, strict=True)]
        cpu = statistics.median(
            mine.cpu_us / it.cpu_us for mine, it in zip(taken[ours], found, strict=True)
        )
        ratio = f"{statistics.median(rates):.2f} ({min(rates):.2f}-{max(rates):.2f})"
        print(
            f"{name:<34}{statistics.median(each.rate for each in found):>8.0f}"
            f"{statistics.median(each.cpu_us for each in found):>9.0f}"
            f"{statistics.median(each.median_ms for each in found):>11.1f}"
            f"{statistics.median(each.p99_ms for each in found):>9.1f}   "
            f"{'' if name == ours else ratio:<20}{'' if name == ours else f'{cpu:.1f}'}",
            flush=True,
        )


def bench_batch(database: str, url: str | None, folder: Path) -> None:
    """Print P6."""
    names = {"read, nothing stored (anchor)": "/bench/batch", "POST /send/batch": "/send/batch"}
    with run_server(url, folder) as (port, pid):
        slices = {
            name: partial(_run_batches, port, pid, make_batch(path)) for name, path in names.items()
        }
        compare(f"P6 {database}, batches of 1000, 2 clients", ">= 0.5", slices)


def _run_batches(port: int, pid: int, request: Make, seconds: float) -> Slice:
    return run_slice(port, pid, request, clients=2, seconds=seconds)


def bench_single(database: str, url: str | None, goal: str, folder: Path) -> None:
    with run_server(url, folder) as (port, pid):
        names = {
            "FastAPI alone": "/bench/plain",
            "read, nothing stored (anchor)": "/bench/send",
            "POST /send": "/send",
        }
        compare(f"P5 {database}, 64 clients", goal, _load(port, pid, names))


def _load(port: int, pid: int, paths: dict[str, str]) -> dict[str, Callable[[float], Slice]]:
    def bind(request: Make) -> Callable[[float], Slice]:
        return lambda seconds: run_slice(port, pid, request, clients=CLIENTS, seconds=seconds)

    return {name: bind(make_single(path)) for name, path in paths.items()}


def main() -> None:
    wanted = set(sys.argv[1:])
    kinds = wanted & {"single", "batch"} or {"single", "batch"}
    engines = wanted & {"sqlite", "postgres"} or {"sqlite", "postgres"}
    print(show_load())
    with tempfile.TemporaryDirectory(prefix="awizo-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        for engine in sorted(engines, reverse=True):
            is_sqlite = engine == "sqlite"
            url = None if is_sqlite else stack.enter_context(run_postgres(durable=True))
            title = "SQLite FULL" if is_sqlite else "PostgreSQL durable"
            if "single" in kinds:
                bench_single(title, url, ">= 0.5" if is_sqlite else ">= 0.6", folder)
            if "batch" in kinds:
                bench_batch(title, url, folder)


if __name__ == "__main__":
    main()
