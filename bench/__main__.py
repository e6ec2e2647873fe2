"""Every bench with short defaults, one after another: ``python -m bench [NAME …]``, ``make bench``.

Each runs as a process of its own, bounded in time, and prints its own tables; single ones take
options: ``python -m bench.bench_delivery --help``. What is not installed is said and passed over.
"""

import subprocess
import sys
import time

LIMIT_S = 180
_LONG_S = {"wire": 1500, "workers": 900}
RUNS: dict[str, list[str]] = {
    "p1": ["bench.bench_smtp", "--only", "P1"],
    "p2": ["bench.bench_smtp", "--only", "P2"],
    "p3": ["bench.bench_smtp", "--only", "P3", "--repetitions", "3"],
    "delivery": ["bench.bench_delivery", "-n", "600", "-c", "4", "16", "--repetitions", "3"],
    "accept": ["bench.bench_accept"],
    "fsync": ["bench.bench_fsync"],
    "macros": ["bench.bench_macros"],
    "mime": ["bench.bench_mime"],
    "text": ["bench.bench_html_to_text"],
    "protect": ["bench.bench_protect"],
    "queue": ["bench.bench_queue", "rate", "growth", "space"],
    "workers": ["bench.bench_workers"],
    "wire": ["bench.bench_wire"],
    "start": ["bench.bench_start"],
}


def main() -> int:
    """Run those named, or all; return how many failed."""
    failed = 0
    for name in sys.argv[1:] or RUNS:
        print(f"\n=== {name}: python -m {' '.join(RUNS[name])}", flush=True)
        start = time.perf_counter()
        limit_s = _LONG_S.get(name, LIMIT_S)
        try:
            done = subprocess.run([sys.executable, "-m", *RUNS[name]], timeout=limit_s, check=False)
            failed += done.returncode != 0
        except subprocess.TimeoutExpired:
            print(f"stopped after {limit_s} s", flush=True)
            failed += 1
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
