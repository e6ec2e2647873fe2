"""P12: cold start of ``awizo serve`` to its first answer, and the memory of an idle one.

Run: python -m bench.bench_start. Three first starts (an empty data directory, the schema to be made)
and three starts again; memory is the process's resident set two seconds after the first answer.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from bench.load import read_cpu_s
from bench.stock import show_load
from tests.flows.house import find_port

_IDLE_S = 2


def start(folder: Path) -> tuple[float, float, float]:
    """Start and stop; return seconds to the first answer, CPU seconds until then, idle MB."""
    port = find_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWIZO_")}
    settings = {"AWIZO_DATA_DIR": str(folder), "AWIZO_PORT": str(port)}
    begun = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "app", "serve"], env=kept | settings, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).raise_for_status()
                break
            except httpx.TransportError:
                if server.poll() is not None or time.perf_counter() - begun > 60:
                    raise
                time.sleep(0.01)
        taken_s, cpu_s = time.perf_counter() - begun, read_cpu_s(server.pid)
        time.sleep(_IDLE_S)
        status = Path(f"/proc/{server.pid}/status").read_text()
        return taken_s, cpu_s, int(status.partition("VmRSS:")[2].split()[0]) / 1024
    finally:
        server.terminate()
        server.wait(20)


def main() -> None:
    """Print one table."""
    first, again = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory(prefix="awizo-bench-") as folder:
            first.append(start(Path(folder)))
            again.append(start(Path(folder)))
    print(f"\nP12 awizo serve with a worker, SQLite, {show_load()} (goals: <= 2 s, <= 150 MB)")
    print(f"{'':14}{'first answer s':>16}{'CPU s':>8}{'idle MB':>9}")
    for name, found in (("first start", first), ("started again", again)):
        taken_s, cpu_s, mb = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name:14}{taken_s:16.2f}{cpu_s:8.2f}{mb:9.0f}")


if __name__ == "__main__":
    main()
