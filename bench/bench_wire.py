"""Everybody side by side: messages a second and CPU each, by size, round trip and connections.

smtp-source, our conveyor, our windows (CHUNKING; where the sink has it), aiosmtplib's sendmail and
nodemailer hand over prepared messages to Postfix's smtp-sink and to a sink that pipelines, in turns;
medians, and ratios to smtp-source of the same turn. CPU is the client's alone. nodemailer is
installed into a temporary folder where npm is at hand.
Run: python -m bench.bench_wire [--sizes 5 100] [--round-trips 0 20] [--connections 1 4 16]
     [--sinks smtp-sink "own sink"] [--repetitions 3]
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.bench_smtp import Load, run_nodemailer, run_ours, run_sink, run_smtp_source
from bench.stock import show_load

Figures = tuple[float, float]
Run = Callable[[int, Load], Figures]
_WINDOWS = (8, 32)
_MOST_SLOW = 400  # messages for those that take long


def list_contenders(sink: str, nodemailer: Path | None) -> dict[str, Run]:
    """Return who takes part; smtp-source is the measure of all."""
    ours = {"conveyor": "carry"}
    if sink == "own sink":
        ours |= {f"window {size}": f"window-{size}" for size in _WINDOWS}
    contenders: dict[str, Run] = {"smtp-source": run_smtp_source}
    for name, kind in ours.items():
        contenders[name] = partial(_run_ours, kind)
    contenders["aiosmtplib"] = partial(_run_ours, "aiosmtplib")
    if nodemailer is not None:
        contenders["nodemailer"] = lambda port, load: run_nodemailer(
            nodemailer, port, _shorten(load)
        )
    return contenders


def _run_ours(kind: str, port: int, load: Load) -> Figures:
    if kind == "aiosmtplib":
        load = _shorten(load)
    if kind.startswith("window") and load.round_trip_ms:
        load = replace(load, count=8 * load.count)  # else it is over in a few round trips
    return run_ours(port, load, kind)


def _shorten(load: Load) -> Load:
    return load if load.round_trip_ms else replace(load, count=min(load.count, _MOST_SLOW))


def make_load(size_kb: int, connections: int, round_trip_ms: int, sink: str) -> Load:
    """Return a load that takes smtp-source a second or two."""
    count = 20 * connections if round_trip_ms else (3000 if size_kb < 50 else 1000)
    return Load(connections, count, size_kb * 1000, round_trip_ms, sink)


def compare(load: Load, repetitions: int, nodemailer: Path | None) -> dict[str, list[Figures]]:
    """Run all in turns."""
    contenders = list_contenders(load.sink, nodemailer)
    found: dict[str, list[Figures]] = {each: [] for each in contenders}
    with run_sink(load) as port:
        for _ in range(repetitions):
            for name, run in contenders.items():
                found[name].append(run(port, load))
    return found


def print_table(columns: dict[int, dict[str, list[Figures]]]) -> None:
    """Print a Markdown table: a row each, for every number of connections the rate, the CPU in µs, and
    both as ratios to smtp-source."""
    heads = [f"{each} conn.: msg/s (ratio), µs CPU (ratio)" for each in columns]
    print("| |", " | ".join(heads), "|")
    print("| --- |", " | ".join("---" for _ in heads), "|")
    for name in next(iter(columns.values())):
        cells = [_show(found[name], found["smtp-source"]) for found in columns.values()]
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


def _show(mine: list[Figures], source: list[Figures]) -> str:
    rate, cpu_us = (statistics.median(column) for column in zip(*mine, strict=True))
    pairs = list(zip(mine, source, strict=True))
    faster = statistics.median(own[0] / other[0] for own, other in pairs)
    dearer = statistics.median(own[1] / other[1] for own, other in pairs)
    return f"{rate:.0f} ({faster:.2f}), {cpu_us:.0f} ({dearer:.2f})"


def install_nodemailer(folder: Path) -> Path | None:
    """Install nodemailer into a folder; None where there is no npm."""
    if shutil.which("npm") is None:
        print("nodemailer takes no part: there is no npm")
        return None
    command = ["npm", "install", "--silent", "--no-fund", "--no-audit", "nodemailer@10"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    return folder


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 100], help="KB")
    parser.add_argument("--round-trips", type=int, nargs="+", default=[0, 20], help="ms")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--sinks", nargs="+", default=["smtp-sink", "own sink"])
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("smtp-source") is None:
        raise SystemExit("smtp-source is not installed (Debian: postfix)")
    with tempfile.TemporaryDirectory() as folder:
        nodemailer = install_nodemailer(Path(folder))
        for sink in options.sinks:
            for size_kb in options.sizes:
                for round_trip_ms in options.round_trips:
                    columns = {
                        each: compare(
                            make_load(size_kb, each, round_trip_ms, sink),
                            options.repetitions,
                            nodemailer,
                        )
                        for each in options.connections
                    }
                    shown = f"{size_kb} KB, {round_trip_ms} ms round trip, {sink}, {show_load()}"
                    print(f"\n{shown}\n", flush=True)
                    print_table(columns)


if __name__ == "__main__":
    main()
