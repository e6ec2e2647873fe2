"""The encrypted ZIP: other programs open it, with the password only, under names that are safe."""

import os
import shutil
import subprocess
import unicodedata
import zipfile
from datetime import datetime
from io import BytesIO

import pytest
import pyzipper
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.mime.aes_zip import NAME_BYTES, Member, clean_names, write_zip
from tests.crafts.protect.samples import PASSWORD
from tests.effort import look

CSV = b"numer;kwota\nFV 1/2026;1230,00\n" * 400
RANDOM = os.urandom(5000)
MEMBERS = [
    Member("zażółć.csv", CSV),
    Member("photo.jpg", RANDOM),
    Member("empty.txt", b""),
    Member("x", b"x"),
]


def read_zip(content: bytes, password: str = PASSWORD) -> dict[str, bytes]:
    with pyzipper.AESZipFile(BytesIO(content)) as archive:
        archive.setpassword(password.encode())
        return {name: archive.read(name) for name in archive.namelist()}


@settings(max_examples=look(20), deadline=None)
@given(
    st.lists(
        st.tuples(st.text("abcż", min_size=1), st.binary(max_size=300)), unique_by=lambda m: m[0]
    ),
    st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()),
)
def test_pyzipper_reads_back_what_was_packed(members, password):
    packed = write_zip([Member(*member) for member in members], password)
    assert read_zip(packed, password) == dict(members)


def test_every_member_is_aes_256_without_a_checksum_of_its_content():
    with pyzipper.AESZipFile(BytesIO(write_zip(MEMBERS, PASSWORD))) as archive:
        for member in archive.infolist():
            assert (member.wz_aes_strength, member.wz_aes_version, member.CRC) == (3, 2, 0)
            assert member.flag_bits == 0x801


def test_the_archive_shows_neither_content_nor_password():
    packed = write_zip([Member("a.txt", b"Do zaplaty 1230,00"), Member("b.bin", RANDOM)], PASSWORD)
    assert b"zaplaty" not in packed
    assert RANDOM[:16] not in packed
    assert PASSWORD.encode() not in packed


@pytest.mark.parametrize("password", ["", "zazolc", PASSWORD + "x"])
def test_a_wrong_password_opens_nothing(password):
    with pytest.raises(RuntimeError):
        read_zip(write_zip(MEMBERS[:1], PASSWORD), password)


def test_a_changed_byte_is_noticed():
    packed = bytearray(write_zip([Member("a", RANDOM)], PASSWORD))
    packed[2000] ^= 1
    with pytest.raises(pyzipper.BadZipFile):
        read_zip(bytes(packed))


def test_what_shrinks_is_deflated_and_what_does_not_is_stored():
    with pyzipper.AESZipFile(BytesIO(write_zip(MEMBERS, PASSWORD))) as archive:
        methods = {member.filename: member.compress_type for member in archive.infolist()}
        assert methods == {
            "zażółć.csv": zipfile.ZIP_DEFLATED,
            "photo.jpg": zipfile.ZIP_STORED,
            "empty.txt": zipfile.ZIP_STORED,
            "x": zipfile.ZIP_STORED,
        }
        assert archive.getinfo("zażółć.csv").compress_size < len(CSV) / 5


def test_the_same_clock_and_randomness_give_the_same_bytes_and_others_do_not():
    moment = datetime(2026, 11, 22, 9, 25, 31)
    twice = [
        write_zip(MEMBERS, PASSWORD, modified=moment, random_bytes=lambda size: b"s" * size)
        for _ in range(2)
    ]
    assert twice[0] == twice[1]
    assert write_zip(MEMBERS, PASSWORD, modified=moment) not in twice
    with pyzipper.AESZipFile(BytesIO(twice[0])) as archive:
        assert {member.date_time for member in archive.infolist()} == {(2026, 11, 22, 9, 25, 30)}


@pytest.mark.parametrize("year, written", [(1970, 1980), (2026, 2026), (2200, 2107)])
def test_years_that_dos_does_not_know_become_its_first_or_last(year, written):
    packed = write_zip([Member("a", b"a")], "p", modified=datetime(year, 5, 6))
    with pyzipper.AESZipFile(BytesIO(packed)) as archive:
        assert archive.infolist()[0].date_time[:3] == (written, 5, 6)


@pytest.mark.peer
@pytest.mark.parametrize(
    "program, command",
    [
        ("7z", ["7z", "x", "-y", f"-p{PASSWORD}"]),
        ("bsdtar", ["bsdtar", "--passphrase", PASSWORD, "-xf"]),
    ],
)
def test_other_programs_unpack_it(program, command, tmp_path):
    if not shutil.which(program):
        pytest.skip(f"{program} is not on this machine (apt: p7zip-full, libarchive-tools)")
    file = tmp_path / "a.zip"
    file.write_bytes(write_zip(MEMBERS, PASSWORD))
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run([*command, file], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr + done.stdout
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path != file} == {
        member.name: member.content for member in MEMBERS
    }


@pytest.mark.parametrize(
    "given_name, cleaned",
    [
        ("a.csv", "a.csv"),
        ("Faktura 1⁄2.csv", "Faktura 1⁄2.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\anna\\umowa.docx", "umowa.docx"),
        ("C:umowa.docx", "umowa.docx"),
        ("/", "attachment"),
        ("..", "attachment"),
        ("", "attachment"),
        (" . ", "attachment"),
        (".htaccess", ".htaccess"),
        ("a\r\nb\0c.txt", "abc.txt"),
        ("fdp.\u202eexe.txt", "fdp.exe.txt"),
        ("half \ud800.txt", "half .txt"),
        ("what?<is>|this*:\"x\".txt", "what__is__this___x_.txt"),
        ("trailing dots... ", "trailing dots"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1 .log", "_com1 .log"),
        ("COM¹", "_COM¹"),
        ("console.txt", "console.txt"),
        ("z\u0307\u0142", "żł"),
        ("x" * 300 + ".csv", "x" * 196 + ".csv"),
        ("ż" * 300, "ż" * 100),
    ],
)  # fmt: skip
def test_a_name_is_cleaned_of_what_a_system_could_stumble_over(given_name, cleaned):
    assert clean_names([given_name]) == [cleaned]


@pytest.mark.parametrize(
    "names, unique",
    [
        (["a.csv", "a.csv", "a.csv"], ["a.csv", "a (2).csv", "a (3).csv"]),
        (["a.csv", "A.CSV"], ["a.csv", "A (2).CSV"]),
        (["a.csv", "x/a.csv", "a (2).csv"], ["a.csv", "a (2).csv", "a (2) (2).csv"]),
        (["a", "a"], ["a", "a (2)"]),
        ([".env", ".env"], [".env", ".env (2)"]),
        (["", ""], ["attachment", "attachment (2)"]),
    ],
)
def test_equal_names_are_numbered(names, unique):
    assert clean_names(names) == unique


@given(st.lists(st.text() | st.text("aA.\\/ :ż\u202e\ud800(2)CON", max_size=8), max_size=12))
@example(["a", "a (2)", "a"])
def test_cleaned_names_are_safe_and_unique_whatever_was_given(names):
    cleaned = clean_names(names)
    assert len(cleaned) == len(names)
    assert len({name.casefold() for name in cleaned}) == len(names)
    assert clean_names(cleaned) == cleaned
    for name in cleaned:
        assert 0 < len(name.encode()) <= NAME_BYTES + len(" (12)")
        assert not set(name) & set('/\\<>:"|?*')
        assert not {unicodedata.category(sign) for sign in name} & {"Cc", "Cf", "Cs"}
        assert name == name.strip(" ")
        assert not name.endswith(".")
