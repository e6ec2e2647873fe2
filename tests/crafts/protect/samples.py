"""PDFs that the tests of protecting are given, sound and hostile, a pool to give them to, and a
look at its processes from outside.
"""

import os
import stat
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

from pikepdf import Dictionary, Name, ObjectStreamMode, Pdf, Stream, String

from app.mime.pool import ProtectPool

PASSWORD = "zażółć gęślą"
MIB = 1 << 20


def make_pdf(
    pages: int = 2, *, page_bytes: int = 400, object_streams: bool = False, text: str = "Faktura"
) -> bytes:
    """Make a sound PDF whose pages say ``text`` and carry ``page_bytes`` that cannot shrink."""
    with Pdf.new() as pdf:
        font = pdf.make_indirect(
            Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)
        )
        for number in range(pages):
            pdf.add_blank_page()
            page = pdf.pages[-1]
            page.Resources = Dictionary(Font=Dictionary(F1=font))
            page.Contents = Stream(pdf, f"BT /F1 12 Tf 72 700 Td ({text} {number}) Tj ET".encode())
            page.obj.Extra = pdf.make_indirect(
                Stream(pdf, zlib.compress(os.urandom(page_bytes), 1), Filter=Name.FlateDecode)
            )
        return save(pdf, object_streams=object_streams)


def save(pdf: Pdf, *, object_streams: bool = False, **options: object) -> bytes:
    mode = ObjectStreamMode.generate if object_streams else ObjectStreamMode.disable
    written = BytesIO()
    pdf.save(written, object_stream_mode=mode, compress_streams=False, **options)
    return written.getvalue()


def make_form(field: Dictionary, *, below_parent: bool = False) -> bytes:
    """Make a PDF with a form of one field, which may inherit its type from a parent."""
    with Pdf.open(BytesIO(make_pdf())) as pdf:
        child = pdf.make_indirect(field)
        if below_parent:
            kind = child.FT
            del child.FT
            child = pdf.make_indirect(Dictionary(FT=kind, T=String("over"), Kids=[child]))
            child.Kids[0].Parent = child
        pdf.Root.AcroForm = Dictionary(Fields=[child])
        return save(pdf)


def make_bomb(size_bytes: int) -> bytes:
    """Make a small PDF whose object stream, which holds its catalogue, inflates to the size.

    1 0, 2 0, 3 0: in the object stream 5 0; 6 0: the cross-reference stream.
    """
    packer = zlib.compressobj(9)
    block = b" " * (1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(size_bytes >> 20)) + packer.flush()
    pdf = b"%PDF-1.7\n"
    holder = len(pdf)
    pdf += b"5 0 obj\n<</Type/ObjStm/N 3/First 20/Filter/FlateDecode/Length %d>>\nstream\n" % len(
        packed
    )
    pdf += packed + b"\nendstream\nendobj\n"
    table = len(pdf)
    rows = [
        (0, 0, 65535),
        (2, 5, 0),
        (2, 5, 1),
        (2, 5, 2),
        (0, 0, 0),
        (1, holder, 0),
        (1, table, 0),
    ]
    data = b"".join(
        bytes([kind]) + where.to_bytes(4, "big") + part.to_bytes(2, "big")
        for kind, where, part in rows
    )
    pdf += b"6 0 obj\n<</Type/XRef/Size 7/W[1 4 2]/Root 1 0 R/Length %d>>\nstream\n" % len(data)
    return pdf + data + b"\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % table


@asynccontextmanager
async def open_pool(**limits: float) -> AsyncIterator[ProtectPool]:
    pool = ProtectPool(**limits)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def list_workers(parent: int | None = None) -> list[int]:
    """Find the living worker processes that were started by ``parent`` (else this process)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, started_by = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ours = int(started_by) == (parent or os.getpid()) and state != "Z"
        if ours and b"app.mime.pdf_worker" in command:
            found.append(int(folder.name))
    return found


def list_files(pid: int) -> list[str]:
    """List what a process has open besides pipes and devices."""
    found = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        mode = file.stat().st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
            found.append(str(file.readlink()))
    return found


def read_written_bytes(pid: int) -> int:
    """Read how much a process has had written to file systems on disks, since it started."""
    facts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(facts["write_bytes"])
