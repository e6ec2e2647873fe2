"""All attachments of a message: which way each goes, under which name, and what is refused."""

import asyncio
import os
import unicodedata
from datetime import datetime
from io import BytesIO

import pikepdf
import pytest
import pyzipper
from hypothesis import given
from hypothesis import strategies as st
from pikepdf import Dictionary, Name, Pdf, String

from app.errors import Fault, Refused, Unavailable
from app.mime.pool import ProtectPool
from app.mime.protect import Plain, check_password, protect
from tests.crafts.protect.samples import (
    MIB,
    list_files,
    list_workers,
    make_bomb,
    make_form,
    make_pdf,
    open_pool,
    read_written_bytes,
    save,
)

CSV = b"numer;kwota\nFV 1/2026;1230,00\n"


@pytest.fixture
async def pool():
    async with open_pool(memory_bytes=256 * MIB) as opened:
        yield opened


@pytest.fixture(scope="module")
def signed() -> bytes:
    signature = Dictionary(Type=Name.Sig, Contents=String("x" * 64))
    return make_form(Dictionary(FT=Name.Sig, T=String("s"), V=signature))


@pytest.fixture(scope="module")
def locked() -> bytes:
    with Pdf.open(BytesIO(make_pdf())) as pdf:
        return save(pdf, encryption=pikepdf.Encryption(user="", owner="o", R=6))


def unzip(content: bytes, password: str) -> dict[str, bytes]:
    with pyzipper.AESZipFile(BytesIO(content)) as archive:
        archive.setpassword(password.encode())
        return {name: archive.read(name) for name in archive.namelist()}


def describe(protection) -> list[tuple[str, str, str]]:
    return [(part.filename, part.media_type, part.protection) for part in protection.parts]


@pytest.mark.anyio
@pytest.mark.parametrize("password", [None, ""])
async def test_without_a_password_everything_passes_as_it_is(password, locked):
    parts = [
        Plain("a.pdf", "application/pdf", locked),
        Plain("../b", "text/csv", CSV, "logo@x", "zip"),
    ]
    result = await protect(parts, password, language="pl", pool=ProtectPool())
    assert [
        (part.filename, part.media_type, part.content, part.content_id) for part in result.parts
    ] == [(part.filename, part.media_type, part.content, part.content_id) for part in parts]
    assert {part.protection for part in result.parts} == {"none"}
    assert result.warnings == ()


@pytest.mark.anyio
async def test_pdfs_are_encrypted_each_and_all_others_together_last(pool):
    pdf = make_pdf()
    parts = [
        Plain("dane.csv", "text/csv", CSV),
        Plain("FV 1.pdf", "application/pdf", pdf),
        Plain("umowa.docx", "application/vnd.x", b"PK"),
        Plain("FV 2.pdf", "application/pdf", make_pdf(3)),
        Plain("kopia/FV 3.pdf", "application/pdf", pdf, protect="zip"),
        Plain("dane.csv", "text/csv", b""),
    ]
    result = await protect(
        parts, "tajne", language="pl-PL", pool=pool, date=datetime(2026, 11, 22, 9, 0)
    )
    assert describe(result) == [
        ("FV 1.pdf", "application/pdf", "pdf_aes256"),
        ("FV 2.pdf", "application/pdf", "pdf_aes256"),
        ("zalaczniki.zip", "application/zip", "zip_aes256"),
    ]
    assert result.warnings == ()
    for part, pages in zip(result.parts, (2, 3), strict=False):
        with Pdf.open(BytesIO(part.content), password="tajne") as opened:
            assert len(opened.pages) == pages
    assert unzip(result.parts[-1].content, "tajne") == {
        "dane.csv": CSV,
        "umowa.docx": b"PK",
        "FV 3.pdf": pdf,
        "dane (2).csv": b"",
    }
    with pyzipper.AESZipFile(BytesIO(result.parts[-1].content)) as archive:
        assert archive.infolist()[0].date_time == (2026, 11, 22, 9, 0, 0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "language, name",
    [
        ("pl", "zalaczniki.zip"),
        ("fr-CH", "pieces-jointes.zip"),
        ("PL_pl", "zalaczniki.zip"),
        ("en", "attachments.zip"),
        ("de", "attachments.zip"),
        ("", "attachments.zip"),
    ],
)
async def test_the_zip_is_named_in_the_language_of_the_message(language, name):
    result = await protect(
        [Plain("a.csv", "text/csv", CSV)], "a", language=language, pool=ProtectPool()
    )
    assert describe(result) == [(name, "application/zip", "zip_aes256")]


@pytest.mark.anyio
async def test_a_pdf_is_known_by_its_content_not_by_its_name_or_type(pool):
    parts = [
        Plain("scan", "application/octet-stream", b"\n" * 900 + make_pdf()),
        Plain("not.pdf", "application/pdf", b"a text"),
        Plain("late.bin", "application/pdf", b"\n" * 1024 + make_pdf()),
    ]
    result = await protect(parts, "a", language="en", pool=pool)
    assert describe(result) == [
        ("scan", "application/pdf", "pdf_aes256"),
        ("attachments.zip", "application/zip", "zip_aes256"),
    ]
    assert set(unzip(result.parts[1].content, "a")) == {"not.pdf", "late.bin"}


@pytest.mark.anyio
async def test_inline_parts_and_those_that_say_none_are_not_touched(pool, locked):
    parts = [
        Plain("logo.png", "image/png", b"\x89PNG", content_id="logo"),
        Plain("logo.pdf", "application/pdf", locked, content_id="page", protect="zip"),
        Plain("termin.ics", "text/calendar; method=REQUEST", b"BEGIN", protect="none"),
        Plain("locked.pdf", "application/pdf", locked, protect="none"),
        Plain("a.csv", "text/csv", CSV, protect="NONE!"),
    ]
    result = await protect(parts, "a", language="en", pool=pool)
    assert [part.content for part in result.parts[:4]] == [part.content for part in parts[:4]]
    assert result.parts[0].content_id == "logo"
    assert describe(result)[2:] == [
        ("termin.ics", "text/calendar; method=REQUEST", "none"),
        ("locked.pdf", "application/pdf", "none"),
        ("attachments.zip", "application/zip", "zip_aes256"),
    ]


@pytest.mark.anyio
async def test_a_signed_pdf_travels_whole_in_the_zip_with_a_warning(pool, signed):
    parts = [Plain("a.pdf", "application/pdf", make_pdf()), Plain("s.pdf", "x/y", signed)]
    result = await protect(parts, "a", language="fr", pool=pool, pointer="/messages/3/attachments")
    assert [part.protection for part in result.parts] == ["pdf_aes256", "zip_aes256"]
    assert unzip(result.parts[1].content, "a") == {"s.pdf": signed}
    assert [(note.code, note.pointer) for note in result.warnings] == [
        ("pdf_signed", "/messages/3/attachments/1")
    ]


@pytest.mark.anyio
async def test_encrypted_damaged_and_exploding_pdfs_are_refused_all_at_once(pool, locked):
    damaged = make_pdf()[:-300]
    parts = [
        Plain("a.pdf", "application/pdf", make_pdf()),
        Plain("locked.pdf", "application/pdf", locked),
        Plain("a.csv", "text/csv", CSV),
        Plain("damaged.pdf", "application/pdf", damaged),
        Plain("bomb.pdf", "application/pdf", make_bomb(400 * MIB)),
    ]
    with pytest.raises(Refused) as refusal:
        await protect(parts, "a", language="pl", pool=pool)
    assert [(fault.pointer, fault.code) for fault in refusal.value.faults] == [
        ("/attachments/1/content", "pdf_encrypted"),
        ("/attachments/3/content", "pdf_damaged"),
        ("/attachments/4/content", "pdf_damaged"),
    ]
    zipped = [Plain(part.filename, part.media_type, part.content, protect="zip") for part in parts]
    result = await protect(zipped, "a", language="pl", pool=pool)
    assert list(unzip(result.parts[0].content, "a").values()) == [part.content for part in parts]


@pytest.mark.anyio
async def test_a_pool_that_cannot_work_lets_nothing_through():
    parts = [Plain("a.csv", "text/csv", CSV), Plain("a.pdf", "application/pdf", make_pdf())]
    with pytest.raises(Unavailable) as failure:
        await protect(parts, "a", language="pl", pool=ProtectPool())
    assert failure.value.code == "protection_failed"


@pytest.mark.anyio
async def test_the_password_is_composed_before_it_is_used(pool):
    apart = unicodedata.normalize("NFD", "zażółć")
    assert apart != "zażółć"
    parts = [Plain("a.csv", "text/csv", CSV), Plain("a.pdf", "application/pdf", make_pdf())]
    result = await protect(parts, apart, language="pl", pool=pool)
    with Pdf.open(BytesIO(result.parts[0].content), password="zażółć") as pdf:
        assert len(pdf.pages) == 2
    assert unzip(result.parts[1].content, "zażółć") == {"a.csv": CSV}


@pytest.mark.anyio
async def test_letters_beyond_ascii_are_warned_of_where_a_zip_goes_out(pool):
    pdf, csv = Plain("a.pdf", "application/pdf", make_pdf()), Plain("a.csv", "text/csv", CSV)
    for parts, password, codes in (
        ([pdf, csv], "zażółć", ["password_not_ascii"]),
        ([pdf], "zażółć", []),
        ([pdf, csv], "zazolc", []),
    ):
        result = await protect(parts, password, language="pl", pool=pool)
        assert [note.code for note in result.warnings] == codes


@pytest.mark.anyio
async def test_a_password_that_cannot_work_is_refused_before_anything_is_done():
    with pytest.raises(Refused) as refusal:
        await protect([], "x" * 128, language="pl", pool=ProtectPool())
    assert refusal.value.code == "password_too_long"


@pytest.mark.parametrize(
    "password, codes",
    [
        ("a", []),
        ("x" * 127, []),
        ("x" * 128, ["password_too_long"]),
        ("ż" * 63, []),
        ("ż" * 64, ["password_too_long"]),
        ("z\u0307" * 63, []),
        ("", ["password_empty"]),
        ("a\nb", ["password_controls"]),
        ("a\0", ["password_controls"]),
        ("\ud800", ["password_controls"]),
        ("\x7f" + "x" * 127, ["password_too_long", "password_controls"]),
        ("spaces are fine ", []),
    ],
)
def test_a_password_has_1_to_127_bytes_and_no_controls(password, codes):
    _, faults, _ = check_password(password, "/defaults/attachment_password")
    assert [fault.code for fault in faults] == codes
    assert {fault.pointer for fault in faults} <= {"/defaults/attachment_password"}


@pytest.mark.parametrize(
    "password, warned", [("x" * 32, False), ("x" * 33, True), ("ż" * 17, True)]
)
def test_a_password_over_32_bytes_is_warned_of(password, warned):
    normal, faults, notices = check_password(password, "/p")
    assert (normal, faults) == (password, ())
    assert [(note.code, note.pointer) for note in notices] == [("password_long", "/p")] * warned


@given(st.text() | st.text(max_size=3))
def test_whatever_the_password_it_is_refused_or_can_be_encoded(password):
    normal, faults, notices = check_password(password, "/p")
    assert faults or 1 <= len(normal.encode()) <= 127
    assert all(isinstance(fault, Fault) for fault in faults)
    assert check_password(normal, "/p") == (normal, faults, notices)


@pytest.mark.anyio
async def test_unprotected_content_reaches_no_disk(pool, monkeypatch, tmp_path):
    for name in ("TMPDIR", "TEMP", "TMP", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    parts = [
        Plain("a.pdf", "application/pdf", make_pdf(1, page_bytes=5 * MIB)),
        Plain("a.csv", "text/csv", os.urandom(5 * MIB)),
    ]
    await protect(parts, "a", language="pl", pool=pool)  # starts the worker
    (worker,) = list_workers()
    try:
        before = read_written_bytes(worker), read_written_bytes(os.getpid())
    except PermissionError:
        pytest.skip("workers are not dumpable: only root may look into them")
    running = asyncio.create_task(protect(parts, "a", language="pl", pool=pool))
    looks = 0
    while not running.done():
        assert list_files(worker) == []
        assert list(tmp_path.iterdir()) == []
        looks += 1
        await asyncio.sleep(0.001)
    assert [part.protection for part in (await running).parts] == ["pdf_aes256", "zip_aes256"]
    assert looks > 3
    assert read_written_bytes(worker) == before[0]
    assert read_written_bytes(os.getpid()) - before[1] < MIB
    assert list(tmp_path.iterdir()) == []
