"""P7: POST /send on a disk whose fsync takes 2 ms longer, against one transaction a request.

A shim compiled with cc delays fsync and fdatasync of both servers; SQLite FULL, 64 clients.
Run: python -m bench.bench_fsync [MILLISECONDS]
"""

import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.bench_accept import CLIENTS, Make, compare, make_single, run_server
from bench.load import Slice, run_slice
from bench.stock import show_load

_SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static int delay(const char *name, int file) {
    int (*next)(int) = dlsym(RTLD_NEXT, name);
    usleep(DELAY_US);
    return next(file);
}
int fsync(int file) { return delay("fsync", file); }
int fdatasync(int file) { return delay("fdatasync", file); }
"""


def build_shim(folder: Path, delay_ms: float) -> str:
    """Compile the shim; return its path for LD_PRELOAD."""
    source, shim = folder / "slow_fsync.c", folder / "slow_fsync.so"
    source.write_text(_SHIM)
    options = ["-shared", "-fPIC", f"-DDELAY_US={round(delay_ms * 1000)}"]
    subprocess.run(["cc", *options, "-o", shim, source, "-ldl"], check=True)
    return str(shim)


def main() -> None:
    """Print one table."""
    delay_ms = float(sys.argv[1]) if sys.argv[1:] else 2.0
    if shutil.which("cc") is None:
        raise SystemExit("a C compiler is needed: cc")
    with tempfile.TemporaryDirectory(prefix="awizo-bench-") as name, ExitStack() as stack:
        shim = build_shim(Path(name), delay_ms)
        slices = {}
        for title, args in (("one transaction a request", ["one-by-one"]), ("POST /send", [])):
            running = run_server(None, Path(name), *args, LD_PRELOAD=shim)
            port, pid = stack.enter_context(running)
            slices[title] = partial(_run, port, pid, make_single("/send"))
        compare(f"P7, fsync + {delay_ms:g} ms, {show_load()}", ">= 8", slices)


def _run(port: int, pid: int, request: Make, seconds: float) -> Slice:
    return run_slice(port, pid, request, clients=CLIENTS, seconds=seconds)


if __name__ == "__main__":
    main()
