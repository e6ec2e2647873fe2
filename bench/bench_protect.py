"""Attachment protection against qpdf, pyzipper and 7-Zip (goal P9): ``python bench/bench_protect.py``.

Every row compares ours with its anchor in the same run: repetitions are interleaved, medians shown,
first the CPU (user + system, children included), then the wall clock. Ratios are anchor / ours,
so above 1 ours is cheaper. A PDF goes through the pool, pipes and proof included; what starting
a worker costs is a row of its own. Needs qpdf and 7z (apt: qpdf p7zip-full).
"""

import asyncio
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path

import pikepdf
import pyzipper

sys.path.insert(0, str(Path(__file__).parent.parent))

from app.mime.aes_zip import Member, write_zip
from app.mime.pool import ProtectPool

Work = Callable[[], Awaitable[object]]
PASSWORD = "tajne haslo"


def make_pdf(size_bytes: int) -> bytes:
    """Pages of 50 kB of compressed data each, as scans and fonts are."""
    page_bytes = min(size_bytes, 50_000)
    with pikepdf.new() as pdf:
        for _ in range(max(1, size_bytes // page_bytes)):
            pdf.add_blank_page()
            packed = zlib.compress(os.urandom(page_bytes))
            pdf.pages[-1].Contents = pikepdf.Stream(pdf, packed, Filter=pikepdf.Name.FlateDecode)
        written = BytesIO()
        pdf.save(written)
        return written.getvalue()


def make_csv(size_bytes: int) -> bytes:
    chance = random.Random(1)
    rows = bytearray()
    while len(rows) < size_bytes:
        rows += (
            f"FV {chance.randint(1, 99999)}/2026;2026-{chance.randint(1, 12):02};"
            f"Klient {chance.randint(1, 5000)} Sp. z o.o.;{chance.randint(100, 999999) / 100};PLN\n"
        ).encode()
    return bytes(rows)


def read_cpu_s(pool: ProtectPool | None = None) -> float:
    """CPU of this process, of its ended children and of the pool's living workers."""
    spent_s = 0.0
    for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(whose)
        spent_s += used.ru_utime + used.ru_stime
    for worker in pool._pool._sandboxes if pool else ():
        fields = Path(f"/proc/{worker.process.pid}/schedstat").read_text().split()
        spent_s += int(fields[0]) / 1e9
    return spent_s


async def compare(repeats: int, pool: ProtectPool | None, **works: Work) -> dict[str, list[float]]:
    """Run the works in turns; return for each the median [CPU, wall] in milliseconds."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            cpu_s, wall_s = read_cpu_s(pool), time.perf_counter()
            await work()
            wall_s = time.perf_counter() - wall_s
            taken[name].append((read_cpu_s(pool) - cpu_s, wall_s))
    return {
        name: [statistics.median(column) * 1e3 for column in zip(*runs, strict=True)]
        for name, runs in taken.items()
    }


def show(label: str, found: dict[str, list[float]], goal: str) -> None:
    (ours_cpu, ours_wall), *anchors = found.values()
    for name, (cpu, wall) in zip(list(found)[1:], anchors, strict=True):
        print(
            f"{label:<28}{name:<18}{ours_cpu:>8.1f}{cpu:>9.1f}{cpu / ours_cpu:>8.2f}"
            f"{ours_wall:>9.1f}{wall:>9.1f}{wall / ours_wall:>8.2f}   {goal}"
        )


async def bench_pdf(folder: Path) -> None:
    for size_bytes, batch in ((100_000, 10), (1_000_000, 10), (10_000_000, 3)):
        document = make_pdf(size_bytes)
        (folder / "in.pdf").write_bytes(document)
        command = ["qpdf", "--encrypt", PASSWORD, "an-owner-of-22-letters", "256", "--"]
        pool = ProtectPool(workers=1)
        await pool.start()
        await pool.encrypt(document, PASSWORD)

        async def ours(pool=pool, document=document, batch=batch) -> None:
            for _ in range(batch):
                assert (await pool.encrypt(document, PASSWORD)).content

        async def qpdf(command=command, batch=batch) -> None:
            for _ in range(batch):
                subprocess.run(  # noqa: ASYNC221
                    [*command, folder / "in.pdf", folder / "out.pdf"], check=True
                )

        found = await compare(9, pool, ours=ours, qpdf=qpdf)
        await pool.close()
        show(
            f"PDF {size_bytes / 1e6:g} MB",
            {name: [value / batch for value in values] for name, values in found.items()},
            ">= 0.9",
        )


async def bench_workers() -> None:
    document = make_pdf(1_000_000)
    pools = [ProtectPool(workers=count) for count in (2, 1)]
    for pool in pools:
        await pool.start()
        await asyncio.gather(*(pool.encrypt(document, PASSWORD) for _ in range(4)))

    def run(pool: ProtectPool) -> Work:
        async def work() -> None:
            await asyncio.gather(*(pool.encrypt(document, PASSWORD) for _ in range(20)))

        return work

    found = await compare(7, None, two=run(pools[0]), one=run(pools[1]))
    for pool in pools:
        await pool.close()
    (_, two), (_, one) = found.values()
    print(f"{'20 PDFs of 1 MB':<28}{'2 workers, not 1':<18}{'':>25}{two:>9.1f}{one:>9.1f}"
          f"{one / two:>8.2f}   >= 1.6")  # fmt: skip


async def bench_start() -> None:
    document, started = make_pdf(1000), []
    for _ in range(5):
        pool = ProtectPool(workers=1)
        await pool.start()
        wall_s = time.perf_counter()
        await pool.encrypt(document, PASSWORD)
        first_s = time.perf_counter() - wall_s
        await pool.encrypt(document, PASSWORD)
        started.append(2 * first_s - (time.perf_counter() - wall_s))
        await pool.close()
    print(f"starting a worker, once: {statistics.median(started) * 1e3:.0f} ms")


async def bench_zip(folder: Path) -> None:
    csv = make_csv(10_000_000)
    (folder / "a.csv").write_bytes(csv)
    sizes: dict[str, int] = {}

    async def ours() -> None:
        packed = await asyncio.to_thread(write_zip, [Member("a.csv", csv)], PASSWORD)
        sizes["ours"] = len(packed)

    async def default() -> None:
        written = BytesIO()
        with pyzipper.AESZipFile(
            written, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES
        ) as archive:
            archive.setpassword(PASSWORD.encode())
            archive.writestr("a.csv", csv)
        sizes["pyzipper"] = len(written.getvalue())

    async def seven() -> None:
        (folder / "a.zip").unlink(missing_ok=True)
        command = ["7z", "a", "-tzip", "-mx1", "-mem=AES256", f"-p{PASSWORD}"]
        subprocess.run(  # noqa: ASYNC221
            [*command, folder / "a.zip", folder / "a.csv"], check=True, stdout=subprocess.DEVNULL
        )
        sizes["7z -mx1"] = (folder / "a.zip").stat().st_size

    found = await compare(7, None, ours=ours, pyzipper=default, **{"7z -mx1": seven})
    show("ZIP of a 10 MB CSV", found, ">= 3 pyzipper, >= 2 7z")
    print("sizes:", ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in sizes.items()))


async def main() -> None:
    missing = [program for program in ("qpdf", "7z") if not shutil.which(program)]
    if missing:
        sys.exit(f"not on this machine: {', '.join(missing)} (apt: qpdf p7zip-full)")
    print(f"{'':<28}{'anchor':<18}{'CPU ours':>8}{'anchor':>9}{'ratio':>8}"
          f"{'wall':>9}{'anchor':>9}{'ratio':>8}   goal (ms)")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        await bench_pdf(Path(name))
        await bench_workers()
        await bench_zip(Path(name))
    await bench_start()


if __name__ == "__main__":
    asyncio.run(main())
