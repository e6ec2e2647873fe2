"""Hand over prepared messages: our conveyor against smtp-source, aiosmtplib and nodemailer.

All speak to the same sink, in turns, so that they meet the same machine; a figure is the median of
the repetitions, and what counts is the ratio to smtp-source. CPU is that of the client alone.
Needs Postfix's smtp-source and smtp-sink; nodemailer where --nodemailer names the folder that it
was installed in (`npm install nodemailer`).
Run: python -m bench.bench_smtp [--only P1] [--repetitions 5] [--nodemailer FOLDER]
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiosmtplib
import uvloop

from app.memory import rest_memory
from app.wire.address_policy import AddressPolicy
from app.wire.body import Body, prepare_body
from app.wire.conveyor import Conveyor
from app.wire.envelope import Envelope, Recipient, Transaction
from app.wire.session import Session
from app.wire.target import Target
from app.wire.window import Window

SENDER = "faktury@firma.example"
SLICE_TIMEOUT_S = 60

_NODE = """
const [port, connections, count, size] = process.argv.slice(2).map(Number);
const nodemailer = require('nodemailer');
const pool = nodemailer.createTransport({host: '127.0.0.1', port, pool: true, secure: false,
  ignoreTLS: true, maxConnections: connections, maxMessages: Infinity});
const raw = Buffer.from(('X'.repeat(76) + '\\r\\n').repeat(Math.floor(size / 78)));
const begun = process.hrtime.bigint(), before = process.cpuUsage();
let left = count;
const next = async () => { while (left-- > 0) await pool.sendMail({raw,
  envelope: {from: 'faktury@firma.example', to: ['jan@klient.example']}}); };
Promise.all(Array.from({length: connections}, next)).then(() => {
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9, used = process.cpuUsage(before);
  console.log(JSON.stringify([count / seconds, (used.user + used.system) / count]));
  pool.close();
});
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one slice is made of."""

    connections: int
    count: int
    size_bytes: int
    round_trip_ms: int = 0
    sink: str = "smtp-sink"


LOADS = {
    "P1": Load(16, 6000, 5000),
    "P1 own sink": Load(16, 6000, 5000, sink="own sink"),
    "P2": Load(16, 1500, 100_000),
    "P3": Load(1, 40, 5000, round_trip_ms=20),
    "4 connections": Load(4, 6000, 5000),
    "1 connection": Load(1, 4000, 5000),
}


# Ours, in a process of its own


class Job:
    """A prepared message. mark_s: how long its durable mark takes."""

    __slots__ = ("_mark_s", "body", "envelope")

    def __init__(self, number: int, body: Body, mark_s: float) -> None:
        self.envelope = Envelope(SENDER, (Recipient(f"jan{number}@klient.example"),))
        self.body = body
        self._mark_s = mark_s

    def is_wanted(self) -> bool:
        """Say yes."""
        return True

    async def before_dot(self, accepted: tuple[int, ...]) -> bool:
        """Take as long as a commit does."""
        if self._mark_s:
            await asyncio.sleep(self._mark_s)
        return True


def make_body(size_bytes: int) -> bytes:
    """Return what smtp-source sends: lines of X."""
    return (b"X" * 76 + b"\r\n") * (size_bytes // 78)


async def carry(port: int, load: Load, mark_s: float, window: int = 0) -> tuple[float, float]:
    """Carry all over as many conveyors, or windows of that size; return messages a second and µs of
    CPU each."""
    body = prepare_body(make_body(load.size_bytes))
    jobs = [Job(number, body, mark_s) for number in range(load.count)]
    sent = 0

    def settle(job: Job, transaction: Transaction) -> None:
        nonlocal sent
        sent += transaction.trouble is None

    sessions = [
        await Session.open(
            Target("127.0.0.1", port, connection="plaintext"),
            policy=AddressPolicy(),
            ehlo_name="bench.example",
        )
        for _ in range(load.connections)
    ]
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(
        *(
            (
                Window[Job](session, size=window, final_reply_timeout_s=60)
                if window
                else Conveyor[Job](session, final_reply_timeout_s=60)
            ).carry(lambda: jobs.pop() if jobs else None, settle)
            for session in sessions
        )
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert sent == load.count
    for session in sessions:
        await session.quit()
    return load.count / wall, cpu / load.count * 1e6


async def send_with_aiosmtplib(port: int, load: Load) -> tuple[float, float]:
    """Do the same with aiosmtplib's sendmail."""
    body, left = make_body(load.size_bytes), load.count
    clients = [
        aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
        for _ in range(load.connections)
    ]
    for client in clients:
        await client.connect()

    async def work(client: aiosmtplib.SMTP) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await client.sendmail(SENDER, ["jan@klient.example"], body)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(work, clients))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    for client in clients:
        await client.quit()
    return load.count / wall, cpu / load.count * 1e6


# The contenders


def run_child(command: list[str]) -> tuple[float, float]:
    """Run a contender that prints its own figures."""
    done = subprocess.run(command, capture_output=True, timeout=SLICE_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    rate, cpu_us = json.loads(done.stdout)
    return rate, cpu_us


def run_ours(port: int, load: Load, kind: str) -> tuple[float, float]:
    """Run this file's own client, by name."""
    numbers = (port, load.connections, load.count, load.size_bytes)
    return run_child([sys.executable, "-m", "bench.bench_smtp", kind, *map(str, numbers)])


def run_smtp_source(port: int, load: Load) -> tuple[float, float]:
    """Run Postfix's load generator over kept connections."""
    command = ["smtp-source", "-d", "-s", str(load.connections), "-m", str(load.count)]
    command += ["-l", str(load.size_bytes), "-f", SENDER, "-t", "jan@klient.example"]
    start = time.perf_counter()
    child = subprocess.Popen([*command, f"127.0.0.1:{port}"])
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = status
    if status:
        raise RuntimeError("smtp-source failed")
    return load.count / wall, (usage.ru_utime + usage.ru_stime) / load.count * 1e6


def run_nodemailer(folder: Path, port: int, load: Load) -> tuple[float, float]:
    """Run nodemailer's pool."""
    script = folder / "bench.js"
    script.write_text(_NODE)
    numbers = (port, load.connections, load.count, load.size_bytes)
    return run_child(["node", str(script), *map(str, numbers)])


def shorten(load: Load) -> Load:
    """Return less of it, for a contender that takes long."""
    return replace(load, count=max(load.count // 6, min(load.count, 40)))


def list_contenders(
    nodemailer: Path | None,
) -> dict[str, Callable[[int, Load], tuple[float, float]]]:
    """Return who takes part; smtp-source is the measure of all."""
    contenders: dict[str, Callable[[int, Load], tuple[float, float]]] = {
        "smtp-source": run_smtp_source,
        "conveyor": lambda port, load: run_ours(port, load, "carry"),
        "conveyor, mark 1 ms": lambda port, load: run_ours(port, load, "carry-marked"),
        "aiosmtplib": lambda port, load: run_ours(port, shorten(load), "aiosmtplib"),
    }
    if nodemailer is not None:
        contenders["nodemailer"] = lambda port, load: run_nodemailer(
            nodemailer, port, shorten(load)
        )
    return contenders


# The other side


@contextmanager
def run_server(command: Callable[[int], list[str]]) -> Iterator[int]:
    """Run a server on a free port until the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    server = subprocess.Popen(command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > deadline or server.poll() is not None:
                raise RuntimeError(f"no server: {command(port)}")
            time.sleep(0.02)
        yield port
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def run_sink(load: Load) -> Iterator[int]:
    """Run the sink that a load asks for, with the round trip that it asks for."""

    def sink(port: int) -> list[str]:
        if load.sink == "own sink":
            return [sys.executable, "-m", "bench.sink", str(port)]
        return ["smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "1000"]

    with ExitStack() as stack:
        port = stack.enter_context(run_server(sink))
        if load.round_trip_ms:
            target, ms = str(port), str(load.round_trip_ms)
            port = stack.enter_context(
                run_server(
                    lambda port: [sys.executable, "-m", "bench.delay", str(port), target, ms]
                )
            )
        yield port


def compare(name: str, load: Load, repetitions: int, nodemailer: Path | None) -> None:
    """Print one table."""
    contenders = list_contenders(nodemailer)
    figures: dict[str, list[tuple[float, float]]] = {each: [] for each in contenders}
    with run_sink(load) as port:
        for _ in range(repetitions):
            for each, run in contenders.items():
                figures[each].append(run(port, load))
    print(
        f"\n{name}: {load.size_bytes / 1000:g} KB, {load.connections} connections, "
        f"{load.round_trip_ms} ms round trip, {load.sink}"
    )
    print(f"{'':22}{'msg/s':>9}{'ratio':>7}{'µs CPU':>9}{'ratio':>7}")
    for each, measured in figures.items():
        rate, cpu_us = (statistics.median(column) for column in zip(*measured, strict=True))
        # Ratios of neighbours in time: what the machine did meanwhile, it did to both.
        against = list(zip(measured, figures["smtp-source"], strict=True))
        faster = statistics.median(mine[0] / other[0] for mine, other in against)
        dearer = statistics.median(mine[1] / other[1] for mine, other in against)
        print(f"{each:22}{rate:9.0f}{faster:7.2f}{cpu_us:9.1f}{dearer:7.2f}", flush=True)


def run_inner(kind: str, port: int, connections: int, count: int, size_bytes: int) -> None:
    """Be one of our own contenders."""
    load = Load(connections, count, size_bytes)
    rest_memory()  # as every worker does
    if kind == "aiosmtplib":
        figures = uvloop.run(send_with_aiosmtplib(port, load))
    else:
        mark_s = 0.001 if kind == "carry-marked" else 0
        window = int(kind.removeprefix("window-")) if kind.startswith("window-") else 0
        figures = uvloop.run(carry(port, load, mark_s, window))
    print(json.dumps(figures))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=LOADS)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--nodemailer", type=Path)
    options = parser.parse_args()
    if shutil.which("smtp-source") is None:
        raise SystemExit("smtp-source is not installed (Debian: postfix)")
    for name, load in LOADS.items():
        if options.only in (None, name):
            compare(name, load, options.repetitions, options.nodemailer)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1].startswith(("carry", "window-", "aiosmtplib")):
        run_inner(sys.argv[1], *map(int, sys.argv[2:6]))
    else:
        main()
